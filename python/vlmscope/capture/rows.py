"""Softmax of chosen query rows from queries and keys, in chunks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

#: Scores that are in memory at the same time.
CHUNK_BYTES = 4 << 20
#: Scores of one part of the heads: they stay in a core's cache from the product to the half floats.
CACHE_BYTES = 1 << 20


def head_parts(heads: int, share: int, scores: int) -> list[slice]:
    """Parts of the heads whose `scores` (numbers of one head) fit into the cache; heads that share keys (`share`) stay together."""
    step = max(1, CACHE_BYTES // max(1, 4 * scores * share)) * share
    return [slice(first, min(first + step, heads)) for first in range(0, heads, step)]


class Scratch:
    """Buffers that are used again: fresh ones of this size cost as much in page faults as the arithmetic on them."""

    def __init__(self) -> None:
        self._buffers: dict[tuple, torch.Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """An uninitialised f32 tensor; its contents last until the next one of the same name."""
        count = math.prod(shape)
        buffer = self._buffers.get((name, device))
        if buffer is None or buffer.numel() < count:
            buffer = self._buffers[name, device] = torch.empty(count, device=device)
        return buffer[:count].view(shape)


def softmax_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    causal: bool,
    rows: torch.Tensor,
    chunk_bytes: int | None = None,
    scratch: Scratch | None = None,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yields (slice of `rows`, attention [H, r, K] f32).

    `query` [H, S, d] and `key` [Hkv, K, d] are as scaled_dot_product_attention gets them (keys not repeated), `mask` is None, bool
    (True: may attend) or float (added), [1 or H, S, K]. `rows` are ascending indices into S. `causal` is read only where there is no mask: as
    in scaled_dot_product_attention, query i then sees the keys 0 … i. With `scratch`, what is yielded lasts until the next part.
    """
    heads, _, size = query.shape
    groups, keys, _ = key.shape
    scaling = size**-0.5 if scaling is None else scaling
    transposed = key.float().transpose(1, 2)
    step = max(1, (chunk_bytes or CHUNK_BYTES) // (heads * keys * 4))
    scratch = scratch or Scratch()
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        count = len(chunk)
        wanted = query[:, chunk] if count != query.shape[1] else query
        wanted = (wanted.float() * scaling).reshape(groups, heads // groups * count, size)
        scores = scratch.get("scores", (groups, wanted.shape[1], keys), key.device)
        scores = torch.bmm(wanted, transposed, out=scores).view(heads, count, keys)
        if mask is not None:
            part = (mask[:, chunk] if mask.shape[1] != 1 else mask)[..., :keys]
            if part.dtype == torch.bool:
                scores.masked_fill_(~part, -torch.inf)
            else:
                scores += part.float()
        elif causal:
            seen = int(chunk[0]) + 1  # by every row of the chunk
            later = torch.arange(seen, keys, device=key.device) > chunk[:, None]
            scores[..., seen:].masked_fill_(later, -torch.inf)
        weights = torch.softmax(scores, -1, out=scratch.get("weights", scores.shape, key.device))
        # A query that may see nothing has no attention.
        yield slice(start, start + count), weights if mask is None else weights.nan_to_num_(0.0)


def to_stored(weights: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention as it is stored: f16 × scale, on the CPU."""
    stored = torch.empty(weights.shape, dtype=torch.float16, device=weights.device)
    return torch.mul(weights, scale, out=stored).cpu()
