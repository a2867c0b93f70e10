"""Gemma 3 (with pan and scan), Gemma 4, PaliGemma 1 and 2."""

from __future__ import annotations

import math

import numpy as np

from ..trace.schema import Affine, Frame
from .base import BatchedTower, Family, extend_inputs
from .idefics3 import depatchified
from .layout import Layout, Mismatch, Request, unnormalised
from .qwen import frame_seconds, frame_size


class Gemma3(BatchedTower, Family):
    """One run of a fixed square grid a picture, the picture squashed; with pan and scan crops follow the whole picture."""

    classes = ("Gemma3ForConditionalGeneration",)
    name = "gemma3"

    def layout(self, request: Request) -> Layout:
        """Image tokens attend to each other in both directions."""
        config = request.config
        token = self.image_token_ids(config)[0]
        layout = Layout(request, image_positions=request.positions(token), image_attention="bidirectional")
        runs = request.runs(token)
        if not runs:
            return layout
        side = math.isqrt(config.mm_tokens_per_image)
        pixels = request.need("pixel_values")
        boxes = self.boxes(request, len(runs))
        for (first, _), (picture, box), seen in zip(runs, boxes, pixels, strict=True):
            image = unnormalised(seen, request.processor.image_processor)
            size = (image.shape[1], image.shape[0])
            if box is None:
                canvas = layout.canvas(picture, size, pixels=image)
                layout.view(canvas, first, side, side)
            else:
                x, y, width, height = box
                affine = Affine.scale_offset((width / size[0], height / size[1]), (x, y))
                canvas = layout.canvas(picture, size, affine, "pan_and_scan", image)
                layout.view(canvas, first, side, side, kind="crop")
        return layout.finish()

    def boxes(self, request: Request, runs: int) -> list[tuple[int, tuple | None]]:
        """(picture, None or the crop's x, y, width, height) of each run."""
        pictures = runs if request.pictures is None else len(request.pictures)
        if pictures == runs:
            return [(picture, None) for picture in range(runs)]
        found: list[tuple[int, tuple | None]] = []
        for picture in range(pictures):
            found.append((picture, None))
            found += [(picture, box) for box in crops(request, picture)]
        if len(found) != runs:
            raise Mismatch(f"{pictures} pictures have {runs} runs of image tokens, but pan and scan would give {len(found)}")
        return found


def crops(request: Request, picture: int) -> list[tuple[int, int, int, int]]:
    """x, y, width, height of the crops that pan and scan takes; none where it is not active for this picture."""
    width, height = size = request.need_size(picture)
    smallest = request.setting("pan_and_scan_min_crop_size")
    long, short = max(size), min(size)
    if long / short < request.setting("pan_and_scan_min_ratio_to_activate"):
        return []
    count = min(int(long / smallest), int(math.floor(long / short + 0.5)))
    count = min(request.setting("pan_and_scan_max_num_crops"), max(2, count))
    across, down = (count, 1) if width >= height else (1, count)
    crop = (math.ceil(width / across), math.ceil(height / down))
    if min(crop) < smallest:
        return []
    corners = [(crop[0] * column, crop[1] * row) for row in range(down) for column in range(across)]
    return [(x, y, min(crop[0], width - x), min(crop[1], height - y)) for x, y in corners]


class Gemma4(Family):
    """A dynamic grid a picture or frame, between begin and end."""

    classes = ("Gemma4ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration")
    name = "gemma4"
    video = True

    def layout(self, request: Request) -> Layout:
        """Grids from `image_position_ids` [n, patches, (x, y)], −1 where there is padding."""
        config = request.config
        both_ways = getattr(config.get_text_config(), "use_bidirectional_attention", None) in ("vision", "all", True)
        layout = Layout(
            request,
            image_positions=request.positions(*self.image_token_ids(config)),
            image_attention="bidirectional" if both_ways else "causal",
        )
        positions = request.array("image_position_ids")
        pictures = 0
        if positions is not None:
            runs, processor = request.runs(config.image_token_id), request.processor.image_processor
            for place, pixels, (first, _) in zip(positions, request.need("pixel_values"), runs, strict=True):
                canvas, grid = self._canvas(layout, pictures, place, pixels, processor, None)
                layout.view(canvas, first, *grid)
                pictures += 1
        positions = request.array("video_position_ids")
        if positions is not None:
            self._frames(layout, pictures, positions)
        return layout.finish()

    def _frames(self, layout: Layout, picture: int, positions: np.ndarray) -> None:
        request = layout.request
        runs = iter(request.runs(request.config.video_token_id))
        processor = request.processor.video_processor
        pixels = request.need("pixel_values_videos")
        counts = request.array("num_frames_per_video")
        counts = [len(positions)] if counts is None else counts.tolist()
        owners = [(video, index) for video, count in enumerate(counts) for index in range(count)]
        for (video, index), place, patches in zip(owners, positions, pixels, strict=True):
            layout.frame_pictures[picture] = (video, index)
            size = frame_size(request, video)
            canvas, grid = self._canvas(layout, picture, place, patches, processor, size)
            moment = Frame(video, index, frame_seconds(request, video, index))
            layout.view(canvas, next(runs)[0], *grid, kind="frame", frame=moment)
            picture += 1

    def _canvas(self, layout: Layout, picture: int, place, pixels, processor, size):
        wide, high = (int(place[:, axis].max()) + 1 for axis in (0, 1))
        patch, pool = int(processor.patch_size), int(processor.pooling_kernel_size)
        seen = depatchified(pixels, (high, wide), patch, processor)
        canvas = layout.canvas(picture, (wide * patch, high * patch), pixels=seen, original_size=size)
        return canvas, (high // pool, wide // pool)


class PaliGemma(BatchedTower, Family):
    """Pictures first, then the prompt; all of it attends in both directions."""

    classes = ("PaliGemmaForConditionalGeneration",)
    name = "paligemma"

    def layout(self, request: Request) -> Layout:
        """A fixed square grid a picture."""
        token = self.image_token_ids(request.config)[0]
        layout = Layout(request, image_positions=request.positions(token), image_attention="bidirectional")
        length = int(request.processor.image_seq_length)
        side = math.isqrt(length)
        pixels = request.array("pixel_values")
        for picture, first in enumerate(layout.image_positions[::length]):
            seen = unnormalised(pixels[picture], request.processor.image_processor)
            canvas = layout.canvas(picture, (seen.shape[1], seen.shape[0]), pixels=seen)
            layout.view(canvas, first, side, side)
        return layout.finish()

    def prompt(self, processor, question: str, pictures: int, videos: int) -> str:
        """Picture tokens, then the question; the processor adds BOS and the line break."""
        return "<image>" * pictures + question

    def extend(self, inputs: dict, ids, model) -> dict:
        """The answer is a suffix: token type 1, so that it attends causally."""
        return extend_inputs(inputs, ids, answer_type=1)
