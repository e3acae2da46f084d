"""Which server a run asks: one that runs already, or one that is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evalkit.config import ServerConfig
from evalkit.errors import UserError
from evalkit.servers.endpoint import Endpoint, base_url, connect
from evalkit.servers.http import API_KEY_VARIABLES, api_key

SERVER_TYPES = ("embedded", "vllm", "sglang", "openai")


@dataclass(frozen=True)
class Server:
    """One that runs at ``address``, or one of ``kind`` that is started, with ``gpus`` and ``args``."""

    kind: str
    address: str | None = None
    model: str | None = None
    gpus: int = 0
    args: str = ""

    @classmethod
    def of(
        cls, kind: str | None, address: str | None, model: str | None, gpus: int = 0, args: str = ""
    ) -> Server:
        """What the flags mean: without type and address the embedded server. Raises UserError."""
        if kind is None:
            kind = "vllm" if address else "embedded"
        if kind not in SERVER_TYPES:
            raise UserError(f"--server_type={kind}: must be one of {', '.join(SERVER_TYPES)}")
        if kind == "embedded" and address:
            raise UserError("--server_type=embedded starts its own server; leave out --server_address")
        if kind == "openai" and not address:
            raise UserError("--server_type=openai: give the --server_address: https://openrouter.ai/api/v1")
        if kind == "openai" and api_key() is None:
            raise UserError(f"--server_type=openai: set {' or '.join(API_KEY_VARIABLES)} to the server's key")
        for each in address.split(",") if address else ():
            base_url(each.strip())
        return cls(kind, address, model, gpus, args)

    @contextmanager
    def running(self, config: ServerConfig, log_file: Path) -> Iterator[Endpoint]:
        """The server, started where it has to be; what was started ends with this."""
        if self.address is not None:
            yield connect(self.address, self.model, self.kind)
        elif self.kind == "embedded":
            from evalkit.servers.embedded import embedded_server

            with embedded_server(self.model, config, log_file) as endpoint:
                yield endpoint
        else:
            from evalkit.servers.self_hosted import self_hosted

            with self_hosted(self.kind, self.model, self.gpus, self.args, config, log_file) as endpoint:
                yield endpoint

    def described(self, config: ServerConfig) -> Endpoint:
        """The endpoint as it would be, for a dry run; nothing is started or asked."""
        if self.kind == "embedded":
            from evalkit.servers.embedded import describe

            return describe(self.model, config)
        model = self.model or "(the server's only model)"
        if self.address is not None:
            return Endpoint(base_url(self.address.split(",")[0]), model, self.kind)
        from evalkit.servers.self_hosted import executable, plan, served_name

        (first, *_) = plan(self.kind, model, self.gpus, self.args, config.replicas, executable(self.kind))
        name = served_name(first.command) or model
        return Endpoint(f"http://127.0.0.1:{first.port}/v1", name, self.kind, info={"command": first.command})
