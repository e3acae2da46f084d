"""The window of requests in flight: bounded memory, answers written as they arrive, a clean stop."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from evalkit.generation.client import ChatClient, FatalAnswer
from evalkit.generation.log import OutputLog
from evalkit.generation.reply import Reply
from evalkit.generation.request import Request
from evalkit.generation.window import AdaptiveWindow

T = TypeVar("T")

BATCH = 8
"""Requests prepared at a time on the preparing thread: one hand-over for all of them."""

REFUSED_IN_A_ROW = 16
"""So many refused requests without a single answer mean that the settings are wrong, not the rows."""


@dataclass
class Stop:
    """The user's wish to stop: once to finish what is in flight, twice to drop it."""

    presses: int = 0
    on_press: list[Callable[[int], None]] = field(default_factory=list)

    def press(self) -> None:
        """One Ctrl-C or SIGTERM."""
        self.presses += 1
        for each in self.on_press:
            each(self.presses)


async def run_window(
    requests: Iterator[Request],
    client: ChatClient,
    log: OutputLog,
    *,
    window: AdaptiveWindow,
    record: Callable[[Request, Reply], None],
    stop: Stop,
) -> None:
    """Ask for every request within ``window``; ``record`` is given each reply in the loop.

    Requests are prepared on a thread, a few ahead, so that reading images never holds up the answers.
    Returns when all are answered, or when ``stop`` was pressed and what was in flight is finished.
    """
    queue: asyncio.Queue[Request | None] = asyncio.Queue(maxsize=2 * BATCH)
    state = _Refusals()

    async def produce() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
            while not stop.presses:
                batch = await loop.run_in_executor(pool, lambda: list(itertools.islice(requests, BATCH)))
                for request in batch:
                    await queue.put(request)
                if len(batch) < BATCH:
                    break
        for _ in workers:
            if stop.presses:
                # Workers leave by themselves then, and nobody would make room.
                break
            await queue.put(None)

    idle: set[asyncio.Task[None] | None] = set()

    async def work() -> None:
        me = asyncio.current_task()
        while not stop.presses:
            idle.add(me)
            # The place first: a request that waits for one would hold its images meanwhile.
            await window.enter()
            try:
                request = await queue.get()
                idle.discard(me)
                if request is None:
                    break
                parts = request.parts or (request,)
                replies = await client.complete_all(request.body, len(parts))
            finally:
                window.leave()
            for part, reply in zip(parts, replies, strict=True):
                record(part, reply)
                state.note(reply)
            # A worker that waits for its next request must not hold the images of its last.
            del request, parts, part

    async def sync() -> None:
        while True:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(log.sync)

    workers = [asyncio.create_task(work()) for _ in range(window.ceiling)]
    producer = asyncio.create_task(produce())
    syncer = asyncio.create_task(sync())

    def on_press(presses: int) -> None:
        # Workers that wait for a request would wait for ever: nothing more is prepared.
        producer.cancel()
        for each in workers:
            if presses > 1 or each in idle:
                each.cancel()

    stop.on_press.append(on_press)
    try:
        await _first_failure([producer, *workers])
    finally:
        stop.on_press.remove(on_press)
        for task in (producer, syncer, *workers):
            task.cancel()
        await asyncio.gather(producer, syncer, *workers, return_exceptions=True)


class _Refusals:
    """Ends a run in which nothing but refusals came back."""

    def __init__(self) -> None:
        self._answered = False
        self._refused = 0

    def note(self, reply: Reply) -> None:
        if reply.reason != "bad_request":
            self._answered = True
        elif not self._answered:
            self._refused += 1
            if self._refused >= REFUSED_IN_A_ROW:
                raise FatalAnswer(f"the first {self._refused} requests were all refused: {reply.error}")


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks, or for the first that fails; its error is raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


@contextmanager
def stop_on_signals(stop: Stop) -> Iterator[None]:
    """While this is open, Ctrl-C and SIGTERM press ``stop`` in the running loop (main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # A program that calls evalkit may have handlers of its own.
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        loop.add_signal_handler(each, stop.press)
    try:
        yield
    finally:
        for each, handler in before.items():
            loop.remove_signal_handler(each)
            if handler is not None:
                signal.signal(each, handler)


def run_async(work: Coroutine[Any, Any, T], on_interrupt: Callable[[], None]) -> T:
    """Run to the end from ordinary code; in a notebook, whose loop runs already, on a thread of its own.

    There Ctrl-C reaches the waiting thread: ``on_interrupt`` is called, and the work waited for.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, work)
        while True:
            try:
                return running.result()
            except KeyboardInterrupt:
                on_interrupt()
