"""Tensors of a trace: arrays in memory, rows under construction, or rows of a file that are read when they are wanted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

DTYPES = {"F16": np.float16, "F32": np.float32, "I32": np.int32, "U8": np.uint8}


class Pages:
    """[R, L, H, T] f16 in parts of [L, H, K] with K ≤ T; the keys that a part lacks are zeros.

    A row is stored with as many keys as there were when it was computed. T is known only at the end, so padding happens where
    rows are read or written, and rows and a padded copy of them are never in memory together.
    """

    def __init__(self, parts: list[np.ndarray], layers: int, heads: int, positions: int):
        self.parts = parts
        self.shape = (len(parts), layers, heads, positions)
        self.dtype = np.dtype(np.float16)

    def row(self, index: int) -> np.ndarray:
        """Row `index`: [L, H, T]."""
        part = self.parts[index]
        if part.shape[-1] == self.shape[-1]:
            return part
        whole = np.zeros(self.shape[1:], np.float16)
        keys = min(part.shape[-1], self.shape[-1])
        whole[..., :keys] = part[..., :keys]
        return whole

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, a row at a time."""
        for index in range(self.shape[0]):
            yield np.ascontiguousarray(self.row(index)).tobytes()


class FileTensor:
    """A tensor of an opened file."""

    def __init__(self, handle, name: str):
        self._slice = handle.get_slice(name)
        self.shape = tuple(self._slice.get_shape())
        self.dtype = np.dtype(DTYPES[self._slice.get_dtype()])

    def row(self, index: int) -> np.ndarray:
        """Part `index` of the first axis."""
        return self._slice[index]

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, a part of the first axis at a time."""
        if not self.shape:
            yield self._slice[...].tobytes()
            return
        if len(self.shape) == 1:
            yield self._slice[:].tobytes()
            return
        for index in range(self.shape[0]):
            yield np.ascontiguousarray(self.row(index)).tobytes()


class Deferred:
    """A tensor that is computed when it is wanted."""

    def __init__(self, shape: tuple[int, ...], dtype, compute: Callable[[], np.ndarray]):
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._compute = functools.cache(compute)

    def whole(self) -> np.ndarray:
        """All of it."""
        return self._compute()

    def row(self, index: int) -> np.ndarray:
        """Part `index` of the first axis."""
        return self.whole()[index]

    def chunks(self) -> Iterator[bytes]:
        """The bytes."""
        yield self.whole().tobytes()


Tensor = np.ndarray | Pages | FileTensor | Deferred


def array(tensor: Tensor) -> np.ndarray:
    """The whole tensor."""
    if isinstance(tensor, np.ndarray):
        return tensor
    if isinstance(tensor, Deferred):
        return tensor.whole()
    if not tensor.shape[0]:
        return np.zeros(tensor.shape, tensor.dtype)
    if isinstance(tensor, FileTensor):
        return tensor._slice[:]
    return np.stack([tensor.row(index) for index in range(tensor.shape[0])])


def row(tensor: Tensor, index: int) -> np.ndarray:
    """Part `index` of the first axis."""
    return tensor[index] if isinstance(tensor, np.ndarray) else tensor.row(index)


def chunks(tensor: Tensor) -> Iterator[bytes]:
    """The little-endian bytes in order, in pieces."""
    if isinstance(tensor, np.ndarray):
        yield np.ascontiguousarray(tensor).tobytes()
    else:
        yield from tensor.chunks()
