"""Held-out examples of one or two pictures of any shape: scenes, backgrounds and picture sizes that training never drew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tiny.heldout import HELD_OUT
from tiny.questions import Question, ask_many, plain, rephrase, unknown
from tiny.qwen.batches import inside, pair_for, scene_for
from tiny.qwen.pairs import ask_pair
from tiny.scenes import FRESH_BACKDROPS, Scene, draw_scene

#: Width and height of files; the processor chooses the grid.
SIZES = (
    (640, 480),
    (480, 640),
    (500, 500),
    (600, 300),
    (300, 600),
    (400, 200),
    (240, 420),
    (720, 405),
    (196, 196),
    (336, 168),
)


@dataclass(frozen=True)
class GridExample:
    """`texts[i]` is question i as typed; its marks are gone. Marks number the objects of all pictures in order."""

    scenes: tuple[Scene, ...]
    sizes: tuple[tuple[int, int], ...]
    questions: list[Question]
    texts: list[str]

    def pictures(self) -> list[Image.Image]:
        """The pictures, as files would show them."""
        return [draw_scene(scene, *size) for scene, size in zip(self.scenes, self.sizes, strict=True)]

    def inside(self, index: int, grids: list[tuple[int, int]]) -> np.ndarray:
        """Which tokens of all pictures have their centre in the box of an object."""
        return inside(self.scenes, tuple(grids))[index]


def grid_examples(seed: int, count: int, pictures: int, questions: int = 3) -> Iterator[GridExample]:
    """`count` held-out examples of one or of two pictures; one in forty asks with a word that training never used."""
    for index in range(count):
        rng = np.random.default_rng([seed, HELD_OUT, pictures, index])
        sizes = tuple(SIZES[int(rng.integers(len(SIZES)))] for _ in range(pictures))
        shapes = tuple((height, width) for width, height in sizes)
        if pictures == 1:
            scenes = (scene_for(rng, shapes[0], FRESH_BACKDROPS, rectangles=False),)
            asked = ask_many(scenes[0], questions, rng)
            if rng.random() < 0.075:
                other = unknown(scenes[0], rng, held_out=True)
                asked.append(Question("unknown_unseen", other.text, other.answer))
        else:
            scenes = pair_for(rng, (shapes[0], shapes[1]), FRESH_BACKDROPS, rectangles=False)
            asked = ask_pair(scenes, questions, rng)
        yield GridExample(scenes, sizes, asked, [rephrase(plain(question.text), rng) for question in asked])
