"""Scenes: sampling what stands where, and drawing it at any size.

A scene is described in units of its frame (0–1 in both directions). The frame is the picture's centre square, because that
square is what the default preprocessing keeps: one scene can be drawn at 168 × 168 for training or at 640 × 480 as a
photograph-like sample, with the same answers. Models with a dynamic grid see the whole picture: their scenes have frames of
other shapes (`extent`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from tiny.sprites import resized
from tiny.vocabulary import BACKGROUNDS, COLOURS, NOUNS, POSITIONS

LOW, HIGH, MARGIN = 0.37, 0.63, 0.035  # thirds of the nine positions, and how far centres stay from them
SIDES = np.arange(34, 86, 5) / 168  # an object's longer side
COUNT_WEIGHTS = (0.03, 0.24, 0.42, 0.27, 0.04)  # 0–4 objects
TRAINING_BACKDROPS, FRESH_BACKDROPS = (0, 96), (1_000, 2**31)  # few for training, so that drawing them is cached
DEGREES = (-8, -4, 0, 4, 8)
SQUARE = (1.0, 1.0)
FILLERS = ((128, 128, 128), (0, 0, 0), (255, 255, 255), (122, 116, 104))


@dataclass(frozen=True)
class Thing:
    """One object. `box` = left, top, right, bottom in units of the frame; `side` in units of the frame's shorter side."""

    noun: str
    colour: str | None
    centre: tuple[float, float]
    side: float
    flip: bool
    degrees: int
    box: tuple[float, float, float, float]

    @property
    def column(self) -> int:
        return int(self.centre[0] > LOW) + int(self.centre[0] > HIGH)

    @property
    def row(self) -> int:
        return int(self.centre[1] > LOW) + int(self.centre[1] > HIGH)

    @property
    def position(self) -> str:
        return POSITIONS[3 * self.row + self.column]

    @property
    def label(self) -> str:
        """`red car`, or `fox` for what we did not paint."""
        return f"{self.colour} {self.noun}" if self.colour else self.noun


@dataclass(frozen=True)
class Scene:
    """`extent` is the frame's width and height in units of its shorter side."""

    background: str
    background_seed: int
    things: tuple[Thing, ...]
    rectangles: tuple[tuple[float, float, float, float, tuple[int, int, int]], ...] = field(default=())
    extent: tuple[float, float] = SQUARE

    def without(self, index: int) -> Scene:
        """The scene with one object erased."""
        return replace(self, things=tuple(t for i, t in enumerate(self.things) if i != index))


def thing_at(
    noun: str,
    colour: str | None,
    centre: tuple[float, float],
    side: float,
    flip: bool = False,
    degrees: int = 0,
    extent: tuple[float, float] = SQUARE,
) -> Thing:
    """An object around a centre, its box measured on the turned sprite."""
    width, height = resized(noun, colour, round(side * 168), flip, degrees).size
    half_width, half_height = width / 336 / extent[0], height / 336 / extent[1]
    box = (centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height)
    return Thing(noun, colour, centre, side, flip, degrees, box)


def _overlaps(a: tuple[float, ...], b: tuple[float, ...], slack: float) -> bool:
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


def _coordinate(rng: np.random.Generator, half: float) -> float:
    bands = [(half, LOW - MARGIN), (LOW + MARGIN, HIGH - MARGIN), (HIGH + MARGIN, 1 - half)]
    low, high = bands[rng.integers(3)]
    return float(rng.uniform(low, high)) if low < high else float((low + high) / 2)


def place(
    rng: np.random.Generator,
    noun: str,
    colour: str | None,
    side: float,
    others: list[Thing],
    extent: tuple[float, float] = SQUARE,
) -> Thing | None:
    """The object somewhere in the frame where it touches no other one; None if 30 tries find no place."""
    for _ in range(30):
        centre = (_coordinate(rng, side / 2 / extent[0]), _coordinate(rng, side / 2 / extent[1]))
        flip, degrees = bool(rng.integers(2)), int(rng.choice(DEGREES))
        if NOUNS[noun].emoji is None:
            degrees = degrees if noun != "circle" else 0
        thing = thing_at(noun, colour, centre, side, flip, degrees, extent)
        inside = min(thing.box) >= -0.01 and max(thing.box) <= 1.01
        if inside and not any(_overlaps(thing.box, other.box, 0.015) for other in others):
            return thing
    return None


def _pick(rng: np.random.Generator, things: list[Thing]) -> tuple[str, str | None]:
    names = list(NOUNS)
    if things and rng.random() < 0.22:  # a second one of the same kind, for counting
        noun = things[-1].noun
    elif rng.random() < 0.42:
        noun = str(rng.choice([n for n in names if NOUNS[n].painted]))
    else:
        noun = names[rng.integers(len(names))]
    colour = str(rng.choice(list(COLOURS))) if NOUNS[noun].painted else None
    return noun, colour


