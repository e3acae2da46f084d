"""The window of requests in flight: how it follows the server, and that no place in it is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from evalkit.generation.window import COOL_EPOCHS, FIRST, AdaptiveWindow


class Simulation:
    """A window before a server whose answers a second depend on how many requests it has."""

    def __init__(self, ceiling: int, throughput: Callable[[int], float]) -> None:
        self.now = 0.0
        self.throughput = throughput
        self.window = AdaptiveWindow(ceiling, clock=lambda: self.now)

    def epochs(self, count: int) -> list[int]:
        """Let so many epochs pass; returns the width after each."""
        widths = []
        for _ in range(count):
            width = self.window.limit
            answers = max(width, int(0.06 * self.throughput(width)))
            for _ in range(answers):
                self.now += 1 / self.throughput(width)
                self.window.in_flight = width
                self.window.leave()
            widths.append(self.window.limit)
        return widths


def test_it_grows_to_the_ceiling_where_the_server_keeps_up() -> None:
    simulation = Simulation(1000, lambda width: 20.0 * width)
    assert simulation.window.limit == FIRST
    simulation.epochs(10)
    assert simulation.window.limit == 1000
    assert simulation.window.path == [64, 256, 512, 1000]


def test_it_stays_at_the_width_beyond_which_nothing_is_gained() -> None:
    # The server works on 256 side by side; more only wait there.
    simulation = Simulation(4096, lambda width: 10.0 * min(width, 256))
    simulation.epochs(20)
    assert simulation.window.limit == 256


def test_it_begins_no_wider_than_the_ceiling() -> None:
    assert AdaptiveWindow(5).limit == 5
    assert AdaptiveWindow(5000).limit == FIRST
    assert AdaptiveWindow(5000, fixed=True).limit == 5000


def test_an_overload_narrows_it_once_an_epoch() -> None:
    simulation = Simulation(100, lambda width: 1000.0)
    for _ in range(30):
        simulation.window.overloaded()
    assert simulation.window.limit == int(FIRST * 0.7)


def test_after_an_overload_it_stays_below_where_it_happened_and_comes_back_later() -> None:
    simulation = Simulation(FIRST, lambda width: 500.0)
    simulation.window.overloaded()
    cooling = simulation.epochs(COOL_EPOCHS)
    assert max(cooling) < FIRST
    assert cooling == sorted(cooling)
    simulation.epochs(COOL_EPOCHS)
    assert simulation.window.limit == FIRST


def test_however_overloaded_one_request_is_left() -> None:
    simulation = Simulation(100, lambda width: 1000.0)
    for _ in range(60):
        simulation.window.overloaded()
        simulation.epochs(1)
        simulation.window.overloaded()
    assert simulation.window.limit >= 1


def test_a_fixed_window_does_not_change() -> None:
    window = AdaptiveWindow(8, fixed=True)
    window.overloaded()
    for _ in range(100):
        window.in_flight = 8
        window.leave()
    assert (window.limit, window.path) == (8, [8])


@given(seed=st.integers(0, 10_000), ceiling=st.integers(1, 12), workers=st.integers(1, 30))
def test_every_place_is_given_back_and_none_is_given_twice(seed: int, ceiling: int, workers: int) -> None:
    draw = random.Random(seed)
    window = AdaptiveWindow(ceiling)
    inside = most = finished = 0

    async def work() -> None:
        nonlocal inside, most, finished
        for _ in range(5):
            await window.enter()
            inside += 1
            most = max(most, inside)
            try:
                for _ in range(draw.randrange(4)):
                    await asyncio.sleep(0)
                if draw.random() < 0.1:
                    window.overloaded()
            finally:
                inside -= 1
                window.leave()
        finished += 1

    async def run() -> int:
        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        dropped = 0
        for task in tasks:
            await asyncio.sleep(0)
            # Ctrl-C, while some wait for a place that may just have been given to them.
            if draw.random() < 0.3:
                task.cancel()
        for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5):
            dropped += isinstance(result, asyncio.CancelledError)
            assert result is None or isinstance(result, asyncio.CancelledError)
        return dropped

    dropped = asyncio.run(run())
    assert most <= ceiling
    assert (finished + dropped, window.in_flight) == (workers, 0)
