"""A model server on loopback that misbehaves on command.

It stands in for the far end of the socket: the client, its sockets and its HTTP are the real ones, while
what answers here is no model. A *plan* says for each chat request what happens to it: a healthy answer, an
error in the words of a real server, or a connection that breaks at a chosen place. A healthy answer is
derived from what was asked, so that asking the same again gives the same.

    with FaultServer(each("unavailable", "reset_after")) as server:
        …  # every request fails twice, then succeeds
        assert server.most_in_flight <= 4

``python -m tests.fault_server --share reset_in_body=0.1`` runs it in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

WORDS = ("red", "green", "blue", "black", "white", "yellow", "circle", "square")
"""What a healthy answer is: one of these, by the digest of what was asked."""

Cut = Literal["unanswered", "head", "body", "short", "stall"]


@dataclass(frozen=True)
class Answer:
    """What is done with one request.

    Without ``body`` it is answered as by a healthy model, with ``message`` merged into the reply's message
    and ``finish`` as its finish reason. ``wait`` seconds pass before the first byte, ``pause`` seconds
    between the pieces of a slow body. ``cut`` breaks the connection: after the request was read, in the
    middle of the head, in the middle of the body, (``short``) with an orderly end before the body's, or
    (``stall``) by silence in the middle of the body. ``hang`` keeps the connection open and never answers.
    A healthy answer is streamed where the request asks for it.
    """

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    message: Mapping[str, Any] = field(default_factory=dict)
    finish: str = "stop"
    wait: float = 0.0
    pause: float = 0.0
    cut: Cut | None = None
    hang: bool = False


@dataclass
class Received:
    """One chat request as it came: ``number`` counts them all, ``attempt`` those with the same body."""

    number: int
    attempt: int
    headers: Mapping[str, str]
    body: dict[str, Any]
    size: int
    digest: str
    at: float
    done: bool = False

    @property
    def text(self) -> str:
        """All text of the messages."""
        return "\n".join(part["text"] for part in self._parts() if part.get("type") == "text")

    @property
    def images(self) -> list[str]:
        """The URLs of the images, in order."""
        return [part["image_url"]["url"] for part in self._parts() if part.get("type") == "image_url"]

    def _parts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for message in self.body.get("messages", ()):
            content = message["content"]
            found += [{"type": "text", "text": content}] if isinstance(content, str) else content
        return found


Plan = Callable[[Received], Answer]
Step = str | Answer


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def vllm_error(status: int, message: str, param: str | None = None, kind: str = "BadRequestError") -> Answer:
    """An error as vLLM writes it."""
    error = {"message": message, "type": kind, "param": param, "code": status}
    return Answer(status, _json({"error": error}))


def llama_error(status: int, message: str, kind: str, **more: Any) -> Answer:
    """An error as llama.cpp's server writes it."""
    return Answer(status, _json({"error": {"code": status, "message": message, "type": kind, **more}}))


_PROXY_PAGE = b"""<html><head><style>@media (max-width: 600px) { body { background-image: none } }</style>
<title>502 Bad Gateway</title></head><body><img src="data:image/png;base64,AA"></body></html>"""

