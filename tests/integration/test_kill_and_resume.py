"""A real ``evalkit eval`` that is killed, interrupted or loses its server: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from evalkit.servers.endpoint import API_KEY_VARIABLES
from tests.fault_server import FaultServer, script
from tests.generation.workbench import NAME, lines, output_file, write_benchmark

pytestmark = pytest.mark.integration

ROWS = 320
WINDOW = 8
KILLS = 20
INTERRUPTED = 130


@pytest.fixture(scope="module")
def benchmark_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benchmark(tmp_path_factory.mktemp("benchmark") / NAME, ROWS, side=32)


def command(folder: Path, server: FaultServer, out: Path, *overrides: str) -> list[str]:
    return [
        *(sys.executable, "-m", "evalkit", "eval"),
        f"--benchmarks={folder}",
        f"--output_dir={out}",
        f"--server_address={server.url}",
        f"++max_concurrent_requests={WINDOW}",
        "++retry.first_wait=0.05",
        "++retry.longest_wait=0.2",
        *overrides,
    ]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in API_KEY_VARIABLES}


@contextmanager
def started(line: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; killed at the end, should it still be there."""
    process = subprocess.Popen(
        line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(line: list[str], code: int = 0) -> str:
    """Run the command to its end; returns what it printed on standard error."""
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def result_files(out: Path) -> dict[str, bytes]:
    folder = out / "eval-results" / NAME
    return {name: (folder / name).read_bytes() for name in ("metrics.json", "scores.jsonl")}


@pytest.fixture(scope="module")
def undisturbed(benchmark_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    with FaultServer() as server:
        finished(command(benchmark_folder, server, out))
    files = result_files(out)
    assert orjson.loads(files["metrics.json"])["complete"]
    return files


def stored_texts(out: Path) -> set[str]:
    """The questions whose answers are stored in whole lines."""
    path = output_file(out)
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines() if path.exists() else []
    return {orjson.loads(line)["question"] for line in whole}


def test_killed_at_twenty_moments_it_comes_to_the_same(
    benchmark_folder: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    draw = random.Random(20)
    out = tmp_path / "out"
    # While it starts, while it asks (after so many requests more), and while it scores.
    moments = ["asking"] * (KILLS - 5) + ["starting"] * 3 + ["ending"] * 2
    draw.shuffle(moments)
    moments.sort(key=lambda moment: moment == "ending")
    killed = 0
    with FaultServer(latency=0.06) as server:
        line = command(benchmark_folder, server, out)
        for moment in moments:
            done, asked = stored_texts(out), len(server.requests)
            with started(line) as process:
                if moment == "asking":
                    server.wait_for(min(asked + draw.randint(1, 24), ROWS))
                elif moment == "ending":
                    wait_until_stored(out, ROWS, process)
                time.sleep(draw.uniform(0, 0.4 if moment == "starting" else 0.08))
                process.kill()
                process.wait()
                killed += process.returncode == -signal.SIGKILL
            again = {request.body["messages"][0]["content"][1]["text"] for request in server.requests[asked:]}
            assert not [text for text in again if text.splitlines()[0] in done]
        finished(line)
        asked_in_all = len(server.requests)

    assert killed >= KILLS - 2  # at its end it may be quicker than the kill
    assert result_files(out) == undisturbed
    stored = Counter(each["key"] for each in lines(out))
    assert len(stored) == ROWS
    assert set(stored.values()) == {1}
    # Only what was in flight when it was killed was asked for twice.
    assert asked_in_all <= ROWS + killed * WINDOW


def wait_until_stored(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many lines are stored, or the process has ended."""
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        if output_file(out).exists() and output_file(out).read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once_it_finishes_what_is_in_flight(
    benchmark_folder: Path, undisturbed: dict[str, bytes], tmp_path: Path, kind: signal.Signals
) -> None:
    out = tmp_path / "out"
    with FaultServer(latency=0.4) as server:
        with started(command(benchmark_folder, server, out)) as process:
            server.wait_for(2 * WINDOW + 1)
            process.send_signal(kind)
            _, told = process.communicate(timeout=10)
        assert process.returncode == INTERRUPTED, told
        assert "what is in flight is finished first" in told
        # Everything that was asked is there, answered.
        stored = lines(out)
        assert len(stored) == len(server.requests) == server.answered
        assert {each["state"] for each in stored} == {"ok"}
        assert f"stopped: {len(stored)} of {ROWS} generations of {NAME} are saved" in told
        # The metrics so far say that they are not all.
        metrics = orjson.loads(result_files(out)["metrics.json"])
        assert metrics["status"].startswith(f"INCOMPLETE: {len(stored)} of {ROWS} generations scored")
        server.latency = 0
        finished(command(benchmark_folder, server, out))
        assert len(server.requests) == ROWS
    assert result_files(out) == undisturbed


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_twice_it_stops_at_once(
    benchmark_folder: Path, undisturbed: dict[str, bytes], tmp_path: Path, kind: signal.Signals
) -> None:
    out = tmp_path / "out"
    with FaultServer(script(*["ok"] * 30, then="hang")) as server:
        with started(command(benchmark_folder, server, out)) as process:
            server.wait_for(30 + WINDOW)
            process.send_signal(kind)
            time.sleep(0.5)
            assert process.poll() is None
            began = time.monotonic()
            process.send_signal(kind)
            _, told = process.communicate(timeout=10)
        assert time.monotonic() - began < 3
        assert process.returncode == INTERRUPTED, told
        assert "requests in flight are dropped" in told
        assert len(lines(out)) == 30
        server.plan = script()
        finished(command(benchmark_folder, server, out))
    assert result_files(out) == undisturbed


def test_interrupted_while_everything_is_there_already_it_stops_soon(
    benchmark_folder: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    # Every image is read again then to know its row; that must not have to come to its end first.
    out = tmp_path / "out"
    with FaultServer() as server:
        finished(command(benchmark_folder, server, out))
        for _ in range(3):
            with started(command(benchmark_folder, server, out)) as process:
                time.sleep(random.uniform(0.3, 0.9))
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=5)
                assert process.returncode in (0, INTERRUPTED, -signal.SIGINT)
        finished(command(benchmark_folder, server, out))
        assert len(server.requests) == ROWS
    assert result_files(out) == undisturbed


def test_a_server_that_dies_and_comes_back_costs_nothing(
    benchmark_folder: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with (
        FaultServer(latency=0.05) as server,
        started(command(benchmark_folder, server, out)) as process,
    ):
        for requests in (60, 180):
            server.wait_for(requests)
            server.stop()
            time.sleep(0.6)
            server.start()
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0, told
        assert len(server.requests) <= ROWS + 2 * WINDOW
    assert result_files(out) == undisturbed
    assert len({each["key"] for each in lines(out)}) == len(lines(out)) == ROWS


def test_a_server_that_stays_away_ends_the_run_with_one_line(benchmark_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        FaultServer(latency=0.05) as server,
        started(command(benchmark_folder, server, out, "++retry.lost_server=1")) as process,
    ):
        server.wait_for(60)
        server.stop()
        began = time.monotonic()
        _, told = process.communicate(timeout=10)
        assert time.monotonic() - began < 3
        assert process.returncode == 1
        *_, last = told.splitlines()
        assert last.startswith("evalkit: the server has not answered for 1 s")
        assert "Traceback" not in told
        assert len(lines(out)) >= 60 - WINDOW
        server.latency = 0
        server.start()
        finished(command(benchmark_folder, server, out))


def test_a_wrong_key_is_told_in_one_line(benchmark_folder: Path, tmp_path: Path) -> None:
    with FaultServer(api_key="right") as server:
        told = finished(command(benchmark_folder, server, tmp_path / "out"), code=1)
    assert told.splitlines() == [f"evalkit: {server.url}: HTTP 401 for models; set EVALKIT_API_KEY"]


def test_a_second_process_on_one_folder_is_refused_with_the_firsts_pid(
    benchmark_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with FaultServer(script(*["ok"] * 5, then="hang")) as server:
        line = command(benchmark_folder, server, out)
        with started(line) as first:
            server.wait_for(5 + WINDOW)
            told = finished(line, code=2)
            assert f"is in use by pid {first.pid} on " in told
            assert len(told.splitlines()) == 1
            assert len(server.requests) == 5 + WINDOW
            first.kill()
            first.wait()
        # A process that was killed holds nothing.
        server.plan = script()
        finished(line)


def test_rows_that_failed_make_the_exit_code_one(benchmark_folder: Path, tmp_path: Path) -> None:
    with FaultServer(script("ok", "bad_schema", then="ok")) as server:
        line = command(benchmark_folder, server, tmp_path / "out")
        finished(line, code=1)
        # And again as long as they are failed, though nothing is asked.
        finished(line, code=1)
        assert len(server.requests) == ROWS
        finished([*line, "++retry.permanent_errors=true"])


NOTEBOOK = """
import asyncio, sys
from evalkit import eval
from evalkit.errors import Interrupted

async def cell():
    try:
        eval(["++max_concurrent_requests=8"], benchmarks=sys.argv[1], server_address=sys.argv[2],
             output_dir=sys.argv[3])
    except Interrupted as error:
        print(error)

# A kernel runs its loop so: Ctrl-C raises in the cell, which holds the loop up.
asyncio.new_event_loop().run_until_complete(cell())
"""


def test_ctrl_c_in_a_notebook_finishes_what_is_in_flight(benchmark_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with FaultServer(latency=0.4) as server:
        with started(
            [sys.executable, "-c", NOTEBOOK, str(benchmark_folder), server.url, str(out)]
        ) as process:
            server.wait_for(2 * WINDOW + 1)
            process.send_signal(signal.SIGINT)
            printed, told = process.communicate(timeout=10)
        assert process.returncode == 0, told
        stored = lines(out)
        assert f"stopped: {len(stored)} of {ROWS} generations" in printed
        assert len(stored) == len(server.requests) == server.answered
