"""Reference scores: what a model must beat, computed from the rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.benchmark import Benchmark
from evalkit.catalog import Catalog
from evalkit.references import reference_scores
from evalkit.rows import read_rows
from evalkit.scoring.result import Score, Scorer


def benchmark(*answers: str) -> Benchmark:
    scorer = Scorer(lambda row, reply: Score(1.0, reply))
    return Benchmark(name="b", description="", prompt="p", scorers={"strict": scorer}, answer_set=answers)


def references(rows: list[dict[str, Any]], *answers: str) -> dict[str, float]:
    found = reference_scores(benchmark(*answers), rows)
    assert all(each.n == len(rows) for each in found)
    return {each.name: pytest.approx(each.score) for each in found}


def rows_of(question: str, answers: str) -> list[dict[str, Any]]:
    return [{"question": question, "expected_answer": answer} for answer in answers]


def test_easy_vqa_can_be_answered_in_two_thirds_of_its_questions_without_the_image(easy_vqa: Path) -> None:
    rows = (row.fields for row in read_rows(easy_vqa / "easy-vqa" / "test.jsonl"))
    chance, majority, text = reference_scores(Catalog().find("easy-vqa").benchmark, rows)
    assert (chance.name, round(chance.score, 4), chance.n) == ("chance", round(1 / 13, 4), 9673)
    assert (majority.name, round(majority.score, 3), majority.how) == (
        "majority answer",
        0.373,
        "always 'yes'",
    )
    assert (text.name, round(text.score, 3), text.n) == ("question text alone", 0.678, 9673)


def test_chance_follows_the_options_of_each_row() -> None:
    rows = [
        {"expected_answer": "A", "options": ["x", "y"]},
        {"expected_answer": "B", "options": ["x", "y", "z", "w"]},
    ]
    assert references(rows)["chance"] == (1 / 2 + 1 / 4) / 2


def test_open_questions_have_no_chance_score() -> None:
    assert "chance" not in references(rows_of("?", "ab"))


def test_a_text_that_occurs_often_is_answered_by_its_own_majority() -> None:
    rows = rows_of("Is it red?", "yyyyyn") + rows_of("Is it blue?", "nnnnnnnn")
    assert references(rows)["majority answer"] == 9 / 14
    assert references(rows)["question text alone"] == 13 / 14


def test_a_text_that_occurs_seldom_is_answered_by_the_majority_of_all() -> None:
    # Else each text that occurs once would be "known": 100 % from the text alone.
    rows = rows_of("common", "nnnnnn") + [{"question": str(n), "expected_answer": "y"} for n in range(4)]
    assert references(rows) == {"majority answer": 6 / 10}


def test_rows_whose_truth_is_no_single_answer_have_no_references() -> None:
    for truth in ({"x": 1}, ["a"], None):
        assert reference_scores(benchmark("a"), [{"question": "?", "expected_answer": truth}]) == []
    assert reference_scores(benchmark("a"), []) == []
