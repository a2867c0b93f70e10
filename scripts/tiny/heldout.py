"""Held-out examples: scenes, backgrounds and picture sizes that training never drew, as ordinary picture files would show them.

Training draws its chance from (seed, stage, worker, step), these from (seed, `HELD_OUT`): the streams never meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tiny.batches import patches_of
from tiny.questions import Question, ask_many, plain, rephrase, unknown
from tiny.scenes import FRESH_BACKDROPS, Scene, draw_scene, pixel_box, sample_scene

HELD_OUT = 0x5EED
SIZES = ((168, 168), (168, 168), (336, 336), (320, 240), (500, 333), (333, 500), (640, 480))


@dataclass(frozen=True)
class Example:
    """`texts[i]` is question i as typed, perhaps in lower case; its marks are gone."""

    scene: Scene
    width: int
    height: int
    questions: list[Question]
    texts: list[str]

    def picture(self) -> Image.Image:
        return draw_scene(self.scene, self.width, self.height)

    def pictures(self) -> list[Image.Image]:
        """All pictures of the example: one."""
        return [self.picture()]

    def inside(self, index: int, grids: list[tuple[int, int]]) -> np.ndarray:
        """Which patches [N] of the picture's grid have their centre in the box of an object."""
        return patches_of(self.scene.things[index].box, *grids[0])

    def boxes(self) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Label and box in pixels of every object."""
        return [(thing.label, pixel_box(thing, self.width, self.height)) for thing in self.scene.things]


def examples(seed: int, count: int, questions: int = 3) -> Iterator[Example]:
    """`count` held-out scenes with up to `questions` questions each; one in forty asks with a word that training never used."""
    for index in range(count):
        rng = np.random.default_rng([seed, HELD_OUT, index])
        scene = sample_scene(rng, rectangles=False, backdrops=FRESH_BACKDROPS)
        width, height = SIZES[rng.integers(len(SIZES))]
        asked = ask_many(scene, questions, rng)
        if rng.random() < 0.075:
            other = unknown(scene, rng, held_out=True)
            asked.append(Question("unknown_unseen", other.text, other.answer))
        yield Example(scene, width, height, asked, [rephrase(plain(question.text), rng) for question in asked])
