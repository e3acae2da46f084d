"""The client of hosted APIs (OpenAI, OpenRouter, Azure and their kin), through the ``openai`` package."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import orjson

from evalkit.generation.client import ChatClient, Sent
from evalkit.generation.faults import Fault


class HostedClient(ChatClient):
    """Sends through the ``openai`` package; retries, back-off and what errors mean are the same as ever."""

    async def __aenter__(self) -> HostedClient:
        """Open a client for each address."""
        from openai import AsyncOpenAI

        self._clients = {
            each.url: AsyncOpenAI(
                base_url=each.url.removesuffix("/chat/completions"),
                api_key=self._key,
                # Ours are the retries: the package's would hide a rate limit from the window.
                max_retries=0,
                timeout=self._patience,
            )
            for each in self._addresses
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the clients."""
        for client in self._clients.values():
            await client.close()

    async def _send(self, url: str, body: Sequence[bytes]) -> Sent | Fault:
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        fields: dict[str, Any] = orjson.loads(b"".join(body))
        completions = self._clients[url].chat.completions.with_raw_response
        try:
            answer = await completions.create(
                model=fields.pop("model"), messages=fields.pop("messages"), extra_body=fields
            )
        except APIStatusError as error:
            return Sent(error.status_code, error.response.content, error.response.headers.get("Retry-After"))
        except APITimeoutError:
            return Fault("retry", "timeout", f"no answer within {self._patience:g} s")
        except APIConnectionError as error:
            # A connection that was made and broke uses up an attempt; one that was never made does not. The
            # name tells them apart: the package has changed the library that its errors come from.
            never_made = type(error.__cause__).__name__ == "ConnectError"
            reason = "unreachable" if never_made else "connection_lost"
            return Fault("retry", reason, f"{type(error).__name__}: {error.__cause__ or error}")
        return Sent(200, answer.content, None)
