"""A map over all views of a picture, as a density on the original.

Each patch spreads its weight evenly over the area that it covers; views of one picture add up. Sums stay what they are: the mean
of the density over the picture is the share of weight that lies on it. What lies outside (padding) is given beside.
"""

from __future__ import annotations

import numpy as np

from .schema import Meta, Rect


def density(meta: Meta, weights: np.ndarray, picture: int, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """(map [height, width] f64, weight outside of the picture) from weights [T] of all positions.

    `size` is the map's (width, height); it covers the whole original picture. The map's mean is the weight on the picture.
    """
    width, height = size
    out = np.zeros((height, width))
    inside = total = 0.0
    for view in meta.spans:
        canvas = meta.canvases[view.canvas]
        if canvas.picture != picture:
            continue
        affine, original = canvas.original_from_preprocessed, canvas.original_size
        if affine.xy or affine.yx:
            raise ValueError(f"canvas {view.canvas} is rotated, which a density map does not support")
        values = weights[view.keys()].astype(np.float64)
        total += values.sum()
        if view.cells is None:
            rect = affine.apply_rect(view.preprocessed_rect)
            rows = overlaps(rect.y, rect.height, view.rows, original[1], height)
            columns = overlaps(rect.x, rect.width, view.columns, original[0], width)
            part = rows.T @ values @ columns
        else:
            part = np.zeros_like(out)
            for value, cell in zip(values.ravel(), view.cells, strict=True):
                rect = affine.apply_rect(cell)
                part += value * np.outer(_one(rect, original, height, 1), _one(rect, original, width, 0))
        inside += part.sum()
        out += part
    return out * (width * height), total - inside


def _one(rect: Rect, original: tuple[int, int], count: int, axis: int) -> np.ndarray:
    start, length = (rect.x, rect.width) if axis == 0 else (rect.y, rect.height)
    return overlaps(start, length, 1, original[axis], count)[0]


def overlaps(start: float, length: float, cells: int, extent: float, pixels: int) -> np.ndarray:
    """Which share of each of `cells` equal parts of [start, start + length) lies on each of `pixels` parts of [0, extent): [cells, pixels]."""
    cell, pixel = length / cells, extent / pixels
    low = start + cell * np.arange(cells)[:, None]
    edge = pixel * np.arange(pixels)[None, :]
    shared = np.minimum(low + cell, edge + pixel) - np.maximum(low, edge)
    return np.maximum(shared, 0) / cell
