"""vLLM and SGLang servers that evalkit starts: their command lines, GPUs and replicas."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evalkit.config import ServerConfig
from evalkit.errors import UserError
from evalkit.servers.endpoint import Endpoint, connect
from evalkit.servers.launch import Launch, answers, free_port, launched
from evalkit.servers.weights import revision_of

INSTALL = {"vllm": "pip install 'evalkit[vllm]'", "sglang": "pip install 'sglang[all]'"}
OWN_FLAGS = {
    "vllm": ("--host", "--port", "--tensor-parallel-size", "-tp"),
    "sglang": ("--host", "--port", "--model-path", "--tp-size", "--tp"),
}


@dataclass(frozen=True)
class Replica:
    """One server process: its command, what its environment adds, and its port."""

    command: list[str]
    environment: dict[str, str]
    port: int


@contextmanager
def self_hosted(
    kind: str, model: str | None, gpus: int, server_args: str, config: ServerConfig, log_file: Path
) -> Iterator[Endpoint]:
    """Start ``config.replicas`` servers of ``kind`` (vllm or sglang), yield where they answer, end them.

    ``gpus`` are shared out among the replicas, each tensor parallel over its share; 0 gives no flag, for
    a build that runs on CPUs. Raises UserError before anything starts, ServerFailed where one does not
    come up.
    """
    if model is None:
        raise UserError(f"--server_type={kind}: --model is needed: a hub id or a model folder")
    check_model_folder(model)
    replicas = plan(kind, model, gpus, server_args, config.replicas, executable(kind))
    name_there = served_name(replicas[0].command) or model
    launches = []
    for number, replica in enumerate(replicas):
        name = kind if len(replicas) == 1 else f"{kind} {number + 1}"
        own_log = log_file if number == 0 else log_file.with_stem(f"{log_file.stem}-{number + 1}")
        health = f"http://127.0.0.1:{replica.port}/health"
        launches.append(Launch(name, replica.command, partial(answers, health), own_log, replica.environment))
    with launched(launches, config.start_timeout) as ended:
        addresses = ",".join(f"http://127.0.0.1:{each.port}/v1" for each in replicas)
        endpoint = connect(addresses, name_there, kind)
        info = {
            **endpoint.info,
            "command": replicas[0].command,
            "structured_outputs_backend": structured_backend(replicas[0].command),
            "weights": revision_of(model) or f"{model} (revision not told)",
        }
        yield replace(endpoint, revision=revision_of(model), info=info, ended=ended)


def structured_backend(command: Sequence[str]) -> str:
    """The engine that enforces constraints, as far as the command says."""
    said = re.search(r"(?:backend['\"]?\s*[:= ]\s*['\"]?)(\w+)", " ".join(_backend_arguments(command)))
    return said[1] if said else "the server's default"


def _backend_arguments(command: Sequence[str]) -> list[str]:
    flags = ("--structured-outputs-config", "--grammar-backend", "--guided-decoding-backend")
    places = [n for n, each in enumerate(command) if each.startswith(flags)]
    return [f"{command[n]} {command[n + 1] if n + 1 < len(command) else ''}" for n in places]


def plan(
    kind: str, model: str, gpus: int, server_args: str, replicas: int, program: Sequence[str]
) -> list[Replica]:
    """The command lines of the replicas; ports are free ones of this machine. Raises UserError."""
    if gpus % replicas:
        raise UserError(f"--server_gpus={gpus} cannot be shared out among ++server.replicas={replicas}")
    try:
        extra = shlex.split(server_args)
    except ValueError as error:
        raise UserError(f"--server_args={server_args!r}: {error}") from None
    for flag in OWN_FLAGS[kind]:
        if any(each == flag or each.startswith(f"{flag}=") for each in extra):
            raise UserError(f"--server_args: {flag} is evalkit's own (--server_gpus, ++server.replicas)")
    share = gpus // replicas
    found = []
    for number in range(replicas):
        port = free_port()
        command = _command(kind, program, model, port, share) + extra
        found.append(Replica(command, _gpus_of(number, share, replicas, os.environ), port))
    return found


def served_name(command: Sequence[str]) -> str | None:
    """The name that ``--served-model-name`` gives the model, None where it keeps its own."""
    for place, each in enumerate(command):
        flag, equals, value = each.partition("=")
        if flag == "--served-model-name":
            return value if equals else next(iter(command[place + 1 :]), None)
    return None


def _command(kind: str, program: Sequence[str], model: str, port: int, gpus: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    if kind == "vllm":
        return [
            *program,
            "serve",
            model,
            *where,
            *(["--tensor-parallel-size", str(gpus)] if gpus > 1 else []),
        ]
    return [*program, "--model-path", model, *where, *(["--tp-size", str(gpus)] if gpus > 1 else [])]


def _gpus_of(number: int, share: int, replicas: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Which GPUs a replica sees; one replica sees what evalkit sees."""
    if replicas == 1 or not share:
        return {}
    visible = [each for each in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    visible = visible or [str(each) for each in range(share * replicas)]
    if len(visible) < share * replicas:
        raise UserError(
            f"--server_gpus={share * replicas}: CUDA_VISIBLE_DEVICES={','.join(visible)} has {len(visible)}"
        )
    return {"CUDA_VISIBLE_DEVICES": ",".join(visible[number * share : (number + 1) * share])}


def executable(kind: str) -> list[str]:
    """The program that starts a server of ``kind``; UserError with how to install it."""
    from importlib.util import find_spec

    if kind == "vllm":
        if found := shutil.which("vllm"):
            return [found]
    elif find_spec("sglang") is not None:
        import sys

        return [sys.executable, "-m", "sglang.launch_server"]
    raise UserError(
        f"--server_type={kind}: {kind} is not installed here ({INSTALL[kind]}); "
        "or give the --server_address of a server that runs"
    )


def check_model_folder(model: str) -> None:
    """Raise UserError where ``model`` is a path that holds no model; a hub id is taken as it is."""
    path = Path(model)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"--model={model}: is no model folder: it has no config.json")
    elif path.is_absolute() or model.startswith(("./", "../", "~")) or model.count("/") > 1:
        raise UserError(f"--model={model}: there is no such folder")
