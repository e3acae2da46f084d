"""Rows and pictures that tests write."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image


def write_rows(path: Path, *rows: dict[str, Any] | str | bytes) -> Path:
    """Write rows, or lines as they are, to a JSON Lines file; returns its path."""
    lines = [json.dumps(row) if isinstance(row, dict) else row for row in rows]
    path.write_bytes(b"".join((each if isinstance(each, bytes) else each.encode()) + b"\n" for each in lines))
    return path


def gradient(size: tuple[int, int]) -> Image.Image:
    """A picture that gets red to the right, green downwards, and is blue throughout."""
    width, height = size
    pixels = (
        (255 * x // max(1, width - 1), 255 * y // max(1, height - 1), 128)
        for y in range(height)
        for x in range(width)
    )
    return Image.frombytes("RGB", size, bytes(channel for pixel in pixels for channel in pixel))


def encode(size: tuple[int, int] = (8, 6), mode: str = "RGB", format: str = "PNG", **options: Any) -> bytes:
    """The gradient in a mode and a file format."""
    picture = gradient(size)
    if mode == "I;16":  # Pillow does not convert to it from colours
        picture = Image.frombytes(
            mode, size, bytes(each for level in picture.convert("L").tobytes() for each in (level, level))
        )
    elif mode == "F":
        picture = picture.convert("L").convert(mode)
    elif mode != "RGB":
        picture = picture.convert(mode)
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()
