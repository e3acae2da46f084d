"""The embedded server's own process: serves a GGUF model until the pipe to its parent closes."""

from __future__ import annotations

import argparse
import os
import sys
import threading

import xllamacpp


def main() -> None:
    """Start the server, print its address, and wait for the parent to go."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--mmproj", default="")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    # llama.cpp logs to standard output as well: keep that for the address alone.
    address_pipe = os.dup(1)
    os.dup2(2, 1)

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    if options.mmproj:
        parameters.mmproj.path = options.mmproj
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.slots * options.context
    parameters.kv_unified = False
    parameters.cpuparams.n_threads = options.threads
    parameters.cpuparams_batch.n_threads = options.threads
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    server = xllamacpp.Server(parameters)
    os.write(address_pipe, f"{server.listening_address}\n".encode())
    os.close(address_pipe)
    threading.Event().wait()


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
