"""What went wrong with one attempt at a request, and whether another is worth it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import orjson

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
    if status in (408, 429, 503):
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
