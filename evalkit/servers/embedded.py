"""The embedded server: llama.cpp through its wheel, in a process that evalkit starts, checks and stops.

Without ``--model`` it serves nano, the small demonstration model that evalkit ships.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from evalkit.config import ServerConfig
from evalkit.errors import UserError
from evalkit.images import squared
from evalkit.servers.endpoint import Endpoint
from evalkit.servers.launch import Launch, answers, free_port, launched

NANO = "nano"
NANO_FOLDER = Path(__file__).parent / "nano"


@contextmanager
def embedded_server(model: str | None, config: ServerConfig, log_file: Path) -> Iterator[Endpoint]:
    """Start the server, yield where it answers, and stop it whatever happens.

    ``model`` is ``nano`` or a GGUF file; ``log_file`` takes what the server prints.
    """
    weights, mmproj = _weights(model, config)
    if find_spec("xllamacpp") is None:
        raise UserError("the embedded server needs the package xllamacpp: pip install xllamacpp")
    port = free_port()
    # Its threads spin while they wait for one another: one core is left to everything else.
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) - 1)
    command = [sys.executable, "-m", "evalkit.servers.llama_process", "--model", str(weights)]
    command += ["--mmproj", str(mmproj)] if mmproj else []
    command += ["--port", str(port), "--slots", str(config.slots)]
    command += ["--context", str(config.context), "--threads", str(threads)]
    health = f"http://127.0.0.1:{port}/health"
    launch = Launch("the embedded server", command, lambda: answers(health), log_file)
    with launched([launch], config.start_timeout) as ended:
        yield replace(_endpoint(f"http://127.0.0.1:{port}/v1", weights, mmproj, config), ended=ended)


def describe(model: str | None, config: ServerConfig) -> Endpoint:
    """The endpoint as it would be, without starting it."""
    weights, mmproj = _weights(model, config)
    return _endpoint("http://127.0.0.1:(a free port)/v1", weights, mmproj, config)


def _endpoint(url: str, weights: Path, mmproj: Path | None, config: ServerConfig) -> Endpoint:
    name = NANO if weights.parent == NANO_FOLDER else weights.stem
    digest = _digest(weights, mmproj)
    return Endpoint(
        url=url,
        model=name,
        server_type="embedded",
        revision=digest,
        transform=squared,
        transform_name="squared-1",
        window=2 * config.slots,
        info={
            "server_type": "embedded",
            "weights": name if weights.parent == NANO_FOLDER else str(weights),
            "weights_sha256": digest,
            "server_version": f"xllamacpp {_version()}",
            "max_model_len": config.context,
            "slots": config.slots,
        },
    )


def _weights(model: str | None, config: ServerConfig) -> tuple[Path, Path | None]:
    if model in (None, NANO):
        return NANO_FOLDER / "nano.gguf", NANO_FOLDER / "nano-mmproj.gguf"
    assert model is not None
    weights = Path(model)
    if weights.suffix != ".gguf":
        raise UserError(
            f"--model={model}: the embedded server serves '{NANO}' or a .gguf file; "
            "for other models give --server_address"
        )
    mmproj = Path(config.mmproj) if config.mmproj else None
    for flag, path in (("--model", weights), ("++server.mmproj", mmproj)):
        if path is not None:
            _check_gguf(flag, path)
    return weights.resolve(), mmproj


def _check_gguf(flag: str, path: Path) -> None:
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise UserError(f"{flag}={path}: {error.strerror or error}") from None
    if magic != b"GGUF":
        raise UserError(f"{flag}={path}: is not a GGUF file")


def _digest(*files: Path | None) -> str:
    digest = hashlib.sha256()
    for path in files:
        if path is not None:
            with path.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    digest.update(piece)
    return digest.hexdigest()


def _version() -> str:
    from importlib.metadata import version

    return version("xllamacpp")
