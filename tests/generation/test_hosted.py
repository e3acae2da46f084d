"""The client of hosted APIs: its transport is another, what it does is the same."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from evalkit.config import RetryConfig
from evalkit.generation.client import ChatClient, FatalAnswer, LostServer
from evalkit.generation.hosted import HostedClient
from evalkit.generation.reply import Reply
from tests.fault_server import FaultServer, each, vllm_error
from tests.generation.test_client import PASSING, PERMANENT
from tests.generation.workbench import evaluate, lines

QUICK = RetryConfig(attempts=3, first_wait=0.005, longest_wait=0.02, lost_server=0.3)
BODY = {
    "model": "stand-in",
    "temperature": 0.0,
    "top_p": 0.95,
    "seed": 3,
    "messages": [{"role": "user", "content": [{"type": "text", "text": 'Ünïcode "quoted"'}]}],
}


def ask(server: FaultServer, client_class: type[ChatClient] = HostedClient, timeout: float = 5.0) -> Reply:
    async def once() -> Reply:
        async with client_class(server.url, QUICK, timeout, "sk-very-secret") as client:
            return await client.complete([json.dumps(BODY).encode()])

    return asyncio.run(once())


def test_the_same_is_asked_and_understood() -> None:
    with FaultServer(api_key="sk-very-secret", text=lambda _: "red") as server:
        hosted, own = ask(server), ask(server, ChatClient)
        assert [request.body for request in server.requests] == [BODY, BODY]
    assert (hosted.text, hosted.state, hosted.finish_reason) == (own.text, own.state, own.finish_reason)
    assert None not in (hosted.prompt_tokens, hosted.generated_tokens)


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_asked_again_until_it_is_answered(name: str) -> None:
    with FaultServer(each(name, name)) as server:
        assert ask(server).state == "ok"
        assert len(server.requests) == 3


@pytest.mark.parametrize("name", PASSING)
def test_attempts_are_bounded(name: str) -> None:
    # The package's own retries must not multiply ours, nor a connection that breaks each time go on for ever.
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
    assert (reply.permanent, reply.text) == (True, None)


def test_a_wrong_key_ends_the_run_and_is_not_told() -> None:
    told = vllm_error(401, "Incorrect API key provided: sk-very-secret")
    with FaultServer(told) as server, pytest.raises(FatalAnswer, match="HTTP 401") as caught:
        ask(server)
    assert "sk-very-secret" not in str(caught.value)


def test_a_hanging_server_is_given_up_after_the_timeout() -> None:
    with FaultServer(each("hang")) as server:
        assert ask(server, timeout=0.2).state == "ok"
        assert len(server.requests) == 2


def test_a_lost_server_ends_the_run() -> None:
    server = FaultServer().start()
    server.stop()
    began = time.monotonic()
    with pytest.raises(LostServer):
        ask(server)
    assert time.monotonic() - began < 2


def test_a_run_against_a_hosted_api(
    benchmark: Path, server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    server.api_key = "sk-very-secret"
    server.plan = each("reset_in_body")
    assert evaluate(benchmark, server, tmp_path / "out", server_type="openai").complete
    assert len(server.requests) == 20
    assert {each["state"] for each in lines(tmp_path / "out")} == {"ok"}
    assert all("max_completion_tokens" in request.body for request in server.requests)
