"""MMMU-Pro's published rules: the letter that the authors' own code finds, reply by reply.

Each expected letter below was checked against the functions of MMMU-Benchmark/MMMU at commit bb0b95a.
"""

from __future__ import annotations

import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.scoring.mmmu_pro_official import official_mmmu_pro, parse_official

TEN = [f"text number {n}" for n in range(10)]
FOUR = ["Paris", "art", "New York", "paris metro"]

AFTER_THE_CUE = [
    ("Answer: B", TEN, "B", "the form that the prompt asks for"),
    ("Answer: (B)", TEN, "B", "brackets"),
    ("**Answer:** \\text{B}", TEN, "B", "any capital after the cue"),
    ("Answer: A\nAnswer: C", TEN, "C", "the last cue wins"),
    ("Answer: Apple", TEN, "A", "a capital inside a word"),
    ("Answer: the capital of France is Paris, Dear", FOUR, "D", "F and P are not among four options"),
    ("Answer: B\n\nso it seems", TEN, "B", "everything up to the end of the reply is looked at"),
    ("Answer: K", TEN, None, "no letter of the ten"),
    ("Answer: b", TEN, None, "lower case is not read"),
    ("Answer: I cannot tell", TEN, "I", "the pronoun, with nine options or more"),
    ("Answer: I cannot tell", FOUR, None, "no option I among four"),
    ("Answer: $\\boxed{\\Gamma}$", TEN, "G", "a letter of a LaTeX command"),
]
MENTIONED = [
    ("B", TEN, "B", "the letter alone, padded to have a blank behind it"),
    ("B.", TEN, "B", "the full stop is trimmed"),
    ("(B)", TEN, "B", "brackets"),
    ("b", TEN, None, "lower case is not read"),
    ("\\boxed{B}", TEN, None, "nothing but a brace behind the letter"),
    ("**B**", TEN, None, "nothing but a star behind the letter"),
    ("B\n", TEN, None, "a line break is no blank, and it is not trimmed"),
    ("B.\n", TEN, "B", "the stop is inside, so the dotted form matches"),
    ("B. Paris", FOUR, "B", "the dotted form, though the text is another option's"),
    ("I cannot tell", TEN, "I", "the pronoun"),
    ("A cat sits on a mat.", TEN, "A", "the article"),
    ("NASA built it", TEN, "A", "the end of a word"),
    (
        "NASA or ESA, UNESC or CIC , that is D or so",
        TEN,
        "D",
        "a lone letter is placed, ends of words are not",
    ),
    ("NASA sent PhD students", TEN, "A", "two ends of words, none placed: first in the alphabet"),
    ("C. or B. then", TEN, "B", "dotted letters are never placed: first in the alphabet"),
    ("A or B or D or C", TEN, "C", "the last lone letter"),
    ("(C) at first, later (A) or B", TEN, "A", "brackets beat a bare letter"),
    ("(A) is wrong, (B) is right, not (A)", TEN, "A", "the last mention, even in a denial"),
    ("Answer: A or B", TEN, "B", "two letters after the cue: the other rules decide"),
    ("Answer: B. I am sure", TEN, "I", "the pronoun is the second letter after the cue"),
    ("Answer: B because C is wrong", TEN, "C", "B and C after the cue, C is mentioned last"),
    ("Answer: A/B/C/D", TEN, "D", "the prompt's list ends in a padded letter"),
    ("We get \\boxed{\\Delta E}.\n\nAnswer: D", TEN, "D", "the cue beats the formula"),
]
BY_TEXT = [
    ("Paris", FOUR, None, "five words or fewer are not compared with the texts"),
    ("it is likely to be in paris", FOUR, "A", "a text, whatever its case"),
    ("we start from the left of it", FOUR, "B", "a text inside a word"),
    ("not paris but rather perhaps new york", FOUR, "C", "the text that starts last"),
    ("you should take the paris metro there", FOUR, "A", "two texts start at once: first in the alphabet"),
    ("one two three four five six", ["x", "", "y"], "B", "an empty text is everywhere"),
    ("one two three four five six", FOUR, None, "no text matches"),
]
NOTHING = [
    ("", TEN, None, "nothing"),
    ("...", TEN, None, "only marks"),
    ("Answer:", TEN, None, "a cue and nothing behind it"),
    ("error: connection reset by peer", TEN, None, "a server's text"),
]


