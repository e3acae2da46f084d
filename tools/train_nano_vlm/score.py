"""Scores nano on packed rows: the share of answers whose every token is the most probable one.

Given the right tokens before it, each token of the answer being most probable is the same as greedy decoding
writing exactly that answer, so this equals generation's exact match at a hundredth of the cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

from .data import Split
from .lessons import Lessons
from .model import predict
from .packing import pack

ROWS = 50
PLAIN_KINDS = ("open", "yes-no")


@torch.no_grad()
def score(
    model: LlavaForConditionalGeneration,
    lessons: Lessons,
    split: Split,
    indices: Sequence[int] | np.ndarray,
    *,
    system: bool,
    pixels: torch.Tensor | None = None,
    json_questions: int = 2,
    bf16: bool = False,
) -> dict[str, float]:
    """Accuracy by kind of segment, "all" over the plain answers and their number "n".

    `pixels` (as many as the split has) replaces the images, to see what is answered without looking.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    images = split.pixels if pixels is None else pixels
    model.eval()
    for start in range(0, len(indices), ROWS):
        chosen = np.asarray(indices[start : start + ROWS])
        rows = [lessons.exam_row(split.pairs[i], json_questions) for i in chosen]
        batch = pack([lessons.prefix(system)] * len(rows), rows)
        prediction = predict(model, images[chosen], batch, bf16)
        wrong = torch.zeros(prediction.where.shape, dtype=torch.bool)
        wrong[prediction.where] = prediction.logits.argmax(-1) != prediction.targets
        owners = batch.owners[:, 1:]
        for number, row in enumerate(rows):
            missed = set(owners[number][wrong[number]].tolist())
            for owner, segment in enumerate(row, 1):
                right[segment.kind].append(owner not in missed)
    model.train()
    plain = [hit for kind in PLAIN_KINDS for hit in right[kind]]
    scores = {kind: sum(hits) / len(hits) for kind, hits in sorted(right.items())}
    return {"all": sum(plain) / len(plain), "n": len(plain)} | scores
