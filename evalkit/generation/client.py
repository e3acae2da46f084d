"""The client of an OpenAI-compatible chat server: one request, its retries, and what errors mean."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import aiohttp
import orjson
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from evalkit.config import RetryConfig
from evalkit.errors import RunError
from evalkit.generation.reply import Reply, State

Worth = Literal["retry", "permanent", "fatal"]

_TOO_LONG = re.compile(
    r"maximum context length|context_length_exceeded|exceed_context_size|longer than the maximum"
    r"|exceeds? the available context|prompt is too long|maximum model length"
    # vLLM since 0.16, and together with OpenAI's own words.
    r"|context length is only|longer than the model's context|exceeds the context window",
    re.IGNORECASE,
)
_ANSWER_TOO_LONG = re.compile(
    r"max_(?:completion_)?tokens'? is too large|cannot be greater than max_model_len", re.IGNORECASE
)
_BAD_MEDIA = re.compile(r"(?:image|media|multimodal|base64|aspect ratio|local-media-path)", re.IGNORECASE)


class LostServer(RunError):
    """No request could be answered for longer than ``retry.lost_server`` allows."""


class FatalAnswer(RunError):
    """An answer that every other request would get too: wrong key, unknown model."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with one attempt, and whether another one is worth it."""

    worth: Worth
    reason: str
    message: str
    retry_after: float | None = None


def classify(status: int, body: str, retry_after: str | None = None) -> Fault:
    """What an HTTP error of a model server means.

    400 and its kin repeat themselves and are never asked again; among them a prompt over the model's
    length and an image that the server cannot read are told apart, since they are counted differently.
    An answer that was allowed to be longer than the model is the setting's fault, not the prompt's. 401, 403
    and 404 would come for every row. 429 and 5xx are worth a retry, but for a 500 of the model server's own
    that names the media (vLLM answers so where an image URL cannot be reached).
    """
    message = _error_message(body)
    told = f"HTTP {status}: {message}"
    if status in (401, 403, 404):
        return Fault("fatal", "refused_by_server", told)
    if status in (408, 429):
        return Fault("retry", "overloaded", told, _seconds(retry_after))
    if status == 413:
        return Fault("permanent", "bad_image", told)
    if status >= 500:
        # A proxy's error page is full of images and media queries that say nothing about the row's.
        if status == 500 and body.lstrip().startswith("{") and _BAD_MEDIA.search(message):
            return Fault("permanent", "bad_image", told)
        return Fault("retry", "server_error", told, _seconds(retry_after))
    if _ANSWER_TOO_LONG.search(body):
        return Fault("permanent", "bad_request", told)
    if _TOO_LONG.search(body):
        return Fault("permanent", "prompt_too_long", told)
    if _BAD_MEDIA.search(message):
        return Fault("permanent", "bad_image", told)
    return Fault("permanent", "bad_request", told)


def _error_message(body: str) -> str:
    """The message of an error body; servers write ``{"error": {"message"}}``, ``{"error": "…"}`` or text."""
    try:
        found: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = body
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    text = found if isinstance(found, str) else orjson.dumps(found).decode()
    return " ".join(text.split())[:500] or "(no message)"


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None  # an HTTP date; our own back-off is as good


