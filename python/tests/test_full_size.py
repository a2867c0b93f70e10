"""Spans at the settings of the published processors: no weights are needed for that, only configurations."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import transformers as t
from conftest import picture
from random_models.common import byte_tokenizer, template
from random_models.qwen import IMAGE, VIDEO, tokenizer_of
from random_models.tiled import _idefics_tokenizer
from reference import inputs_of
from vlmscope.capture.media import Picture
from vlmscope.families import Request, registered
from vlmscope.families.layout import resample

PHOTO = (1280, 960)


def layout_of(family: str, config, processor, size=PHOTO, **options):
    """The layout of one picture of a size."""
    image = picture(size, 3)
    model = SimpleNamespace(config=config, device="cpu", dtype=np.float32)
    found = inputs_without_model(processor, image, **options)
    request = Request(model, processor, found["input_ids"][0].numpy(), found, [Picture(image)], [], options)
    layout = registered()[family].layout(request)
    check_pixels(layout, image)
    return layout


def inputs_without_model(processor, image, **options) -> dict:
    import torch

    class Stub:
        device, dtype = "cpu", torch.float32
        __mro__ = ()

    return inputs_of(Stub(), processor, [image], **options)


def check_pixels(layout, image) -> None:
    """The tower's pixels are the picture where the canvas's map says it lies."""
    for canvas, seen in zip(layout.canvases, layout.pixels, strict=True):
        expected = resample(image, canvas).astype(np.float32)
        inside = expected.max(-1) > 0
        assert np.abs(seen.astype(np.float32) - expected)[inside].mean() < 3, canvas.mode
        shifted = np.roll(expected, (expected.shape[0] // 8, expected.shape[1] // 8), (0, 1))
        assert np.abs(seen.astype(np.float32) - shifted)[inside].mean() > 12, "the test could not fail"


def grids(layout) -> list[tuple]:
    return [(view.kind, view.rows, view.columns, view.row_stride) for view in layout.views]


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [(PHOTO, 34, 46), ((640, 480), 17, 23), ((300, 1000), 36, 11), ((4000, 3000), 107, 143)]
)
def test_qwen2_5_vl(size, rows, columns):
    """Cells of 28 pixels, sides rounded to them."""
    tokenizer = tokenizer_of()
    image = t.Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 12845056})
    processor = t.Qwen2_5_VLProcessor(image, tokenizer, t.Qwen2VLVideoProcessor(), chat_template=template(IMAGE, VIDEO))
    config = t.Qwen2_5_VLConfig(image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"))
    layout = layout_of("Qwen2_5_VLForConditionalGeneration", config, processor, size)
    assert grids(layout) == [("whole", rows, columns, columns)]
    assert layout.canvases[0].preprocessed_size == (columns * 28, rows * 28)


@pytest.mark.parametrize(("size", "rows", "columns"), [(PHOTO, 30, 40), ((640, 480), 15, 20), ((300, 1000), 31, 9)])
def test_qwen3_vl(size, rows, columns):
    """Cells of 32 pixels."""
    tokenizer = tokenizer_of()
    image = t.Qwen2VLImageProcessor(
        patch_size=16, size={"shortest_edge": 65536, "longest_edge": 16777216}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor = t.Qwen3VLProcessor(image, tokenizer, t.Qwen3VLVideoProcessor(), chat_template=template(IMAGE, VIDEO))
    config = t.Qwen3VLConfig(image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"))
    layout = layout_of("Qwen3VLForConditionalGeneration", config, processor, size)
    assert grids(layout) == [("whole", rows, columns, columns)]


@pytest.mark.parametrize(("size", "rows", "columns"), [(PHOTO, 3, 4), ((1000, 300), 1, 3), ((448, 448), 1, 1), ((500, 1500), 3, 1)])
def test_internvl(size, rows, columns):
    """16 × 16 tokens a tile of 448 pixels, at most 12 tiles, and a thumbnail."""
    tokenizer = byte_tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    image = t.GotOcr2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True, min_patches=1, max_patches=12)
    processor = t.InternVLProcessor(image, tokenizer, t.InternVLVideoProcessor(), chat_template=template("<IMG_CONTEXT>"))
    config = t.InternVLConfig(image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"))
    layout = layout_of("InternVLForConditionalGeneration", config, processor, size)
    tiles = [("tile", 16, 16, 16)] * (rows * columns) + [("thumbnail", 16, 16, 16)]
    assert grids(layout) == (tiles if rows * columns > 1 else [("whole", 16, 16, 16)])
    if rows * columns > 1:
        assert layout.canvases[0].preprocessed_size == (columns * 448, rows * 448)
        assert [view.tile for view in layout.views[:-1]] == [(r, c) for r in range(rows) for c in range(columns)]


PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


@pytest.mark.parametrize(
    ("size", "rows", "columns"), [((640, 480), 36, 48), ((1000, 300), 22, 72), ((480, 640), 48, 36), ((300, 1000), 72, 22)]
)
def test_llava_next(size, rows, columns):
    """24 × 24 for the base; the padding of the 336-pixel tiles is cut off, in whole tokens on both sides."""
    tokenizer = byte_tokenizer("<image>")
    image = t.LlavaNextImageProcessor(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, image_grid_pinpoints=PINPOINTS
    )
    processor = t.LlavaNextProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template("<image>"),
        num_additional_image_tokens=1,
    )  # fmt: skip
    config = t.LlavaNextConfig(
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"), image_grid_pinpoints=PINPOINTS,
        vision_config=t.CLIPVisionConfig(image_size=336, patch_size=14),
    )  # fmt: skip
    layout = layout_of("LlavaNextForConditionalGeneration", config, processor, size)
    assert grids(layout) == [("base", 24, 24, 24), ("tiles", rows, columns, columns + 1)]
    assert layout.views[1].last + 1 == layout.image_positions[-1], "only the last newline is left"
    view, canvas = layout.views[1], layout.canvases[1]
    rect = canvas.original_from_preprocessed.apply_rect(view.preprocessed_rect)
    cell = max(rect.width / columns, rect.height / rows)
    assert -cell < rect.x <= 0.01 and -cell < rect.y <= 0.01
    assert size[0] - 0.01 <= rect.x + rect.width < size[0] + cell and size[1] - 0.01 <= rect.y + rect.height < size[1] + cell


@pytest.mark.parametrize(("size", "rows", "columns"), [((640, 480), 3, 4), ((1000, 300), 2, 4), ((480, 640), 4, 3)])
def test_smolvlm(size, rows, columns):
    """SmolVLM2: 9 × 9 tokens a tile of 384 pixels, the long edge enlarged to 1536."""
    tokenizer = _idefics_tokenizer()
    image = t.SmolVLMImageProcessor(size={"longest_edge": 1536}, max_image_size={"longest_edge": 384})
    processor = t.SmolVLMProcessor(
        image, tokenizer, t.SmolVLMVideoProcessor(), image_seq_len=81, chat_template=template("<image>", "<video>")
    )
    config = t.SmolVLMConfig(image_token_id=tokenizer.convert_tokens_to_ids("<image>"))
    layout = layout_of("SmolVLMForConditionalGeneration", config, processor, size)
    assert grids(layout) == [("tile", 9, 9, 9)] * (rows * columns) + [("thumbnail", 9, 9, 9)]
    assert layout.canvases[0].preprocessed_size == (columns * 384, rows * 384)


@pytest.mark.parametrize(("size", "crops"), [(PHOTO, 2), ((2000, 600), 3), ((700, 700), 0), ((600, 2000), 3)])
def test_gemma3(size, crops):
    """16 × 16 tokens of a picture squashed to 896 pixels; with pan and scan also of crops along the long side."""
    tokenizer = byte_tokenizer(image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>")
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(), tokenizer, chat_template=template("<start_of_image>"))
    config = t.Gemma3Config(image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"))
    layout = layout_of("Gemma3ForConditionalGeneration", config, processor, size, do_pan_and_scan=True)
    assert grids(layout) == [("whole", 16, 16, 16)] + [("crop", 16, 16, 16)] * crops
    plain = layout_of("Gemma3ForConditionalGeneration", config, processor, size)
    assert grids(plain) == [("whole", 16, 16, 16)]
