"""easy-VQA as its package has it: every question, real image files, subsets by kind of question."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import easy_vqa
import pytest

from evalkit.benchmarks.easy_vqa import ANSWERS, BENCHMARK
from evalkit.config import ImageLimits
from evalkit.dataset_prep.easy_vqa import PREPARER
from evalkit.images import check, folder_of, locate, read
from evalkit.preparation import ImageStore, PrepareContext
from evalkit.rows import Lock, Row, read_rows


@pytest.fixture(scope="module")
def rows(easy_vqa: Path) -> list[Row]:
    return list(read_rows(easy_vqa / "easy-vqa" / "test.jsonl"))


def test_every_question_of_the_package_is_there_in_its_order(rows: list[Row]) -> None:
    questions, answers, _ = easy_vqa.get_test_questions()
    assert [(row.fields["question"], row.fields["expected_answer"]) for row in rows] == list(
        zip(questions, answers, strict=True)
    )
    assert len(rows) == PREPARER.expected_rows["test"] == 9673


def test_each_question_is_about_its_own_image(rows: list[Row]) -> None:
    numbers, paths = easy_vqa.get_test_questions()[2], easy_vqa.get_test_image_paths()
    folder = folder_of(rows[0].file)
    for row, number in list(zip(rows, numbers, strict=True))[::997]:
        image = read(locate(row.fields["image_path"], folder))
        assert image.data == Path(paths[number]).read_bytes()
        assert image.media_type == "image/png"


def test_every_image_is_a_real_file_of_the_size_that_its_row_says(rows: list[Row]) -> None:
    folder = folder_of(rows[0].file)
    sources = {row.fields["image_path"]: locate(row.fields["image_path"], folder) for row in rows}
    assert len(sources) == 1000
    for source in list(sources.values())[::50]:
        check(source, ImageLimits(max_pixels=64 * 64), decode=True)
    assert {tuple(row.fields["image_size"]) for row in rows} == {(64, 64)}


def test_ids_are_unique_and_name_their_split(rows: list[Row]) -> None:
    assert len({row.id for row in rows}) == len(rows)
    assert (rows[0].id, rows[-1].id) == ("test-00000", "test-09672")


def test_subsets_are_the_kinds_of_question(rows: list[Row]) -> None:
    kinds = {row.fields["expected_answer"]: row.fields["subset_for_metrics"] for row in rows}
    assert set(kinds) == set(ANSWERS)
    assert {answer for answer, kind in kinds.items() if kind == "shape"} == {
        "circle",
        "rectangle",
        "triangle",
    }
    assert {answer for answer, kind in kinds.items() if kind == "yes-no"} == {"yes", "no"}
    assert Counter(kinds.values())["color"] == 8


def test_the_lock_says_where_the_rows_come_from(easy_vqa: Path) -> None:
    lock = Lock.read(easy_vqa / "easy-vqa" / "test.jsonl")
    assert lock is not None
    assert (lock.source, lock.revision, lock.rows) == ("package easy-vqa", "1.0", 9673)


def test_the_train_split_holds_other_questions(tmp_path: Path) -> None:
    first = next(PREPARER.rows(PrepareContext("train", ImageStore(tmp_path))))
    questions, answers, _ = easy_vqa.get_train_questions()
    assert (first["id"], first["question"], first["expected_answer"]) == (
        "train-00000",
        questions[0],
        answers[0],
    )


def test_each_true_answer_is_right_and_each_other_one_wrong(rows: list[Row]) -> None:
    score = BENCHMARK.scorers["strict"].score
    for row in rows[::101]:
        for answer in ANSWERS:
            expected = float(answer == row.fields["expected_answer"])
            assert score(row.fields, f"{answer.capitalize()}.").score == expected
