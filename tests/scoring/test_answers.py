"""Closed sets of answers: what counts as giving one of them, and the replies that only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.benchmarks.easy_vqa import ANSWERS, BENCHMARK
from evalkit.errors import UserError
from evalkit.scoring.answers import closed_set, parse_closed, plain
from evalkit.scoring.result import Parsed


@pytest.mark.parametrize(
    "reply",
    [
        "red",
        "Red",
        "RED.",
        "  red\n",
        "**Red**",
        "**Red**.",
        "`red`",
        '"red."',
        "“red”",
        "red!",
    ],
)
def test_the_bare_answer_is_robust_whatever_its_case_and_marks(reply: str) -> None:
    score = closed_set(reply, ANSWERS, "red")
    assert (score.score, score.predicted_answer, score.valid, score.robust) == (1.0, "red", True, True)


@pytest.mark.parametrize(
    "reply",
    [
        "It is red.",
        "The color is red",
        "Answer: red",
        "Answer: **red**.",
        "Final answer: red",
        "The answer is red",
        "I see a circle.\nAnswer: red",
        "I see a blue circle, no, wait.\n\nred",
        "Answer: blue\nNo, that was the circle.\nAnswer: red",  # the last one decides
        "Answer:\nred",
        '{"answer": "red"}',
        "(red)",
    ],
)
def test_an_answer_that_must_be_searched_for_is_right_but_not_robust(reply: str) -> None:
    score = closed_set(reply, ANSWERS, "red")
    assert (score.score, score.predicted_answer, score.valid, score.robust) == (1.0, "red", True, False)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("I cannot tell", "negated"),
        ("I can't say whether it is red", "negated"),
        ("It is not blue", "negated"),
        ("It isn’t red", "negated"),
        ("Answer: not red", "negated"),
        ("Neither red", "negated"),
        ("It is never red", "negated"),
        ("I have no idea", "negated"),  # "no" is an answer of the set
        ("no idea", "negated"),
        ("No clue!", "negated"),
        ("red or blue", "ambiguous"),
        ("red/blue", "ambiguous"),
        ("A red circle", "ambiguous"),
        ("No, it is red", "ambiguous"),
        ("Answer: red or blue", "ambiguous"),
        ("yesterday", "no_answer"),  # "yes" is no word there
        ("reddish", "no_answer"),
        ("nothing", "no_answer"),
        ("a square", "no_answer"),
        ("grey", "no_answer"),  # not a word of the set
        ("Answer: square", "no_answer"),
        ("Answer: circle\nAnswer: square", "no_answer"),  # the later line took the earlier back
        ("The circle is red.\nI am quite sure.", "no_answer"),  # several lines: nothing is searched for
    ],
)
def test_a_reply_without_one_clear_answer_has_none_and_says_why(reply: str, reason: str) -> None:
    assert parse_closed(reply, ANSWERS) == Parsed(None, reason)
    score = closed_set(reply, ANSWERS, "no")
    assert (score.score, score.predicted_answer, score.valid, score.robust) == (0.0, None, False, False)
    assert score.reason == reason


def test_yes_and_no_in_sentences() -> None:
    assert parse_closed("Yes, it is.", ANSWERS).value == "yes"
    assert parse_closed("The answer is no.", ANSWERS).value == "no"


def test_reasoning_is_not_the_answer() -> None:
    reply = "<think>\nAnswer: blue\n</think>\n\nred"
    assert closed_set(reply, ANSWERS, "red").robust
    assert parse_closed("<think>blue</think>It is red.", ANSWERS).value == "red"
    # Cut off inside its reasoning: whatever stood there was not the end of it.
    assert parse_closed("<think>\nAnswer: blue", ANSWERS) == Parsed(None, "unfinished_reasoning")
    assert parse_closed("<think>red</think>", ANSWERS) == Parsed(None, "empty")


def test_a_wrong_answer_is_valid_and_scores_nothing() -> None:
    score = closed_set("blue", ANSWERS, "red")
    assert (score.score, score.predicted_answer, score.valid, score.robust) == (0.0, "blue", True, True)


def test_the_answer_is_given_as_the_set_spells_it() -> None:
    assert parse_closed("FRENCH HORN", ["French horn", "Tuba"]).value == "French horn"


@given(
    st.sampled_from(ANSWERS), st.sampled_from(["{}", " {} ", "**{}**", "{}.", "'{}'", "`{}`!"]), st.booleans()
)
def test_every_answer_of_the_set_is_found_in_itself(answer: str, form: str, upper: bool) -> None:
    reply = form.format(answer.upper() if upper else answer)
    assert parse_closed(reply, ANSWERS).value == answer


@given(st.text())
def test_any_reply_gives_an_answer_of_the_set_or_a_reason(reply: str) -> None:
    parsed = parse_closed(reply, ANSWERS)
    assert (parsed.value in ANSWERS) != (parsed.reason is not None)


@given(st.text())
def test_plain_is_plain_already(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("expected", ["purple", None, 3])
def test_a_row_whose_truth_is_not_in_the_set_is_an_error(expected: object) -> None:
    # Every reply to it would be counted as wrong.
    with pytest.raises(UserError, match=r"row 'a': expected_answer must be one of .*red.*, got"):
        BENCHMARK.scorers["strict"].score({"id": "a", "expected_answer": expected}, "red")