@pytest.mark.parametrize(
    ("reply", "options", "letter", "why"), [*AFTER_THE_CUE, *MENTIONED, *BY_TEXT, *NOTHING]
)
def test_the_published_code_finds_the_same(
    reply: str, options: list[str], letter: str | None, why: str
) -> None:
    parsed = parse_official(reply, options, "row")
    assert (None if parsed.guessed else parsed.value) == letter, why


def _row(**fields: object) -> dict[str, object]:
    return {"id": "test_History_1", "options": TEN, "expected_answer": "B", **fields}


def test_a_found_letter_is_scored() -> None:
    right, wrong = official_mmmu_pro(_row(), "Answer: B"), official_mmmu_pro(_row(), "Answer: C")
    assert (right.score, right.predicted_answer, right.valid, right.guessed) == (1.0, "B", True, False)
    assert (wrong.score, wrong.predicted_answer, wrong.valid, wrong.guessed) == (0.0, "C", True, False)


def test_a_drawn_letter_counts_and_is_marked() -> None:
    drawn = official_mmmu_pro(_row(), "no idea")
    assert (drawn.guessed, drawn.robust, drawn.reason) == (True, False, "no_match")
    hit = official_mmmu_pro(_row(expected_answer=drawn.predicted_answer), "no idea")
    assert (hit.score, hit.valid) == (1.0, True)  # as in the published accuracy


def test_the_draw_depends_on_the_row_alone() -> None:
    first, second = parse_official("no idea", TEN, "r1"), parse_official("...", TEN, "r1")
    assert first == second
    draws = Counter(parse_official("", TEN, f"r{n}").value for n in range(10_000))
    assert set(draws) == set("ABCDEFGHIJ")
    assert all(850 < count < 1150 for count in draws.values())  # five standard deviations


ROBUST = [
    ("Answer: B", True, "the requested form"),
    ("Steps.\n**Answer:** (B).", True, "but for marks"),
    ("B", True, "the letter alone, which the direct prompt asks for"),
    ("Answer: B because it fits", False, "more than the letter"),
    ("it is (B)", False, "found by searching"),
]


@pytest.mark.parametrize(("reply", "robust", "why"), ROBUST)
def test_robust_means_that_no_searching_was_needed(reply: str, robust: bool, why: str) -> None:
    score = official_mmmu_pro(_row(), reply)
    assert score.predicted_answer == "B"
    assert score.robust is robust, why


def test_a_row_with_its_options_in_one_list_scores_0_as_published() -> None:
    row = _row(id="validation_Accounting_29", options=[["A", "B", "Not enough information"]])
    score = official_mmmu_pro(row, "The bond has more risk than the stock has.\n\nAnswer: B")
    assert (score.score, score.predicted_answer) == (0.0, "A")


@pytest.mark.parametrize(
    "fields", [{"options": []}, {"options": None}, {"options": "['a', 'b']"}, {"expected_answer": None}]
)
def test_a_row_that_cannot_be_scored_is_an_error(fields: dict[str, object]) -> None:
    with pytest.raises(UserError, match="test_History_1"):
        official_mmmu_pro(_row(**fields), "Answer: B")


PIECES = st.lists(
    st.sampled_from(["Answer:", " ", "\n", "A", "B", "I", "(C)", "B.", ".", "'", ",", "paris", "art", "x"])
).map("".join)


@given(st.text() | PIECES, st.lists(st.text(max_size=6), min_size=1, max_size=26), st.text())
def test_any_text_gives_one_of_the_letters(reply: str, options: list[str], row_id: str) -> None:
    parsed = parse_official(reply, options, row_id)
    assert parsed.value in list(string.ascii_uppercase[: len(options)])
    assert parsed.reason is None


@given(st.text(), st.sampled_from("ABCDEFGHIJ"))
def test_a_clean_last_line_decides_after_any_text(reply: str, letter: str) -> None:
    score = official_mmmu_pro(_row(expected_answer=letter), f"{reply}\nAnswer: {letter}")
    assert (score.score, score.robust, score.guessed) == (1.0, True, False)
