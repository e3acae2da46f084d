"""Streamed replies: the same as whole ones, and half a stream is no reply."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from evalkit.config import RetryConfig
from evalkit.generation.client import ChatClient
from evalkit.generation.reply import Reply
from tests.fault_server import ANSWERS, Answer, FaultServer, always, each, where
from tests.generation.workbench import evaluate, lines, metrics, scores

QUICK = RetryConfig(attempts=3, first_wait=0.005, longest_wait=0.02, lost_server=0.3)
ONCE = RetryConfig(attempts=1)


def ask(
    server: FaultServer, *, stream: bool = True, timeout: float = 5.0, retry: RetryConfig = QUICK
) -> Reply:
    message = {"role": "user", "content": "What is it?"}
    body = json.dumps({"model": "stand-in", "messages": [message], "stream": stream}).encode()

    async def once() -> Reply:
        async with ChatClient(server.url, retry, timeout, streaming=stream) as client:
            return await client.complete([body])

    return asyncio.run(once())


def events(*found: object, done: bool = True) -> Answer:
    """An answer of these events."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in found]
    body = b"".join(b"data: %b\n\n" % line for line in [*lines, *([b"[DONE]"] if done else [])])
    return Answer(200, body, {"Content-Type": "text/event-stream; charset=utf-8"})


def chunk(text: object, finish: object = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    "name", ["ok", "slow", "truncated", "filtered", "refusal", "reasoning_only", "empty", "no_content"]
)
def test_a_streamed_reply_is_the_one_that_would_have_come_whole(name: str) -> None:
    text = "Ünïcode, 红色\n\n" * 2
    with FaultServer(name, text=lambda _: text) as server:
        streamed, whole = ask(server), ask(server, stream=False)
    for field in ("state", "text", "finish_reason", "reason", "error"):
        assert getattr(streamed, field) == getattr(whole, field)
    assert (streamed.reasoning or None) == whole.reasoning
    assert None not in (streamed.generated_tokens, streamed.prompt_tokens)


@pytest.mark.parametrize(
    "name", ["reset_after", "reset_in_head", "reset_in_body", "short_body", "aborted", "unavailable"]
)
def test_a_stream_that_breaks_is_asked_again(name: str) -> None:
    with FaultServer(each(name, name)) as server:
        assert ask(server).state == "ok"
        assert len(server.requests) == 3


BROKEN = {
    "no finish reason": events(chunk("re")),
    "an error in the middle": events(chunk("re"), {"error": {"message": "CUDA out of memory", "code": 500}}),
    "not JSON": events(chunk("re"), b'{"choices": ['),
    "not an object": events(chunk("re"), ["x"]),
    "no choices": events({"choices": None}),
    "a choice that is none": events({"choices": [None]}),
    "choices that are none": events({"choices": 7}),
    "a delta that is none": events({"choices": [{"delta": "re", "finish_reason": "stop"}]}),
    "a text that is none": events(chunk({"x": 1}), chunk("", "stop")),
    "nothing": events(done=False),
    "an event of a megabyte": events(chunk("x" * 1_000_000, None)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_whole_stream_is_no_reply(name: str) -> None:
    with FaultServer(always(BROKEN[name])) as server:
        reply = ask(server)
        assert len(server.requests) == QUICK.attempts
    assert (reply.state, reply.reason, reply.text) == ("error", "broken_answer", None)
    assert reply.error


def test_comments_and_other_fields_of_a_stream_are_passed_over() -> None:
    body = b": keep-alive\r\nevent: message\r\nid: 7\r\n"
    told = events(chunk("re"), chunk("d"), chunk("", "stop"))
    assert told.body is not None
    answer = Answer(200, body + told.body.replace(b"\n", b"\r\n"), told.headers)
    with FaultServer(always(answer)) as server:
        assert ask(server).text == "red"


def test_the_timeout_counts_between_tokens() -> None:
    # The reply as a whole takes longer than the timeout.
    with FaultServer(Answer(pause=0.04), text=lambda _: "0123456789" * 2) as server:
        assert ask(server, timeout=0.25).state == "ok"
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["stall", "hang"])
def test_a_stream_that_falls_silent_is_given_up(name: str) -> None:
    with FaultServer(each(name)) as server:
        assert ask(server, timeout=0.2).state == "ok"
        assert len(server.requests) == 2


def test_a_whole_answer_that_falls_silent_is_given_up() -> None:
    with FaultServer(each("stall")) as server:
        assert ask(server, stream=False, timeout=0.2).state == "ok"
        assert len(server.requests) == 2


def test_an_error_before_the_stream_is_what_it_is() -> None:
    with FaultServer("prompt_too_long") as server:
        reply = ask(server)
    assert (reply.state, reply.reason, reply.permanent) == ("invalid", "prompt_too_long", True)


def test_a_server_that_does_not_stream_is_understood_all_the_same() -> None:
    whole = json.dumps({"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}]}).encode()
    with FaultServer(always(Answer(200, whole))) as server:
        assert ask(server).text == "red"


def test_streaming_changes_no_result_and_asks_nothing_again(
    benchmark: Path, server: FaultServer, tmp_path: Path
) -> None:
    # The stand-in derives its answer from the whole body; here the text alone decides.
    server.text = lambda received: ("red", "blue", "square")[len(received.text) % 3]
    server.plan = where({"number 0003": "truncated", "number 0004": "refusal"})
    streamed, whole = tmp_path / "streamed", tmp_path / "whole"
    evaluate(benchmark, server, streamed, "++inference.stream=true")
    assert all(each.body["stream"] for each in server.requests)
    evaluate(benchmark, server, whole)
    tokens = {"num_generated_tokens": None}
    assert {k: v | tokens for k, v in scores(streamed).items()} == {
        k: v | tokens for k, v in scores(whole).items()
    }
    assert metrics(streamed)["status"] == metrics(whole)["status"]
    assert {each["key"] for each in lines(streamed)} == {each["key"] for each in lines(whole)}
    asked = len(server.requests)
    evaluate(benchmark, server, whole, "++inference.stream=true")
    assert len(server.requests) == asked


def test_every_named_answer_can_be_streamed() -> None:
    # What later tests rely on: a name means the same whether the request streams or not.
    for name, answer in ANSWERS.items():
        if answer.hang or answer.cut in ("stall", "short") or answer.status in (401, 403, 404):
            continue
        with FaultServer(name) as server:
            streamed, whole = ask(server, retry=ONCE), ask(server, retry=ONCE, stream=False)
        assert (streamed.state, streamed.reason) == (whole.state, whole.reason), name
