"""Several servers: balanced, one that goes is taken out, one that comes back is used again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from evalkit import api
from evalkit.config import RetryConfig
from evalkit.generation.client import ChatClient, LostServer
from evalkit.generation.reply import Reply
from tests.fault_server import FaultServer
from tests.generation.workbench import QUICK, lines, metrics, write_benchmark

RETRY = RetryConfig(attempts=4, first_wait=0.05, longest_wait=0.1, lost_server=0.4)


def body(number: int) -> tuple[bytes, ...]:
    return (b'{"model":"stand-in","messages":[{"role":"user","content":"%d"}]}' % number,)


@pytest.fixture
def three() -> Iterator[list[FaultServer]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(FaultServer(latency=0.01)) for _ in range(3)]
        yield servers


def ask_all(servers: list[FaultServer], count: int) -> list[Reply]:
    async def run() -> list[Reply]:
        async with ChatClient([each.url for each in servers], RETRY, 5.0) as client:
            return await asyncio.gather(*(client.complete(body(number)) for number in range(count)))

    return asyncio.run(run())


def test_requests_are_shared_out_evenly(three: list[FaultServer]) -> None:
    assert {reply.state for reply in ask_all(three, 60)} == {"ok"}
    assert [len(each.requests) for each in three] == [20, 20, 20]


def test_a_slow_server_gets_fewer(three: list[FaultServer]) -> None:
    three[0].latency = 0.5

    async def run() -> None:
        async with ChatClient([each.url for each in three], RETRY, 5.0) as client:
            window = asyncio.Semaphore(9)

            async def one(number: int) -> Reply:
                async with window:
                    return await client.complete(body(number))

            await asyncio.gather(*(one(number) for number in range(90)))

    asyncio.run(run())
    assert len(three[0].requests) < 10
    assert min(len(each.requests) for each in three[1:]) > 30


def test_a_server_that_is_not_there_costs_no_row(three: list[FaultServer]) -> None:
    three[1].stop()
    replies = ask_all(three, 60)
    assert {reply.state for reply in replies} == {"ok"}
    assert len(three[0].requests) + len(three[2].requests) == 60


def test_all_servers_lost_end_the_run(three: list[FaultServer]) -> None:
    for each in three:
        each.stop()
    with pytest.raises(LostServer):
        ask_all(three, 5)


def test_a_server_that_comes_back_is_used_again(three: list[FaultServer]) -> None:
    three[1].stop()

    async def run() -> None:
        async with ChatClient([each.url for each in three], RETRY, 5.0) as client:
            await asyncio.gather(*(client.complete(body(number)) for number in range(9)))
            assert three[1].requests == []
            three[1].start()
            await asyncio.sleep(0.15)
            await asyncio.gather(*(client.complete(body(number)) for number in range(9, 30)))

    asyncio.run(run())
    assert len(three[1].requests) >= 5


def test_a_run_goes_on_when_one_of_its_servers_dies(three: list[FaultServer], tmp_path: Path) -> None:
    folder = write_benchmark(tmp_path / "words", 90)
    three[2].lifetime = 10

    def run(out: Path, servers: list[FaultServer]) -> api.EvalResult:
        addresses = ",".join(each.url for each in servers)
        return api.eval([*QUICK], benchmarks=str(folder), output_dir=out, server_address=addresses)

    assert run(tmp_path / "out", three).complete
    assert len({each["key"] for each in lines(tmp_path / "out")}) == len(lines(tmp_path / "out")) == 90
    assert 10 <= len(three[2].requests) < 30
    run(tmp_path / "undisturbed", three[:1])
    assert metrics(tmp_path / "out") == metrics(tmp_path / "undisturbed")
