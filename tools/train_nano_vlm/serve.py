"""Serves the exported files by llama.cpp in this process: python -m tools.train_nano_vlm.serve FOLDER."""

from __future__ import annotations

import argparse
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import xllamacpp


@dataclass(frozen=True)
class Settings:
    """What decides speed and memory."""

    slots: int = 4  # requests computed together
    context: int = 256  # tokens a slot; the longest prompt here has 64 image tokens and about 80 of text
    threads: int = 1  # beside other work a second one costs more by spinning than it computes
    poll: int = 50  # 0..100, how eagerly idle threads spin: llama.cpp's own default
    cache_mib: int = 0  # of prompts that left their slot; no image prompt comes back often enough


def start(folder: Path, port: int, settings: Settings) -> xllamacpp.Server:
    """Start the server; it answers once this returns."""
    params = xllamacpp.CommonParams()
    params.model.path = str(folder / "nano.gguf")
    params.mmproj.path = str(folder / "nano-mmproj.gguf")
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = settings.slots
    params.n_ctx = settings.context * settings.slots
    params.cache_ram_mib = settings.cache_mib
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = settings.threads
        pool.poll = settings.poll
    return xllamacpp.Server(params)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8089)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    values = vars(parser.parse_args())
    server = start(values.pop("folder"), values.pop("port"), Settings(**values))
    print(server.listening_address, "pid", os.getpid(), flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
