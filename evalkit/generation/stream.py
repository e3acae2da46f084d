"""A streamed chat completion put together again, so that it reads like one that came whole."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson
from aiohttp.http_exceptions import HttpProcessingError

_DATA = b"data:"
_DONE = b"[DONE]"


class BrokenStream(Exception):
    """A stream that ended before its end, or that tells an error."""


async def read_stream(content: aiohttp.StreamReader) -> dict[str, Any]:
    """The events of a stream as the answer that would have come whole.

    Raises BrokenStream where it says an error, or ends without a finish reason: half a reply is none.
    """
    try:
        return await _assembled(content)
    except (AttributeError, TypeError) as error:
        raise BrokenStream(f"an event that is none of a chat completion ({error})") from None
    except (ValueError, HttpProcessingError) as error:
        # aiohttp's bound for a line; which of the two is raised depends on its version.
        raise BrokenStream(f"an event that is too long ({' '.join(str(error).split())[:100]})") from None


async def _assembled(content: aiohttp.StreamReader) -> dict[str, Any]:
    text: dict[str, list[str]] = {"content": [], "reasoning": [], "refusal": []}
    finish: str | None = None
    usage: Any = None
    async for line in content:
        data = line.strip().removeprefix(_DATA).strip() if line.startswith(_DATA) else b""
        if data == _DONE:
            break
        if not data:
            continue
        event = _event(data)
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            text["content"].append(delta.get("content") or "")
            text["reasoning"].append(delta.get("reasoning_content") or delta.get("reasoning") or "")
            text["refusal"].append(delta.get("refusal") or "")
            finish = choice.get("finish_reason") or finish
    if finish is None:
        raise BrokenStream("the stream ended before its end")
    message = {key: "".join(pieces) for key, pieces in text.items()}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BrokenStream(f"an event that is not JSON ({error})") from None
    if not isinstance(event, dict):
        raise BrokenStream("an event that is not a JSON object")
    if "error" in event:
        raise BrokenStream(f"an error in the stream: {str(event['error'])[:300]}")
    return event
