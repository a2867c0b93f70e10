"""Families that cut a squashed picture into tiles and add the whole picture as one more: InternVL, Cohere2-Vision, Aya."""

from __future__ import annotations

import math
import re

import numpy as np

from ..trace.schema import Frame, Rect
from .base import BatchedTower, Family
from .layout import Layout, Mismatch, Request, unnormalised
from .llava_next import stitched
from .qwen import frame_seconds, frame_size


class InternVL(BatchedTower, Family):
    """One run a picture, tiles back to back, the thumbnail last; a run of one tile for each frame of a video."""

    classes = ("InternVLForConditionalGeneration",)
    name = "internvl"
    video = True

    def image_token_ids(self, config) -> tuple[int, ...]:
        """Frames use the picture's token."""
        return (config.image_token_id,)

    def layout(self, request: Request) -> Layout:
        """Runs that follow “FrameN: ” are frames."""
        token = request.config.image_token_id
        layout = Layout(request, image_positions=request.positions(token))
        runs = request.runs(token)
        numbers = [frame_number(request, first) for first, _ in runs]
        tiles = iter(request.need("pixel_values")) if runs else iter(())
        length = tokens_a_tile(request)
        picture = video = 0
        for (first, count), number in zip(runs, numbers, strict=True):
            if number is None:
                firsts = [first + index * length for index in range(count // length)]
                seen = [next(tiles) for _ in firsts]
                add_tiles(layout, picture, firsts, seen, optimal_canvas(request))
                picture += 1
        for (first, _), number in zip(runs, numbers, strict=True):
            if number is not None:
                video += number == 1
                add_frame(layout, picture, video - 1, number - 1, first, next(tiles))
                picture += 1
        return layout.finish()


class Cohere2Vision(BatchedTower, Family):
    """One run a tile with a line break behind it; a picture is what stands between begin and end."""

    classes = ("Cohere2VisionForConditionalGeneration",)
    name = "cohere2_vision"

    def layout(self, request: Request) -> Layout:
        """Tiles, then the thumbnail where there is more than one tile."""
        processor = request.processor
        layout = Layout(request, image_positions=request.positions(request.config.image_token_id))
        begin = request.positions(processor.tokenizer.convert_tokens_to_ids(self.begin_token(processor)))
        tiles = iter(request.need("pixel_values")) if len(begin) else iter(())
        runs, side = request.runs(request.config.image_token_id), self.side(request)
        ends = [*begin[1:], len(request.ids)]
        for picture, (start, end) in enumerate(zip(begin, ends, strict=True)):
            firsts = [first for first, _ in runs if start < first < end]
            seen = [next(tiles) for _ in firsts]
            add_tiles(layout, picture, firsts, seen, self.canvas_rule(request), side)
        return layout.finish()

    def begin_token(self, processor) -> str:
        """What stands before a picture's tiles."""
        return processor.boi_token

    def side(self, request: Request) -> int:
        """Tokens of a tile's side."""
        return int(request.processor.image_processor.patch_size)

    def canvas_rule(self, request: Request):
        """(height, width) → (columns, rows)."""
        from transformers.models.cohere2_vision.image_processing_cohere2_vision import get_optimal_tiled_canvas

        return _rule(get_optimal_tiled_canvas, request)


class AyaVision(Cohere2Vision):
    """As Cohere2-Vision, with names before the tiles and the whole picture always last."""

    classes = ("AyaVisionForConditionalGeneration",)
    name = "aya_vision"

    def begin_token(self, processor) -> str:
        """What stands before a picture's tiles."""
        return processor.start_of_img_token

    def side(self, request: Request) -> int:
        """Tokens of a tile's side."""
        return int(request.processor.img_size // request.processor.patch_size)

    def canvas_rule(self, request: Request):
        """(height, width) → (columns, rows)."""
        return optimal_canvas(request)


def optimal_canvas(request: Request):
    """(height, width) → (columns, rows), as GOT-OCR2's processor chooses it."""
    from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

    return _rule(get_optimal_tiled_canvas, request)


def _rule(choose, request: Request):
    size, least, most = (request.setting(name) for name in ("size", "min_patches", "max_patches"))
    return lambda height, width: choose((height, width), (size["height"], size["width"]), least, most)


def tokens_a_tile(request: Request) -> int:
    """Image tokens of a tile."""
    return int(request.processor.image_seq_length)


def add_tiles(layout: Layout, picture: int, firsts: list[int], seen: list[np.ndarray], rule, side: int | None = None) -> None:
    """Views of a picture: its tiles row by row, then the thumbnail; a single one is the whole picture."""
    request = layout.request
    processor = request.processor.image_processor
    side = side or math.isqrt(tokens_a_tile(request))
    tiles = [unnormalised(tile, processor) for tile in seen]
    tile_px = tiles[0].shape[0]
    if len(tiles) == 1:
        canvas = layout.canvas(picture, (tile_px, tile_px), pixels=tiles[0])
        layout.view(canvas, firsts[0], side, side)
        return
    width, height = request.need_size(picture)
    columns, rows = (int(count) for count in rule(height, width))
    if rows * columns + 1 != len(tiles):
        raise Mismatch(
            f"picture {picture} has {len(tiles)} tiles, but the processor's settings give {rows} × {columns} and a thumbnail: "
            "use the same processor, with the settings that the inputs were made with"
        )
    pixels = stitched(tiles[:-1], rows, columns)
    canvas = layout.canvas(picture, (columns * tile_px, rows * tile_px), pixels=pixels, tiles=(rows, columns))
    for index, first in enumerate(firsts[:-1]):
        row, column = divmod(index, columns)
        rect = Rect(column * tile_px, row * tile_px, tile_px, tile_px)
        layout.view(canvas, first, side, side, kind="tile", rect=rect, tile=(row, column))
    thumbnail = layout.canvas(picture, (tile_px, tile_px), pixels=tiles[-1])
    layout.view(thumbnail, firsts[-1], side, side, kind="thumbnail")


def frame_number(request: Request, first: int) -> int | None:
    """N where “FrameN: ” stands before the run that begins at `first`."""
    before = request.processor.tokenizer.decode(request.ids[max(0, first - 16) : first - 1])
    found = re.search(r"Frame(\d+): $", before)
    return int(found.group(1)) if found else None


def add_frame(layout: Layout, picture: int, video: int, index: int, first: int, pixels: np.ndarray) -> None:
    """The view of one frame, which is a picture of its own."""
    request = layout.request
    side = math.isqrt(tokens_a_tile(request))
    seen = unnormalised(pixels, request.processor.video_processor)
    layout.frame_pictures[picture] = (video, index)
    size = frame_size(request, video)
    canvas = layout.canvas(picture, (seen.shape[1], seen.shape[0]), pixels=seen, original_size=size)
    moment = Frame(video, index, frame_seconds(request, video, index))
    layout.view(canvas, first, side, side, kind="frame", frame=moment)
