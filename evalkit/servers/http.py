"""Single HTTP requests to model servers, outside a run: health, model lists, canaries."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from evalkit.errors import RunError

API_KEY_VARIABLES = ("EVALKIT_API_KEY", "OPENAI_API_KEY")
MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status; names of headers in small letters."""

    status: int
    headers: Mapping[str, str]
    data: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; text that is none stands under ``error``."""
        try:
            found = orjson.loads(self.data)
        except orjson.JSONDecodeError:
            found = {"error": self.data[:500].decode("utf-8", "replace")}
        return found if isinstance(found, dict) else {"error": str(found)}


def api_key() -> str | None:
    """The key for the server, from the environment alone."""
    return next((value for name in API_KEY_VARIABLES if (value := os.environ.get(name))), None)


def without_login(url: str) -> str:
    """The URL without a user's name and password. Not parsed: a broken one is to hide them too."""
    return re.sub(r"(://)[^/?#]*@", r"\1", url)


def fetch(url: str, body: Mapping[str, Any] | None = None, *, timeout: float) -> Answer:
    """GET a URL, or POST ``body`` as JSON. Raises RunError where nothing answers in ``timeout`` seconds."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    headers = {} if body is None else {"Content-Type": "application/json"}
    headers |= _login(url)
    if key := api_key():
        headers["Authorization"] = f"Bearer {key}"
    # The address is the user's own, checked to be http(s); proxies of the environment are not for it.
    request = Request(without_login(url), None if body is None else orjson.dumps(body), headers)  # noqa: S310
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as answer:
            return Answer(answer.status, _small(answer.headers), answer.read(MOST_BYTES))
    except HTTPError as error:
        return Answer(error.code, _small(error.headers), error.read(MOST_BYTES))
    except (URLError, OSError, ValueError) as error:
        raise RunError(f"{without_login(url)}: {getattr(error, 'reason', error)}") from None
    except HTTPException as error:
        raise RunError(f"{without_login(url)}: it speaks no HTTP ({error!r})") from None


def _login(url: str) -> dict[str, str]:
    """The header for a user's name and password in a URL; urllib does not make it."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def _small(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
