"""What a preparer is, and running one: rows and images into a data folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ImageStore:
    """Writes images beside the rows, once for each content, and gives the path that a row stores."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the data folder; images go into its ``images`` subfolder."""
        raise NotImplementedError

    def save(self, data: bytes) -> str:
        """Write an encoded image as it is; returns its path relative to the data folder."""
        raise NotImplementedError


@dataclass(frozen=True)
class PrepareContext:
    """What a preparer is given: the split to make and where images go."""

    split: str
    images: ImageStore


@dataclass(frozen=True, kw_only=True)
class Preparer:
    """Where a benchmark's rows come from.

    ``rows`` yields rows in a stable order. ``expected_rows`` is the known number of rows by split; a
    different number stops the preparation unless the user allows it. The first split is the default.
    """

    source: str
    revision: str
    rows: Callable[[PrepareContext], Iterator[Mapping[str, Any]]]
    expected_rows: Mapping[str, int] = field(default_factory=dict)
