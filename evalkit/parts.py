"""Numbers by the million, a little at a time: columns in parts, so that nothing has to sort all of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

PARTS = 64


class Parts:
    """Rows of numbers in arrays, 8 bytes a number. Rows whose first numbers are equal share a part.

    What is equal is found part by part, in a 64th of the memory that a sort or a set of all would take.
    """

    def __init__(self, types: str) -> None:
        """``types`` are the columns' type codes, as of ``array``."""
        self._parts = [tuple(array(each) for each in types) for _ in range(PARTS)]

    def add(self, first: int, *others: float) -> None:
        """One more row."""
        for column, value in zip(self.part(first), (first, *others), strict=True):
            column.append(value)

    def part(self, first: int) -> tuple[array[Any], ...]:
        """The columns in which the rows with this first number are."""
        return self._parts[first % PARTS]

    def __iter__(self) -> Iterator[tuple[array[Any], ...]]:
        """The columns of each part."""
        return iter(self._parts)
