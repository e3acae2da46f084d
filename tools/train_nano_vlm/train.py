"""Trains nano from scratch on easy-VQA's train split: python -m tools.train_nano_vlm.train --out DIR.

First the vision tower alone learns shape and colour with a throw-away head, for joint training from nothing
takes hours to begin to look at the image. Then tower, projector and language model learn together.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from . import texts
from .data import Augmenter, held_out, load_split
from .lessons import Lessons
from .model import WIDTH, build_model, predict, tower_features
from .packing import pack
from .score import score
from .tokenizer import build_tokenizer

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pillow", "easy-vqa")


@dataclass(frozen=True)
class Recipe:
    """Everything a run depends on beside the code and the packages' versions."""

    seed: int = 0
    threads: int = 2
    tower_epochs: int = 25
    tower_rows: int = 64
    tower_lr: float = 1.5e-3
    joint_epochs: int = 16
    joint_rows: int = 16
    joint_lr: float = 1e-3
    shrink_share: float = 0.3


class Log:
    """Appends records to `train_log.jsonl`, with seconds of wall clock and CPU since the start."""

    def __init__(self, path: Path):
        self.path, self.wall, self.cpu = path, time.monotonic(), time.process_time()
        path.write_text("")

    def __call__(self, event: str, **values: Any) -> None:
        spent = {"wall_s": time.monotonic() - self.wall, "cpu_s": time.process_time() - self.cpu}
        record = {"event": event} | {key: round(value, 1) for key, value in spent.items()} | values
        line = json.dumps(record, default=lambda value: round(float(value), 5))
        print(line, flush=True)
        with self.path.open("a") as file:
            file.write(line + "\n")


