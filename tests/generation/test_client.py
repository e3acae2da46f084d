"""Retries over real sockets: which, how often, how long apart, and when the run ends instead."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

import aiohttp
import pytest

from evalkit.config import RetryConfig
from evalkit.generation.client import ChatClient, FatalAnswer, LostServer
from evalkit.generation.reply import Reply
from tests.fault_server import ANSWERS, Answer, FaultServer, each, vllm_error

QUICK = RetryConfig(attempts=4, first_wait=0.005, longest_wait=0.02, lost_server=0.3)
BODY = (b'{"model":"stand-in","messages":[{"role":"user","content":"', b"What is it?", b'"}]}')

PASSING = (
    *("reset_after", "reset_in_head", "reset_in_body", "short_body"),
    *("overloaded", "unavailable", "loading", "internal_error", "proxy_page"),
    *("half_json", "no_choices", "error_in_200", "not_json", "aborted"),
)
PERMANENT = ("prompt_too_long", "bad_image", "bad_schema", "unreachable_image", "answer_too_long")


def ask(
    server: FaultServer,
    retry: RetryConfig = QUICK,
    *,
    timeout: float = 5.0,
    body: Sequence[bytes] = BODY,
    api_key: str | None = None,
) -> Reply:
    async def once() -> Reply:
        async with ChatClient(server.url, retry, timeout, api_key) as client:
            return await client.complete(body)

    return asyncio.run(once())


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again_until_it_is_answered(name: str) -> None:
    with FaultServer(each(name, name)) as server:
        reply = ask(server)
        assert reply.state == "ok"
        assert reply.text
        assert len(server.requests) == 3


@pytest.mark.parametrize("name", PASSING)
def test_attempts_are_bounded_and_the_cause_is_kept(name: str) -> None:
    with FaultServer(name) as server:
        reply = ask(server)
        assert len(server.requests) == QUICK.attempts
    assert (reply.state, reply.permanent, reply.text) == ("error", False, None)
    assert reply.error


@pytest.mark.parametrize("name", PERMANENT)
def test_what_would_repeat_itself_is_asked_once(name: str) -> None:
    with FaultServer(name) as server:
        reply = ask(server)
        assert len(server.requests) == 1
    assert reply.permanent
    assert reply.text is None
    assert reply.state == ("invalid" if name == "prompt_too_long" else "error")


@pytest.mark.parametrize("name", ["wrong_key", "forbidden", "unknown_model"])
def test_what_every_request_would_get_is_raised_at_once(name: str) -> None:
    with FaultServer(name) as server:
        with pytest.raises(FatalAnswer, match="HTTP 40"):
            ask(server)
        assert len(server.requests) == 1


def test_a_connection_that_is_reset_before_a_byte_was_read_is_made_again() -> None:
    with FaultServer() as server:
        server.reset_connections = 2
        assert ask(server).state == "ok"
        assert (server.connections, len(server.requests)) == (3, 1)


def test_retry_after_is_heeded() -> None:
    busy = replace(ANSWERS["too_many_requests"], headers={"Retry-After": "0.3"})
    with FaultServer(each(busy)) as server:
        ask(server, replace(QUICK, longest_wait=1.0))
        first, second = server.requests
        assert 0.3 <= second.at - first.at < 0.6


def test_retry_after_is_no_longer_than_the_longest_wait() -> None:
    busy = replace(ANSWERS["too_many_requests"], headers={"Retry-After": "3600"})
    with FaultServer(each(busy)) as server:
        ask(server)
        first, second = server.requests
        assert second.at - first.at < 0.5


def test_waits_grow_and_are_jittered() -> None:
    with FaultServer("unavailable") as server:
        ask(server, RetryConfig(attempts=5, first_wait=0.02, longest_wait=0.1))
        times = [request.at for request in server.requests]
    waits = [b - a for a, b in itertools.pairwise(times)]
    # Half of the wait at least, all of it at most; a loaded machine adds to it.
    for wait, full in zip(waits, (0.02, 0.04, 0.08, 0.1), strict=True):
        assert full / 2 <= wait < full + 0.1
    assert waits[3] > waits[0]


def test_a_hanging_server_is_given_up_after_the_timeout() -> None:
    with FaultServer(each("hang", "hang")) as server:
        began = time.monotonic()
        assert ask(server, timeout=0.2).state == "ok"
        assert 0.4 <= time.monotonic() - began < 2
        assert len(server.requests) == 3


def test_a_slow_body_is_waited_for() -> None:
    with FaultServer("slow") as server:
        assert ask(server).state == "ok"
        assert len(server.requests) == 1


def test_a_body_slower_than_the_timeout_is_no_answer() -> None:
    with FaultServer(each(Answer(pause=5.0))) as server:
        assert ask(server, timeout=0.2).state == "ok"
        assert len(server.requests) == 2


def test_a_body_that_a_proxy_refuses_unread_is_no_answer() -> None:
    # nginx answers 413 and closes while we still send; the reset may overtake the answer.
    large = (BODY[0], b"x" * 3_000_000, BODY[2])
    with FaultServer(longest_body=1000) as server:
        reply = ask(server, body=large)
        assert server.requests == []
    assert (reply.state, reply.text) == ("error", None)


def test_a_server_out_of_reach_is_waited_for_and_uses_up_no_attempts() -> None:
    server = FaultServer().start()
    server.stop()

    async def later() -> Reply:
        retry = RetryConfig(attempts=1, first_wait=0.02, longest_wait=0.02, lost_server=5)
        async with ChatClient(server.url, retry, 5.0) as client:
            asked = asyncio.create_task(client.complete(BODY))
            await asyncio.sleep(0.3)
            server.start()
            reply = await asked
            assert client.retries > 3
            return reply

    try:
        assert asyncio.run(later()).state == "ok"
    finally:
        server.stop()


@pytest.mark.parametrize("longest_wait", [0.04, 30.0])
def test_a_lost_server_ends_the_run_in_time(longest_wait: float) -> None:
    server = FaultServer().start()
    server.stop()
    began = time.monotonic()
    with pytest.raises(LostServer, match="has not answered") as caught:
        # A long pause between attempts must not make it longer.
        ask(server, RetryConfig(first_wait=0.1, longest_wait=longest_wait, lost_server=0.5))
    assert 0.5 <= time.monotonic() - began < 0.9
    assert caught.value.exit_code == 1


def test_a_machine_that_does_not_answer_at_all_is_a_lost_server() -> None:
    # A queue of connections that is full: the kernel drops ours, as a machine without power would.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)

        async def once() -> Reply:
            client = ChatClient(f"http://127.0.0.1:{port}/v1", QUICK, 60.0)
            client._timeout = aiohttp.ClientTimeout(total=60, sock_connect=0.1)
            async with client:
                return await client.complete(BODY)

        try:
            with pytest.raises(LostServer, match=r"no connection within 0\.1 s"):
                asyncio.run(once())
        finally:
            for filler in fillers:
                filler.close()


def test_answers_that_take_longer_than_lost_server_are_no_lost_server() -> None:
    # Nothing was answered for longer than lost_server, and then a connection is refused once.
    server = FaultServer(latency=0.6).start()

    async def both() -> list[Reply]:
        async with ChatClient(server.url, replace(QUICK, lost_server=0.4), 5.0) as client:
            slow = asyncio.create_task(client.complete(BODY))
            await asyncio.sleep(0.5)
            (address,) = client._addresses
            address.url, right = "http://127.0.0.1:9/v1", address.url
            refused = asyncio.create_task(client.complete((BODY[0], b"Another?", BODY[2])))
            await asyncio.sleep(0.1)
            address.url = right
            return await asyncio.gather(slow, refused)

    try:
        assert [reply.state for reply in asyncio.run(both())] == ["ok", "ok"]
    finally:
        server.stop()


def test_a_key_that_the_server_tells_back_is_hidden() -> None:
    with FaultServer(vllm_error(400, "Bad key 'sk-very-secret' in Authorization")) as server:
        reply = ask(server, api_key="sk-very-secret")
        assert server.requests[0].headers["authorization"] == "Bearer sk-very-secret"
    assert reply.error == "HTTP 400: Bad key '(hidden)' in Authorization"


def test_the_key_is_hidden_where_it_ends_the_run_too() -> None:
    # OpenAI's own 401 tells the key, in part.
    told = Answer(401, json.dumps({"error": {"message": "Incorrect API key: sk-very-secret"}}).encode())
    with FaultServer(told) as server, pytest.raises(FatalAnswer, match="hidden") as caught:
        ask(server, api_key="sk-very-secret")
    assert "sk-very-secret" not in str(caught.value)


def test_redirects_are_not_followed() -> None:
    # The body and the key are for the server that was named.
    moved = Answer(307, b"", {"Location": "http://127.0.0.1:9/v1/chat/completions"})
    with FaultServer(moved) as server:
        reply = ask(server)
        assert (reply.state, reply.permanent, len(server.requests)) == ("error", True, 1)
