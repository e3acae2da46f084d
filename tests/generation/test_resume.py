"""The same command again does only what is missing; what was asked differently never mixes with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.errors import RunError, UserError
from tests.fault_server import WORDS, Answer, FaultServer, always
from tests.generation.workbench import (
    NAME,
    PROMPT,
    evaluate,
    lines,
    make_rows,
    metrics,
    output_file,
    picture,
    scores,
    timing,
    write_benchmark,
    write_rows,
)


def result_files(out: Path) -> tuple[bytes, bytes]:
    folder = out / "eval-results" / NAME
    return (folder / "metrics.json").read_bytes(), (folder / "scores.jsonl").read_bytes()


def test_the_same_command_again_asks_nothing_and_comes_to_the_same(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    first = result_files(tmp_path / "out")
    log = output_file(tmp_path / "out").read_bytes()
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 10
    assert result_files(tmp_path / "out") == first
    assert output_file(tmp_path / "out").read_bytes() == log


def change_prompt(folder: Path) -> None:
    (folder / "prompt.yaml").write_text(PROMPT.replace("one word", "a single word"))


def change_one_image(folder: Path) -> None:
    (folder / "images" / "0003.png").write_bytes(picture(1000))


def change_question(folder: Path) -> None:
    rows = make_rows(10)
    rows[3]["question"] = "And what does this picture show?"
    write_rows(folder, rows)


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "overrides", "again"),
    [
        (change_prompt, (), 10),
        (change_one_image, (), 1),
        (change_question, (), 1),
        (nothing, ("++inference.temperature=0.5",), 10),
        (nothing, ("++inference.random_seed=7",), 10),
        (nothing, ("++inference.tokens_to_generate=16",), 10),
        (nothing, ("++system_message=Be brief.",), 10),
        (nothing, ("++prompt_suffix= Please.",), 10),
        (nothing, ("++inference.extra_body.guided=1",), 10),
    ],
)
def test_what_is_asked_differently_never_mixes_with_old_output(
    benchmark: Path,
    server: FaultServer,
    tmp_path: Path,
    change: Callable[[Path], None],
    overrides: tuple[str, ...],
    again: int,
) -> None:
    out = tmp_path / "out"
    server.text = lambda _: "red"
    evaluate(benchmark, server, out)
    old = output_file(out).read_bytes()
    change(benchmark)
    server.text = lambda _: "blue"
    evaluate(benchmark, server, out, *overrides)
    assert len(server.requests) == 10 + again
    # The old lines are kept as they were, counted, and left out.
    assert output_file(out).read_bytes().startswith(old)
    assert timing(out)["stale_lines"] == again
    answers = [score["predicted_answer"] for score in scores(out).values()]
    assert (answers.count("blue"), answers.count("red")) == (again, 10 - again)
    assert metrics(out)["complete"]


def test_going_back_to_the_old_settings_asks_nothing(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    first = result_files(tmp_path / "out")
    evaluate(benchmark, server, tmp_path / "out", "++inference.temperature=1")
    assert result_files(tmp_path / "out") != first
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 20
    assert result_files(tmp_path / "out") == first


def test_another_model_is_asked_anew(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    with FaultServer(model="other") as second:
        evaluate(benchmark, second, tmp_path / "out")
        assert len(second.requests) == 10
    assert {each["model"] for each in lines(tmp_path / "out")} == {"stand-in", "other"}
    assert metrics(tmp_path / "out")["model"] == "other"


def test_the_address_the_pace_and_the_file_names_are_not_what_is_asked(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    rows = make_rows(10)
    (benchmark / "images" / "0003.png").rename(benchmark / "images" / "third.png")
    rows[3]["image_path"] = "images/third.png"
    write_rows(benchmark, rows)
    with FaultServer() as second:
        pace = ("++inference.timeout=60", "++max_concurrent_requests=3", "++retry.attempts=2")
        evaluate(benchmark, second, tmp_path / "out", *pace)
        assert second.requests == []
    assert metrics(tmp_path / "out")["complete"]


def test_more_samples_ask_for_the_new_ones_alone(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    same = "++inference.temperature=0.7"
    evaluate(benchmark, server, tmp_path / "out", same)
    evaluate(benchmark, server, tmp_path / "out", samples=3)
    assert len(server.requests) == 30
    assert timing(tmp_path / "out") | {"reused": 10, "stale_lines": 0} == timing(tmp_path / "out")
    assert f"pass@1[avg-of-{3}]" in metrics(tmp_path / "out")[NAME]
    # And fewer leave the others out.
    evaluate(benchmark, server, tmp_path / "out", same)
    assert len(server.requests) == 30
    assert timing(tmp_path / "out")["stale_lines"] == 20
    assert len(scores(tmp_path / "out")) == 10


def test_samples_of_a_row_have_seeds_and_keys_of_their_own(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    evaluate(benchmark, server, tmp_path / "out", "++inference.random_seed=40", samples=4)
    stored = lines(tmp_path / "out")
    assert len({each["key"] for each in stored}) == 40
    assert sorted(each["sample"] for each in stored if each["id"] == "row-0003") == [0, 1, 2, 3]
    seeds = sorted(request.body["seed"] for request in server.requests if "number 0003" in request.text)
    assert seeds == [40, 41, 42, 43]
    assert {request.body["temperature"] for request in server.requests} == {0.7}


def test_more_rows_ask_for_the_new_ones_alone(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    evaluate(benchmark, server, tmp_path / "out", "++max_samples=4")
    assert len(server.requests) == 4
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 10
    with FaultServer() as other:
        evaluate(benchmark, other, tmp_path / "undisturbed")
    assert result_files(tmp_path / "out") == result_files(tmp_path / "undisturbed")


def test_everything_can_be_asked_again_and_the_last_answer_counts(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.text = lambda _: "red"
    evaluate(benchmark, server, tmp_path / "out")
    server.text = lambda _: "blue"
    evaluate(benchmark, server, tmp_path / "out", "++skip_filled=false")
    assert len(server.requests) == 20
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 20
    assert {score["predicted_answer"] for score in scores(tmp_path / "out").values()} == {"blue"}


@pytest.mark.parametrize("left", [1, 20, 60, 200, -2, -1])
def test_a_torn_last_line_is_cut_off_and_asked_again(
    benchmark: Path, server: FaultServer, tmp_path: Path, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    evaluate(benchmark, server, out)
    first = result_files(out)
    whole = output_file(out).read_bytes()
    *before, last = whole.splitlines(keepends=True)
    output_file(out).write_bytes(b"".join(before) + last[:left])
    evaluate(benchmark, server, out)
    assert "the last line was torn" in caplog.text
    assert len(server.requests) == 11
    assert result_files(out) == first
    # Every line is whole again, and every generation there once.
    assert len({each["key"] for each in lines(out)}) == len(lines(out)) == 10


def test_lines_that_are_not_ours_are_left_alone(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    first = result_files(tmp_path / "out")
    strange = b'not JSON\n\n{"id": "row-0003", "generation": "red"}\n{"key":"zz","state":"ok"}\n\xff\xfe\n'
    path = output_file(tmp_path / "out")
    path.write_bytes(strange + path.read_bytes())
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 10
    assert result_files(tmp_path / "out") == first
    assert path.read_bytes().startswith(strange)


def test_a_damaged_line_in_the_middle_is_named(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    evaluate(benchmark, server, tmp_path / "out")
    path = output_file(tmp_path / "out")
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:100] + b"\0" * 50 + b"\n" + b"".join(rest))
    with pytest.raises(RunError, match="the line at byte 0 is damaged; delete it"):
        evaluate(benchmark, server, tmp_path / "out")


def test_a_mended_expected_answer_counts_without_asking_again(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.text = lambda _: "square"
    evaluate(benchmark, server, tmp_path / "out")
    assert scores(tmp_path / "out")["row-0003"]["score"] == 0.0
    rows = make_rows(10)
    rows[3] |= {"expected_answer": "square", "subset_for_metrics": "mended"}
    write_rows(benchmark, rows)
    evaluate(benchmark, server, tmp_path / "out")
    assert len(server.requests) == 10
    assert scores(tmp_path / "out")["row-0003"]["score"] == 1.0
    assert f"{NAME}-mended" in metrics(tmp_path / "out")


def test_rows_that_ask_the_same_keep_their_own_expected_answers(server: FaultServer, tmp_path: Path) -> None:
    # Two annotators of one question: the stored answer of one row serves the other after a restart.
    rows = make_rows(4)
    rows[2] = {**rows[1], "id": "again", "expected_answer": "square"}
    folder = write_benchmark(tmp_path / "words", rows)
    (folder / "images" / "0001.png").write_bytes(picture(1))
    server.text = lambda _: "square"
    evaluate(folder, server, tmp_path / "out")
    first = result_files(tmp_path / "out")
    found = scores(tmp_path / "out")
    assert (found["row-0001"]["score"], found["again"]["score"]) == (0.0, 1.0)
    asked = len(server.requests)
    evaluate(folder, server, tmp_path / "out")
    assert len(server.requests) == asked
    assert result_files(tmp_path / "out") == first


def test_images_in_data_urls_are_not_stored_again_and_stay_apart(server: FaultServer, tmp_path: Path) -> None:
    rows = make_rows(4)
    urls = ["data:image/png;base64," + base64.b64encode(picture(n)).decode() for n in range(3)]
    for row, url in zip(rows, [*urls, urls[0]], strict=True):
        row["image_path"] = [url] if row["id"] == "row-0003" else url
    folder = write_benchmark(tmp_path / "words", rows)
    evaluate(folder, server, tmp_path / "out")
    assert [request.images for request in server.requests if "0001" in request.text] == [[urls[1]]]
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert urls[1][40:80].encode() not in path.read_bytes(), path
    # Rows are clustered by their image, so what is stored in its place must tell images apart.
    clusters = [score["cluster_id"] for score in scores(tmp_path / "out").values()]
    assert len(set(clusters[:3])) == 3


def test_another_generation_key_is_refused_where_answers_are_stored_under_the_old_one(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    # All answers would be taken for missing, and every row for a miss.
    evaluate(benchmark, server, tmp_path / "out")
    with pytest.raises(UserError, match=r"not stored as \+\+generation_key=reply"):
        evaluate(benchmark, server, tmp_path / "out", "++generation_key=reply")
    evaluate(benchmark, server, tmp_path / "new", "++generation_key=reply")
    assert {each["reply"] for each in lines(tmp_path / "new")} <= set(WORDS)


def test_reasoning_is_parsed_from_stored_answers_without_asking_again(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    server.plan = always(Answer(message={"content": "Is it red, or blue? [DONE]\n\ngreen"}))
    evaluate(benchmark, server, tmp_path / "out")
    assert not scores(tmp_path / "out")["row-0001"]["robust"]
    parse = ("++parse_reasoning=true", "++end_reasoning_string=[DONE]")
    evaluate(benchmark, server, tmp_path / "out", *parse)
    assert scores(tmp_path / "out")["row-0001"]["robust"]
    # A wrong end of the reasoning leaves no answer, and the right one finds it again.
    evaluate(benchmark, server, tmp_path / "other", parse[0])
    assert scores(tmp_path / "other")["row-0001"]["reason"] == "empty"
    evaluate(benchmark, server, tmp_path / "other", *parse)
    assert scores(tmp_path / "other")["row-0001"]["robust"]
    assert len(server.requests) == 20
