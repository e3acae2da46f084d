"""Starting a model server: in its own processes, its log in a file, waited for with a limit, always ended."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import RunError
from evalkit.servers.http import fetch
from evalkit.servers.supervisor import GRACE_SECONDS

LOG = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 0.1
LOG_TAIL = 12
_CAUSE = re.compile(
    r"(?:unrecognized arguments|invalid choice|expected .*argument|address already in use|out of memory"
    r"|No space left|not supported|does not exist|No such file|not found|[A-Za-z]*Error\b|error:)",
    re.IGNORECASE,
)


class ServerFailed(RunError):
    """A server that evalkit started ended by itself, or was not ready in time."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether a GET of a loopback URL is answered with 200."""
    try:
        return fetch(url, timeout=2).status == 200
    except RunError:
        return False


@contextmanager
def launched(
    name: str,
    command: Sequence[str],
    *,
    ready: Callable[[], bool],
    limit: float,
    log_file: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a server while this is open: yields when ``ready`` says so, ends all its processes afterwards.

    ``limit`` is in seconds. Raises ServerFailed, with the line of the log that tells the cause, where the
    server ends or is not ready by then. What it prints is appended to ``log_file``.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        log.write(f"\n--- {' '.join(command)}\n".encode())
        log.flush()
        before = log.tell()
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "evalkit.servers.supervisor", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            # A session of its own: Ctrl-C is for evalkit, which lets requests in flight finish first.
            start_new_session=True,
        )
    try:
        _wait(name, process, ready, limit, log_file, before)
        yield
    finally:
        _end(process)


def _wait(
    name: str,
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool],
    limit: float,
    log_file: Path,
    before: int,
) -> None:
    started = last_told = time.monotonic()
    while not ready():
        now = time.monotonic()
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended before it was ready: {_cause(log_file, before)}")
        if now - started > limit:
            raise ServerFailed(
                f"{name} is not ready after {limit:g} s (++server.start_timeout): {_cause(log_file, before)}"
            )
        if now - last_told > HEARTBEAT_SECONDS:
            last_told = now
            lines = _lines(log_file, before)
            LOG.warning("%s: starting, %.0f s: %s", name, now - started, lines[-1] if lines else "no log yet")
        time.sleep(POLL_SECONDS)
    LOG.info("%s: ready after %.1f s", name, time.monotonic() - started)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(GRACE_SECONDS + 5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _lines(log_file: Path, before: int) -> list[str]:
    with log_file.open("rb") as stream:
        stream.seek(before)
        text = stream.read().decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _cause(log_file: Path, before: int) -> str:
    """The log's line that tells most, and its end."""
    lines = _lines(log_file, before)
    telling = [line for line in lines if _CAUSE.search(line)]
    # The first error is nearer to the cause; the last is often the wrapper's.
    head = telling[0][:400] if telling else "the log does not say why"
    tail = "\n".join(f"  {line[:200]}" for line in lines[-LOG_TAIL:]) or "  (nothing)"
    return f"{head}\nThe end of {log_file}:\n{tail}"