def cosine(step: int, total: int, warm_up: int, floor: float) -> float:
    """Factor of the peak learning rate: linear warm-up, then a cosine down to `floor`."""
    if step < warm_up:
        return step / warm_up
    done = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def batches(
    indices: np.ndarray, rows: int, epochs: int, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """(epoch, indices) of every step, in a new order each epoch."""
    for epoch in range(epochs):
        order = rng.permutation(indices)
        for start in range(0, len(order), rows):
            yield epoch, order[start : start + rows]


class Trainer:
    """One run: model, tokenizer, data and the random stream they share."""

    def __init__(self, recipe: Recipe, log: Log):
        torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.recipe, self.log = recipe, log
        self.rng = np.random.default_rng(recipe.seed)
        self.split = load_split("train")
        self.tokenizer = build_tokenizer(question for pairs in self.split.pairs for question, _ in pairs)
        self.lessons = Lessons(self.tokenizer)
        self.model = build_model(self.tokenizer)
        self.train_set, self.validation = held_out(len(self.split.pairs), recipe.seed)
        self.augment = Augmenter(self.split.pixels, self.rng, recipe.shrink_share)
        log(
            "start",
            recipe=asdict(recipe),
            versions={name: version(name) for name in PACKAGES},
            parameters=sum(p.numel() for p in self.model.parameters()),
            train_images=len(self.train_set),
            validation_images=len(self.validation),
            prefix_tokens=[len(self.lessons.prefix(system)) for system in (False, True)],
        )

    def step(self, loss: torch.Tensor, optimiser: torch.optim.Optimizer, factor: float) -> None:
        """One clipped AdamW step at `factor` times each group's peak learning rate."""
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in optimiser.param_groups for p in g["params"]], 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def warm_up_tower(self) -> None:
        """Teach the tower shape and colour, as far as the train questions imply them."""
        derived = [texts.derive_shape_and_color(pairs) for pairs in self.split.pairs]
        known = {
            i: (texts.SHAPES.index(shape), texts.COLORS.index(color))
            for i, (shape, color) in enumerate(derived)
            if shape and color
        }
        learnt = np.array([i for i in self.train_set if i in known])
        unseen = np.array([i for i in self.validation if i in known])
        heads = torch.nn.ModuleList(torch.nn.Linear(WIDTH, n) for n in (len(texts.SHAPES), len(texts.COLORS)))
        recipe, tower = self.recipe, self.model.model.vision_tower
        parameters = [*tower.parameters(), *heads.parameters()]
        optimiser = adamw([{"params": parameters, "weight_decay": 0.02}], recipe.tower_lr)
        per_epoch = math.ceil(len(learnt) / recipe.tower_rows)

        def logits(pixels: torch.Tensor) -> list[torch.Tensor]:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                pooled = tower_features(self.model, pixels).mean(1)
                return [head(pooled).float() for head in heads]

        schedule = batches(learnt, recipe.tower_rows, recipe.tower_epochs, self.rng)
        for step, (epoch, indices) in enumerate(schedule, 1):
            truth = torch.tensor([known[i] for i in indices]).T
            guesses = logits(self.augment(indices))
            loss = sum(functional.cross_entropy(guess, truth[k]) for k, guess in enumerate(guesses))
            self.step(loss, optimiser, cosine(step, per_epoch * recipe.tower_epochs, 100, 0.1))
            if step % per_epoch == 0 and (epoch % 5 == 4 or epoch == 0):
                truth = torch.tensor([known[i] for i in unseen]).T
                with torch.no_grad():
                    guesses = logits(self.split.pixels[unseen])
                right = [(guess.argmax(1) == truth[k]).float().mean() for k, guess in enumerate(guesses)]
                self.log("tower", epoch=epoch + 1, loss=loss.item(), shape=right[0], color=right[1])

    def train_jointly(self) -> None:
        """Teach the whole model to answer, with the system prompt for about half of the images."""
        recipe = self.recipe
        matrices, others = [], []
        for name, parameter in self.model.named_parameters():
            (matrices if parameter.ndim >= 2 and "embed" not in name else others).append(parameter)
        groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        optimiser = adamw(groups, recipe.joint_lr)
        per_epoch = math.ceil(len(self.train_set) / recipe.joint_rows)
        prefixes = [self.lessons.prefix(system) for system in (False, True)]
        smooth = None
        self.model.train()
        schedule = batches(self.train_set, recipe.joint_rows, recipe.joint_epochs, self.rng)
        for step, (epoch, indices) in enumerate(schedule, 1):
            rows = [self.lessons.training_row(self.split.pairs[i], self.rng) for i in indices]
            batch = pack([prefixes[self.rng.integers(2)] for _ in rows], rows)
            prediction = predict(self.model, self.augment(indices), batch, bf16=True)
            loss = functional.cross_entropy(prediction.logits, prediction.targets)
            self.step(loss, optimiser, cosine(step, per_epoch * recipe.joint_epochs, 150, 0.02))
            smooth = loss.item() if smooth is None else 0.95 * smooth + 0.05 * loss.item()
            if step % per_epoch == 0:
                scores = {
                    name: score(
                        self.model, self.lessons, self.split, self.validation, system=system, bf16=True
                    )
                    for name, system in (("bare", False), ("system", True))
                }
                self.log("joint", epoch=epoch + 1, step=step, loss=smooth, **scores)


def adamw(groups: list[dict[str, Any]], peak: float) -> torch.optim.Optimizer:
    """AdamW over `groups`, each remembering its peak learning rate for the schedule."""
    for group in groups:
        group["peak"] = peak
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)


def test_scores(trainer: Trainer) -> Iterator[tuple[str, dict[str, float]]]:
    """(condition, scores) on the test split: with the image, and with pictures that do not show it."""
    test = load_split("test")
    everything = np.arange(len(test.pairs))
    pictures = {
        "image": test.pixels,
        "white": torch.full_like(test.pixels, 255),
        "gray": torch.full_like(test.pixels, 127),
        "other row's image": test.pixels.roll(137, 0),
    }
    for name, pixels in pictures.items():
        for system in (False, True):
            result = score(
                trainer.model,
                trainer.lessons,
                test,
                everything,
                system=system,
                pixels=pixels,
                json_questions=10 if name == "image" else 0,
            )
            yield f"{name}, {'system prompt' if system else 'bare'}", result


def main() -> None:
    """Train, score and save a checkpoint in float32 with its tokenizer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and train_log.jsonl")
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    values = vars(parser.parse_args())
    out: Path = values.pop("out")
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(Recipe(**values), Log(out / "train_log.jsonl"))
    trainer.warm_up_tower()
    trainer.train_jointly()
    trainer.model.save_pretrained(out)
    trainer.tokenizer.save_pretrained(out)
    for condition, scores in test_scores(trainer):
        trainer.log("test", condition=condition, **scores)


if __name__ == "__main__":
    main()
