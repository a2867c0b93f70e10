"""What transformers computes without a recorder: ids and logits of plain sdpa, attention of eager."""

from __future__ import annotations

import numpy as np
import torch
from vlmscope.capture.ask import _inputs, _text
from vlmscope.capture.media import load_picture, load_video
from vlmscope.families import family_of

STEPS = 6


def inputs_of(model, processor, images=(), videos=(), question="What is it?", **options) -> dict:
    """The inputs that `capture` gives the model."""
    pictures = [load_picture(image) for image in images]
    films = [load_video(video) for video in videos]
    _, text = _text(family_of(model), processor, question, None, None, pictures, films)
    return _inputs(model, processor, text, pictures, films, options)


def plain(model, inputs: dict, **options):
    """Ids [G] and raw logits [G, V] of the model as it is."""
    with torch.no_grad():
        out = model.generate(
            **inputs, max_new_tokens=STEPS, do_sample=False, output_logits=True, return_dict_in_generate=True, **options
        )
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), torch.cat(out.logits)


def eager(model, inputs: dict, layers: int) -> tuple[list[int], list[np.ndarray]]:
    """Ids, and attention [H, S, K] of each pass's layers, by eager attention."""
    before = {name: getattr(config, "_attn_implementation", None) for name, config in _configs(model)}
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            out = model.generate(
                **inputs, max_new_tokens=STEPS, do_sample=False, output_attentions=True, return_dict_in_generate=True
            )
    finally:
        _restore(model, before)
    assert len(out.attentions[0]) == layers
    passes = [[layer[0].float().numpy() for layer in step] for step in out.attentions]
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist(), passes


def _configs(model):
    yield "", model.config
    for name in model.config.sub_configs:
        config = getattr(model.config, name, None)
        if config is not None:
            yield name, config


def _restore(model, before: dict) -> None:
    wanted = {name: value for name, value in before.items() if value is not None}
    model.set_attn_implementation(wanted)


def largest_excess(stored: np.ndarray, exact: np.ndarray) -> float:
    """How far stored attention is from the exact one beyond the rounding of f16 × 4096."""
    rounding = np.maximum(np.abs(exact), 2.0**-26) * 2.0**-11
    return float((np.abs(stored - exact) - rounding).max())
