"""LLaVA-NeXT and LLaVA-OneVision: the squashed base, then all tiles as one grid without its padding, a newline behind each row."""

from __future__ import annotations

import math

import numpy as np

from ..trace.schema import Affine, Frame, Rect
from .base import BatchedTower, Family
from .layout import Layout, Request, unnormalised
from .qwen import frame_seconds, frame_size


class LlavaNext(BatchedTower, Family):
    """One run of image tokens a picture; the newlines inside have the same id."""

    classes = ("LlavaNextForConditionalGeneration",)
    name = "llava_next"

    def layout(self, request: Request) -> Layout:
        """Base and tiles of each picture."""
        tokens = self.image_token_ids(request.config)
        layout = Layout(request, image_positions=request.positions(*tokens))
        sizes = request.array("image_sizes")
        if sizes is not None:
            places = request.positions(tokens[0])
            pixels, key = request.need("pixel_values"), 0
            for picture, (height, width) in enumerate(sizes.tolist()):
                alone = self.is_alone(request, picture)
                key += add_picture(layout, picture, (width, height), places[key:], pixels[picture], self.most_tiles(request), alone)
        return layout.finish()

    def is_alone(self, request: Request, picture: int) -> bool:
        """Whether a picture is cut into tiles."""
        return True

    def most_tiles(self, request: Request) -> int | None:
        """Above this many tiles' worth of tokens the grid is shrunk; None: never."""
        return None


class LlavaOnevision(LlavaNext):
    """Grids above `anyres_max_N` are shrunk; prompts of several pictures have only bases; videos have pooled frames."""

    classes = ("LlavaOnevisionForConditionalGeneration",)
    name = "llava_onevision"
    video = True

    def layout(self, request: Request) -> Layout:
        """Pictures, then frames."""
        layout = super().layout(request)
        if request.inputs.get("pixel_values_videos") is not None:
            add_frames(layout, request.positions(self.image_token_ids(request.config)[1]))
        return layout.finish()

    def is_alone(self, request: Request, picture: int) -> bool:
        """By `batch_num_images`: how many pictures share the prompt."""
        counts = request.array("batch_num_images")
        owners = np.repeat(counts, counts) if counts is not None else [1] * (picture + 1)
        return int(owners[picture]) == 1

    def most_tiles(self, request: Request) -> int:
        """N of the model's `anyres_max_N`."""
        return int(request.config.vision_aspect_ratio.removeprefix("anyres_max_"))


def add_picture(layout: Layout, picture: int, size, places, pixels, most: int | None, alone: bool) -> int:
    """Views of one picture, whose image tokens are the first of `places`; returns how many these are."""
    request = layout.request
    config, processor = request.config, request.processor.image_processor
    side = config.vision_config.image_size // config.vision_config.patch_size
    tile_px = pixels.shape[-1]
    affine, mode = (None, "resize") if alone else (padded_square(size, tile_px), "pad")
    seen = unnormalised(pixels[0], processor)
    base = layout.canvas(picture, (tile_px, tile_px), affine, mode, pixels=seen, original_size=size)
    layout.view(base, places[0], side, side, kind="base" if alone else "whole")
    if not alone:
        return side * side + 1
    width, height = size
    high, wide = best_resolution(size, config.image_grid_pinpoints)
    canvas = tiles_canvas(layout, picture, size, (wide, high), pixels[1:], processor)
    rows, columns = high // tile_px * side, wide // tile_px * side
    pad_rows = pad_columns = 0
    # As transformers' unpad_image, in tokens.
    if width / height > columns / rows:
        pad_rows = (rows - int(round(height * (columns / width), 7))) // 2
    else:
        pad_columns = (columns - int(round(width * (rows / height), 7))) // 2
    cell = tile_px / side
    inner = (rows - 2 * pad_rows, columns - 2 * pad_columns)
    rect = Rect(pad_columns * cell, pad_rows * cell, inner[1] * cell, inner[0] * cell)
    if most is not None:
        ratio = math.sqrt(inner[0] * inner[1] / (most * side**2))
        if ratio > 1.1:
            inner = (int(inner[0] // ratio), int(inner[1] // ratio))
    if min(inner) > 0:  # of a very long picture the grid has line ends only
        layout.view(canvas, int(places[side * side]), *inner, kind="tiles", stride=inner[1] + 1, rect=rect)
    return side * side + inner[0] * (inner[1] + 1)


def padded_square(size: tuple[int, int], side_px: int) -> Affine:
    """Original from a square of `side_px` pixels that holds the picture of (width, height) in its middle, as transformers' pad_to_square."""
    longest = max(size)
    scale = longest / side_px
    return Affine.scale_offset((scale, scale), (-((longest - size[0]) // 2), -((longest - size[1]) // 2)))


def best_resolution(size: tuple[int, int], pinpoints) -> tuple[int, int]:
    """(height, width) of the canvas that transformers chooses for a picture of (width, height)."""
    from transformers.image_processing_utils import select_best_resolution

    return select_best_resolution([size[1], size[0]], [list(point) for point in pinpoints])


def tiles_canvas(layout: Layout, picture: int, size, canvas_size, tiles: np.ndarray, processor) -> int:
    """The padded canvas that the tiles are cut from; the picture keeps its aspect and is centred."""
    (width, height), (wide, high) = size, canvas_size
    scale_x, scale_y = wide / width, high / height
    if scale_x < scale_y:
        new_width, new_height = wide, min(math.ceil(height * scale_x), high)
    else:
        new_width, new_height = min(math.ceil(width * scale_y), wide), high
    scale = (width / new_width, height / new_height)
    offset = ((wide - new_width) // 2, (high - new_height) // 2)
    affine = Affine.scale_offset(scale, (-offset[0] * scale[0], -offset[1] * scale[1]))
    pixels = stitched([unnormalised(tile, processor) for tile in tiles], high // tiles.shape[-1], wide // tiles.shape[-1])
    return layout.canvas(
        picture, canvas_size, affine, "anyres", pixels, size, tiles=(high // tiles.shape[-1], wide // tiles.shape[-1])
    )


def stitched(tiles: list[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """One picture from tiles [h, w, 3], row by row."""
    lines = [np.concatenate(tiles[row * columns : (row + 1) * columns], 1) for row in range(rows)]
    return np.concatenate(lines, 0)


def add_frames(layout: Layout, places: np.ndarray) -> None:
    """Frames of ceil(side / 2)² tokens, and one newline at the end of each video."""
    request = layout.request
    vision = request.config.vision_config
    side = math.ceil(vision.image_size // vision.patch_size / 2)
    picture = 1 + max((canvas.picture for canvas in layout.canvases), default=-1)
    key = 0
    for video, frames in enumerate(request.need("pixel_values_videos")):
        for index, frame in enumerate(frames):
            pixels = unnormalised(frame, request.processor.video_processor)
            layout.frame_pictures[picture] = (video, index)
            size = (frame.shape[-1], frame.shape[-2])
            canvas = layout.canvas(picture, size, pixels=pixels, original_size=frame_size(request, video))
            moment = Frame(video, index, frame_seconds(request, video, index))
            layout.view(canvas, places[key], side, side, kind="frame", frame=moment)
            key, picture = key + side * side, picture + 1
        layout.separators.add(int(places[key]))
        key += 1