def sample_scene(
    rng: np.random.Generator,
    count: int | None = None,
    rectangles: bool = True,
    backdrops: tuple[int, int] = TRAINING_BACKDROPS,
    extent: tuple[float, float] = SQUARE,
    smallest: int = 0,
) -> Scene:
    """A random scene; `count` fixes how many objects are tried, `backdrops` is the range of background seeds, `smallest` the
    index in `SIDES` of the smallest object."""
    wanted = int(rng.choice(len(COUNT_WEIGHTS), p=COUNT_WEIGHTS)) if count is None else count
    largest = len(SIDES) if wanted <= 2 else 7
    things: list[Thing] = []
    for _ in range(wanted):
        noun, colour = _pick(rng, things)
        thing = place(rng, noun, colour, float(SIDES[rng.integers(smallest, largest)]), things, extent)
        if thing is not None:
            things.append(thing)
    scene = Scene(str(rng.choice(list(BACKGROUNDS))), int(rng.integers(*backdrops)), tuple(things), (), extent)
    if not rectangles or rng.random() > 0.25:
        return scene
    patches = []
    for _ in range(int(rng.integers(1, 3))):
        width, height, left, top = (
            rng.uniform(0.15, 0.5),
            rng.uniform(0.15, 0.5),
            rng.uniform(0, 0.8),
            rng.uniform(0, 0.8),
        )
        box = (float(left), float(top), float(min(1, left + width)), float(min(1, top + height)))
        fill = FILLERS[rng.integers(len(FILLERS))] if rng.random() < 0.7 else _dull(rng)
        if not any(_overlaps(box, thing.box, 0.0) for thing in things):
            patches.append((*box, fill))
    return replace(scene, rectangles=tuple(patches))


def _dull(rng: np.random.Generator) -> tuple[int, int, int]:
    """A nearly grey colour: a saturated rectangle would be a `square`."""
    red, green, blue = np.clip(rng.integers(20, 236) + rng.integers(-18, 19, 3), 0, 255)
    return int(red), int(green), int(blue)


def _gradient(top: np.ndarray, bottom: np.ndarray, height: int) -> np.ndarray:
    mix = np.linspace(0, 1, height)[:, None]
    return top * (1 - mix) + bottom * mix


def _hill(rng: np.random.Generator, width: int, low: float, high: float) -> np.ndarray:
    """A horizon line: a height in 0–1 for each column."""
    x = np.linspace(0, 1, width)
    waves = sum(
        rng.uniform(0.01, 0.035) * np.sin(2 * np.pi * (k * rng.uniform(0.4, 0.9) * x + rng.random())) for k in (1, 2)
    )
    return rng.uniform(low, high) + waves


def _landscape(rng: np.random.Generator, width: int, height: int, sky: tuple, layers: tuple) -> np.ndarray:
    jitter = rng.uniform(-10, 10, 3)
    pixels = np.broadcast_to(
        _gradient(np.array(sky[0]) + jitter, np.array(sky[1]) + jitter, height)[:, None], (height, width, 3)
    ).copy()
    rows = np.arange(height)[:, None] / height
    for low, high, flat, near, far in layers:
        line = np.full(width, rng.uniform(low, high)) if flat else _hill(rng, width, low, high)
        ground = _gradient(np.array(near) + jitter, np.array(far) + jitter, height)[:, None]
        below = rows > line[None, :]
        pixels = np.where(below[..., None], ground, pixels)
    return pixels


def _scatter(
    rng: np.random.Generator, pixels: np.ndarray, top: float, bottom: float, count: int, colours: tuple, size: float
) -> np.ndarray:
    height, width = pixels.shape[:2]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = rng.uniform(0, width), rng.uniform(top, bottom) * height
        radius = rng.uniform(0.5, 1.0) * size * min(width, height)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colours[rng.integers(len(colours))])
    return np.asarray(image, np.float64)


