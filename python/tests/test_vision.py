"""Attention of the vision tower: as eager reports it, in raster order of the patches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import vlmscope
from conftest import picture
from random_models import BUILDERS
from reference import largest_excess

ASKED = {"question": "What is it?", "max_new_tokens": 2, "vision": True}
NOISE = 2e-6
#: name → the tower's module
BATCHED = {
    "llava": "model.vision_tower", "llava_siglip": "model.vision_tower", "internvl": "model.vision_tower", "llava_next": "model.vision_tower",
    "gemma3": "model.vision_tower", "idefics3": "model.vision_model", "paligemma": "model.vision_tower",
}  # fmt: skip
SUPPORTED = [*BATCHED, "vipllava", "llava_onevision", "cohere2_vision", "aya_vision", "smolvlm", "pixtral", "mistral3"] + [
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "glm4v",
]  # fmt: skip
IMAGES = [picture((300, 200), 1)]


@pytest.mark.parametrize("name", BATCHED)
def test_maps_are_those_of_eager(make, name):
    """Runs the tower again with eager attention, on what it was given, and compares every picture of the batch."""
    model, processor = make(name)
    tower = model.get_submodule(BATCHED[name])
    seen = {}
    hook = tower.register_forward_pre_hook(lambda _m, args, kwargs: seen.update(args=args, kwargs=kwargs), with_kwargs=True)
    trace = vlmscope.capture(model, processor, images=IMAGES, **ASKED)
    hook.remove()
    before = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            kwargs = {**seen["kwargs"], "output_attentions": True, "return_dict": True}
            exact = torch.stack(tower(*seen["args"], **kwargs).attentions).numpy()
    finally:
        tower.set_attn_implementation(before)
    assert len(trace.meta.vision) == exact.shape[1]
    for number, one in enumerate(trace.meta.vision):
        stored = trace.tensor(f"vision.{number}.attention").astype(np.float32) / 4096
        assert stored.shape == exact[:, number].shape
        assert largest_excess(stored, exact[:, number]) < NOISE
        assert one["rows"] * one["columns"] + one["class_tokens"] == stored.shape[-1]


@pytest.mark.parametrize("name", SUPPORTED)
def test_inputs_cover_what_the_tower_saw(make, name, tmp_path):
    model, processor = make(name)
    trace = vlmscope.capture(model, processor, images=[*IMAGES, picture((170, 410), 2)], **ASKED)
    meta = trace.meta
    assert {one["canvas"] for one in meta.vision} == set(range(len(meta.canvases)))
    for index, canvas in enumerate(meta.canvases):
        area = sum(one["rect"]["width"] * one["rect"]["height"] for one in meta.vision if one["canvas"] == index)
        assert area == canvas.preprocessed_size[0] * canvas.preprocessed_size[1]
    for number in range(len(meta.vision)):
        weights = trace.tensor(f"vision.{number}.attention").astype(np.float32) / 4096
        assert np.allclose(weights.sum(-1), 1, atol=3e-3)
    again = vlmscope.open(trace.save(tmp_path / "a.vlmtrace"))
    assert again.meta.vision == meta.vision and sorted(again.tensors) == sorted(trace.tensors)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v"])
def test_packed_patches_are_put_back_in_raster_order(make, name):
    """transformers' own (row, column) of each patch in the tower's order."""
    from transformers.vision_utils import get_vision_position_ids, get_vision_window_index
    from vlmscope.families.qwen import tower_order

    model, _ = make(name)
    vision, (high, wide) = model.config.vision_config, (12, 20)
    grid = torch.tensor([[1, high, wide]])
    merge = vision.spatial_merge_size
    places = get_vision_position_ids(grid, merge).reshape(-1, merge * merge, 2)
    if name == "qwen2_5_vl":
        windows, _ = get_vision_window_index(grid, merge, vision.window_size, vision.patch_size)
        assert not torch.equal(windows, torch.arange(len(windows))), "the test could not fail"
        places = places[windows]
    expected = (places[..., 0] * wide + places[..., 1]).flatten().numpy()
    assert np.array_equal(tower_order((high, wide), vision), expected)


def test_windows_are_squares_of_the_picture(make):
    """A layer of windows attends within 56 × 56 pixels; a full layer everywhere."""
    model, processor = make("qwen2_5_vl")
    trace = vlmscope.capture(model, processor, images=IMAGES, **ASKED)
    one = trace.meta.vision[0]
    weights = trace.tensor("vision.0.attention")
    rows, columns = np.divmod(np.arange(one["rows"] * one["columns"]), one["columns"])
    side = 56 // 14
    same = (rows[:, None] // side == rows // side) & (columns[:, None] // side == columns // side)
    for layer in range(len(weights)):
        full = layer in model.config.vision_config.fullatt_block_indexes
        assert ((weights[layer] > 0) == (np.ones_like(same) if full else same)).all()


def test_the_engine_s_name_is_written_where_it_fits(make, tmp_path):
    model, processor = make("llava")
    trace = vlmscope.capture(model, processor, images=IMAGES, **ASKED)
    from safetensors import safe_open

    with safe_open(trace.save(tmp_path / "a.vlmtrace"), "np") as file:
        assert tuple(file.get_slice("attention.vision").get_shape()) == (3, 4, 17, 17)
    assert np.array_equal(vlmscope.open(trace.path).tensor("vision.0.attention"), trace.tensor("vision.0.attention"))


@pytest.mark.parametrize("name", sorted(set(BUILDERS) - {*SUPPORTED, "paligemma2", "idefics2"}))
def test_towers_of_unknown_order_are_refused(make, name):
    model, processor = make(name)
    with pytest.raises(vlmscope.CaptureError, match="leave out vision=True"):
        vlmscope.capture(model, processor, images=IMAGES, **ASKED)


def test_too_large_maps_are_refused(make, monkeypatch):
    from vlmscope.capture import vision

    model, processor = make("llava")
    monkeypatch.setattr(vision, "LIMIT_BYTES", 1000)
    with pytest.raises(vlmscope.CaptureError, match="smaller picture"):
        vlmscope.capture(model, processor, images=IMAGES, **ASKED)
