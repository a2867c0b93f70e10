"""Training batches: one or two pictures with about nine question branches each. A batch depends on (seed, stage, step) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from tiny.batches import BRANCHES, HEADS, WordEncoder, branches, pack, patch_labels, patches_of
from tiny.model import Guides
from tiny.questions import ask_many
from tiny.qwen.model import PackedGrids
from tiny.qwen.pairs import ask_pair
from tiny.qwen.text import CELL, LEAST_CELLS, MERGE, MOST_CELLS, PICTURE
from tiny.scenes import SIDES, Scene, draw_scene, jittered, place, sample_scene

#: Rows and columns of tokens: up to 2.4 times as wide as high, or as high as wide.
GRIDS = tuple(
    (rows, columns)
    for rows in range(5, 13)
    for columns in range(5, 13)
    if LEAST_CELLS <= rows * columns <= MOST_CELLS and max(rows, columns) <= 2.4 * min(rows, columns)
)
PAIR_SHARE, LARGE_SHARE = 0.4, 0.125
BACKDROPS = (0, 16)  # few, because they are cached for each grid
SMALLEST = 2  # in SIDES: the smallest objects are hardly larger than a cell
SHARED_SHARE = 0.4  # of pairs in which an object of the first picture is also tried in the second


def extent_of(rows: int, columns: int) -> tuple[float, float]:
    """The frame's width and height in units of its shorter side."""
    short = min(rows, columns)
    return columns / short, rows / short


def scene_for(
    rng: np.random.Generator, grid: tuple[int, int], backdrops: tuple[int, int] = BACKDROPS, rectangles: bool = True
) -> Scene:
    """A random scene whose frame has the shape of the grid."""
    return sample_scene(rng, rectangles=rectangles, backdrops=backdrops, extent=extent_of(*grid), smallest=SMALLEST)


def pair_for(
    rng: np.random.Generator,
    grids: tuple[tuple[int, int], tuple[int, int]],
    backdrops: tuple[int, int] = BACKDROPS,
    rectangles: bool = True,
) -> tuple[Scene, Scene]:
    """Two scenes; in some an object of the first one is also in the second one."""
    first, second = (scene_for(rng, grid, backdrops, rectangles) for grid in grids)
    if first.things and len(second.things) < 3 and not second.rectangles and rng.random() < SHARED_SHARE:
        same = first.things[int(rng.integers(len(first.things)))]
        side = float(SIDES[rng.integers(SMALLEST, 7)])
        thing = place(rng, same.noun, same.colour, side, list(second.things), second.extent)
        if thing is not None:
            second = Scene(second.background, second.background_seed, (*second.things, thing), (), second.extent)
    return first, second


