"""Stands between evalkit and a server that it starts: no process of the server outlives evalkit.

``python -m evalkit.servers.supervisor COMMAND ARG…`` runs the command in a session of its own and ends
every process that came of it when the pipe on standard input closes (evalkit ended, even by kill -9), when
SIGTERM comes, or when the command itself ends. Linux alone: processes that lose their parent are adopted
through PR_SET_CHILD_SUBREAPER, so that none escapes by forking twice.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 10.0
ORPHAN_SECONDS = 2.0


def main() -> int:
    """Run the command until it or the parent ends; returns the command's exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(each, lambda *_: None)
    child = subprocess.Popen(  # noqa: S603
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # Should this process be killed itself, the server's first process still goes. (One thread here.)
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509
    )
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno(), wake_read], [], [])
        signals = os.read(wake_read, 64) if wake_read in readable else b""
        asked = signal.SIGTERM in signals or signal.SIGINT in signals
        closed = sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 1)
        if asked or closed:
            break
    _end(child)
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the server to go, then its other processes, and after a while make them.

    The server first and alone: it shuts its workers down in order, where they are not torn from under it.
    """
    _send(signal.SIGTERM, [child.pid] if child.poll() is None else [])
    _wait_for(lambda: child.poll() is not None, GRACE_SECONDS)
    _send(signal.SIGTERM, _descendants())
    _wait_for(lambda: not _descendants(), ORPHAN_SECONDS)
    while left := _descendants():
        _send(signal.SIGKILL, left)
        _wait_for(lambda: not _descendants(), ORPHAN_SECONDS)
    child.wait()


def _send(number: signal.Signals, processes: list[int]) -> None:
    for each in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _descendants() -> list[int]:
    """The living processes below this one; the dead that nobody waits for go with it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    level = [os.getpid()]
    while level:
        level = [child for parent in level for child in parents.get(parent, [])]
        found += level
    return found


if __name__ == "__main__":
    sys.exit(main())
