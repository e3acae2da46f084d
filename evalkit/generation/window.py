"""How many requests may be in flight: more while that brings throughput, fewer on overload."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

LOG = logging.getLogger(__name__)

FIRST = 64
"""Requests in flight at the start."""

GAIN = 1.04
"""A doubled window must bring so much more throughput to be kept as an improvement."""

SHRINK = 0.7
PATIENCE = 2
"""Growing stops after so many steps that brought nothing."""

COOL_EPOCHS = 20
"""After an overload the window stays below where it happened for so many epochs."""

SHORTEST_EPOCH = 0.05
"""Seconds that a measurement of throughput takes at least."""


class AdaptiveWindow:
    """A window of requests in flight, between 1 and ``ceiling``.

    It works in epochs: as many answers as the window is wide, and at least a twentieth of a second. While
    it grows, it widens fourfold after the first epoch and doubles after the others; when the throughput
    has not risen by 4 % twice in a row, it goes back to the widest window that paid and stays. An overload
    (429, 503, a time-out) takes 30 % off, at most once an epoch; afterwards it creeps back by one an
    epoch, below the width at which it happened. With ``fixed`` it stays at the ceiling.
    """

    def __init__(
        self, ceiling: int, *, fixed: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds."""
        self.ceiling = ceiling
        self.limit = ceiling if fixed else min(FIRST, ceiling)
        self.in_flight = 0
        self.path: list[int] = [self.limit]
        self._fixed = fixed
        self._clock = clock
        self._growing = not fixed
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._best = 0.0
        self._best_limit = self.limit
        self._fruitless = 0
        self._overloaded_at: int | None = None
        self._cool = 0
        self._answers = 0
        self._full = self._shrunk = False
        self._epoch_start = clock()

    async def enter(self) -> None:
        """Wait for a place in the window."""
        while self.in_flight >= self.limit:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                else:
                    self._wake()
                raise
        self.in_flight += 1

    def leave(self) -> None:
        """Give the place back, after an answer."""
        self.in_flight -= 1
        self._answers += 1
        self._full = self._full or self.in_flight + 1 >= self.limit
        if not self._fixed and self._answers >= self.limit:
            elapsed = self._clock() - self._epoch_start
            if elapsed >= SHORTEST_EPOCH:
                self._end_epoch(self._answers / elapsed)
        self._wake()

    def overloaded(self) -> None:
        """The server said that it is too much."""
        if self._fixed or self._shrunk:
            return
        self._shrunk = True
        self._growing = False
        self._overloaded_at = self.limit
        self._cool = COOL_EPOCHS
        self._set(max(1, int(self.limit * SHRINK)), "overloaded")
        self._begin_epoch(shrunk=True)

    def _begin_epoch(self, shrunk: bool = False) -> None:
        self._epoch_start = self._clock()
        self._answers = 0
        self._full = False
        self._shrunk = shrunk

    def _end_epoch(self, throughput: float) -> None:
        if self._growing and self._full:
            self._grow(throughput)
        elif self._overloaded_at is not None and not self._shrunk:
            self._creep()
        self._begin_epoch()

    def _grow(self, throughput: float) -> None:
        if throughput > GAIN * self._best:
            self._best, self._best_limit, self._fruitless = throughput, self.limit, 0
        else:
            self._best = max(self._best, throughput)
            self._fruitless += 1
        if self._fruitless >= PATIENCE:
            self._growing = False
            self._set(self._best_limit, f"no gain beyond it ({self._best:.1f}/s)")
        elif self.limit < self.ceiling:
            # The first step is a long one: where answers take seconds, every step costs seconds.
            factor = 4 if len(self.path) == 1 else 2
            self._set(min(factor * self.limit, self.ceiling), f"{throughput:.1f}/s")

    def _creep(self) -> None:
        assert self._overloaded_at is not None
        self._cool -= 1
        highest = self.ceiling if self._cool <= 0 else self._overloaded_at - 1
        if self.limit < min(highest, self.ceiling):
            self._set(self.limit + 1, "creeping back")

    def _set(self, limit: int, why: str) -> None:
        if limit != self.limit:
            LOG.info("window %d → %d: %s", self.limit, limit, why)
            self.limit = limit
            self.path.append(limit)

    def _wake(self) -> None:
        free = self.limit - self.in_flight
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
