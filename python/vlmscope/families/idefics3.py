"""Idefics3, SmolVLM and LFM2-VL: each tile is named by a token before its run, the whole picture comes last."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from ..trace.schema import Frame, Rect
from .base import BatchedTower, Family
from .layout import Layout, Request, Unplaced, unnormalised
from .llava_next import stitched
from .qwen import frame_owner, frame_seconds, frame_size


@dataclass
class NamedRun:
    """A run of image tokens with the (row, column) that stands before it, None for the whole picture."""

    first: int
    length: int
    tile: tuple[int, int] | None
    before: str


class Idefics3(BatchedTower, Family):
    """Square tiles of a picture that is squashed to a multiple of them."""

    classes = ("Idefics3ForConditionalGeneration",)
    name = "idefics3"

    def layout(self, request: Request) -> Layout:
        """Tiles by name, then the whole; runs after “Frame from mm:ss:” are frames."""
        config, processor = request.config, request.processor
        layout = Layout(request, image_positions=request.positions(config.image_token_id))
        runs = named_runs(request, config.image_token_id, int(processor.image_seq_len), r"<row_(\d+)_col_(\d+)>$")
        if not runs:
            return layout.finish()
        pixels = request.need("pixel_values")
        pixels = pixels.reshape(-1, *pixels.shape[-3:])
        side = math.isqrt(int(processor.image_seq_len))
        picture, tiles = 0, []
        for run, seen in zip(runs, pixels, strict=False):
            if re.search(r"Frame from \d+:\d+:", run.before):
                picture = self.add_frame(layout, picture, run, seen, side)
            elif run.tile is not None:
                tiles.append((run, seen))
            else:
                self.add_picture(layout, picture, tiles, run, seen, side)
                picture, tiles = picture + 1, []
        return layout.finish()

    def add_picture(self, layout: Layout, picture: int, tiles: list, whole: NamedRun, seen, side: int) -> None:
        """Views of a picture: its tiles, then the whole."""
        processor = layout.request.processor.image_processor
        if tiles:
            rows, columns = (1 + max(run.tile[axis] for run, _ in tiles) for axis in (0, 1))
            pixels = [unnormalised(tile, processor) for _, tile in tiles]
            high, wide = pixels[0].shape[:2]
            whole_px = stitched(pixels, rows, columns)
            canvas = layout.canvas(picture, (columns * wide, rows * high), pixels=whole_px, tiles=(rows, columns))
            for run, _ in tiles:
                row, column = run.tile
                rect = Rect(column * wide, row * high, wide, high)
                layout.view(canvas, run.first, side, side, kind="tile", rect=rect, tile=run.tile)
        pixels = unnormalised(seen, processor)
        canvas = layout.canvas(picture, (pixels.shape[1], pixels.shape[0]), pixels=pixels)
        layout.view(canvas, whole.first, side, side, kind="thumbnail" if tiles else "whole")

    def add_frame(self, layout: Layout, picture: int, run: NamedRun, seen, side: int) -> int:
        """The view of a frame; returns the next picture's number."""
        request = layout.request
        pixels = unnormalised(seen, request.processor.video_processor)
        video, index = frame_owner(request, sum(view.frame is not None for view in layout.views))
        layout.frame_pictures[picture] = (video, index)
        size = frame_size(request, video)
        canvas = layout.canvas(picture, (pixels.shape[1], pixels.shape[0]), pixels=pixels, original_size=size)
        moment = Frame(video, index, frame_seconds(request, video, index))
        layout.view(canvas, run.first, side, side, kind="frame", frame=moment)
        return picture + 1


class SmolVLM(Idefics3):
    """Idefics3's layout, and videos of one picture a frame."""

    classes = ("SmolVLMForConditionalGeneration",)
    name = "smolvlm"
    video = True


class Lfm2Vl(Family):
    """Tiles of a fixed size, then a thumbnail of a size of its own; small pictures are one run."""

    classes = ("Lfm2VlForConditionalGeneration",)
    name = "lfm2_vl"

    def layout(self, request: Request) -> Layout:
        """Grids from `spatial_shapes` (in patches), merged `downsample_factor` squared; odd counts are padded."""
        config, processor = request.config, request.processor.image_processor
        layout = Layout(request, image_positions=request.positions(config.image_token_id))
        shapes = request.array("spatial_shapes")
        if shapes is None:
            return layout.finish()
        factor, patch = int(config.downsample_factor), int(processor.encoder_patch_size)
        pixels = request.need("pixel_values")
        lengths = [math.ceil(high / factor) * math.ceil(wide / factor) for high, wide in shapes.tolist()]
        runs = named_runs(request, config.image_token_id, None, r"<\|img_row_(\d+)_col_(\d+)\|>$")
        if [run.length for run in runs] != lengths:
            raise Unplaced("the tiles cannot be told apart without the processor's special tokens (use_image_special_tokens)")
        picture, tiles = 0, []
        for index, run in enumerate(runs):
            high, wide = shapes[index].tolist()
            grid = (math.ceil(high / factor), math.ceil(wide / factor))
            image = depatchified(pixels[index], (high, wide), patch, processor)
            if run.tile is not None:
                tiles.append((run, image, grid))
                last = index + 1 == len(runs) or (runs[index + 1].tile in (None, (0, 0)) and "thumbnail" not in runs[index + 1].before)
                if last:
                    self._tiles(layout, picture, tiles, factor * patch)
                    picture, tiles = picture + 1, []
                continue
            if tiles:
                self._tiles(layout, picture, tiles, factor * patch)
            canvas = layout.canvas(picture, (wide * patch, high * patch), pixels=image)
            rect = Rect(0, 0, grid[1] * factor * patch, grid[0] * factor * patch)
            layout.view(canvas, run.first, *grid, kind="thumbnail" if tiles else "whole", rect=rect)
            picture, tiles = picture + 1, []
        return layout.finish()

    def _tiles(self, layout: Layout, picture: int, tiles: list, cell: int) -> None:
        rows, columns = (1 + max(run.tile[axis] for run, _, _ in tiles) for axis in (0, 1))
        high, wide = tiles[0][1].shape[:2]
        pixels = stitched([image for _, image, _ in tiles], rows, columns)
        canvas = layout.canvas(picture, (columns * wide, rows * high), pixels=pixels)
        for run, _, grid in tiles:
            row, column = run.tile
            rect = Rect(column * wide, row * high, grid[1] * cell, grid[0] * cell)
            layout.view(canvas, run.first, *grid, kind="tile", rect=rect, tile=run.tile)


def named_runs(request: Request, token: int, length: int | None, pattern: str) -> list[NamedRun]:
    """Runs of `length` image tokens (None: unbroken ones) with the text before each."""
    runs, tokenizer = [], request.processor.tokenizer
    end = 0
    for start, count in request.runs(token):
        before = tokenizer.decode(request.ids[max(end, start - 160) : start]) if start > end else ""
        step = length or count
        for first in range(start, start + count, step):
            found = re.search(pattern, before) if first == start else None
            tile = (int(found.group(1)) - 1, int(found.group(2)) - 1) if found else None
            runs.append(NamedRun(first, step, tile, before if first == start else ""))
        end = start + count
    return runs


def depatchified(rows: np.ndarray, grid: tuple[int, int], patch: int, processor) -> np.ndarray:
    """Pixels [H, W, 3] from patches [n, patch · patch · 3] row by row."""
    high, wide = grid
    patches = rows[: high * wide].reshape(high, wide, patch, patch, 3)
    image = patches.transpose(4, 0, 2, 1, 3).reshape(3, high * patch, wide * patch)
    return unnormalised(image, processor)
