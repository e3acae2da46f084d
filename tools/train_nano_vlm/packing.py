"""Packs all questions about one image into one row, so that the image is encoded and attended to once.

A row is the shared prefix (chat start, image tokens), then its segments, each a question with its answer.
Positions restart after the prefix for every segment and a segment attends to the prefix and itself only, so
the row scores exactly as the separate sequences would, in a third of the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

IGNORED = -100
PREFIX, PAD = 0, -1  # owners of a position; segments count from 1
LENGTH_STEP = 16  # rows are padded to a multiple of this: fewer distinct shapes for the CPU kernels


@dataclass(frozen=True)
class Segment:
    """A tokenised question and answer; `labelled` says which answer tokens count, `kind` is for scores."""

    question: list[int]
    answer: list[int]
    labelled: list[bool]
    kind: str


@dataclass(frozen=True)
class Batch:
    """Packed rows, rows x length each; `mask` (rows x 1 x length x length) is True where attention goes."""

    tokens: torch.Tensor
    positions: torch.Tensor
    owners: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor


def pack_row(prefix: list[int], segments: list[Segment]) -> tuple[list[int], list[int], list[int], list[int]]:
    """(tokens, positions, owners, labels) of one row."""
    start = len(prefix)
    tokens, positions = list(prefix), list(range(start))
    owners, labels = [PREFIX] * start, [IGNORED] * start
    for number, segment in enumerate(segments, 1):
        length = len(segment.question) + len(segment.answer)
        tokens += segment.question + segment.answer
        positions += range(start, start + length)
        owners += [number] * length
        labels += [IGNORED] * len(segment.question)
        labels += [
            t if counts else IGNORED for t, counts in zip(segment.answer, segment.labelled, strict=True)
        ]
    return tokens, positions, owners, labels


def block_mask(owners: torch.Tensor) -> torch.Tensor:
    """Attention allowed (rows x 1 x length x length): causal, to the prefix and to one's own segment.

    Padding attends to itself: a row of the mask with nothing allowed would give NaN.
    """
    length = owners.shape[1]
    shared = (owners[:, :, None] == owners[:, None, :]) | (owners[:, None, :] == PREFIX)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return (shared & causal | torch.eye(length, dtype=torch.bool))[:, None]


def pack(prefixes: list[list[int]], segments: list[list[Segment]]) -> Batch:
    """Pack one row per image; prefixes may differ in length (with and without a system prompt)."""
    rows = [pack_row(prefix, parts) for prefix, parts in zip(prefixes, segments, strict=True)]
    length = -(-max(len(row[0]) for row in rows) // LENGTH_STEP) * LENGTH_STEP
    fields = []
    for field, filler in enumerate((0, 0, PAD, IGNORED)):
        table = torch.full((len(rows), length), filler, dtype=torch.long)
        for number, row in enumerate(rows):
            table[number, : len(row[field])] = torch.tensor(row[field])
        fields.append(table)
    tokens, positions, owners, labels = fields
    return Batch(tokens, positions, owners, labels, block_mask(owners))
