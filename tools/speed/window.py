"""The adaptive window against fixed ones, over HTTP, on servers of very different capacity."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from evalkit.config import RetryConfig
from evalkit.generation.client import ChatClient
from evalkit.generation.engine import Stop, run_window
from evalkit.generation.log import OutputLog
from evalkit.generation.request import Request
from evalkit.generation.window import AdaptiveWindow
from evalkit.rows import Row

CEILING = 512
FIXED = (0.5, 1, 1.5, 2, 4)
"""Fixed windows, as shares of what the server works on side by side."""

ANSWER = {"choices": [{"message": {"content": "B"}, "finish_reason": "stop"}], "usage": {}}


@dataclass
class Capacity:
    """A server that works on ``slots`` requests at a time, ``seconds`` each, and refuses past ``queue``."""

    slots: int
    seconds: float
    requests: int
    queue: int | None = None
    refused: int = 0

    async def serve(self) -> tuple[web.AppRunner, str]:
        """Start it on a free port of loopback."""
        free = asyncio.Semaphore(self.slots)
        waiting = 0

        async def answer(request: web.Request) -> web.Response:
            nonlocal waiting
            await request.read()
            if self.queue is not None and waiting >= self.queue:
                self.refused += 1
                return web.json_response({"error": {"message": "queue full"}}, status=503)
            waiting += 1
            async with free:
                waiting -= 1
                await asyncio.sleep(self.seconds)
            return web.json_response(ANSWER)

        app = web.Application()
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        return runner, f"http://127.0.0.1:{port}/v1"


def requests_for(count: int) -> Iterator[Request]:
    """Small text requests."""
    body = [b'{"model":"m","messages":[{"role":"user","content":"?"}]}']
    row = Row({}, "0", Path("rows.jsonl"), 1)
    for number in range(count):
        yield Request(number, row, 0, "original", f"{number:032x}", body)


async def run(capacity: Capacity, fixed: int | None) -> tuple[float, int, list[int]]:
    """Requests a second, refusals, and the path of the window."""
    capacity.refused = 0
    runner, url = await capacity.serve()
    window = AdaptiveWindow(fixed or CEILING, fixed=fixed is not None)
    client = ChatClient(url, RetryConfig(), 600, on_overload=window.overloaded)
    with tempfile.TemporaryDirectory() as folder, OutputLog(Path(folder) / "output.jsonl") as log:
        async with client:
            started = time.monotonic()
            await run_window(
                requests_for(capacity.requests),
                client,
                log,
                window=window,
                record=lambda request, reply: None,
                stop=Stop(),
            )
            seconds = time.monotonic() - started
    await runner.cleanup()
    return capacity.requests / seconds, capacity.refused, window.path


SERVERS = (
    Capacity(2, 0.05, 400),
    Capacity(16, 0.2, 1200),
    Capacity(64, 0.5, 2000),
    Capacity(200, 0.25, 6000),
    Capacity(200, 1.0, 4000),
    Capacity(16, 0.2, 1200, queue=16),
)


async def measure() -> None:
    """Print a table: a server a line."""
    print("slots s each queue       best fixed   adaptive  ratio   503  path")
    for capacity in SERVERS:
        rates = {}
        for fixed in sorted({min(CEILING, int(share * capacity.slots)) for share in FIXED}):
            # A fixed window that knocks the server over is no candidate.
            rate, refused, _ = await run(capacity, fixed)
            if not refused:
                rates[fixed] = rate
        best = max(rates, key=rates.__getitem__)
        rate, refused, path = await run(capacity, None)
        ratio = rate / rates[best]
        verdict = "within budget" if ratio >= 0.95 else "OVER BUDGET"
        print(
            f"{capacity.slots:>5} {capacity.seconds:>6} {capacity.queue or '–':>5} "
            f"{f'{best}: {rates[best]:.1f}/s':>16} {rate:>10.1f} {ratio:>6.3f} {refused:>5}  "
            f"{'→'.join(map(str, path[:10]))} {verdict}",
            flush=True,
        )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__ + " About five minutes.").parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(measure())
