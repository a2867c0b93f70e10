"""Sprites: the committed emoji, four drawn shapes, and painting in one of the seven colours.

Painting keeps a sprite's shading: a pixel's own brightness scales the new colour, and unsaturated pixels (tyres, windows) stay.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tiny.vocabulary import COLOURS, NOUNS

SPRITE_FOLDER = Path(__file__).parent / "sprites"
SHAPE_SIZE = 256


def _shape(name: str) -> Image.Image:
    """A grey shape with a soft top-to-bottom shading, RGBA."""
    size, scale = SHAPE_SIZE, 4
    mask = Image.new("L", (size * scale, size * scale), 0)
    draw, edge = ImageDraw.Draw(mask), size * scale - 1
    if name == "circle":
        draw.ellipse((0, 0, edge, edge), fill=255)
    elif name == "square":
        draw.rounded_rectangle((0, 0, edge, edge), radius=size * scale // 14, fill=255)
    elif name == "triangle":
        draw.polygon([(edge / 2, 0), (edge, edge), (0, edge)], fill=255)
    elif name == "star":
        turn = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45) * edge / 2
        points = zip(edge / 2 + radius * np.cos(turn), edge / 2 + radius * np.sin(turn), strict=True)
        draw.polygon([(float(x), float(y)) for x, y in points], fill=255)
    else:
        raise ValueError(f"no such shape: {name}")
    mask = mask.resize((size, size), Image.Resampling.LANCZOS)
    shade = np.linspace(255, 215, size)[:, None].repeat(size, 1)
    alpha = np.asarray(mask, np.float64)
    return Image.fromarray(np.dstack([shade, shade, shade, alpha]).round().astype(np.uint8), "RGBA")


def _paint(image: Image.Image, colour: str, everywhere: bool) -> Image.Image:
    pixels = np.asarray(image, np.float32).copy()
    rgb = pixels[..., :3] / 255
    high, low = rgb.max(-1), rgb.min(-1)
    if everywhere:
        strength, value = np.ones_like(high), high
    else:
        strength = np.clip(((high - low) / np.maximum(high, 1e-3) - 0.25) * 4, 0, 1)
        body = strength > 0.5
        grey = rgb @ np.array([0.30, 0.59, 0.11], np.float32)
        value = np.clip(grey / np.median(grey[body]), 0.55, 1.15)
    target = np.array(COLOURS[colour], np.float32) / 255
    painted = np.clip(value[..., None] * target, 0, 1)
    pixels[..., :3] = 255 * (strength[..., None] * painted + (1 - strength[..., None]) * rgb)
    return Image.fromarray(pixels.round().astype(np.uint8), "RGBA")


@cache
def sprite(noun: str, colour: str | None) -> Image.Image:
    """The RGBA sprite of a noun, painted if a colour is given."""
    entry = NOUNS[noun]
    if entry.emoji is None:
        image = _shape(noun)
    else:
        path = SPRITE_FOLDER / f"{noun}.png"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: the sprite is missing; run `python -m tiny.make_sprites` in scripts/ to cut it again"
            )
        image = Image.open(path).convert("RGBA")
    return image if colour is None else _paint(image, colour, everywhere=entry.emoji is None)


@lru_cache(maxsize=12_000)
def resized(noun: str, colour: str | None, side: int, flip: bool, degrees: int) -> Image.Image:
    """The sprite with its longer side at `side` pixels, mirrored and turned; cropped to what is opaque. Premultiplied resampling."""
    image = sprite(noun, colour)
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = side / max(image.size)
    size = tuple(max(1, round(edge * scale)) for edge in image.size)
    image = (
        image.convert("RGBa")
        .resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)
        .convert("RGBA")
    )
    if degrees:
        image = image.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    box = image.getchannel("A").point(lambda a: 255 if a > 24 else 0).getbbox()
    return image.crop(box)
