"""Numbers that choose a part of a trace, compared with what the trace has."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import SelectionError

#: Cells of a density map; a larger one would not fit into memory.
MOST_CELLS = 100_000_000


def number(what: str, given: Any, count: int, *, of: str = "this trace", from_the_end: bool = False) -> int:
    """`given` as a number from 0 to count − 1; with `from_the_end`, −1 is the last.

    Raises SelectionError: what is no integer, or does not exist.
    """
    try:
        index = operator.index(given)
    except TypeError:
        raise SelectionError(f"{what} {given!r} is no integer: {_has(what, count, of)}") from None
    lowest = -count if from_the_end else 0
    if not lowest <= index < count:
        raise SelectionError(f"{what} {index} does not exist: {_has(what, count, of)}")
    return index % count


def _has(what: str, count: int, of: str) -> str:
    if count == 0:
        return f"{of} has no {what}s"
    return f"{of} has {what} 0 only" if count == 1 else f"{of} has {what}s 0 to {count - 1}"


def map_size(given: Any) -> tuple[int, int]:
    """(width, height) of a map in cells, each at least 1. Raises SelectionError."""
    try:
        width, height = map(operator.index, given)
    except (TypeError, ValueError):
        raise SelectionError(f"size {given!r} is not (width, height) in cells") from None
    if width < 1 or height < 1 or width * height > MOST_CELLS:
        raise SelectionError(f"size {width} × {height} cannot be drawn: give a width and a height of at least 1, and at most {MOST_CELLS} cells")
    return width, height
