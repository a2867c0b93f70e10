"""Rows of attention as they arrive: pages of [L, H, K] f16, filled layer by layer."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import CaptureError
from ..trace.schema import ATTENTION_SCALE
from .rows import to_stored


class PageStore:
    """Pages of query positions. All positions include the trace's virtual ones."""

    def __init__(self, layers: list[int], heads: int):
        self.index = {layer: index for index, layer in enumerate(layers)}
        self.heads = heads
        self.heads_of_layer: dict[int, int] = {}
        #: (query positions, [r, L, H, K])
        self.blocks: list[tuple[np.ndarray, np.ndarray]] = []
        self._filled: set[int] = set()

    def begin(self, queries: np.ndarray, keys: int) -> None:
        """Starts a forward pass whose wanted rows are `queries` and after which there are `keys` positions."""
        self.check_complete()
        shape = (len(queries), len(self.index), self.heads, keys)
        self.blocks.append((queries, np.zeros(shape, np.float16)))
        self._filled = set()

    def check_complete(self) -> None:
        """Refuses a pass in which a layer gave no rows."""
        missing = sorted(set(self.index) - self._filled)
        if self.blocks and missing:
            raise CaptureError(
                f"layer {missing[0]} gave no attention rows: its code does not call transformers' attention interface, so this "
                "model cannot be captured."
            )

    def set_heads(self, layer: int, heads: int) -> None:
        """Notes how many heads a layer has; the others of the page have no attention."""
        if heads > self.heads:
            raise CaptureError(f"layer {layer} has {heads} heads, but the configuration says {self.heads}.")
        self.heads_of_layer[layer] = heads
        if heads < self.heads:
            self.blocks[-1][1][:, self.index[layer], heads:] = np.nan

    def put(self, layer: int, rows: slice, heads: slice, keys: np.ndarray | slice, weights: torch.Tensor) -> None:
        """Stores attention [heads, r, k] of some of the pass's wanted rows at the given key positions; `weights` are used up."""
        place = self.blocks[-1][1][rows, self.index[layer], heads]
        if isinstance(keys, slice):
            # Converted on the way, so that no copy of the weights is made.
            target = torch.from_numpy(place[..., keys])
            scaled = weights.mul_(ATTENTION_SCALE)
            target.copy_((scaled if scaled.device.type == "cpu" else scaled.half()).transpose(0, 1))
        else:
            place[..., keys] = to_stored(weights, ATTENTION_SCALE).transpose(0, 1).numpy()

    def mark(self, layer: int) -> None:
        """Notes that a layer was called in this pass, also where no row of it was wanted."""
        self._filled.add(layer)

    def finish(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Query positions, ascending, and a page for each."""
        self.check_complete()
        rows, parts = [], []
        for queries, pages in self.blocks:
            rows.extend(queries.tolist())
            parts.extend(pages)
        order = np.argsort(rows, kind="stable")
        return np.array(rows, np.int32)[order], [parts[index] for index in order]


class Squares:
    """`head_mean` [L, T, T] and `last_layer` [H, T, T], row by row."""

    def __init__(self) -> None:
        self.blocks: dict[int, list[tuple[int, np.ndarray, np.ndarray | slice, int]]] = {}

    def put(self, index: int, first: int, keys: np.ndarray | slice, weights: torch.Tensor) -> None:
        """Stores rows [r, k] of square `index`, whose first query is `first`."""
        self.blocks.setdefault(index, []).append((first, to_stored(weights, ATTENTION_SCALE).numpy(), keys))

    def finish(self, positions: int) -> np.ndarray:
        """[n, T, T] f16."""
        out = np.zeros((len(self.blocks), positions, positions), np.float16)
        for index, blocks in self.blocks.items():
            for first, weights, keys in blocks:
                inside = weights[: max(0, positions - first)]
                # Two steps: a number and an array of keys in one index would put the keys first.
                out[index][first : first + len(inside), keys] = inside
        return out
