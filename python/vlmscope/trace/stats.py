"""Overview numbers of an attention row: [image sum, question sum, image maximum, image entropy in nats, argmax patch]."""

from __future__ import annotations

import numpy as np

from .schema import Meta


def stats_of_page(meta: Meta, page: np.ndarray, image_keys: np.ndarray, question_keys: np.ndarray) -> np.ndarray:
    """Stats [L, H, 5] f32 of one row [L, H, K] of stored weights. Keys past K count as 0."""
    keys = page.shape[-1]
    inside = image_keys[image_keys < keys]
    question = question_keys[question_keys < keys]
    weights = page.astype(np.float32) / meta.attention_scale
    out = np.zeros((*page.shape[:-1], 5), np.float32)
    out[..., 1] = weights[..., question].sum(-1)
    if len(inside):
        out[..., [0, 2, 3, 4]] = patch_stats(weights[..., inside])
    return out


def patch_stats(patches: np.ndarray) -> np.ndarray:
    """[..., 4]: sum, maximum, entropy of the patches scaled to sum 1 (0 where there is none), argmax."""
    patches = patches.astype(np.float64)
    total = patches.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        products = np.where(patches > 0, patches * np.log(patches), 0.0).sum(-1)
        entropy = np.where(total > 0, np.maximum(np.log(total) - products / total, 0), 0.0)
    return np.stack([total, patches.max(-1), entropy, patches.argmax(-1)], -1)


def all_stats(meta: Meta, pages) -> tuple[np.ndarray, np.ndarray | None]:
    """`attention.stats` [R, L, H, 5] and, where there are several views, `attention.span_stats` [R, L, H, S, 5]."""
    count, layers, heads, _ = pages.shape
    image, question = meta.image_keys(), meta.question_keys()
    views = [view.keys().ravel() for view in meta.spans]
    stats = np.zeros((count, layers, heads, 5), np.float32)
    spans = np.zeros((count, layers, heads, len(views), 5), np.float32) if len(views) > 1 else None
    for index in range(count):
        page = pages.parts[index] if hasattr(pages, "parts") else pages[index]
        stats[index] = stats_of_page(meta, page, image, question)
        if spans is not None:
            for number, keys in enumerate(views):
                spans[index, :, :, number] = stats_of_page(meta, page, keys, question)
    return stats, spans