class SplicedBody(payload.Payload):
    """A body in pieces, with a known length, written without joining them first."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        """Take the pieces as they are."""
        super().__init__(pieces, content_type="application/json")
        self._pieces = pieces
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole body as text."""
        return b"".join(self._pieces).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the pieces; small neighbours go together, large ones alone."""
        small: list[bytes] = []
        for piece in self._pieces:
            if len(piece) < 1 << 14:
                small.append(piece)
                continue
            if small:
                await writer.write(b"".join(small))
                small.clear()
            await writer.write(piece)
        if small:
            await writer.write(b"".join(small))


class ChatClient:
    """Sends bodies to a server's chat completions and turns what comes back into replies.

    It retries what is worth it, with jittered exponential back-off, heeding Retry-After. Raises
    FatalAnswer and LostServer, which end the run; everything else becomes a Reply.
    """

    def __init__(self, base_url: str, retry: RetryConfig, timeout: float, api_key: str | None = None) -> None:
        """``base_url`` ends in ``/v1``; ``timeout`` is seconds for one attempt."""
        self._url = f"{base_url}/chat/completions"
        self._retry = retry
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=30)
        self._key = api_key
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._unreachable_since: float | None = None
        self.retries = 0

    async def __aenter__(self) -> ChatClient:
        """Open the session; must be called in the loop that sends."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=self._timeout,
            headers=self._headers,
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        await self._session.close()

    async def complete(self, body: Sequence[bytes]) -> Reply:
        """Ask once, and again where that is worth it.

        A server that cannot be reached does not use up the attempts: the run waits for it to come back.
        """
        wait = self._retry.first_wait
        attempts = 0
        while True:
            started = time.monotonic()
            outcome = await self._attempt(body)
            if isinstance(outcome, Reply):
                return outcome
            if outcome.worth == "fatal":
                raise FatalAnswer(outcome.message)
            attempts += outcome.reason != "unreachable"
            if outcome.worth == "permanent" or attempts >= self._retry.attempts:
                return _failed(outcome, time.monotonic() - started)
            self.retries += 1
            pause = random.uniform(0.5, 1.0) * wait
            if outcome.reason == "unreachable":
                # A long pause must not hide that the server is lost by then.
                pause = min(pause, self._seconds_until_lost(outcome))
            await asyncio.sleep(max(pause, min(outcome.retry_after or 0.0, self._retry.longest_wait)))
            wait = min(2 * wait, self._retry.longest_wait)

    def _seconds_until_lost(self, fault: Fault) -> float:
        """How long the server may still stay out of reach. Raises LostServer where it did for too long.

        Only the time without a connection counts: answers may take longer than that by themselves.
        """
        now = time.monotonic()
        if self._unreachable_since is None:
            self._unreachable_since = now
        silent = now - self._unreachable_since
        if silent >= self._retry.lost_server:
            raise LostServer(
                f"the server has not answered for {silent:.0f} s ({fault.message}); what came back is saved, "
                "and the same command goes on from there"
            )
        return self._retry.lost_server - silent

    async def _attempt(self, body: Sequence[bytes]) -> Reply | Fault:
        started = time.monotonic()
        try:
            async with self._session.post(self._url, data=SplicedBody(body), allow_redirects=False) as answer:
                raw = await answer.read()
                status = answer.status
                retry_after = answer.headers.get("Retry-After")
        except aiohttp.ConnectionTimeoutError:
            return Fault("retry", "unreachable", f"no connection within {self._timeout.sock_connect:g} s")
        except asyncio.TimeoutError:
            return Fault("retry", "timeout", f"no whole answer within {self._timeout.total:g} s")
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            return Fault("retry", "unreachable", f"{type(error).__name__}: {error}")
        except (aiohttp.ClientError, OSError) as error:
            return Fault("retry", "connection_lost", f"{type(error).__name__}: {error}")
        self._unreachable_since = None
        if status != 200:
            return classify(status, self._without_key(raw.decode("utf-8", "replace")), retry_after)
        return parse_answer(raw, time.monotonic() - started)

    def _without_key(self, text: str) -> str:
        """An error's text without our key: some servers tell the wrong key back, and errors are stored."""
        return text.replace(self._key, "(hidden)") if self._key else text


def _failed(fault: Fault, latency: float) -> Reply:
    """The reply that stands for a fault: a prompt over the model's length is the model's miss."""
    permanent = fault.worth == "permanent"
    state: State = "invalid" if fault.reason == "prompt_too_long" else "error"
    return Reply(state, latency=latency, permanent=permanent, reason=fault.reason, error=fault.message)


def parse_answer(raw: bytes, latency: float) -> Reply | Fault:
    """A chat completion's JSON as a reply; what is not one is a fault worth a retry."""
    try:
        answer = orjson.loads(raw)
        choice = answer["choices"][0]
        message = choice["message"]
        usage = answer.get("usage")
        text = message.get("content")
        finish = choice.get("finish_reason")
        refusal = message.get("refusal")
        reasoning = message.get("reasoning_content") or message.get("reasoning")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        return Fault("retry", "broken_answer", f"HTTP 200 that is no chat completion ({error!r})")
    if finish in ("abort", "error"):
        return Fault("retry", "broken_answer", f"HTTP 200 with finish_reason {finish!r}: the server gave up")
    if text is not None and not isinstance(text, str):
        return Fault("retry", "broken_answer", "HTTP 200 whose content is not text")
    refused = bool(refusal) or finish == "content_filter"
    return Reply(
        "refused" if refused else "truncated" if finish == "length" else "ok",
        text=text or (refusal if isinstance(refusal, str) else ""),
        reasoning=reasoning if isinstance(reasoning, str) else None,
        finish_reason=finish if isinstance(finish, str) else None,
        prompt_tokens=_tokens(usage, "prompt_tokens"),
        generated_tokens=_tokens(usage, "completion_tokens"),
        latency=latency,
        reason="refused" if refused else None,
    )


def _tokens(usage: Any, name: str) -> int | None:
    """A count of tokens, where the server tells one; an answer is not refused for lack of it."""
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None
