"""A server that answers: its address, the model it serves, and what is to be done to images for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson

from evalkit.errors import RunError, UserError
from evalkit.images import EncodedImage

API_KEY_VARIABLES = ("EVALKIT_API_KEY", "OPENAI_API_KEY")
HEALTH_SECONDS = 15.0


@dataclass(frozen=True)
class Endpoint:
    """Where requests go. ``url`` ends in ``/v1``; ``revision`` names the weights where it is known.

    ``transform`` (known as ``transform_name``) makes an image one that the model takes; ``window`` is a
    ceiling for requests in flight; ``info`` is for ``run.yaml``.
    """

    url: str
    model: str
    server_type: str
    revision: str = ""
    transform: Callable[[EncodedImage], EncodedImage] | None = None
    transform_name: str = ""
    window: int | None = None
    info: dict[str, Any] = field(default_factory=dict)


def api_key() -> str | None:
    """The key for the server, from the environment alone."""
    return next((value for name in API_KEY_VARIABLES if (value := os.environ.get(name))), None)


def base_url(address: str) -> str:
    """The address with its ``/v1``; raises UserError where it is not one."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"--server_address={address}: must be a URL such as http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))


def without_login(url: str) -> str:
    """The URL without a user's name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def connect(address: str, model: str | None, server_type: str) -> Endpoint:
    """Find out what a running server serves. Raises RunError where it is not there, UserError where it
    does not serve ``model``."""
    url = base_url(address)
    shown = without_login(url)
    served = _get(f"{url}/models", shown)
    try:
        cards = {each["id"]: each for each in served["data"]}
    except (TypeError, KeyError):
        raise RunError(
            f"{shown}/models: the answer is not a list of models; is this an OpenAI-compatible server?"
        ) from None
    if model is None:
        if len(cards) != 1:
            raise UserError(f"--model is needed: {shown} serves {', '.join(cards) or 'no model'}")
        (model,) = cards
    elif model not in cards:
        raise UserError(f"--model={model}: {shown} serves {', '.join(cards) or 'no model'}")
    card = cards[model]
    info: dict[str, Any] = {"address": shown, "server_type": server_type}
    for key in ("max_model_len", "root", "owned_by"):
        if card.get(key) is not None:
            info[key] = card[key]
    if server_type == "vllm" and (version := _version(url)):
        info["server_version"] = version
    return Endpoint(url, model, server_type, info=info)


def _version(url: str) -> str | None:
    try:
        version = _get(f"{url.removesuffix('/v1')}/version", url)
    except RunError:
        return None
    return str(version.get("version")) if isinstance(version, dict) else None


def _get(url: str, shown: str) -> Any:
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    headers = {"Authorization": f"Bearer {key}"} if (key := api_key()) else {}
    try:
        # The address is the user's own, checked to be http(s); proxies of the environment are not for it.
        request = Request(url, headers=headers)  # noqa: S310
        with build_opener(ProxyHandler({})).open(request, timeout=HEALTH_SECONDS) as answer:
            return orjson.loads(answer.read(1 << 24))
    except HTTPError as error:
        hint = f"; set {API_KEY_VARIABLES[0]}" if error.code in (401, 403) else ""
        raise RunError(f"{shown}: HTTP {error.code} for {url.rpartition('/')[2]}{hint}") from None
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise RunError(
            f"{shown}: no server answers there ({reason}); start it, or mend --server_address"
        ) from None
    except orjson.JSONDecodeError:
        raise RunError(f"{shown}: what answers there is not an OpenAI-compatible server") from None
