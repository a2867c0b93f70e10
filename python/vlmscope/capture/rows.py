"""Softmax of chosen query rows from queries and keys, in chunks."""

from __future__ import annotations

from collections.abc import Iterator

import torch

#: Scores that are in memory at the same time.
CHUNK_BYTES = 64 << 20


def softmax_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    causal: bool,
    rows: torch.Tensor,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yields (slice of `rows`, attention [H, r, K] f32).

    `query` [H, S, d] and `key` [Hkv, K, d] are as scaled_dot_product_attention gets them (keys not repeated), `mask` is None, bool
    (True: may attend) or float (added), [1 or H, S, K]. `rows` are indices into S. `causal` is read only where there is no mask: as
    in scaled_dot_product_attention, query i then sees the keys 0 … i.
    """
    heads, _, size = query.shape
    groups, keys, _ = key.shape
    scaling = size**-0.5 if scaling is None else scaling
    transposed = key.float().transpose(1, 2)
    step = max(1, chunk_bytes // (heads * keys * 4))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        count = len(chunk)
        wanted = query[:, chunk] if count != query.shape[1] else query
        wanted = wanted.float().reshape(groups, heads // groups * count, size)
        scores = (wanted @ transposed).view(heads, count, keys).mul_(scaling)
        if mask is not None:
            part = (mask[:, chunk] if mask.shape[1] != 1 else mask)[..., :keys]
            if part.dtype == torch.bool:
                scores.masked_fill_(~part, -torch.inf)
            else:
                scores += part.float()
        elif causal:
            later = torch.arange(keys, device=key.device) > chunk[:, None]
            scores.masked_fill_(later, -torch.inf)
        # A query that may see nothing has no attention.
        yield slice(start, start + count), torch.softmax(scores, -1).nan_to_num_(0.0)


def to_stored(weights: torch.Tensor, scale: float) -> torch.Tensor:
    """Attention as it is stored: f16 × scale, on the CPU."""
    return weights.mul(scale).half().cpu()
