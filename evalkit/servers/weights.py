"""Which weights a model is: a name for the contents of a model folder, without reading all of them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
SAMPLE = 1 << 20
_SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(?:/|$)")


def revision_of(model: str) -> str:
    """The revision of a model folder: a hub snapshot's commit, or a hash over weights; empty for a hub id.

    The hash takes every weight file's name, size, first and last mebibyte, and ``config.json``: a new
    checkpoint under an old path is told apart, and a folder of a hundred gigabytes takes no minutes.
    """
    folder = Path(model)
    if not folder.is_dir():
        return ""
    if found := _SNAPSHOT.search(f"{folder.resolve()}/"):
        return found[1]
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(each for pattern in WEIGHTS for each in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as stream:
            digest.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            digest.update(stream.read(SAMPLE))
    return f"sampled-sha256:{digest.hexdigest()}"