def view(scene: Scene, grid: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Pixels [H, W, 3] u8 as the processor would show them: one in eight is drawn larger and resized."""
    height, width = grid[0] * CELL, grid[1] * CELL
    if rng.random() < LARGE_SHARE:
        scale = rng.uniform(1.1, 2.5)
        image = draw_scene(scene, round(width * scale), round(height * scale)).resize((width, height))
    else:
        image = draw_scene(scene, width, height)
    return jittered(image, rng)


class PromptEncoder:
    """Prefixes for pictures of given grids, and the words of questions and answers."""

    def __init__(self, processor: Qwen3VLProcessor, model: Qwen3VLForConditionalGeneration) -> None:
        self.words = WordEncoder(processor.tokenizer, "<|vision_end|>")
        self.image_id, self.model = model.config.image_token_id, model
        self.bos, self.pad = processor.tokenizer.bos_token_id, processor.tokenizer.pad_token_id
        self.known: dict[tuple[tuple[int, int], ...], tuple[list[int], Tensor, Tensor, int]] = {}

    def prefix(self, grids: tuple[tuple[int, int], ...]) -> tuple[list[int], Tensor, Tensor, int]:
        """Ids, positions [3, P], places of picture tokens [M], and the position behind the prefix."""
        if grids not in self.known:
            text = "USER: " + (PICTURE + "\n") * len(grids)
            ids, left = [self.bos], list(grids)
            for token in self.words.tokenizer(text, add_special_tokens=False).input_ids:
                ids += [token] * (np.prod(left.pop(0)) if token == self.image_id else 1)
            kinds = torch.tensor([[int(token == self.image_id) for token in ids]])
            thw = torch.tensor([[1, rows * MERGE, columns * MERGE] for rows, columns in grids])
            positions, _ = self.model.model.get_rope_index(
                torch.tensor([ids]), image_grid_thw=thw, mm_token_type_ids=kinds
            )
            image = kinds[0].nonzero().flatten()
            self.known[grids] = (ids, positions[:, 0], image, int(positions.max()) + 1)
        return self.known[grids]


@dataclass
class Batch:
    """`pixels`: of each picture of a row, [B, 3, H, W] u8; `patch_labels` beside them map a head's name to [B, N]; `labels`
    [B, S − prefix] (−100: no loss)."""

    pixels: list[Tensor]
    patch_labels: list[dict[str, Tensor]]
    packed: PackedGrids | None = None
    labels: Tensor | None = None
    guides: tuple[Guides, ...] = ()


class Batches:
    """`batch(step, stage)`: stage 0 has patch labels only, stage 1 has questions too."""

    def __init__(self, encoder: PromptEncoder, seed: int, size: int) -> None:
        self.encoder, self.seed, self.size = encoder, seed, size

    def batch(self, step: int, stage: int) -> Batch:
        """The batch of a step; all its rows have the same grids."""
        rng = np.random.default_rng([self.seed, stage, step])
        pair = bool(stage) and rng.random() < PAIR_SHARE
        grids = tuple(GRIDS[int(rng.integers(len(GRIDS)))] for _ in range(1 + pair))
        size = self.size * 2 // 3 if pair else self.size
        rows = [pair_for(rng, grids) if pair else (scene_for(rng, grids[0]),) for _ in range(size)]
        batch = Batch([], [])
        for number, grid in enumerate(grids):
            views = np.stack([view(scenes[number], grid, rng) for scenes in rows])
            batch.pixels.append(torch.from_numpy(views).permute(0, 3, 1, 2).contiguous())
            found = [patch_labels(scenes[number], grid[0] * MERGE, grid[1] * MERGE) for scenes in rows]
            batch.patch_labels.append(
                {name: torch.from_numpy(np.stack([labels[name] for labels in found])) for name in HEADS}
            )
        if stage:
            batch.packed, batch.labels, batch.guides = self._pack(grids, rows, rng)
        return batch

    def _pack(
        self, grids: tuple[tuple[int, int], ...], rows: list[tuple[Scene, ...]], rng: np.random.Generator
    ) -> tuple[PackedGrids, Tensor, tuple[Guides, ...]]:
        ids, places, image, first = self.encoder.prefix(grids)
        asked = []
        for scenes in rows:
            questions = (
                ask_pair(scenes, BRANCHES + 1, rng) if len(scenes) > 1 else ask_many(scenes[0], BRANCHES + 1, rng)
            )
            asked.append((inside(scenes, grids), branches(self.encoder.words, questions, rng)))
        packed, labels, guides = pack(ids, first, self.encoder.pad, asked)
        positions = packed.positions.repeat(3, 1, 1)
        positions[:, :, : len(ids)] = places[:, None]
        return PackedGrids(packed.ids, positions, packed.branch, packed.prefix, image), labels, guides


def inside(scenes: tuple[Scene, ...], grids: tuple[tuple[int, int], ...]) -> list[np.ndarray]:
    """For each object of all pictures, which of the pictures' tokens [M] show it."""
    total = sum(rows * columns for rows, columns in grids)
    found, start = [], 0
    for scene, (rows, columns) in zip(scenes, grids, strict=True):
        for thing in scene.things:
            cells = np.zeros(total, bool)
            cells[start : start + rows * columns] = patches_of(thing.box, rows, columns)
            found.append(cells)
        start += rows * columns
    return found
