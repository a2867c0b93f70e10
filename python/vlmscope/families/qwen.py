"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Qwen3.5 and GLM-4V: one run of a dynamic grid a picture, videos as pairs of frames."""

from __future__ import annotations

import re

import numpy as np

from ..trace.schema import Frame
from .base import Family
from .layout import Layout, Request, VisionInput, unnormalised


class Qwen(Family):
    """Grids come from `image_grid_thw` [n, 3] (in patches of the tower), merged `spatial_merge_size` squared to one token."""

    classes = (
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
        "Qwen3VLMoeForConditionalGeneration",
        "Qwen3_5ForConditionalGeneration",
        "Qwen3_5MoeForConditionalGeneration",
    )
    name = "qwen"
    video = True

    def layout(self, request: Request) -> Layout:
        """Pictures first, then frames of videos as pictures of their own."""
        config = request.config
        layout = Layout(request, image_positions=request.positions(*self.image_token_ids(config)))
        merge = config.vision_config.spatial_merge_size
        pictures = add_pictures(layout, config.image_token_id, merge)
        if request.inputs.get("video_grid_thw") is not None:
            add_videos(layout, self.video_runs(request), pictures, merge)
        return layout.finish()

    def vision_inputs(self, layout: Layout) -> list[VisionInput]:
        """Pictures, then pairs of frames, packed; patches in blocks that are merged, and blocks in windows where the tower has them."""
        request, inputs = layout.request, []
        vision = request.config.vision_config
        for name in ("image_grid_thw", "video_grid_thw"):
            grids = request.array(name)
            for frames, high, wide in [] if grids is None else grids.tolist():
                for _ in range(frames):
                    canvas, rect = layout.tower_inputs[len(inputs)]
                    inputs.append(VisionInput(canvas, rect, high, wide, tower_order((high, wide), vision)))
        return inputs

    def video_runs(self, request: Request) -> np.ndarray:
        """Positions of the patches of all videos, in order."""
        return request.positions(request.config.video_token_id)


class Glm4v(Qwen):
    """As Qwen; frames of videos are image tokens between the begin and end of a video."""

    classes = ("Glm4vForConditionalGeneration", "Glm4vMoeForConditionalGeneration", "Glm46VForConditionalGeneration")
    name = "glm4v"

    def layout(self, request: Request) -> Layout:
        """Image tokens between video marks belong to videos, whatever their id."""
        config = request.config
        merge = config.vision_config.spatial_merge_size
        places = request.positions(*self.image_token_ids(config))
        layout = Layout(request, image_positions=places)
        opened = np.cumsum(request.ids == config.video_start_token_id) - np.cumsum(request.ids == config.video_end_token_id)
        in_video = opened[places] > 0
        pictures = add_pictures(layout, config.image_token_id, merge, places[~in_video])
        if request.inputs.get("video_grid_thw") is not None:
            add_videos(layout, places[in_video], pictures, merge)
        return layout.finish()


