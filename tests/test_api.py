"""The functions behind the commands, as a program calls them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import evalkit
from evalkit import prepare_data, score, wrap_arguments
from evalkit.api import default_data_dir
from evalkit.errors import UserError
from tests.samples import write_rows


def test_the_package_offers_its_commands_as_functions_and_loads_them_when_asked_for() -> None:
    for name in ("eval", "generate", "prepare_data", "score", "summarize_results", "wrap_arguments"):
        assert callable(getattr(evalkit, name))
        assert name in evalkit.__all__
    with pytest.raises(AttributeError, match="has no attribute 'evaluate'"):
        _ = evalkit.evaluate
    # The command line must not pay for what it does not use.
    code = "import sys, evalkit; sys.exit(bool({'hydra', 'aiohttp', 'PIL', 'pydantic'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_data_folder_is_the_one_in_the_environment_or_the_users_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVALKIT_DATA_DIR", "/data")
    assert default_data_dir() == Path("/data")
    monkeypatch.delenv("EVALKIT_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_data_dir() == Path("/cache/evalkit/data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_data_dir() == Path.home() / ".cache" / "evalkit" / "data"


# --- preparing ----------------------------------------------------------------------------------------------


def test_a_wrong_name_is_found_before_anything_is_prepared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'nope' is not known"):
        prepare_data("easy-vqa,nope", data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="at least one benchmark"):
        prepare_data(" , ", data_dir=tmp_path)


def test_force_prepares_again_what_was_changed(tmp_path: Path) -> None:
    ((first),) = prepare_data(["easy-vqa"], data_dir=tmp_path)
    first.rows_file.write_text("{}")
    ((again),) = prepare_data("easy-vqa", data_dir=tmp_path, force=True)
    assert not again.already
    assert again.lock == first.lock
    again.lock.check(again.rows_file)


# --- scoring ------------------------------------------------------------------------------------------------


def rescored(
    tmp_path: Path, *lines: dict[str, Any], **more: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The metrics and the lines of scores."""
    source, target = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    metrics = score(
        **{"benchmarks": "easy-vqa", "input_file": write_rows(source, *lines), "output_file": target, **more}
    )
    return metrics, [orjson.loads(line) for line in target.read_bytes().splitlines()]


def line(row_id: str, generation: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": row_id, "expected_answer": "red", "generation": generation, **fields}


def test_every_state_ends_where_it_belongs(tmp_path: Path) -> None:
    metrics, scores = rescored(
        tmp_path,
        line("right", "red"),
        line("wrong", "blue"),
        line("invalid", "purple"),
        line("refused", "I must not say red", state="refused"),
        line("cut off", "red", state="truncated"),
        line("too long", None, state="invalid", reason="prompt_too_long"),
        line("failed", None, state="error", reason="server_error"),
    )
    assert {each["id"]: (each["state"], each["score"], each["valid"]) for each in scores} == {
        "right": ("ok", 1.0, True),
        "wrong": ("ok", 0.0, True),
        "invalid": ("invalid", 0.0, False),
        "refused": ("refused", 0.0, False),
        "cut off": ("truncated", 0.0, False),
        "too long": ("invalid", 0.0, False),
        "failed": ("error", None, False),
    }
    assert metrics["status"].startswith("INCOMPLETE: 6 of 7 generations scored, 1 failed (1 × server_error)")
    head = metrics["easy-vqa"]["pass@1"]
    assert (head["num_entries"], head["score"], head["validity"]) == (6, 0.166667, 0.333333)
    assert head["states"] == {"error": 1, "invalid": 2, "ok": 2, "refused": 1, "truncated": 1}


def test_official_rules_score_what_was_cut_off(tmp_path: Path) -> None:
    cut_off = {**line("a", "Answer: B", state="truncated"), "expected_answer": "B", "options": ["x", "y"]}
    strict, _ = rescored(tmp_path, cut_off, benchmarks="mmmu-pro")
    official, scores = rescored(tmp_path, cut_off, benchmarks="mmmu-pro", protocol="official")
    assert (strict["protocol"], strict["mmmu-pro"]["pass@1"]["score"]) == ("strict-1", 0.0)
    assert (official["protocol"], official["mmmu-pro"]["pass@1"]["score"]) == ("official-1", 1.0)
    assert scores[0]["protocol"] == "official-1"


def test_samples_are_recognised_and_missing_ones_make_the_metrics_incomplete(tmp_path: Path) -> None:
    samples = [line("a", "red", sample=0), line("b", "red", sample=0), line("a", "blue", sample=1)]
    metrics, _ = rescored(tmp_path, *samples)
    assert metrics["status"].startswith("INCOMPLETE: 3 of 4 generations scored, 1 not there")
    metrics, _ = rescored(tmp_path, *samples, line("b", "red", sample=1))
    assert metrics["complete"]
    assert metrics["easy-vqa"]["pass@1[avg-of-2]"]["score"] == 0.75
    assert metrics["easy-vqa"]["pass@2"]["score"] == 1.0
    assert metrics["easy-vqa"]["majority@2"]["score"] == 0.75  # one row is tied


def test_the_replys_field_can_have_another_name(tmp_path: Path) -> None:
    reply = {"id": "a", "expected_answer": "red", "answer": "red"}
    metrics, _ = rescored(tmp_path, reply, ctx=wrap_arguments("++generation_key=answer"))
    assert metrics["easy-vqa"]["pass@1"]["score"] == 1.0
    with pytest.raises(UserError, match=r"\+\+generation_key=NAME"):
        rescored(tmp_path, reply)


def test_scoring_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    lines = [line(str(number), "red" if number % 3 else "blue") for number in range(30)]
    first = rescored(tmp_path, *lines)
    before = (tmp_path / "y.jsonl").read_bytes()
    assert rescored(tmp_path, *lines) == first
    assert (tmp_path / "y.jsonl").read_bytes() == before


def test_an_empty_file_and_a_row_without_its_truth_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no lines"):
        rescored(tmp_path)
    with pytest.raises(UserError, match="row 'a': has no field 'expected_answer'"):
        rescored(tmp_path, {"id": "a", "generation": "red"})
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]
