"""What an HTTP error, or a 200 that is no answer, means for a row."""

from __future__ import annotations

import json

import pytest

from evalkit.generation.client import parse_answer
from evalkit.generation.faults import Fault, classify
from evalkit.generation.reply import Reply
from tests.fault_server import ANSWERS, llama_error

PASSING = {
    "too_many_requests": "overloaded",
    "overloaded": "overloaded",
    "unavailable": "overloaded",
    "loading": "overloaded",
    "internal_error": "server_error",
    "proxy_page": "server_error",
}
FATAL = ("wrong_key", "forbidden", "unknown_model")
PERMANENT = {
    "prompt_too_long": "prompt_too_long",
    "prompt_too_long_before_0.16": "prompt_too_long",
    "prompt_too_long_multimodal": "prompt_too_long",
    "prompt_too_long_openai": "prompt_too_long",
    "prompt_too_long_llama": "prompt_too_long",
    # More answer than the model has room for is a setting to mend, not a miss of the model.
    "answer_too_long": "bad_request",
    "answer_too_long_before_0.16": "bad_request",
    "bad_image": "bad_image",
    "bad_image_llama": "bad_image",
    "bad_base64": "bad_image",
    "too_many_images": "bad_image",
    "extreme_image": "bad_image",
    "unreachable_image": "bad_image",
    "no_local_media": "bad_image",
    "image_not_found": "bad_image",
    "blind_llama": "bad_image",
    "too_large": "bad_image",
    "bad_schema": "bad_request",
}


def classified(name: str) -> Fault:
    answer = ANSWERS[name]
    assert answer.body is not None
    return classify(answer.status, answer.body.decode(), answer.headers.get("Retry-After"))


@pytest.mark.parametrize(("name", "reason"), PASSING.items())
def test_what_passes_is_worth_a_retry(name: str, reason: str) -> None:
    fault = classified(name)
    assert (fault.worth, fault.reason) == ("retry", reason)


@pytest.mark.parametrize("name", FATAL)
def test_what_every_request_would_get_ends_the_run(name: str) -> None:
    assert classified(name).worth == "fatal"


@pytest.mark.parametrize(("name", "reason"), PERMANENT.items())
def test_what_the_request_would_get_again_is_not_asked_again(name: str, reason: str) -> None:
    fault = classified(name)
    assert (fault.worth, fault.reason) == ("permanent", reason)


def test_every_error_of_the_fault_server_is_in_a_table() -> None:
    errors = {name for name, answer in ANSWERS.items() if answer.status != 200}
    assert errors == {*PASSING, *FATAL, *PERMANENT}


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 529])
def test_a_proxys_error_page_says_nothing_about_the_rows_image(status: int) -> None:
    # It holds "image" and "@media", as the pages of nginx and Cloudflare do.
    page = ANSWERS["proxy_page"].body
    assert page is not None
    assert classify(status, page.decode()).worth == "retry"


@pytest.mark.parametrize("status", [400, 405, 409, 415, 422, 301])
def test_other_refusals_are_permanent(status: int) -> None:
    assert classify(status, "no").worth == "permanent"


def test_a_full_shared_context_of_llama_cpp_passes() -> None:
    # Status 500: other requests took the room; the one that is over the length by itself is a 400.
    answer = llama_error(500, "Context size has been exceeded.", "server_error")
    assert answer.body is not None
    assert classify(500, answer.body.decode()).worth == "retry"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "too\\nlong", "code": 400}}', "HTTP 400: too long"),
        ('{"error": "Unauthorized"}', "HTTP 400: Unauthorized"),
        ('{"object": "error", "message": "old vLLM"}', "HTTP 400: old vLLM"),
        ('{"detail": "Not Found"}', "HTTP 400: Not Found"),
        ('{"detail": [{"loc": ["body"], "msg": "x"}]}', 'HTTP 400: [{"loc":["body"],"msg":"x"}]'),
        ("", "HTTP 400: (no message)"),
        ("<h1>Bad</h1>", "HTTP 400: <h1>Bad</h1>"),
        ('{"error": null}', "HTTP 400: null"),
        ("x" * 10_000, "HTTP 400: " + "x" * 500),
    ],
)
def test_the_cause_is_told_in_one_short_line(body: str, message: str) -> None:
    assert classify(400, body).message == message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        (None, None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("nan", 0.0),
    ],
)
def test_retry_after_is_read_in_seconds(header: str | None, seconds: float | None) -> None:
    assert classify(429, "", header).retry_after == seconds
    assert classify(503, "", header).retry_after == seconds


def answer(content: object = "red", finish: object = "stop", **message: object) -> bytes:
    whole = {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}
    return json.dumps(whole).encode()


def parsed(raw: bytes) -> Reply:
    found = parse_answer(raw, 0.25)
    assert isinstance(found, Reply), found
    return found


def test_an_answer_is_its_text_with_its_figures() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    raw = json.dumps(
        {"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}], "usage": usage}
    ).encode()
    assert parsed(raw) == Reply(
        "ok", "red", finish_reason="stop", prompt_tokens=7, generated_tokens=3, latency=0.25
    )


@pytest.mark.parametrize(
    ("raw", "state", "text", "reasoning"),
    [
        (answer(finish="length"), "truncated", "red", None),
        (answer(finish=None), "ok", "red", None),
        (answer(None, refusal="I can't."), "refused", "I can't.", None),
        (answer(None, "content_filter"), "refused", "", None),
        (answer(None, reasoning_content="hm"), "ok", "", "hm"),
        (answer("red", reasoning="hm"), "ok", "red", "hm"),
        (answer(None, "length", reasoning_content="hm"), "truncated", "", "hm"),
        (answer(""), "ok", "", None),
        (answer(None), "ok", "", None),
    ],
)
def test_the_state_of_an_answer(raw: bytes, state: str, text: str, reasoning: str | None) -> None:
    reply = parsed(raw)
    assert (reply.state, reply.text, reply.reasoning) == (state, text, reasoning)
    assert reply.error is None


@pytest.mark.parametrize("usage", [None, "none", [], {}, {"prompt_tokens": "7", "completion_tokens": None}])
def test_an_answer_counts_without_the_count_of_its_tokens(usage: object) -> None:
    choices = [{"message": {"content": "red", "reasoning": {"text": "hm"}}, "finish_reason": "stop"}]
    reply = parsed(json.dumps({"choices": choices, "usage": usage}).encode())
    assert reply == Reply("ok", "red", finish_reason="stop", latency=0.25)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": "red"}]}',
        b'{"choices": [{"message": {"content": "re',
        b'{"error": {"message": "upstream failed"}}',
        b'{"choices": [{"message": {"content": "\xff"}}]}',
        answer([{"type": "text", "text": "red"}]),
        answer(7),
        # vLLM and SGLang: the engine gave the request up, and what is there is no whole answer.
        answer("re", "abort"),
        answer("re", "error"),
    ],
)
def test_a_200_that_is_no_whole_answer_is_asked_again(raw: bytes) -> None:
    found = parse_answer(raw, 0.0)
    assert isinstance(found, Fault)
    assert (found.worth, found.reason) == ("retry", "broken_answer")
