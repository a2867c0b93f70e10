"""Overview numbers of an attention row: [image sum, question sum, image maximum, image entropy in nats, argmax patch]."""

from __future__ import annotations

import functools

import numpy as np

from .schema import Meta
from .tensors import Deferred, Pages


@functools.cache
def _table() -> np.ndarray:
    """Value and value · ln(value) of every half by its bits: [65536, 2] f32; logarithms of every weight would cost more than they."""
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64)
    with np.errstate(all="ignore"):
        products = np.where(values > 0, values * np.log(values), 0.0)
        return np.stack([values, products], 0).astype(np.float32)


def stats_of_page(meta: Meta, page: np.ndarray, image_keys: np.ndarray, question_keys: np.ndarray) -> np.ndarray:
    """Stats [L, H, 5] f32 of one row [L, H, K] of stored weights. Keys past K count as 0."""
    keys = page.shape[-1]
    inside = image_keys[image_keys < keys]
    question = question_keys[question_keys < keys]
    out = np.zeros((*page.shape[:-1], 5), np.float32)
    out[..., 1] = page[..., question].astype(np.float32).sum(-1) / meta.attention_scale
    if len(inside):
        out[..., [0, 2, 3, 4]] = patch_stats(page[..., _slice(inside)], meta.attention_scale)
    return out


def _slice(keys: np.ndarray):
    """The keys as a slice where they are contiguous, which copies nothing."""
    first, last = int(keys[0]), int(keys[-1])
    return slice(first, last + 1) if last - first + 1 == len(keys) else keys


def patch_stats(patches: np.ndarray, scale: float) -> np.ndarray:
    """[..., 4] of stored weights: sum, maximum, entropy of the patches scaled to sum 1 (0 where there is none), argmax."""
    values, products = _table()
    bits = np.ascontiguousarray(patches).view(np.uint16)
    total = values[bits].sum(-1).astype(np.float64)
    product = products[bits].sum(-1).astype(np.float64)
    best = bits.argmax(-1)  # non-negative halves order like their bits
    largest = values[np.take_along_axis(bits, best[..., None], -1)[..., 0]]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(total > 0, np.maximum(np.log(total) - product / total, 0), 0.0)
    return np.stack([total / scale, largest / scale, entropy, best], -1)


def deferred_stats(meta: Meta, pages: Pages) -> dict[str, Deferred]:
    """`attention.stats` [R, L, H, 5] and, where there are several views, `attention.span_stats` [R, L, H, S, 5]."""
    shape = pages.shape[:3]
    question = meta.question_keys()

    def compute(key_sets: list[np.ndarray]) -> np.ndarray:
        out = np.zeros((*shape, len(key_sets), 5), np.float32)
        for index, page in enumerate(pages.parts):
            for number, keys in enumerate(key_sets):
                out[index, :, :, number] = stats_of_page(meta, page, keys, question)
        return out

    whole = Deferred((*shape, 5), np.float32, lambda: compute([meta.image_keys()])[:, :, :, 0].copy())
    if len(meta.spans) < 2:
        return {"attention.stats": whole}
    views = [view.keys().ravel() for view in meta.spans]
    each = Deferred((*shape, len(views), 5), np.float32, lambda: compute(views))
    return {"attention.stats": whole, "attention.span_stats": each}
