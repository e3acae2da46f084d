"""What becomes of rows whose requests fail: state, score, denominator, and whether they are asked again."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import RunError, UserError
from evalkit.generation.client import FatalAnswer, LostServer
from evalkit.generation.engine import REFUSED_IN_A_ROW
from tests.fault_server import ANSWERS, WORDS, FaultServer, each, script, sometimes, where
from tests.generation.workbench import (
    NAME,
    evaluate,
    lines,
    make_rows,
    metrics,
    output_file,
    picture,
    scores,
    timing,
    write_benchmark,
)

THIRD = "number 0003"
SEVENTH = "number 0007"


def only(pairs: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """What ``pairs`` of row and state are among the states of ten rows."""
    return {f"row-{n:04}": pairs.get(f"row-{n:04}", "ok") for n in range(10)}


def states(out: Path) -> dict[str, str]:
    return {name: score["state"] for name, score in scores(out).items()}


def asked(server: FaultServer, text: str) -> int:
    """How often a row was asked."""
    return sum(text in request.text for request in server.requests)


def test_a_permanent_error_is_asked_once_and_kept_with_its_cause(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = where({THIRD: "bad_schema"})
    result = evaluate(benchmark, server, tmp_path / "out")
    assert not result.complete
    assert asked(server, THIRD) == 1
    (line,) = [each for each in lines(tmp_path / "out") if each["state"] == "error"]
    assert (line["id"], line["permanent"], line["reason"]) == ("row-0003", True, "bad_request")
    assert "not supported by xgrammar" in line["error"]
    assert metrics(tmp_path / "out")["status"].startswith("INCOMPLETE: 9 of 10 generations scored, 1 failed")


def test_a_permanent_error_is_not_asked_again_unless_told(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = where({THIRD: "bad_schema"})
    evaluate(benchmark, server, tmp_path / "out")
    before = metrics(tmp_path / "out")
    server.plan = lambda _: ANSWERS["ok"]

    assert not evaluate(benchmark, server, tmp_path / "out").complete
    assert len(server.requests) == 10
    assert metrics(tmp_path / "out") == before

    assert evaluate(benchmark, server, tmp_path / "out", "++retry.permanent_errors=true").complete
    assert len(server.requests) == 11
    assert asked(server, THIRD) == 2
    # The answer counts from now on, and the error stays in the log.
    assert evaluate(benchmark, server, tmp_path / "out").complete
    assert len(server.requests) == 11
    assert [each["state"] for each in lines(tmp_path / "out") if each["id"] == "row-0003"] == ["error", "ok"]


@pytest.mark.parametrize("name", ["prompt_too_long", "prompt_too_long_llama", "prompt_too_long_before_0.16"])
def test_a_prompt_too_long_for_the_model_is_a_miss(
    benchmark: Path, server: FaultServer, tmp_path: Path, name: str
) -> None:
    server.plan = where({THIRD: name})
    assert evaluate(benchmark, server, tmp_path / "out").complete
    score = scores(tmp_path / "out")["row-0003"]
    assert (score["state"], score["score"], score["valid"]) == ("invalid", 0.0, False)
    assert score["reason"] == "prompt_too_long"
    assert metrics(tmp_path / "out")[NAME]["pass@1"]["num_entries"] == 10
    evaluate(benchmark, server, tmp_path / "out")
    assert asked(server, THIRD) == 1


@pytest.mark.parametrize("name", ["bad_image", "bad_image_llama", "unreachable_image", "too_many_images"])
def test_an_image_that_the_server_cannot_read_is_left_out_of_the_denominator_and_shown(
    benchmark: Path, server: FaultServer, tmp_path: Path, name: str
) -> None:
    server.plan = where({THIRD: name})
    assert not evaluate(benchmark, server, tmp_path / "out").complete
    score = scores(tmp_path / "out")["row-0003"]
    assert (score["state"], score["score"], score["reason"]) == ("error", None, "bad_image")
    found = metrics(tmp_path / "out")
    assert found[NAME]["pass@1"]["num_entries"] == 9
    assert (found["errors"], found["scored"], found["wanted"]) == (1, 9, 10)
    assert "1 failed (1 × bad_image)" in found["status"]
    evaluate(benchmark, server, tmp_path / "out")
    assert asked(server, THIRD) == 1


def test_what_failed_for_a_time_is_asked_again_by_the_next_run(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = where({THIRD: "unavailable", SEVENTH: "half_json"})
    assert not evaluate(benchmark, server, tmp_path / "out", "++retry.attempts=2").complete
    assert len(server.requests) == 12
    assert states(tmp_path / "out") == only({"row-0003": "error", "row-0007": "error"})
    assert metrics(tmp_path / "out")[NAME]["pass@1"]["num_entries"] == 8

    server.plan = lambda _: ANSWERS["ok"]
    assert evaluate(benchmark, server, tmp_path / "out").complete
    assert len(server.requests) == 14
    assert states(tmp_path / "out") == only({})

    with FaultServer() as healthy:
        evaluate(benchmark, healthy, tmp_path / "undisturbed")
    assert metrics(tmp_path / "out") == metrics(tmp_path / "undisturbed")


def test_a_run_through_faults_comes_to_the_same_as_an_undisturbed_one(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    evaluate(benchmark, server, tmp_path / "undisturbed")
    names = ("reset_after", "reset_in_head", "reset_in_body", "short_body", "unavailable", "half_json")
    server.plan = sometimes(dict.fromkeys(names, 0.1), seed=5)
    result = evaluate(benchmark, server, tmp_path / "out", "++retry.attempts=20")
    assert timing(tmp_path / "out")["retries"] > 5
    assert result.complete
    for file in ("metrics.json", "scores.jsonl"):
        place = Path("eval-results") / NAME / file
        assert (tmp_path / "out" / place).read_bytes() == (tmp_path / "undisturbed" / place).read_bytes()


def test_an_errors_text_is_never_stored_as_an_answer(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    # One of the words is the expected answer: a message that was taken for an answer would score.
    errors = [name for name, answer in ANSWERS.items() if answer.status not in (200, 401, 403, 404)]
    broken = ["half_json", "no_choices", "error_in_200", "not_json", "aborted"]
    names = [*errors, *broken]
    folder = write_benchmark(tmp_path / "many", len(names))
    server.plan = where({f"number {n:04}": name for n, name in enumerate(names)})
    evaluate(folder, server, tmp_path / "out", "++retry.attempts=1")
    found = {each["id"]: each for each in lines(tmp_path / "out")}
    assert len(found) == len(names)
    for line in found.values():
        assert line["generation"] is None
        assert line["state"] in ("error", "invalid")
        assert line["error"]
    assert all(score["score"] in (None, 0.0) for score in scores(tmp_path / "out").values())


def test_the_states_of_answers_reach_the_scores(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    kinds = ("truncated", "filtered", "refusal", "reasoning_only", "empty", "no_content")
    server.plan = where({f"number {n:04}": name for n, name in enumerate(kinds)})
    assert evaluate(benchmark, server, tmp_path / "out").complete
    found = scores(tmp_path / "out")
    expected = ["truncated", "refused", "refused", "invalid", "invalid", "invalid", "ok"]
    assert [found[f"row-{n:04}"]["state"] for n in range(7)] == expected
    assert all(found[f"row-{n:04}"]["score"] == 0.0 for n in range(6))
    stored = {each["id"]: each for each in lines(tmp_path / "out")}
    assert stored["row-0000"]["generation"] in WORDS  # cut off, and kept as it came
    assert stored["row-0003"]["reasoning"] == "Let me see. It could be"
    assert metrics(tmp_path / "out")[NAME]["pass@1"]["states"] == {
        "invalid": 3,
        "ok": 4,
        "refused": 2,
        "truncated": 1,
    }


def test_a_benchmark_in_which_nothing_was_answered_has_no_score(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = each("unavailable", then="unavailable")
    assert not evaluate(benchmark, server, tmp_path / "out", "++retry.attempts=1").complete
    figures = metrics(tmp_path / "out")[NAME]["pass@1"]
    assert (figures["num_entries"], figures["score"]) == (0, None)


@pytest.mark.parametrize(("name", "status"), [("wrong_key", 401), ("forbidden", 403), ("unknown_model", 404)])
def test_a_wrong_key_or_model_ends_the_run_at_once_with_one_line(
    server: FaultServer, tmp_path: Path, name: str, status: int
) -> None:
    folder = write_benchmark(tmp_path / "words", 50)
    server.plan = script(*["ok"] * 5, then=name)
    server.latency = 0.01
    with pytest.raises(FatalAnswer, match=f"HTTP {status}") as caught:
        evaluate(folder, server, tmp_path / "out", "++max_concurrent_requests=2")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert len(server.requests) <= 5 + 2 * 2
    # What came back before is saved, and goes on from there.
    assert sum(each["state"] == "ok" for each in lines(tmp_path / "out")) == 5
    server.plan = lambda _: ANSWERS["ok"]
    assert evaluate(folder, server, tmp_path / "out").complete
    assert timing(tmp_path / "out")["reused"] == 5


def test_a_wrong_key_is_found_before_the_first_request(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.api_key = "right"
    with pytest.raises(RunError, match="HTTP 401 for models; set EVALKIT_API_KEY") as caught:
        evaluate(benchmark, server, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert server.requests == []


def test_a_model_that_is_not_served_is_found_before_the_first_request(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"--model=other: .* serves stand-in"):
        evaluate(benchmark, server, tmp_path / "out", model="other")
    assert server.requests == []


@pytest.mark.parametrize("name", ["half_json", "not_json", "no_choices"])
def test_an_address_where_no_model_server_answers_is_told_in_one_line(
    benchmark: Path, server: FaultServer, tmp_path: Path, name: str
) -> None:
    server.models = ANSWERS[name]
    with pytest.raises(RunError, match="OpenAI-compatible server") as caught:
        evaluate(benchmark, server, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_run_whose_first_requests_are_all_refused_stops(server: FaultServer, tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "words", 100)
    server.plan = lambda _: ANSWERS["bad_schema"]
    server.latency = 0.005
    with pytest.raises(FatalAnswer, match=r"the first \d+ requests were all refused: HTTP 400"):
        evaluate(folder, server, tmp_path / "out", "++max_concurrent_requests=4")
    # What came back is kept, with its cause.
    assert len(lines(tmp_path / "out")) >= REFUSED_IN_A_ROW
    # Those in flight then, and those that took the places of others which had just come back.
    assert REFUSED_IN_A_ROW <= len(server.requests) <= REFUSED_IN_A_ROW + 2 * 4


def test_refusals_after_an_answer_do_not_stop_the_run(server: FaultServer, tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "words", 60)
    server.plan = where({"number 0000": "ok"}, otherwise="bad_schema")
    assert not evaluate(folder, server, tmp_path / "out", "++max_concurrent_requests=1").complete
    assert len(server.requests) == 60


def test_a_lost_server_stops_the_run_and_everything_is_saved(tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "words", 40)
    with FaultServer() as server:
        server.lifetime = 20
        with pytest.raises(LostServer, match="what came back is saved"):
            evaluate(
                folder, server, tmp_path / "out", "++max_concurrent_requests=4", "++retry.lost_server=0.4"
            )
        stored = lines(tmp_path / "out")
        assert len(stored) >= 20
        assert {each["state"] for each in stored} == {"ok"}
        server.stop()
        server.lifetime = None
        server.start()
        assert evaluate(folder, server, tmp_path / "out").complete
        assert timing(tmp_path / "out")["reused"] == len(stored)


def test_an_image_that_vanishes_during_the_run_is_left_out_and_told(
    server: FaultServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_benchmark(tmp_path / "words", 60)
    last = folder / "images" / "0059.png"

    def plan(received: object) -> object:
        last.unlink(missing_ok=True)
        return ANSWERS["ok"]

    server.plan = plan  # type: ignore[assignment]
    server.latency = 0.005
    assert not evaluate(folder, server, tmp_path / "out", "++max_concurrent_requests=2").complete
    assert "it was usable when the run began" in caplog.text
    assert metrics(tmp_path / "out")["absent"] == 1
    last.write_bytes(picture(59))
    assert evaluate(folder, server, tmp_path / "out").complete
    assert len(output_file(tmp_path / "out").read_bytes().splitlines()) == 60


def test_bad_images_are_listed_before_the_run_and_can_be_left_out(
    server: FaultServer, tmp_path: Path
) -> None:
    rows = make_rows(10)
    folder = write_benchmark(tmp_path / "words", rows)
    (folder / "images" / "0002.png").unlink()
    (folder / "images" / "0005.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match="2 of 10 rows have an image that cannot be used") as caught:
        evaluate(folder, server, tmp_path / "out")
    assert "row-0002" in str(caught.value)
    assert "row-0005" in str(caught.value)
    assert server.requests == []
    assert not (tmp_path / "out").exists()
    evaluate(folder, server, tmp_path / "out", "++on_bad_image=skip")
    assert len(server.requests) == 8
    assert metrics(tmp_path / "out")["skipped_rows"] == 2