def add_pictures(layout: Layout, token: int, merge: int, places: np.ndarray | None = None) -> int:
    """Views of all pictures; returns how many there are."""
    request = layout.request
    grids = request.array("image_grid_thw")
    if grids is None:
        return 0
    places = request.positions(token) if places is None else places
    processor = request.processor.image_processor
    pixels, start, key = request.array("pixel_values"), 0, 0
    for picture, (frames, high, wide) in enumerate(grids.tolist()):
        count = frames * high * wide
        seen = None
        if pixels is not None:
            seen = unpatchified(pixels[start : start + count], (frames, high, wide), processor)[0]
        patch = processor.patch_size
        canvas = layout.canvas(picture, (wide * patch, high * patch), pixels=seen)
        layout.view(canvas, places[key], high // merge, wide // merge)
        start, key = start + count, key + count // merge**2
    return len(grids)


def add_videos(layout: Layout, places: np.ndarray, pictures: int, merge: int) -> None:
    """A view and a picture for each pair of frames of each video."""
    request = layout.request
    processor = request.processor.video_processor
    pixels, start, key = request.array("pixel_values_videos"), 0, 0
    for video, (pairs, high, wide) in enumerate(request.need("video_grid_thw").tolist()):
        count = pairs * high * wide
        seen = [None] * pairs
        if pixels is not None:
            seen = unpatchified(pixels[start : start + count], (pairs, high, wide), processor)
        patch = processor.patch_size
        if pairs:
            layout.separators.update(first_time_stamp(request, int(places[key])))
        for pair in range(pairs):
            picture = pictures
            layout.frame_pictures[picture] = (video, pair * processor.temporal_patch_size)
            canvas = layout.canvas(
                picture, (wide * patch, high * patch), pixels=seen[pair], original_size=frame_size(request, video)
            )
            frame = Frame(video, pair, frame_seconds(request, video, pair, processor.temporal_patch_size))
            layout.view(canvas, places[key], high // merge, wide // merge, kind="frame", frame=frame)
            key += high * wide // merge**2
            pictures += 1
        start += count


def first_time_stamp(request: Request, first: int) -> range:
    """Positions of the time stamp before the frame whose first patch is at `first`; empty if there is none.

    It ends before the control token that begins the frame, and begins after another control token. The stamps of later
    frames lie between patches.
    """
    tokenizer = request.processor.tokenizer
    special = set(tokenizer.all_special_ids) | {
        token for token, added in getattr(tokenizer, "added_tokens_decoder", {}).items() if added.special
    }
    end = begin = first - 1
    while begin > 0 and int(request.ids[begin - 1]) not in special:
        begin -= 1
    text = tokenizer.decode(request.ids[begin:end].tolist()) if 0 < begin < end else ""
    return range(begin, end) if re.fullmatch(r"\s*<\d+(\.\d+)? seconds>\s*", text) else range(0)


def frame_size(request: Request, video: int) -> tuple[int, int] | None:
    """(width, height) of the frames of a video as they were given."""
    if request.videos is None or video >= len(request.videos):
        return None
    return request.videos[video].frames[0].image.size


def frame_owner(request: Request, number: int) -> tuple[int, int]:
    """(video, frame) of frame `number` among the frames of all videos; where the videos are unknown, all are of one."""
    video = 0
    for video, given in enumerate(request.videos or [], 1):
        if number < len(given.frames):
            return video - 1, number
        number -= len(given.frames)
    return video, number


def frame_seconds(request: Request, video: int, group: int, size: int = 1) -> float | None:
    """Mean time of the frames group · size … of a video."""
    if request.videos is None or video >= len(request.videos) or request.videos[video].seconds is None:
        return None
    seconds = request.videos[video].seconds
    inside = seconds[group * size : (group + 1) * size]
    return float(np.mean(inside)) if inside else None


def tower_order(grid: tuple[int, int], vision) -> np.ndarray:
    """The raster index of each patch of a picture in the tower's order."""
    high, wide = grid
    merge = int(vision.spatial_merge_size)
    raster = np.arange(high * wide).reshape(high // merge, merge, wide // merge, merge).transpose(0, 2, 1, 3)
    blocks = raster.reshape(-1, merge * merge)
    if getattr(vision, "fullatt_block_indexes", None) is not None:
        import torch
        from transformers.vision_utils import get_vision_window_index

        grids = torch.tensor([[1, high, wide]])
        windows, _ = get_vision_window_index(grids, merge, int(vision.window_size), int(vision.patch_size))
        blocks = blocks[windows.numpy()]
    return blocks.ravel()


def unpatchified(rows: np.ndarray, grid: tuple[int, int, int], processor) -> list[np.ndarray]:
    """Pixels [H, W, 3] of each pair of frames (its first) from patches [n, channels · pair · patch · patch] in blocks of merge²."""
    pairs, high, wide = grid
    merge, patch, pair = processor.merge_size, processor.patch_size, processor.temporal_patch_size
    blocks = rows.reshape(pairs, high // merge, wide // merge, merge, merge, 3, pair, patch, patch)
    # → pair, frame, channel, (block row, row in block, pixel row), (block column, column in block, pixel column)
    ordered = blocks.transpose(0, 6, 5, 1, 3, 7, 2, 4, 8).reshape(pairs, pair, 3, high * patch, wide * patch)
    return [unnormalised(frames[0], processor) for frames in ordered]
