"""Runs a process and says what it cost: CPU-seconds of its whole tree, peak memory, and a verdict."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser whose ``--help`` begins with a script's own words, as they stand."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took, with the children that it waited for."""

    cpu: float
    """Seconds, user and system."""
    seconds: float
    peak_mb: float
    """Peak memory (resident set) in MB of 10⁶ bytes. Never below that of the process that measures."""


class Failed(Exception):
    """The measured process failed, or took longer than it was given."""


def told(main: Callable[[], None]) -> None:
    """Call a script's ``main``; a failure is told and the exit code stays 0, for nothing was tested."""
    try:
        main()
    except Failed as error:
        print(error, file=sys.stderr)


def run(command: Sequence[str | Path], folder: Path, *, longest: float = 120.0) -> Cost:
    """Run ``command`` in ``folder`` (so that ``-m evalkit`` is the installed one) and measure it.

    Its output goes to ``folder/last.out``. After ``longest`` seconds it is killed with its children.
    """
    output = folder / "last.out"
    started = time.monotonic()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        guard = threading.Timer(longest, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode:
        said = output.read_text(errors="replace")[-2000:]
        late = f"killed after {longest:.0f} s; " if seconds >= longest else ""
        raise Failed(f"{late}exit code {process.returncode} of {' '.join(map(str, command))}\n{said}")
    return Cost(usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss * 1024 / 1e6)


def median(costs: Iterable[Cost], of: Callable[[Cost], float]) -> float:
    """The median of a figure of several runs."""
    return statistics.median(map(of, costs))


def cpu(cost: Cost) -> float:
    """For ``median``."""
    return cost.cpu


def peak(cost: Cost) -> float:
    """For ``median``."""
    return cost.peak_mb


def verdict(value: float, budget: float) -> str:
    """Whether a figure is within its budget."""
    return "within budget" if value <= budget else "OVER BUDGET"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A Markdown table, aligned for reading as it is."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if not number:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
