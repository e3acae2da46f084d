"""What came back for one request, and its line in ``output.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

State = Literal["ok", "invalid", "refused", "truncated", "error"]

LINE_FIELDS = frozenset(
    {"key", "state", "permanent", "reason", "reasoning", "finish_reason", "error", "arm", "sample"}
    | {"num_prompt_tokens", "num_generated_tokens", "latency", "model"}
)
"""Fields that a line adds to its row. A row that is itself an output line has them overwritten."""

_KEY = b'{"key":"'
_STATE = b'","state":"'
KEY_HEX = 32
_KEY_END = len(_KEY) + KEY_HEX
_STATE_START = _KEY_END + len(_STATE)
_TEMPORARY = b'error","permanent":false'


@dataclass(frozen=True, slots=True)
class Reply:
    """One generation: the model's text, or what went wrong.

    ``state`` is ``invalid`` here only where the model could not be asked and that is its own fault (a
    prompt over its length); whether text holds an answer is for the scorer. ``permanent`` marks an error
    that asking again would repeat.
    """

    state: State
    text: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    latency: float = 0.0
    permanent: bool = False
    reason: str | None = None
    error: str | None = None


def encode_line(key: str, row: dict[str, Any], reply: Reply, more: dict[str, Any], text_key: str) -> bytes:
    """The line of a generation. Key and state come first, so that a scan need not parse the rest."""
    head = {"key": key, "state": reply.state, "permanent": reply.permanent}
    fields = {name: value for name, value in row.items() if name not in LINE_FIELDS and name != text_key}
    tail: dict[str, Any] = {
        text_key: reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish_reason,
        "reason": reply.reason,
        "error": reply.error,
        **more,
        "num_prompt_tokens": reply.prompt_tokens,
        "num_generated_tokens": reply.generated_tokens,
        "latency": round(reply.latency, 4),
    }
    return orjson.dumps({**head, **fields, **tail}, option=orjson.OPT_APPEND_NEWLINE)


def key_of_line(line: bytes) -> int | None:
    """The first 64 bits of a line's key, or None where the line is not one of ours or needs asking again."""
    if not line.startswith(_KEY) or line.startswith(_TEMPORARY, _STATE_START):
        return None
    try:
        return int(line[len(_KEY) : len(_KEY) + 16], 16)
    except ValueError:
        return None


def is_error_line(line: bytes) -> bool:
    """Whether a line of ours tells of an error."""
    return line.startswith(b'error"', _STATE_START)


def short_key(key: str) -> int:
    """The first 64 bits of a content key: what the index of a log is kept by."""
    return int(key[:16], 16)
