"""Traces that travel as their files, and tensors that travel by themselves."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path

import numpy as np

from ..errors import EngineError, TraceError
from ..trace import Trace, open_trace
from ..trace.file import write_trace
from ..trace.tensors import DTYPES

#: Bytes of a trace's file that are fetched at once.
READ_BYTES = 32 << 20
#: Larger files are refused before anything is stored.
MOST_FILE = 64 << 30


def gaps(size: int, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is missing between [start, length] ranges of a file, in pieces of at most READ_BYTES."""
    out, at = [], 0
    for start, length in [*sorted(ranges), (size, 0)]:
        while at < start:
            piece = min(start - at, READ_BYTES)
            out.append((at, piece))
            at += piece
        at = max(at, start + length)
    return out


def assemble(header: dict, payload: bytes, read: Callable[[int, int], bytes]) -> Trace:
    """The trace of a `done`; `read` fetches what its payload lacks.

    It lies in a temporary file until the trace is no longer used. Raises EngineError where sizes do not fit or the file is no trace.
    """
    try:
        size = int(header["file_bytes"])
        ranges = [(int(start), int(length)) for start, length in header["ranges"]]
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the engine's `done` cannot be read: {error!r}") from None
    fits = all(start >= 0 and length >= 0 and start + length <= size for start, length in ranges)
    if not fits or not 0 < size <= MOST_FILE or sum(length for _, length in ranges) != len(payload):
        raise EngineError(f"the engine's `done` has {len(payload)} bytes for the ranges {ranges} of a file of {size}")
    handle, name = tempfile.mkstemp(prefix="vlmscope-", suffix=".vlmtrace")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.truncate(size)
            at = 0
            for start, length in ranges:
                file.seek(start)
                file.write(memoryview(payload)[at : at + length])
                at += length
            for start, length in gaps(size, ranges):
                piece = read(start, length)
                if len(piece) != length:
                    raise EngineError(f"the engine sent {len(piece)} of {length} bytes of the trace")
                file.seek(start)
                file.write(piece)
        trace = open_trace(path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise EngineError(f"cannot store the answer in {path.parent}: {error}. Set TMPDIR to a folder with room.") from error
    except TraceError as error:
        path.unlink(missing_ok=True)
        raise EngineError(f"the engine sent a damaged answer: {error}") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    trace.path = None  # the file goes with the trace: `save` writes one that stays
    weakref.finalize(trace, _remove, path)
    return trace


def _remove(path: Path) -> None:
    # Some systems keep a file whose tensors another trace still reads.
    with contextlib.suppress(OSError):
        path.unlink()


def file_of(trace: Trace) -> bytes:
    """The trace as the bytes of its file."""
    with tempfile.TemporaryDirectory(prefix="vlmscope-") as folder:
        path = Path(folder) / "trace.vlmtrace"
        write_trace(trace, path)
        return path.read_bytes()


def tensors_of(header: dict, payload: bytes) -> dict[str, np.ndarray]:
    """The tensors of a `result` by name. Raises EngineError where they do not fit its payload."""
    found, at = {}, 0
    try:
        for one in header.get("tensors") or []:
            dtype, shape = np.dtype(DTYPES[one["dtype"]]), tuple(int(axis) for axis in one["shape"])
            size = prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or at + size > len(payload):
                raise ValueError(f"`{one['name']}` {list(shape)} is larger than the payload")
            found[str(one["name"])] = np.frombuffer(payload, dtype, prod(shape), at).reshape(shape).copy()
            at += size
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"the engine's tensors cannot be read: {error}") from None
    return found
