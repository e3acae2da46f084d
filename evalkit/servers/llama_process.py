"""The embedded server's own process: llama.cpp's server, serving a GGUF model until it is ended."""

from __future__ import annotations

import argparse
import threading

import xllamacpp


def main() -> None:
    """Serve on loopback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--mmproj", default="")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    if options.mmproj:
        parameters.mmproj.path = options.mmproj
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.slots * options.context
    # Each slot has its own share of the context: a long reply in one cannot starve another.
    parameters.kv_unified = False
    # Warnings and errors: a line for every request would fill the disk in a long run.
    parameters.verbosity = 2
    # No second cache of prompts in main memory: its default may grow to gigabytes.
    parameters.cache_ram_mib = 0
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    server = xllamacpp.Server(parameters)
    print(f"serving on {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
