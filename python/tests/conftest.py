"""Shared by the tests: one thread, random models built once."""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]
torch.set_num_threads(1)
warnings.filterwarnings("ignore")

from random_models import BUILDERS  # noqa: E402


@functools.lru_cache(maxsize=2)
def built(name: str):
    """(model, processor) of a family."""
    return BUILDERS[name]()


@pytest.fixture
def make():
    """`make(name)` → (model, processor); models are shared, so that a test must leave them as they were."""
    return built


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """A picture of soft coloured blotches."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (max(2, size[1] // 24), max(2, size[0] // 24), 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def film(path: Path, count: int, rate: int) -> None:
    """A video file of grey frames: frame n has the level 2n."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 240, 160, "yuv420p", 4_000_000
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((160, 240, 3), 2 * number, np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
