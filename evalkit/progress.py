"""Live progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from evalkit.generation.reply import Reply

PLAIN_SECONDS = 10.0
"""How often a line is printed where there is no terminal."""


class Progress:
    """Counts replies and shows done, failed, rate, tokens a second and time left on standard error."""

    def __init__(self, name: str, total: int, already: int) -> None:
        """``total`` generations are wanted, ``already`` of them are there."""
        self.name, self.total, self.failed = name, total, 0
        self.tokens = 0
        # Apart from each other: answers are counted in the loop, what is there on the preparing thread.
        self._answered = 0
        self._already = already
        self._started = self._last_line = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    @property
    def done(self) -> int:
        """Generations that are there."""
        return self._already + self._answered

    def __enter__(self) -> Progress:
        """Begin to show."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rates]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                refresh_per_second=4,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.name, total=self.total, completed=self.done, rates="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the end."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, rates=self._rates())
            self._bar.stop()
        elif self.done > self._already or self.failed:
            self._print()

    def advance(self, reply: Reply) -> None:
        """One more reply."""
        if reply.state == "error":
            self.failed += 1
        else:
            self._answered += 1
        self.tokens += reply.generated_tokens or 0
        if self._bar is not None:
            if (self.done + self.failed) % 16 == 0 or self.done == self.total:
                self._bar.update(self._task, completed=self.done, rates=self._rates())
        elif time.monotonic() - self._last_line >= PLAIN_SECONDS:
            self._print()

    def reuse(self) -> None:
        """One more that was there already."""
        self._already += 1

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._started

    def _rates(self) -> str:
        seconds = max(self.seconds, 1e-6)
        rate = (self.done + self.failed - self._already) / seconds
        failed = f"{self.failed} failed · " if self.failed else ""
        return f"{failed}{rate:.1f}/s · {self.tokens / seconds:.0f} tokens/s"

    def _print(self) -> None:
        self._last_line = time.monotonic()
        rate = (self.done + self.failed - self._already) / max(self.seconds, 1e-6)
        left = (self.total - self.done - self.failed) / rate if rate else 0
        more = f", {left:.0f} s left" if left >= 1 else ""
        print(
            f"{self.name}: {self.done}/{self.total} done, {self._rates()}{more}", file=sys.stderr, flush=True
        )
