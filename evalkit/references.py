"""What a score is compared with, without any model: chance, the majority answer, the question alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from evalkit.benchmark import Benchmark
from evalkit.parts import Parts

FEWEST_ROWS_OF_A_TEXT = 5
"""A question text must occur so often before its own most frequent answer is used."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A score that needs no image: ``score`` over ``n`` rows, and how it comes about."""

    name: str
    score: float
    n: int
    how: str


def reference_scores(benchmark: Benchmark, rows: Iterable[Mapping[str, Any]]) -> list[Reference]:
    """The reference scores of prepared rows; empty where rows have no single expected answer.

    Question texts that occur at least five times are answered by their most frequent answer, all others
    by the majority answer: a text that occurs once would otherwise always be "known".
    """
    answers: Counter[str] = Counter()
    # Question and answer by their hashes: texts would not fit for millions.
    pairs = Parts("qq")
    n = 0
    chance: float | None = 0.0
    for row in rows:
        answer = row.get("expected_answer")
        if not isinstance(answer, (str, int, float)):
            return []
        answers[str(answer)] += 1
        text = row.get("question") or row.get("problem") or ""
        pairs.add(hash(text), hash(str(answer)))
        n += 1
        choices = len(row.get("options") or benchmark.answer_set)
        chance = chance + 1 / choices if choices and chance is not None else None
    if not n:
        return []
    majority, majority_count = answers.most_common(1)[0]
    found = [Reference("majority answer", majority_count / n, n, f"always {majority!r}")]
    if chance is not None:
        found.insert(0, Reference("chance", chance / n, n, "an answer drawn at random"))
    text_alone = _text_alone(pairs, hash(majority))
    if text_alone != majority_count:
        found.append(Reference("question text alone", text_alone / n, n, "its usual answer"))
    return found


def _text_alone(pairs: Parts, majority: int) -> int:
    right = 0
    for texts, answers in pairs:
        for _, group in groupby(sorted(zip(texts, answers, strict=True)), key=itemgetter(0)):
            counts = Counter(answer for _, answer in group)
            frequent = sum(counts.values()) >= FEWEST_ROWS_OF_A_TEXT
            right += counts.most_common(1)[0][1] if frequent else counts[majority]
    return right
