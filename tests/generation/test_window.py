"""How much is in flight and in memory, and that a run works wherever it is called from."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from evalkit import api
from evalkit.generation.engine import BATCH
from evalkit.progress import Progress
from tests.fault_server import FaultServer, sometimes
from tests.generation.workbench import NAME, QUICK, evaluate, lines, timing, write_benchmark

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("window", [1, 5, 24])
def test_no_more_than_the_window_is_ever_in_flight(server: FaultServer, tmp_path: Path, window: int) -> None:
    folder = write_benchmark(tmp_path / "words", 40)
    server.latency = 0.015
    assert evaluate(folder, server, tmp_path / "out", f"++max_concurrent_requests={window}").complete
    # And all of it is used.
    assert server.most_in_flight == window


def test_retries_stay_within_the_window(server: FaultServer, tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "words", 60)
    server.latency = 0.01
    server.plan = sometimes({"reset_after": 0.2, "internal_error": 0.2})
    evaluate(folder, server, tmp_path / "out", "++max_concurrent_requests=6", "++retry.attempts=20")
    assert len(server.requests) > 70
    assert server.most_in_flight <= 6


def test_a_window_wider_than_the_rows_is_no_waste(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    assert evaluate(benchmark, server, tmp_path / "out", "++max_concurrent_requests=4000").complete
    assert timing(tmp_path / "out")["window"] <= 10


@pytest.fixture
def far_server() -> object:
    """A server in a process of its own: what it keeps is not in our memory."""
    command = [sys.executable, "-m", "tests.fault_server", "--latency", "0.002"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def test_memory_does_not_grow_with_the_rows(far_server: str, tmp_path: Path) -> None:
    size = 60_000

    def peak(rows: int) -> int:
        folder = write_benchmark(tmp_path / f"{rows}" / NAME, rows)
        for path in (folder / "images").iterdir():
            path.write_bytes(path.read_bytes() + os.urandom(size))
        tracemalloc.start()
        try:
            result = api.eval(
                [*QUICK, "++max_concurrent_requests=4"],
                benchmarks=str(folder),
                output_dir=tmp_path / f"out-{rows}",
                server_address=far_server,
            )
            assert result.complete
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(8)  # what is loaded at the first run is not counted
    few, many = peak(50), peak(300)
    # Those in flight, those that wait, those that are prepared, those that are kept, in base64.
    held = (4 + 2 * BATCH + BATCH + 8) * size * 4 // 3
    assert few < held + 3_000_000
    assert many < few + 1_000_000  # 250 images more would be 20 MB


def test_a_run_works_on_a_thread(benchmark: Path, server: FaultServer, tmp_path: Path) -> None:
    found: list[api.EvalResult] = []
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=lambda: found.append(evaluate(benchmark, server, tmp_path / "out")))
    thread.start()
    thread.join(20)
    assert found[0].complete
    assert signal.getsignal(signal.SIGINT) == before


def test_a_run_works_inside_a_running_loop_as_in_a_notebook(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    async def cell() -> api.EvalResult:
        return evaluate(benchmark, server, tmp_path / "out")

    assert asyncio.run(cell()).complete


def test_the_callers_signal_handlers_are_put_back(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    def mine(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        evaluate(benchmark, server, tmp_path / "out")
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ctrl_c_in_one_benchmark_keeps_the_next_from_starting(server: FaultServer, tmp_path: Path) -> None:
    # Pressed when everything that is left is in flight: nothing is absent, and yet the run must end.
    first = write_benchmark(tmp_path / "words", 4)
    second = write_benchmark(tmp_path / "second", 4)
    (second / "benchmark.py").write_text(
        (second / "benchmark.py").read_text().replace(f'"{NAME}"', '"second"')
    )
    server.latency = 0.3

    def press() -> None:
        server.wait_for(4)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(api.Interrupted, match="4 of 4 generations of words are saved"):
        api.eval(
            [*QUICK],
            benchmarks=f"{first},{second}",
            output_dir=tmp_path / "out",
            server_address=server.url,
        )
    presser.join()
    assert len(server.requests) == 4
    assert len(lines(tmp_path / "out")) == 4


def test_progress_counts_what_is_there_and_what_comes_apart(capsys: pytest.CaptureFixture[str]) -> None:
    from evalkit.generation.reply import Reply

    with Progress("words", 5, 0) as progress:
        progress.reuse()
        progress.advance(Reply("ok", "red", generated_tokens=3))
        progress.reuse()
        progress.advance(Reply("error"))
        assert (progress.done, progress.failed, progress.tokens) == (3, 1, 3)
    assert "words: 3/5 done, 1 failed" in capsys.readouterr().err
