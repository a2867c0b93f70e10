"""MiniCPM-V 4.6: an overview, then slices of the picture, row by row."""

from __future__ import annotations

import numpy as np

from ..trace.schema import Frame, Rect
from .base import Family
from .layout import Layout, Request, unnormalised
from .llava_next import stitched
from .qwen import frame_owner, frame_seconds, frame_size


class MiniCpm(Family):
    """Grids from `target_sizes` [n, (rows, columns)] in patches, merged 4 × 4 (or 2 × 2); a line break ends a row of slices."""

    classes = ("MiniCPMV4_6ForConditionalGeneration", "MiniCPMV4_7ForConditionalGeneration")
    name = "minicpm"
    video = True

    def layout(self, request: Request) -> Layout:
        """Pictures, then frames."""
        config, processor = request.config, request.processor
        layout = Layout(request, image_positions=request.positions(*self.image_token_ids(config)))
        pictures = self._views(layout, config.image_token_id, "target_sizes", "pixel_values", processor.image_processor, 0, False)
        if request.inputs.get("target_sizes_videos") is not None:
            self._views(
                layout, config.video_token_id, "target_sizes_videos", "pixel_values_videos", processor.video_processor, pictures, True
            )
        return layout.finish()

    def _views(self, layout: Layout, token: int, sizes: str, pixels: str, processor, picture: int, video: bool) -> int:
        request = layout.request
        shapes = request.array(sizes)
        if shapes is None:
            return picture
        merge = 2 if processor.downsample_mode == "4x" else 4
        patch = int(processor.patch_size)
        images = split_patches(request.need(pixels), shapes, patch, processor)
        runs = request.runs(token)
        slice_token = request.processor.tokenizer.convert_tokens_to_ids(request.processor.slice_start_token)
        groups: list[list[int]] = []
        for index, (first, _) in enumerate(runs):
            if request.ids[first - 1] == slice_token:
                groups[-1].append(index)
            else:
                groups.append([index])
        for number, (overview, *slices) in enumerate(groups):
            frame, size = None, None
            if video:
                layout.frame_pictures[picture] = owner = frame_owner(request, number)
                frame, size = Frame(*owner, frame_seconds(request, *owner)), frame_size(request, owner[0])
            high, wide = shapes[overview].tolist()
            canvas = layout.canvas(picture, (wide * patch, high * patch), pixels=images[overview], original_size=size)
            kind = "frame" if video else "base" if slices else "whole"
            layout.view(canvas, runs[overview][0], high // merge, wide // merge, kind=kind, frame=frame)
            if slices:
                self._slices(layout, picture, [(runs[s][0], shapes[s], images[s]) for s in slices], merge)
            picture += 1
        return picture

    def _slices(self, layout: Layout, picture: int, slices: list, merge: int) -> None:
        columns = len(slices)
        for index, (first, _, _) in enumerate(slices[1:], 1):
            # Slices of a row stand next to each other (end, start); a line break is between rows.
            if first - (slices[index - 1][0] + int(slices[index - 1][1].prod()) // merge**2) > 2:
                columns = index
                break
        rows = len(slices) // columns
        high, wide = slices[0][2].shape[:2]
        canvas = layout.canvas(picture, (columns * wide, rows * high), pixels=stitched([s[2] for s in slices], rows, columns))
        for index, (first, shape, _) in enumerate(slices):
            row, column = divmod(index, columns)
            rect = Rect(column * wide, row * high, wide, high)
            layout.view(canvas, first, int(shape[0]) // merge, int(shape[1]) // merge, kind="tile", rect=rect, tile=(row, column))


def split_patches(pixels: np.ndarray, shapes: np.ndarray, patch: int, processor) -> list[np.ndarray]:
    """Pixels [H, W, 3] of each view from [1, 3, patch, all patches · patch]."""
    images, start = [], 0
    for high, wide in shapes.tolist():
        end = start + high * wide * patch
        strip = pixels[0, :, :, start:end].reshape(3, patch, high, wide, patch)
        image = strip.transpose(0, 2, 1, 3, 4).reshape(3, high * patch, wide * patch)
        images.append(unnormalised(image, processor))
        start = end
    return images
