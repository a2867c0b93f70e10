"""LLaVA-1.5 and everything that shares its class: CLIP or SigLIP towers with any text model, and Pixtral towers."""

from __future__ import annotations

import numpy as np

from ..trace.schema import Affine
from .base import BatchedTower, Family
from .layout import Layout, Request, VisionInput, unnormalised
from .llava_next import padded_square


class Llava(BatchedTower, Family):
    """One run of a square grid a picture; with a Pixtral tower one run a row."""

    classes = ("LlavaForConditionalGeneration", "VipLlavaForConditionalGeneration")
    name = "llava"

    def layout(self, request: Request) -> Layout:
        """CLIP: the short edge is resized and the centre cropped, or the picture squashed."""
        config = request.config
        token = self.image_token_ids(config)[0]
        if config.vision_config.model_type == "pixtral":
            return pixtral_layout(request, token, config.vision_config.patch_size)
        layout = Layout(request, image_positions=request.positions(token))
        side = config.vision_config.image_size // config.vision_config.patch_size
        pixels = request.need("pixel_values")
        runs = request.runs(token)
        firsts = [first for start, length in runs for first in range(start, start + length, side * side)]
        for picture, first in enumerate(firsts):
            seen = unnormalised(pixels[picture], request.processor.image_processor)
            size = (seen.shape[1], seen.shape[0])
            affine, mode = crop_map(request, picture, size)
            canvas = layout.canvas(picture, size, affine, mode, seen)
            layout.view(canvas, first, side, side)
        return layout.finish()


    def vision_inputs(self, layout: Layout) -> list[VisionInput]:
        """A batch, or Pixtral's packed rows."""
        vision = layout.request.config.vision_config
        return packed_rows(layout, vision.patch_size) if vision.model_type == "pixtral" else super().vision_inputs(layout)


class Mistral3(Family):
    """A Pixtral tower whose patches are merged `spatial_merge_size` squared."""

    classes = ("Mistral3ForConditionalGeneration",)
    name = "mistral3"

    def layout(self, request: Request) -> Layout:
        """One run a row."""
        config = request.config
        token = self.image_token_ids(config)[0]
        return pixtral_layout(request, token, config.vision_config.patch_size * config.spatial_merge_size)

    def vision_inputs(self, layout: Layout) -> list[VisionInput]:
        """Packed rows of unmerged patches."""
        return packed_rows(layout, layout.request.config.vision_config.patch_size)


def packed_rows(layout: Layout, patch: int) -> list[VisionInput]:
    """Pixtral's tower: pictures behind each other, patches row by row."""
    inputs = []
    for canvas, rect in layout.tower_inputs:
        width, height = layout.canvases[canvas].preprocessed_size
        rows, columns = height // patch, width // patch
        inputs.append(VisionInput(canvas, rect, rows, columns, np.arange(rows * columns)))
    return inputs


def crop_map(request: Request, picture: int, size: tuple[int, int]) -> tuple[Affine | None, str]:
    """Original from preprocessed: resize of the short edge and centre crop, or None for a squash."""
    processor = request.processor.image_processor
    given = request.size(picture)
    short = dict(processor.size).get("shortest_edge") if processor.size else None
    if given is None or not short or not getattr(processor, "do_resize", True):
        return None, "resize"
    width, height = given
    if request.is_on("do_pad"):
        return padded_square(given, size[0]), "pad"
    # As transformers: the short edge becomes `short`, the long edge is cut to an integer.
    resized = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    scale = (width / resized[0], height / resized[1])
    offset = ((resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2)
    return Affine.scale_offset(scale, (offset[0] * scale[0], offset[1] * scale[1])), "default"


def pixtral_layout(request: Request, token: int, patch: int) -> Layout:
    """Rows of image tokens, each ended by a break token: one view a picture with a stride of columns + 1."""
    layout = Layout(request, image_positions=request.positions(token))
    pixels, sizes = request.need("pixel_values"), request.need("image_sizes")
    runs = request.runs(token)
    row = 0
    for picture, (height, width) in enumerate(sizes.tolist()):
        rows, columns = height // patch, width // patch
        seen = unnormalised(pixels[picture][:, :height, :width], request.processor.image_processor)
        canvas = layout.canvas(picture, (width, height), pixels=seen, original_size=original_size(request, picture))
        if runs[row][1] != columns:
            raise ValueError(f"picture {picture} has rows of {runs[row][1]} tokens, not {columns}")
        layout.view(canvas, runs[row][0], rows, columns, stride=columns + 1)
        row += rows
    return layout.finish()


def original_size(request: Request, picture: int) -> tuple[int, int] | None:
    """The picture's own size; `image_sizes` holds the resized one here."""
    return request.size(picture) if request.pictures is not None else None
