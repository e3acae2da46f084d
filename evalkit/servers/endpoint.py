"""A server that answers: its address, the model it serves, and what is to be done to images for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from evalkit.errors import RunError, UserError
from evalkit.images import EncodedImage
from evalkit.servers.http import API_KEY_VARIABLES, api_key, fetch, without_login

LOG = logging.getLogger(__name__)

HEALTH_SECONDS = 15.0
ASK_SECONDS = 120.0


@dataclass(frozen=True)
class Endpoint:
    """Where requests go. ``url`` ends in ``/v1``; ``revision`` names the weights where it is known.

    ``urls`` are all addresses among which requests are balanced, where there are several.

    ``transform`` (known as ``transform_name``) makes an image one that the model takes; ``window`` is a
    ceiling for requests in flight; ``info`` is for ``run.yaml``. ``ended`` tells why a server that evalkit
    started ended by itself, None while it runs.
    """

    url: str
    model: str
    server_type: str
    revision: str = ""
    urls: tuple[str, ...] = ()
    transform: Callable[[EncodedImage], EncodedImage] | None = None
    transform_name: str = ""
    window: int | None = None
    info: dict[str, Any] = field(default_factory=dict)
    ended: Callable[[], str | None] = lambda: None


class NoList(RunError):
    """A server that has no list of models."""


def base_url(address: str) -> str:
    """The address with its ``/v1``; raises UserError where it is not one."""
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unfinished [IPv6 address], a port that is no number
        good = False
    if not good or any(each.isspace() for each in parts.netloc):
        raise UserError(f"--server_address={address}: must be a URL such as http://127.0.0.1:8000/v1")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))


def connect(addresses: str, model: str | None, server_type: str) -> Endpoint:
    """Find out what running servers serve; ``addresses`` are URLs with commas between.

    One that does not answer is left to the run, as long as another does. Raises RunError where none is
    there, UserError where one does not serve ``model``.
    """
    urls = tuple(base_url(each.strip()) for each in addresses.split(",") if each.strip())
    if not urls:
        raise UserError(f"--server_address={addresses}: must be a URL such as http://127.0.0.1:8000/v1")
    if api_key():
        # A login in the URL and the key would go into the same header.
        urls = tuple(map(without_login, urls))
    found: list[Endpoint] = []
    problems: list[RunError] = []
    for url in urls:
        try:
            found.append(_connect(url, model, server_type))
        except RunError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    for problem in problems:
        LOG.warning("%s", problem)
    if len({each.model for each in found}) > 1:
        raise UserError(f"--model is needed: the servers serve {', '.join(each.model for each in found)}")
    first = found[0]
    shown = ",".join(map(without_login, urls))
    return replace(first, url=urls[0], urls=urls, info={**first.info, "address": shown})


def _connect(url: str, model: str | None, server_type: str) -> Endpoint:
    shown = without_login(url)
    try:
        served = _get(f"{url}/models", shown)
    except NoList:
        if server_type != "openai" or model is None:
            raise
        # Some hosted APIs have no list of models.
        return Endpoint(url, model, server_type, info={"address": shown, "server_type": server_type})
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
    found = version.get("version") if isinstance(version, dict) else None
    return found if isinstance(found, str) else None


def _get(url: str, shown: str) -> Any:
    try:
        answer = fetch(url, timeout=HEALTH_SECONDS)
    except RunError as error:
        reason = str(error).rpartition(": ")[2]
        raise RunError(
            f"{shown}: no server answers there ({reason}); start it, or mend --server_address"
        ) from None
    if answer.status in (404, 405, 501):
        raise NoList(f"{shown}: HTTP {answer.status} for its models: is this an OpenAI-compatible server?")
    if answer.status != 200:
        hint = f"; set {API_KEY_VARIABLES[0]}" if answer.status in (401, 403) else ""
        raise RunError(f"{shown}: HTTP {answer.status} for {url.rpartition('/')[2]}{hint}")
    return answer.json()


def ask(
    endpoint: Endpoint, text: str, images: Sequence[str] = (), **parameters: Any
) -> tuple[int, dict[str, Any]]:
    """One chat request, outside a run: the status and the answer's JSON.

    ``images`` are data URLs. Raises RunError where nothing answers.
    """
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": each}} for each in images]
    content: Any = [*parts, {"type": "text", "text": text}] if images else text
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": content}], "temperature": 0}
    answer = fetch(f"{endpoint.url}/chat/completions", {**body, **parameters}, timeout=ASK_SECONDS)
    return answer.status, answer.json()
