"""Starting a model server: in its own processes, its log in a file, waited for with a limit, always ended."""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from evalkit.errors import RunError
from evalkit.servers.http import fetch
from evalkit.servers.supervisor import GRACE_SECONDS, ORPHAN_SECONDS

LOG = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 0.1
LOG_TAIL = 12
_BEFORE = re.compile(r"(?:\(\w[^()]* pid=\d+\) )?(?:ERROR \S+ \S+ \[[^\]]*\] *)?")
"""What vLLM puts before every line: process and place."""
_HARMLESS = re.compile(r"(?:[\[(][^\])]*[\])] )?(?:DEBUG|INFO|WARNING)\b")
_CAUSES = (
    re.compile(
        r"unrecognized arguments|invalid choice|expected .*argument|address already in use|out of memory"
        r"|No space left|^Value error, ",
        re.IGNORECASE,
    ),
    re.compile(r"^[\w.]*(?:Error|Exception): \S"),
    re.compile(r"\berror:|not supported|does not exist|No such file|not found", re.IGNORECASE),
)
"""What a line that tells why a server ended looks like, the most telling first."""


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


@dataclass(frozen=True)
class Launch:
    """One server to be started: ``ready`` says whether it answers."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def launched(launches: Sequence[Launch], limit: float) -> Iterator[Callable[[], str | None]]:
    """Run servers while this is open: yields when all are ready, ends all their processes afterwards.

    What is yielded tells why one ended by itself, None while all run. ``limit`` is in seconds. Raises
    ServerFailed, with the line of the log that tells the cause, where one ends or is not ready by then, and
    where a run failed that had lost one. What they print is appended to their log files.
    """
    running: list[_Running] = []
    try:
        running += (_Running(each) for each in launches)
        deadline = time.monotonic() + limit
        for each in running:
            each.wait(deadline, limit)
        yield partial(_ended, running)
    except RunError as error:
        if not isinstance(error, ServerFailed) and (why := _ended(running)):
            raise ServerFailed(f"{error}; {why}") from error
        raise
    finally:
        for each in running:
            each.close()
        for each in running:
            each.end()


def _ended(running: Sequence[_Running]) -> str | None:
    return next((why for each in running if (why := each.ended())), None)


def cause_in(lines: Sequence[str]) -> str:
    """The line of a log that tells best why a server ended, without its prefix; empty where none does."""
    candidates = [_BEFORE.sub("", line, count=1).strip() for line in lines if not _HARMLESS.match(line)]
    for cause in _CAUSES:
        # The first error is nearer to the cause; the last is often the wrapper's.
        for line in candidates:
            if cause.search(line):
                return line.partition(" [type=value_error")[0]  # pydantic's own notes
    return ""


class _Running:
    """A started server process, under its supervisor."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._started = time.monotonic()
        launch.log_file.parent.mkdir(parents=True, exist_ok=True)
        with launch.log_file.open("ab") as log:
            log.write(f"\n--- {shlex.join(launch.command)}\n".encode())
            log.flush()
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "evalkit.servers.supervisor", *launch.command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **launch.environment},
                # A session of its own: Ctrl-C is for evalkit, which lets requests in flight finish first.
                start_new_session=True,
            )

    def wait(self, deadline: float, limit: float) -> None:
        """Wait until the server answers, with a heartbeat."""
        name, last_told = self.launch.name, time.monotonic()
        while not self.launch.ready():
            now = time.monotonic()
            if self._process.poll() is not None:
                raise ServerFailed(f"{name} ended before it was ready: {self._cause()}")
            if now > deadline:
                raise ServerFailed(
                    f"{name} is not ready after {limit:g} s (++server.start_timeout): {self._cause()}"
                )
            if now - last_told > HEARTBEAT_SECONDS:
                last_told = now
                lines = self._lines()
                said = lines[-1][:160] if lines else "no log yet"
                LOG.warning("%s: starting, %.0f s: %s", name, now - self._started, said)
            time.sleep(POLL_SECONDS)
        LOG.info("%s: ready after %.1f s", name, time.monotonic() - self._started)

    def ended(self) -> str | None:
        """Why the server ended by itself, None while it runs."""
        if self._process.poll() is None:
            return None
        return f"{self.launch.name} ended: {self._cause()}"

    def close(self) -> None:
        """Tell the supervisor that it is over."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def end(self) -> None:
        """Wait until all processes are gone."""
        try:
            self._process.wait(GRACE_SECONDS + 2 * ORPHAN_SECONDS + 3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _lines(self) -> list[str]:
        with self.launch.log_file.open("rb") as stream:
            stream.seek(self._log_start)
            text = stream.read().decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _cause(self) -> str:
        """The log's line that tells most, and its end."""
        lines = self._lines()
        head = cause_in(lines)[:400] or "the log does not say why"
        tail = "\n".join(f"  {line[:200]}" for line in lines[-LOG_TAIL:]) or "  (nothing)"
        return f"{head}\nThe end of {self.launch.log_file}:\n{tail}"
