"""A real vLLM server, started and used through evalkit's commands, and what is left of its processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.servers.http import API_KEY_VARIABLES

NANO_FOLDER = Path(__file__).parents[2] / "evalkit" / "servers" / "nano" / "hf"
MAKE_TINY_QWEN = Path(__file__).with_name("make_tiny_qwen.py")

ON_A_CPU = {
    # Compiling for a CPU costs half a minute at the first request, and has nothing to do with the GPU's way.
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
START_SECONDS = 400
"""With two cores and other work on them; alone it takes half a minute."""


def environment() -> dict[str, str]:
    """The environment of a user without keys, and what vLLM's build for CPUs wants."""
    own = {name: value for name, value in os.environ.items() if name not in API_KEY_VARIABLES}
    return {**own, **ON_A_CPU}


def evalkit(*arguments: str, code: int = 0, seconds: float = 300, **more: str) -> tuple[str, str]:
    """Run a command of evalkit to its end; returns what it printed on standard output and error."""
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        env={**environment(), **more},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of evalkit while it runs; ended in the end, should it still be there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until the condition holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds:g} s: {what}"
        time.sleep(0.05)


def family(process: int) -> dict[int, str]:
    """The processes below this one: id and start time, since ids are given again."""
    below: dict[int, list[int]] = {}
    began: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    below.setdefault(int(fields[1]), []).append(int(entry.name))
                    began[int(entry.name)] = fields[19]
    found: list[int] = []
    level = [process]
    while level:
        level = [child for parent in level for child in below.get(parent, [])]
        found += level
    return {each: began[each] for each in found}


def alive(processes: dict[int, str]) -> list[int]:
    """Which of the processes still run."""
    found = []
    for process, began in processes.items():
        with suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z" and fields[19] == began:
                found.append(process)
    return found


def wait_until_gone(processes: dict[int, str], seconds: float) -> None:
    """Wait until none of the processes runs any more."""
    assert processes
    wait_until(lambda: not alive(processes), seconds, f"some of {list(processes)} still run")


class RunningServer:
    """A server of ``evalkit start_server``: its address, its log, and the command it was started with."""

    def __init__(self, process: subprocess.Popen[str], log_file: Path, url: str) -> None:
        """``process`` is evalkit's."""
        self.process = process
        self.log_file = log_file
        self.url = url

    @property
    def command(self) -> list[str]:
        """What evalkit called, as the log's beginning tells it."""
        line = next(each for each in self.log_file.read_text().splitlines() if each.startswith("--- "))
        return shlex.split(line.removeprefix("--- "))

    def kill(self) -> None:
        """End the server's own first process as a crash does; what it started must go by itself."""
        below = family(self.process.pid)
        (server,) = (each for each in below if _is_server(each))
        os.kill(server, signal.SIGKILL)
        wait_until_gone(below, 20)


def _is_server(process: int) -> bool:
    words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    return b"serve" in words and b"evalkit.servers.supervisor" not in words


@contextmanager
def running_server(folder: Path, *arguments: str) -> Iterator[RunningServer]:
    """``evalkit start_server`` until it prints an address, and while this is open."""
    log_file = folder / "server.log"
    with started("start_server", f"--log_file={log_file}", *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _, told = process.communicate()
            raise AssertionError(told)
        yield RunningServer(process, log_file, line.split(" at ")[1].strip())
