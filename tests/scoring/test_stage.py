"""The score stage: what each state of a generation becomes, and files of generations to score again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from evalkit.benchmark import Benchmark
from evalkit.errors import RunError, UserError
from evalkit.scoring.answers import closed_set
from evalkit.scoring.result import Row, Score, Scorer
from evalkit.scoring.stage import Rules, StoredGenerations, score_line, write_scores
from tests.samples import write_rows


def rule(row: Row, reply: str) -> Score:
    return closed_set(reply, ("red", "blue"), row["expected_answer"])


BENCHMARK = Benchmark(
    name="b",
    description="",
    prompt="p",
    scorers={"strict": Scorer(rule, version=3), "official": Scorer(rule)},
)
STRICT = Rules.of(BENCHMARK, "strict")
OFFICIAL = Rules.of(BENCHMARK, "official")


def scored(generation: str | None, rules: Rules = STRICT, **fields: Any) -> dict[str, Any]:
    line = {"id": "a", "expected_answer": "red", "generation": generation, **fields}
    return score_line(line, rules, "generation")


def short(score: dict[str, Any]) -> tuple[Any, ...]:
    return score["state"], score["score"], score["valid"], score["predicted_answer"], score["reason"]


# --- states -------------------------------------------------------------------------------------------------


def test_a_good_reply_is_scored() -> None:
    assert short(scored("red", state="ok")) == ("ok", 1.0, True, "red", None)
    assert short(scored("blue", state="ok")) == ("ok", 0.0, True, "blue", None)


def test_a_reply_without_an_answer_is_invalid_and_a_miss() -> None:
    assert short(scored("green", state="ok")) == ("invalid", 0.0, False, None, "no_answer")


def test_an_error_is_neither_right_nor_wrong() -> None:
    found = scored(None, state="error", reason="server_error", error="HTTP 500: oops")
    assert short(found) == ("error", None, False, None, "server_error")
    # Also where some text came with it.
    assert scored("red", state="error", error="HTTP 500")["score"] is None
    assert scored("red", state="error", error="HTTP 500")["reason"] == "HTTP 500"


def test_a_refusal_is_a_miss_whatever_it_says() -> None:
    assert short(scored("red flags: I must refuse", state="refused")) == (
        "refused",
        0.0,
        False,
        None,
        "refused",
    )


def test_a_reply_that_was_cut_off_is_a_miss_by_the_strict_rules() -> None:
    # "red" may have been going on with "or blue".
    assert short(scored("red", state="truncated")) == ("truncated", 0.0, False, None, "truncated")


def test_official_rules_know_no_cut_off_and_score_the_text() -> None:
    assert short(scored("red", OFFICIAL, state="truncated")) == ("truncated", 1.0, True, "red", None)
    assert scored("gre", OFFICIAL, state="truncated")["state"] == "truncated"


def test_a_prompt_over_the_models_length_is_the_models_miss() -> None:
    found = scored(None, state="invalid", reason="prompt_too_long", error="HTTP 400: …")
    assert short(found) == ("invalid", 0.0, False, None, "prompt_too_long")


def test_no_text_without_a_cause_is_an_invalid_reply() -> None:
    assert short(scored(None, state="ok")) == ("invalid", 0.0, False, None, "no_reply")


def test_a_line_without_a_state_is_a_reply() -> None:
    assert short(scored("red"))[:2] == ("ok", 1.0)
    assert short(scored("red", state=None))[:2] == ("ok", 1.0)


# --- what a score line holds --------------------------------------------------------------------------------


def test_a_score_tells_its_rules_and_what_it_belongs_to() -> None:
    found = scored("red", arm="blank", sample=2, key="k", subset_for_metrics="s", num_generated_tokens=4)
    assert found["protocol"] == "strict-3"
    assert (found["arm"], found["sample"], found["key"]) == ("blank", 2, "k")
    assert (found["subset_for_metrics"], found["num_generated_tokens"]) == ("s", 4)
    assert scored("red")["arm"] == "original"
    assert scored("red")["sample"] == 0


@pytest.mark.parametrize(
    ("fields", "cluster"),
    [
        ({"cluster_id": "c", "image_path": "1.png"}, "c"),
        ({"image_path": "1.png"}, "1.png"),
        ({"image_path": ["1.png", "2.png"]}, '["1.png","2.png"]'),
        ({}, "a"),  # nothing is shared: the row is its own cluster
    ],
)
def test_rows_that_share_an_image_are_a_cluster(fields: dict[str, Any], cluster: str) -> None:
    assert scored("red", **fields)["cluster_id"] == cluster


def test_a_guess_of_official_rules_is_marked() -> None:
    rules = Rules(Scorer(lambda row, reply: Score(1.0, "A", guessed=True)), "official")
    assert scored("?", rules)["guessed"] is True
    assert "guessed" not in scored("red")


def test_a_row_without_a_field_that_its_scorer_needs_is_an_error_by_name() -> None:
    with pytest.raises(UserError, match=r"row 'a': has no field 'expected_answer'"):
        score_line({"id": "a", "generation": "red"}, STRICT, "generation")


def test_a_protocol_that_a_benchmark_does_not_have_is_refused_with_those_it_has() -> None:
    one = Benchmark(name="b", description="", prompt="p", scorers={"strict": Scorer(rule)})
    with pytest.raises(UserError, match="--protocol=official: b has strict alone"):
        Rules.of(one, "official")


# --- stored generations -------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def stored(path: Path, *lines: dict[str, Any] | str, key: str = "generation") -> list[dict[str, Any]]:
    return list(StoredGenerations(write_rows(path, *lines), key))


def test_of_lines_of_one_generation_the_last_counts(file: Path) -> None:
    # A log is appended to: an error, then the reply that came when it was asked again.
    lines = stored(
        file,
        {"id": "a", "generation": None, "state": "error"},
        {"id": "b", "generation": "blue"},
        {"id": "a", "generation": "red"},
    )
    assert [(line["id"], line["generation"]) for line in lines] == [("a", "red"), ("b", "blue")]


def test_samples_and_arms_of_a_row_are_generations_of_their_own(file: Path) -> None:
    found = StoredGenerations(
        write_rows(
            file,
            {"id": "a", "sample": 1, "generation": "1"},
            {"id": "b", "sample": 0, "generation": "2"},
            {"id": "a", "sample": 0, "generation": "3"},
            {"id": "a", "arm": "blank", "generation": "4"},
        ),
        "generation",
    )
    # A row's samples come together, in order, whenever their replies came.
    assert [line["generation"] for line in found] == ["3", "1", "2", "4"]
    assert (len(found), found.samples, found.wanted) == (4, 2, 6)


def test_the_same_id_as_number_and_text_is_one_row(file: Path) -> None:
    lines = stored(file, {"id": 1, "generation": "red"}, {"id": "1", "generation": "blue"})
    assert [line["generation"] for line in lines] == ["blue"]


def test_lines_without_an_id_are_known_by_their_number(file: Path) -> None:
    # A null is no id either: all such lines would be one row.
    lines = stored(file, {"generation": "red"}, "", {"id": None, "generation": "blue"})
    assert [(line["id"], line["generation"]) for line in lines] == [("1", "red"), ("3", "blue")]


def test_null_is_a_failure_unless_the_line_says_what_it_was(file: Path) -> None:
    lines = stored(
        file,
        {"id": "a", "generation": None},
        {"id": "b", "generation": None, "state": None},
        {"id": "c", "generation": None, "state": "invalid", "reason": "prompt_too_long"},
        {"id": "d", "generation": ""},
    )
    assert [line.get("state") for line in lines] == ["error", "error", "invalid", None]


def test_the_reply_can_have_another_name(file: Path) -> None:
    assert stored(file, {"id": "a", "answer": "red"}, key="answer")[0]["answer"] == "red"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ({"id": "a"}, "has no 'generation'; name the reply's field with ++generation_key=NAME"),
        ({"generation": 5}, "'generation' must be a string"),
        ({"generation": ["red"]}, "'generation' must be a string"),
        ({"generation": "red", "sample": "first"}, "'sample' must be an integer, not 'first'"),
        ({"generation": "red", "sample": None}, "'sample' must be an integer, not None"),
    ],
)
def test_what_is_no_generation_is_an_error_with_its_line(
    line: dict[str, Any] | str, complaint: str, file: Path
) -> None:
    with pytest.raises(UserError) as caught:
        stored(file, {"generation": "red"}, line)
    assert str(caught.value).startswith(f"{file}:2: {complaint}")


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(UserError, match=r"x\.jsonl: No such file"):
        StoredGenerations(file, "generation")


# --- writing ------------------------------------------------------------------------------------------------


def test_scores_are_written_when_all_have_passed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.jsonl"
    passed = write_scores(path, [{"id": "a"}, {"id": "b"}])
    assert next(passed) == {"id": "a"}
    assert not path.exists()
    assert list(passed) == [{"id": "b"}]
    assert [orjson.loads(line) for line in path.read_bytes().splitlines()] == [{"id": "a"}, {"id": "b"}]
    assert list(path.parent.iterdir()) == [path]


def test_scoring_that_fails_midway_leaves_the_old_scores_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("old")

    def scores() -> Any:
        yield {"id": "a"}
        raise UserError("row 'b': has no field")

    with pytest.raises(UserError):
        list(write_scores(path, scores()))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/scores\.jsonl: "):
        list(write_scores(tmp_path / "file" / "scores.jsonl", [{"id": "a"}]))
