"""Llama 4 (tiles and the whole picture) and Llama 3.2 Vision (cross-attention)."""

from __future__ import annotations

import math

import numpy as np

from ..trace.schema import Affine, Rect
from .base import Family
from .layout import Layout, Mismatch, Request, Unplaced, unnormalised
from .llava_next import stitched


class Llama4(Family):
    """Tiles with separators between them, then the whole picture. Tiles lie on a padded canvas with the picture at its top left."""

    classes = ("Llama4ForConditionalGeneration",)
    name = "llama4"

    def layout(self, request: Request) -> Layout:
        """Rows and columns are counted from the separators."""
        config, processor = request.config, request.processor
        token = self.image_token_ids(config)[0]
        layout = Layout(request, image_positions=request.positions(token))
        id_of = processor.tokenizer.convert_tokens_to_ids
        begins = request.positions(id_of(processor.start_of_img_token))
        ends = request.positions(id_of(processor.end_of_img_token))
        row_end = id_of("<|tile_y_separator|>")
        runs, tiles = request.runs(token), iter(request.need("pixel_values")) if len(begins) else iter(())
        for picture, (start, end) in enumerate(zip(begins, ends, strict=True)):
            firsts = [first for first, _ in runs if start < first < end]
            rows = int((request.ids[start:end] == row_end).sum())
            side = math.isqrt(next(length for first, length in runs if first == firsts[0]))
            seen = [unnormalised(next(tiles), processor.image_processor) for _ in firsts]
            tile_px = seen[0].shape[0]
            if rows:
                columns = (len(firsts) - 1) // rows
                self._tiles(layout, picture, firsts[:-1], seen[:-1], (rows, columns), side)
                canvas = layout.canvas(picture, (tile_px, tile_px), pixels=seen[-1])
                layout.view(canvas, firsts[-1], side, side, kind="thumbnail")
            else:
                canvas = self._canvas(layout, picture, (1, 1), seen)
                layout.view(canvas, firsts[0], side, side)
        return layout.finish()

    def _tiles(self, layout: Layout, picture: int, firsts, seen, grid, side: int) -> None:
        tile_px = seen[0].shape[0]
        canvas = self._canvas(layout, picture, grid, seen)
        for index, first in enumerate(firsts):
            row, column = divmod(index, grid[1])
            rect = Rect(column * tile_px, row * tile_px, tile_px, tile_px)
            layout.view(canvas, first, side, side, kind="tile", rect=rect, tile=(row, column))

    def _canvas(self, layout: Layout, picture: int, grid, seen) -> int:
        from transformers.models.llama4.image_processing_llama4 import get_max_res_without_distortion

        request = layout.request
        tile_px, (rows, columns) = seen[0].shape[0], grid
        high, wide = rows * tile_px, columns * tile_px
        width, height = request.need_size(picture)
        limit = (high, wide)
        if not request.setting("resize_to_max_canvas"):
            limit = (min(max(height, tile_px), high), min(max(width, tile_px), wide))
        new_height, new_width = get_max_res_without_distortion((height, width), limit)
        affine = Affine.scale_offset((width / max(new_width, 1), height / max(new_height, 1)))
        return layout.canvas(picture, (wide, high), affine, "top_left", stitched(seen, rows, columns))


class Mllama(Family):
    """No image positions: cross layers attend to keys of the tower, which become virtual positions before the prompt.

    A cross layer has pictures · max_num_tiles · (side² + 1) keys, each tile's class token first. Tiles that are only padding are left
    out; class tokens are separators.
    """

    classes = ("MllamaForConditionalGeneration",)
    name = "mllama"

    def image_token_ids(self, config) -> tuple[int, ...]:
        """The picture's token is a word like any other here."""
        return ()

    def extend(self, inputs: dict, ids, model) -> dict:
        """Words of the answer see the pictures that the prompt's last word sees."""
        out = super().extend(inputs, ids, model)
        mask = out.get("cross_attention_mask")
        if mask is not None:
            out["cross_attention_mask"] = mask[:, [*range(mask.shape[1]), *[-1] * len(ids)]]
        return out

    def layout(self, request: Request) -> Layout:
        """Keys of used tiles, in order."""
        layout = Layout(request)
        pixels = request.array("pixel_values")
        if pixels is None:
            layout.cross_keys = np.zeros(0, np.int64)
            return layout
        vision = request.config.vision_config
        _, pictures, most, *_ = pixels.shape
        side = vision.image_size // vision.patch_size
        keys = side * side + 1
        used = request.need("aspect_ratio_mask")[0].reshape(pictures, most)
        cross = np.full(pictures * most * keys, -1, np.int64)
        counts = [int(used[picture].sum()) for picture in range(pictures)]
        starts = [(picture * most + tile) * keys for picture, count in enumerate(counts) for tile in range(count)]
        for position, start in zip(range(0, len(starts) * keys, keys), starts, strict=True):
            cross[start : start + keys] = np.arange(position, position + keys)
            layout.separators.add(position)
        layout.virtual_len, layout.cross_keys = len(starts) * keys, cross
        try:
            self._views(layout, pixels[0], counts, side)
        except Mismatch:
            raise
        except Unplaced as reason:
            # The keys have no place, but they are the columns of the cross layers.
            layout.canvases, layout.pixels, layout.views = [], [], []
            layout.unplaced = str(reason)
            return layout
        return layout.finish()

    def _views(self, layout: Layout, pixels: np.ndarray, counts: list[int], side: int) -> None:
        tile_px, position = pixels.shape[-2], 0
        for picture, count in enumerate(counts):
            seen = [unnormalised(tile, layout.request.processor.image_processor) for tile in pixels[picture, :count]]
            canvas, columns = self._canvas(layout, picture, seen, tile_px)
            for tile in range(count):
                row, column = divmod(tile, columns)
                rect = Rect(column * tile_px, row * tile_px, tile_px, tile_px)
                kind, place = ("tile", (row, column)) if count > 1 else ("whole", None)
                layout.view(canvas, position + 1, side, side, kind=kind, rect=rect, tile=place)
                position += side * side + 1

    def _canvas(self, layout: Layout, picture: int, seen, tile_px: int) -> tuple[int, int]:
        from transformers.models.mllama.image_processing_mllama import (
            get_image_size_fit_to_canvas,
            get_optimal_tiled_canvas,
        )

        request = layout.request
        width, height = request.need_size(picture)
        most = int(request.setting("max_image_tiles"))
        high, wide = (int(size) for size in get_optimal_tiled_canvas(height, width, most, tile_px))
        new_height, new_width = get_image_size_fit_to_canvas(height, width, high, wide, tile_px)
        affine = Affine.scale_offset((width / float(new_width), height / float(new_height)))
        rows, columns = high // tile_px, wide // tile_px
        if not (rows - 1) * columns < len(seen) <= rows * columns:
            raise Mismatch(f"picture {picture} has {len(seen)} tiles, but its size gives {rows} × {columns}")
        pixels = stitched(seen, rows, columns)
        return layout.canvas(picture, (wide, high), affine, "top_left", pixels), columns