ANSWERS: dict[str, Answer] = {
    "ok": Answer(),
    # Connections that break.
    "reset_after": Answer(cut="unanswered"),
    "reset_in_head": Answer(cut="head"),
    "reset_in_body": Answer(cut="body"),
    "short_body": Answer(cut="short"),
    "slow": Answer(pause=0.02),
    "hang": Answer(hang=True),
    "stall": Answer(cut="stall"),
    # Errors that pass.
    "too_many_requests": Answer(429, _json({"error": "slow down"}), {"Retry-After": "1"}),
    "overloaded": Answer(429, _json({"error": {"message": "Rate limit reached"}})),
    "unavailable": vllm_error(503, "The request queue is full", kind="ServiceUnavailable"),
    "loading": llama_error(503, "Loading model", "unavailable_error"),
    "internal_error": vllm_error(500, "Internal server error", kind="InternalServerError"),
    "proxy_page": Answer(502, _PROXY_PAGE, {"Content-Type": "text/html"}),
    # 200, and yet no answer.
    "half_json": Answer(200, b'{"id": "x", "choices": [{"message": {"content": "re'),
    "no_choices": Answer(200, _json({"id": "x", "choices": []})),
    "error_in_200": Answer(200, _json({"error": {"message": "upstream failed", "code": 502}})),
    "not_json": Answer(200, b"<html>please log in</html>", {"Content-Type": "text/html"}),
    "aborted": Answer(finish="abort", message={"content": "re"}),
    # What every request would get.
    "wrong_key": Answer(401, _json({"error": "Unauthorized"})),
    "forbidden": vllm_error(403, "This key may not use this model", kind="PermissionDenied"),
    "unknown_model": vllm_error(404, "The model `x` does not exist.", "model", "NotFoundError"),
    # What this request would get again.
    "prompt_too_long": vllm_error(
        400,
        "You passed 4097 input tokens and requested 0 output tokens. However, the model's context length "
        "is only 4096 tokens, resulting in a maximum input length of 4096 tokens. Please reduce the length "
        "of the input prompt. (parameter=input_tokens, value=4097)",
        "input_tokens",
    ),
    "prompt_too_long_before_0.16": vllm_error(
        400,
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens. "
        "Please reduce the length of the input messages.",
    ),
    "prompt_too_long_multimodal": vllm_error(
        400,
        "The decoder prompt (length 5951) is longer than the maximum model length of 4096. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens.",
    ),
    "prompt_too_long_openai": Answer(
        400,
        _json(
            {
                "error": {
                    "message": "Your input exceeds the context window of this model.",
                    "type": "invalid_request_error",
                    "code": "context_length_exceeded",
                }
            }
        ),
    ),
    "prompt_too_long_llama": llama_error(
        400,
        "request (2048 tokens) exceeds the available context size (1024 tokens), try increasing it",
        "exceed_context_size_error",
        n_prompt_tokens=2048,
        n_ctx=1024,
    ),
    "answer_too_long": vllm_error(
        400,
        "max_tokens=8192 cannot be greater than max_model_len=4096. Please request fewer output tokens.",
        "max_tokens",
    ),
    "answer_too_long_before_0.16": vllm_error(
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is "
        "4096 tokens and your request has 20 input tokens (4096 > 4096 - 20).",
    ),
    "bad_image": vllm_error(400, "Failed to load image: cannot identify image file <_io.BytesIO object>"),
    "bad_image_llama": llama_error(400, "Failed to load image or audio file", "invalid_request_error"),
    "bad_base64": vllm_error(400, "Invalid base64-encoded string: number of data characters cannot be 1"),
    "too_many_images": vllm_error(400, "At most 1 image(s) may be provided in one prompt. (parameter=image)"),
    "extreme_image": vllm_error(400, "absolute aspect ratio must be smaller than 200, got 300.0"),
    "unreachable_image": vllm_error(
        500, "Cannot connect to host images.example:443 while loading the image", kind="InternalServerError"
    ),
    "no_local_media": vllm_error(
        500,
        "Cannot load local files without `--allowed-local-media-path`.",
        kind="InternalServerError",
    ),
    "image_not_found": vllm_error(422, "404, message='Not Found', url='http://images.example/1.png' (image)"),
    "blind_llama": llama_error(
        500,
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "server_error",
    ),
    "bad_schema": vllm_error(400, "The provided JSON schema contains features not supported by xgrammar."),
    "too_large": Answer(413, b"<html><title>413 Request Entity Too Large</title></html>"),
    # Answers that are not a plain text.
    "truncated": Answer(finish="length"),
    "filtered": Answer(finish="content_filter", message={"content": None}),
    "refusal": Answer(message={"content": None, "refusal": "I can't help with that."}),
    "reasoning_only": Answer(message={"content": None, "reasoning_content": "Let me see. It could be"}),
    "empty": Answer(message={"content": ""}),
    "no_content": Answer(message={"content": None}),
}
"""What can be done with a request, by name."""


def _answer(step: Step) -> Answer:
    return ANSWERS[step] if isinstance(step, str) else step


def always(step: Step) -> Plan:
    """The same for every request."""
    return lambda _: _answer(step)


def script(*steps: Step, then: Step = "ok") -> Plan:
    """The first request gets the first step, and so on, whatever they ask."""
    return lambda it: _answer(steps[it.number] if it.number < len(steps) else then)


