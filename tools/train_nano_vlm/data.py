"""Reads easy-VQA from its package and alters its images in ways that keep every answer true."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from .texts import Pair

IMAGE_SIZE = 64
HELD_OUT_IMAGES = 200
SHAPE_CONTRAST = 24  # a pixel this far (0..255, any channel) from the corner's colour belongs to the shape


def data_folder() -> Path:
    """Where the `easy-vqa` package keeps its files."""
    spec = find_spec("easy_vqa")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("easy-VQA's data comes in a package: pip install easy-vqa")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


@dataclass(frozen=True)
class Split:
    """One split: image k's (question, answer) pairs; `pixels` is uint8, images x 3 x 64 x 64."""

    image_ids: list[int]
    pairs: list[list[Pair]]
    pixels: torch.Tensor


def image_path(split: str, image_id: int) -> Path:
    """The PNG file of one image."""
    return data_folder() / split / "images" / f"{image_id}.png"


def load_split(split: str) -> Split:
    """Read "train" (4,000 images, 38,575 questions) or "test" (1,000 images, 9,673 questions)."""
    by_image: dict[int, list[Pair]] = defaultdict(list)
    for question, answer, image_id in json.loads((data_folder() / split / "questions.json").read_text()):
        by_image[image_id].append((question, answer))
    ids = sorted(by_image)
    images = np.stack([np.asarray(Image.open(image_path(split, i)).convert("RGB")) for i in ids])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return Split(ids, [by_image[i] for i in ids], pixels)


def held_out(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (train, validation): the validation images are never trained on."""
    order = np.random.default_rng(seed).permutation(count)
    return order[HELD_OUT_IMAGES:], order[:HELD_OUT_IMAGES]


def shape_box(image: torch.Tensor) -> tuple[int, int, int, int]:
    """(left, right, top, bottom), inclusive, of what differs from the corner pixel; else the whole image."""
    differs = (image.int() - image[:, :1, :1].int()).abs().amax(0) > SHAPE_CONTRAST
    rows, columns = np.where(differs.numpy())
    if not len(rows):
        return 0, IMAGE_SIZE - 1, 0, IMAGE_SIZE - 1
    return int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max())


class Augmenter:
    """Mirrors, moves and sometimes shrinks images, so that patch alignment and margins vary.

    Shrinking stands for pictures that a client padded to a square before the server resized them. The margin
    mostly goes on with the image's own background, and is else white, black or mid-gray.
    """

    def __init__(self, pixels: torch.Tensor, rng: np.random.Generator, shrink_share: float = 0.3):
        self.pixels, self.rng, self.shrink_share = pixels, rng, shrink_share
        self.boxes = [shape_box(image) for image in pixels]

    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        """A fresh variant of each indexed image: uint8, len(indices) x 3 x 64 x 64."""
        return torch.stack([self.one(int(index)) for index in indices])

    def one(self, index: int) -> torch.Tensor:
        left, right, top, bottom = self.boxes[index]
        # Rolling by at most the free margin moves the shape without wrapping it round an edge.
        shift_x = int(self.rng.integers(-left, IMAGE_SIZE - right))
        shift_y = int(self.rng.integers(-top, IMAGE_SIZE - bottom))
        image = torch.roll(self.pixels[index], (shift_y, shift_x), (1, 2))
        if self.rng.random() < 0.5:
            image = torch.flip(image, (2,))
        return self.shrunk(image) if self.rng.random() < self.shrink_share else image

    def shrunk(self, image: torch.Tensor) -> torch.Tensor:
        size = int(self.rng.integers(int(0.6 * IMAGE_SIZE), IMAGE_SIZE))
        small = functional.interpolate(image[None].float(), (size, size), mode="bilinear", antialias=True)[0]
        canvas = image[:, :1, :1].expand_as(image).clone()
        if self.rng.random() < 0.4:
            canvas[:] = int(self.rng.choice([0, 127, 255]))
        x, y = self.rng.integers(0, IMAGE_SIZE - size + 1, 2)
        canvas[:, y : y + size, x : x + size] = small.round().clamp(0, 255).to(torch.uint8)
        return canvas
