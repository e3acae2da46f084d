"""``evalkit doctor``: what a server is, what it takes, and whether its constraints constrain."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import pybase64

from evalkit.errors import RunError
from evalkit.servers.canary import CANARIES, sing, sing_with
from evalkit.servers.endpoint import HEALTH_SECONDS, Endpoint, ask
from evalkit.servers.http import fetch
from evalkit.structured.constraint import KINDS

Verdict = Literal["ok", "FAIL", "–"]

MOST_IMAGES = 8
CLOCK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table. ``–`` is told for information alone."""

    what: str
    verdict: Verdict
    detail: str


def examine(endpoint: Endpoint) -> Iterator[Finding]:
    """Look at a server that ``connect`` reached; each finding as it is made."""
    info = endpoint.info
    about = f"{info.get('server_type')} {info.get('server_version', '(version not told)')}"
    yield Finding("server", "ok", f"{about} at {info.get('address', endpoint.url)}")
    yield Finding("model", "ok", f"{endpoint.model}, length {info.get('max_model_len', 'not told')}")
    yield from _plain(endpoint)
    yield _images(endpoint)
    for kind in KINDS:
        sung = sing(endpoint, kind)
        verdict: Verdict = "–" if sung.enforced is None else "ok" if sung.enforced else "FAIL"
        yield Finding(f"constraint {kind}", verdict, sung.detail)
    yield _old_names(endpoint)
    yield _clock(endpoint)


def _plain(endpoint: Endpoint) -> Iterator[Finding]:
    started = time.monotonic()
    status, answer = ask(endpoint, "Say hello.", max_tokens=16)
    seconds = time.monotonic() - started
    if status != 200:
        yield Finding("text", "FAIL", f"HTTP {status}: {str(answer)[:200]}")
        return
    message = _message(answer)
    yield Finding("text", "ok", f"replied in {seconds:.2f} s: {str(message.get('content'))[:50]!r}")
    usage = answer.get("usage") or {}
    told = ", ".join(f"{key} {value}" for key, value in usage.items() if isinstance(value, int))
    yield Finding("usage", "ok" if usage.get("completion_tokens") is not None else "FAIL", told or "not told")
    field = next((name for name in ("reasoning", "reasoning_content") if message.get(name)), None)
    empty = field is not None and not message.get("content")
    detail = (
        f"in {field!r}, and content is empty" if empty else f"in {field!r}" if field else "none in the reply"
    )
    yield Finding("reasoning field", "–", detail)


def _images(endpoint: Endpoint) -> Finding:
    """How many images one request may hold, up to eight."""
    taken, why = 0, ""
    for count in range(1, MOST_IMAGES + 1):
        status, answer = ask(endpoint, "What is this?", [_picture(n) for n in range(count)], max_tokens=4)
        if status != 200:
            why = f"; {count}: HTTP {status}: {_error(answer)[:120]}"
            break
        taken = count
    more = " or more" if taken == MOST_IMAGES else ""
    return Finding("images", "ok" if taken else "FAIL", f"{taken}{more} in a request{why}")


def _old_names(endpoint: Endpoint) -> Finding:
    """Whether parameters of old vLLM versions are ignored in silence."""
    value, obeys = CANARIES["choice"]
    sung = sing_with(endpoint, "choice", {"guided_choice": value}, obeys)
    detail = "obeyed" if sung.enforced else f"not obeyed: {sung.detail}"
    return Finding("old name guided_choice", "–", detail)


def _clock(endpoint: Endpoint) -> Finding:
    date = fetch(f"{endpoint.url}/models", timeout=HEALTH_SECONDS).headers.get("date")
    if date is None:
        return Finding("clock", "–", "the server does not tell the time")
    skew = parsedate_to_datetime(date).timestamp() - time.time()
    good = abs(skew) < CLOCK_SECONDS
    return Finding("clock", "ok" if good else "–", f"{skew:+.0f} s from this machine's")


def _picture(number: int) -> str:
    """A small picture as a data URL; each number its own, so that no cache answers for it."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64), (32 * number % 256, 64, 128)).save(stream, "PNG")
    return f"data:image/png;base64,{pybase64.b64encode_as_string(stream.getvalue())}"


def _message(answer: dict[str, Any]) -> dict[str, Any]:
    try:
        message = answer["choices"][0]["message"]
    except (LookupError, TypeError):
        raise RunError("the answer is no chat completion; is this an OpenAI-compatible server?") from None
    return message if isinstance(message, dict) else {}


def _error(answer: dict[str, Any]) -> str:
    found: Any = answer.get("error", answer)
    return str(found.get("message", found) if isinstance(found, dict) else found)
