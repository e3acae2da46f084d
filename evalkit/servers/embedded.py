"""The embedded server: llama.cpp through its wheel, in a process that evalkit starts, checks and stops.

Without ``--model`` it serves nano, the small demonstration model that evalkit ships.
"""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.config import ServerConfig
from evalkit.errors import RunError, UserError
from evalkit.images import squared
from evalkit.servers.endpoint import Endpoint

NANO = "nano"
NANO_FOLDER = Path(__file__).parent / "nano"
LOG_TAIL = 15


@contextmanager
def embedded_server(model: str | None, config: ServerConfig, log_file: Path) -> Iterator[Endpoint]:
    """Start the server, yield where it answers, and stop it whatever happens.

    ``model`` is ``nano`` or a GGUF file; ``log_file`` takes what the server prints. The server ends by
    itself when this process dies, however it dies: it watches the pipe between them.
    """
    weights, mmproj = _weights(model, config)
    try:
        import xllamacpp  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the embedded server needs the package xllamacpp (pip install xllamacpp): {error}"
        ) from None
    log_file.parent.mkdir(parents=True, exist_ok=True)
    threads = config.threads or len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "evalkit.servers.llama_process", "--model", str(weights)]
    command += ["--mmproj", str(mmproj)] if mmproj else []
    command += ["--slots", str(config.slots), "--context", str(config.context), "--threads", str(threads)]
    with log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # A session of its own: Ctrl-C is for evalkit, which lets requests in flight finish first.
            start_new_session=True,
        )
    try:
        yield _endpoint(_wait_until_ready(process, config.start_timeout, log_file), weights, mmproj, config)
    finally:
        _stop(process)


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


def _wait_until_ready(process: subprocess.Popen[bytes], limit: float, log_file: Path) -> str:
    """The address that the server prints once it answers."""
    assert process.stdout is not None
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        readable, _, _ = select.select([process.stdout], [], [], 0.5)
        if readable:
            line = process.stdout.readline().decode().strip()
            if line.startswith("http"):
                return f"{line}/v1"
            if not line:
                break
    late = time.monotonic() >= deadline
    what = f"is not ready after {limit:g} s (++server.start_timeout)" if late else "ended before it was ready"
    raise RunError(f"the embedded server {what}; the end of {log_file}:\n{_tail(log_file)}")


def _tail(log_file: Path) -> str:
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-LOG_TAIL:]) or "  (nothing)"


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


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