def each(*steps: Step, then: Step = "ok") -> Plan:
    """The first time that something is asked it gets the first step, the second time the second."""
    return lambda it: _answer(steps[it.attempt] if it.attempt < len(steps) else then)


def where(steps: Mapping[str, Step | Plan], otherwise: Step | Plan = "ok") -> Plan:
    """By what stands in the text; the first key that does decides."""

    def plan(it: Received) -> Answer:
        step = next((step for part, step in steps.items() if part in it.text), otherwise)
        return step(it) if callable(step) else _answer(step)

    return plan


def sometimes(shares: Mapping[str, float], seed: int = 0) -> Plan:
    """Each name with its probability, else a healthy answer.

    Drawn from the seed, what is asked and the attempt: the order in which requests come does not count.
    """

    def plan(it: Received) -> Answer:
        draw = random.Random(f"{seed} {it.digest} {it.attempt}").random()
        for name, share in shares.items():
            if draw < share:
                return ANSWERS[name]
            draw -= share
        return ANSWERS["ok"]

    return plan


def word(received: Received) -> str:
    """The healthy answer's text: one of ``WORDS``, by the digest of what was asked."""
    return WORDS[int(received.digest[:8], 16) % len(WORDS)]


class FaultServer:
    """The server, in a thread of its own while it is started.

    ``requests`` holds every chat request that came whole, ``most_in_flight`` how many at most were being
    answered at once, ``connections`` how many were accepted. These may be set while it runs: ``plan``,
    ``latency``, ``models`` (what ``/v1/models`` answers), ``reset_connections`` (so many new connections are
    reset before a byte is read) and ``lifetime`` (it stops by itself after so many answers). A body over
    ``longest_body`` bytes is refused before it is read.
    """

    def __init__(
        self,
        plan: Plan | Step = "ok",
        *,
        model: str = "stand-in",
        latency: float = 0.0,
        api_key: str | None = None,
        text: Callable[[Received], str] = word,
        longest_body: int | None = None,
        port: int = 0,
    ) -> None:
        self.plan: Plan = plan if callable(plan) else always(plan)
        self.model = model
        self.latency = latency
        self.api_key = api_key
        self.text = text
        self.longest_body = longest_body
        self.port = port
        self.models: Answer | None = None
        self.reset_connections = 0
        self.lifetime: int | None = None
        self.requests: list[Received] = []
        self.in_flight = self.most_in_flight = self.connections = 0
        self._asked: Counter[str] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, with ``/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> FaultServer:
        """Listen and answer; on the port that it had before, where it was started before."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve(ready)), daemon=True
        )
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Reset every connection and stop listening, as a server that is killed does."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()
            self._loop.close()
            self._thread = None

    def __enter__(self) -> FaultServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_for(self, requests: int, seconds: float = 20.0) -> None:
        """Wait until so many chat requests have come."""
        end = time.monotonic() + seconds
        while len(self.requests) < requests:
            assert time.monotonic() < end, f"{len(self.requests)} of {requests} requests came"
            time.sleep(0.002)

    @property
    def answered(self) -> int:
        """How many chat requests were answered to the end."""
        return sum(each.done for each in self.requests)

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._connection, sock=self._listener, limit=1 << 20)
        ready.set()
        await self._ending.wait()
        server.close()
        for writer in list(self._writers):
            _reset(writer)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # asyncio does so itself for sockets that it made; head and body are written apart.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.reset_connections > 0:
            self.reset_connections -= 1
            _reset(writer)
            return
        self._writers.add(writer)
        try:
            while await self._one_request(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        except asyncio.CancelledError:
            pass  # the server ends; asyncio would log a handler that was cancelled
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and answer it; False where the connection ends with it."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        path = first.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if self.longest_body is not None and length > self.longest_body:
            await _send(writer, Answer(413, b"too large", {"Connection": "close"}))
            return False
        body = await reader.readexactly(length)
        if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
            await _send(writer, ANSWERS["wrong_key"])
        elif path == "/v1/chat/completions":
            return await self._chat(headers, body, writer)
        elif path == "/v1/models":
            card = {"id": self.model, "object": "model", "owned_by": "tests", "max_model_len": 4096}
            healthy = Answer(body=_json({"object": "list", "data": [card]}))
            await _send(writer, self.models or healthy)
        elif path == "/health":
            await _send(writer, Answer(body=b"{}"))
        else:
            await _send(writer, Answer(404, _json({"detail": "Not Found"})))
        return True

    async def _chat(self, headers: Mapping[str, str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        digest = hashlib.sha256(body).hexdigest()
        received = Received(
            len(self.requests),
            self._asked[digest],
            headers,
            json.loads(body),
            len(body),
            digest,
            time.monotonic(),
        )
        self._asked[digest] += 1
        self.requests.append(received)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self.plan(received)
            if received.body["model"] != self.model and answer.status == 200:
                answer = ANSWERS["unknown_model"]
            if self.latency or answer.wait:
                await asyncio.sleep(self.latency + answer.wait)
            if answer.hang:
                await asyncio.Event().wait()
            completion = None
            if answer.body is None:
                completion = self._completion(received, answer)
            if completion is not None and received.body.get("stream"):
                going_on = await _send_stream(writer, answer, _events(completion))
            else:
                body = answer.body if completion is None else _json(completion)
                going_on = await _send(writer, replace(answer, body=body))
        finally:
            self.in_flight -= 1
        received.done = answer.cut is None
        if self.lifetime is not None and self.answered >= self.lifetime:
            self._ending.set()
        return going_on

    def _completion(self, received: Received, answer: Answer) -> dict[str, Any]:
        text = self.text(received)
        message = {"role": "assistant", "content": text, **answer.message}
        return {
            "id": f"chatcmpl-{received.digest[:12]}",
            "object": "chat.completion",
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish}],
            "usage": {
                "prompt_tokens": 16 + len(received.text) // 4,
                "completion_tokens": 1 + int(received.digest[8:10], 16) % 16,
            },
        }


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """Send an answer as it says; False where that ended the connection."""
    body = answer.body or b""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
    head = f"HTTP/1.1 {answer.status} -\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
    if answer.cut == "unanswered":
        _reset(writer)
        return False
    if answer.cut is not None:
        writer.write(head.encode()[:24] if answer.cut == "head" else head.encode() + body[: len(body) // 2])
        await _break_off(writer, answer.cut)
        return False
    writer.write(head.encode())
    if answer.pause:
        for start in range(0, len(body), 32):
            writer.write(body[start : start + 32])
            await writer.drain()
            await asyncio.sleep(answer.pause)
    else:
        writer.write(body)
    await writer.drain()
    return fields.get("Connection") != "close"


async def _send_stream(writer: asyncio.StreamWriter, answer: Answer, events: list[bytes]) -> bool:
    """Send events as chunks; a ``short`` stream has an orderly end, without its last events."""
    head = b"HTTP/1.1 200 -\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    if answer.cut in ("unanswered", "head"):
        writer.write(head[:24] if answer.cut == "head" else b"")
        await _break_off(writer, "head")
        return False
    writer.write(head)
    for event in events if answer.cut is None else events[: len(events) // 2]:
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(answer.pause)
    if answer.cut in ("body", "stall"):
        await _break_off(writer, answer.cut)
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _events(completion: dict[str, Any]) -> list[bytes]:
    """A completion as the events of a stream: two characters each, the finish reason, the usage, the end."""
    (choice,) = completion["choices"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name, text in choice["message"].items():
        if name != "role" and text:
            deltas += [{name: text[start : start + 2]} for start in range(0, len(text), 2)]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({"choices": [], "usage": completion["usage"]})
    return [b"data: " + _json(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


async def _break_off(writer: asyncio.StreamWriter, cut: Cut) -> None:
    """End in the middle, after what was written."""
    await writer.drain()
    # What was sent must have left before the reset, which would take it back.
    await asyncio.sleep(0.01)
    if cut == "stall":
        await asyncio.Event().wait()
    if cut != "short":
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an orderly end."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def main() -> None:
    """Serve until standard input closes; the address is the first line printed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", action="append", default=[], metavar="NAME=PROBABILITY")
    options = parser.parse_args()
    shares = {name: float(share) for name, _, share in (each.partition("=") for each in options.share)}
    plan = sometimes(shares, options.seed)
    with FaultServer(plan, model=options.model, latency=options.latency, port=options.port) as server:
        print(server.url, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