def _room(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    walls = ((226, 205, 180), (206, 214, 222), (214, 222, 200), (232, 212, 208))
    wall = np.array(walls[rng.integers(len(walls))]) + rng.uniform(-8, 8, 3)
    floor = np.array((150, 104, 68)) + rng.uniform(-14, 14, 3)
    line = rng.uniform(0.66, 0.78)
    pixels = np.broadcast_to(_gradient(wall + 6, wall - 12, height)[:, None], (height, width, 3)).copy()
    edge = round(line * height)
    pixels[edge:] = _gradient(floor + 12, floor - 18, height - edge)[:, None]
    pixels[edge - max(1, height // 56) : edge] = 245
    boards = rng.integers(5, 9)
    for board in range(1, boards):
        pixels[edge:, round(board * width / boards) - max(1, width // 260) : round(board * width / boards)] -= 22
    return pixels


@lru_cache(maxsize=2_560)
def _backdrop(background: str, seed: int, width: int, height: int) -> Image.Image:
    """The empty background as RGB; the caller copies it before drawing."""
    return Image.fromarray(np.clip(_backdrop_pixels(background, seed, width, height), 0, 255).astype(np.uint8))


def _backdrop_pixels(background: str, seed: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if background == "plain":
        colour = np.array((236, 236, 232)) + rng.uniform(-16, 16, 3) if rng.random() < 0.5 else rng.uniform(150, 245, 3)
        return np.broadcast_to(_gradient(colour + 5, colour - 5, height)[:, None], (height, width, 3)).copy()
    if background == "meadow":
        pixels = _landscape(
            rng,
            width,
            height,
            ((120, 186, 240), (214, 236, 250)),
            ((0.34, 0.44, False, (150, 200, 110), (120, 180, 90)), (0.46, 0.6, False, (132, 196, 88), (84, 150, 56))),
        )
        return _scatter(rng, pixels, 0.66, 1, 26, ((250, 246, 240), (250, 226, 120), (108, 172, 70)), 0.008)
    if background == "beach":
        return _landscape(
            rng,
            width,
            height,
            ((132, 200, 244), (222, 240, 250)),
            ((0.3, 0.38, True, (40, 150, 190), (90, 196, 210)), (0.54, 0.64, False, (244, 226, 176), (226, 200, 144))),
        )
    if background == "night":
        pixels = _landscape(rng, width, height, ((14, 18, 52), (58, 54, 110)), ())
        return _scatter(rng, pixels, 0, 1, 42, ((255, 255, 240), (200, 210, 255), (150, 150, 200)), 0.006)
    if background == "snow":
        pixels = _landscape(
            rng,
            width,
            height,
            ((176, 196, 216), (220, 230, 240)),
            (
                (0.36, 0.46, False, (210, 222, 236), (226, 234, 244)),
                (0.5, 0.62, False, (240, 246, 252), (222, 232, 244)),
            ),
        )
        return _scatter(rng, pixels, 0, 1, 40, ((255, 255, 255),), 0.008)
    return _room(rng, width, height)


def centre_square(width: int, height: int) -> tuple[float, float, float]:
    """Left, top and side of the centre square, in pixels."""
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, side


def frame_in(width: int, height: int, extent: tuple[float, float]) -> tuple[float, float, float]:
    """Left and top of the largest centred frame of this extent, and its shorter side, in pixels."""
    unit = min(width / extent[0], height / extent[1])
    return (width - extent[0] * unit) / 2, (height - extent[1] * unit) / 2, unit


def pixel_box(thing: Thing, width: int, height: int, extent: tuple[float, float] = SQUARE) -> tuple[int, int, int, int]:
    """An object's box in pixels of a picture of this size."""
    left, top, unit = frame_in(width, height, extent)
    across, down = extent[0] * unit, extent[1] * unit
    x0, y0, x1, y1 = thing.box
    return (
        max(0, round(left + x0 * across)),
        max(0, round(top + y0 * down)),
        min(width, round(left + x1 * across)),
        min(height, round(top + y1 * down)),
    )


def draw_scene(scene: Scene, width: int = 168, height: int = 168) -> Image.Image:
    """The scene as RGB. Deterministic: all chance lies in the scene."""
    image = _backdrop(scene.background, scene.background_seed, width, height).copy()
    left, top, unit = frame_in(width, height, scene.extent)
    across, down = scene.extent[0] * unit, scene.extent[1] * unit
    draw = ImageDraw.Draw(image)
    for x0, y0, x1, y1, fill in scene.rectangles:
        draw.rectangle((left + x0 * across, top + y0 * down, left + x1 * across, top + y1 * down), fill=fill)
    for thing in scene.things:
        art = resized(thing.noun, thing.colour, round(thing.side * unit), thing.flip, thing.degrees)
        x, y = left + thing.centre[0] * across, top + thing.centre[1] * down
        image.paste(art, (round(x - art.width / 2), round(y - art.height / 2)), art)
    return image


def training_view(scene: Scene, rng: np.random.Generator, size: int = 168) -> np.ndarray:
    """The scene as the processor would show it, uint8 [size, size, 3]: one in eight is drawn larger, often not square, and resized.

    Brightness and noise jitter come last.
    """
    if rng.random() < 0.125:
        short = int(rng.integers(140, 420))
        long = int(short * rng.choice((1.0, 1.25, 1.333, 1.5)))
        width, height = (long, short) if rng.random() < 0.7 else (short, long)
        image = draw_scene(scene, width, height)
        left, top, side = centre_square(width, height)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    else:
        image = draw_scene(scene, size, size)
    return jittered(image, rng)


def jittered(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Pixels [height, width, 3] with another brightness and, in three of ten pictures, noise."""
    pixels = np.asarray(image, np.float32)
    pixels = pixels * rng.uniform(0.88, 1.1) + rng.uniform(-8, 8)
    if rng.random() < 0.3:
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * rng.uniform(0, 5)
    return np.clip(pixels, 0, 255).astype(np.uint8)
