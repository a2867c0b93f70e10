"""What a trace must satisfy (docs/trace-format.md): the same checks when reading and before writing."""

from __future__ import annotations

import re
from numbers import Integral, Real

import numpy as np

from .schema import IMAGE_ATTENTION, LAYER_KINDS, TOKEN_KINDS, VIEW_KINDS, WITHOUT_ATTENTION, Meta, View

STAT_COUNT = 5
#: Largest numbers that the program reads.
U32, U64, F32 = 2**32 - 1, 2**64 - 1, 3.4e38


def problem(meta: Meta, tensors: dict) -> str | None:
    """The first thing that does not fit, in words; None where everything does."""
    return _model_problem(meta) or _value_problem(meta) or _token_problem(meta) or _place_problem(meta) or _tensor_problem(meta, tensors)


def _model_problem(meta: Meta) -> str | None:
    model = meta.model
    if model.layers <= 0 or model.heads <= 0:
        return "its model has no layers or heads"
    if len(model.layer_kinds) != model.layers:
        return f"model.layer_kinds has {len(model.layer_kinds)} entries for {model.layers} layers"
    unknown = set(model.layer_kinds) - set(LAYER_KINDS)
    if unknown:
        return f"model.layer_kinds has the unknown kind {sorted(unknown)[0]!r}"
    layers = model.attention_layers
    if not layers or sorted(set(layers)) != layers or layers[-1] >= model.layers or layers[0] < 0:
        return f"model.attention_layers {layers} are not ascending numbers below {model.layers}"
    empty = [layer for layer in layers if model.layer_kinds[layer] in WITHOUT_ATTENTION]
    if empty:
        return f"layer {empty[0]} has the kind {model.layer_kinds[empty[0]]!r} but is listed in model.attention_layers"
    heads = model.heads_of_layer
    if heads is not None and (len(heads) != len(layers) or max(heads) != model.heads or min(heads) < 1):
        return f"model.heads_of_layer {heads} does not fit {len(layers)} layers of at most {model.heads} heads"
    if model.image_attention not in IMAGE_ATTENTION:
        return f"model.image_attention is {model.image_attention!r}"
    if not meta.attention_scale > 0:
        return f"its attention scale is {meta.attention_scale}"
    return None


def _value_problem(meta: Meta) -> str | None:
    for name in ("question", "answer"):
        if not isinstance(getattr(meta, name), str):
            return f"{name} is {getattr(meta, name)!r}, not a text"
    for name in ("sampling", "timings", "provenance"):
        if not isinstance(getattr(meta, name), dict):
            return f"{name} is {getattr(meta, name)!r}, not an object"
    for token, text in meta.pieces.items():
        if not _is_whole(token, U32) or not isinstance(text, str):
            return f"pieces has {text!r} for the id {token!r}"
    for name, most in (("seed", U64), ("max_new_tokens", U32)):
        if name in meta.sampling and not _is_whole(meta.sampling[name], most):
            return f"sampling.{name} is {meta.sampling[name]!r}, not an integer from 0 to {most}"
    for name in ("temperature", "top_p"):
        value = meta.sampling.get(name, 0.0)
        if not isinstance(value, Real) or isinstance(value, bool) or not abs(value) <= F32:
            return f"sampling.{name} is {value!r}, not a number"
    if not isinstance(meta.sampling.get("forced", False), bool):
        return f"sampling.forced is {meta.sampling['forced']!r}, not true or false"
    if not _is_whole(meta.provenance.get("created_unix", 0), U64):
        return f"provenance.created_unix is {meta.provenance['created_unix']!r}, not an integer from 0 to {U64}"
    return None


def _is_whole(value, most: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= value <= most


def _token_problem(meta: Meta) -> str | None:
    if meta.prompt_len < 1 or meta.generated < 1:
        return f"it has {len(meta.tokens)} tokens for a prompt of {meta.prompt_len}"
    if not 0 <= meta.virtual_len < meta.prompt_len:
        return f"virtual_len {meta.virtual_len} does not fit the prompt of {meta.prompt_len}"
    for position, token in enumerate(meta.tokens):
        if token.kind not in TOKEN_KINDS:
            return f"token {position} has the unknown kind {token.kind!r}"
        numbers = {"id": token.id, "turn": token.turn, "word": 0 if token.word is None else token.word}
        for name, value in numbers.items():
            if not _is_whole(value, U32):
                return f"token {position} has the {name} {value!r}, not an integer from 0 to {U32}"
        if not isinstance(token.text, str):
            return f"token {position} has the text {token.text!r}"
    return None


def _place_problem(meta: Meta) -> str | None:
    for index, canvas in enumerate(meta.canvases):
        sizes = (*canvas.original_size, *canvas.preprocessed_size)
        if min(sizes) <= 0 or not np.isfinite(canvas.original_from_preprocessed.determinant):
            return f"preprocess[{index}] has no area"
        if canvas.original_from_preprocessed.determinant == 0:
            return f"preprocess[{index}] maps to a line"
    taken = np.zeros(len(meta.tokens), bool)
    for index, view in enumerate(meta.spans):
        reason = _view_problem(meta, view)
        if reason:
            return f"spans[{index}] {reason}"
        keys = view.keys().ravel()
        if taken[keys].any():
            return f"spans[{index}] shares keys with another span"
        taken[keys] = True
        wrong = [int(key) for key in keys if meta.tokens[key].kind != "image"]
        if wrong and meta.format_version.startswith("2"):
            return f"spans[{index}] has a patch at position {wrong[0]}, which is {meta.tokens[wrong[0]].kind!r}"
    return None


def _view_problem(meta: Meta, view: View) -> str | None:
    if not 0 <= view.canvas < len(meta.canvases):
        return f"names canvas {view.canvas} of {len(meta.canvases)}"
    if view.kind not in VIEW_KINDS:
        return f"has the unknown kind {view.kind!r}"
    if view.rows < 1 or view.columns < 1 or view.row_stride < view.columns:
        return f"has {view.rows} × {view.columns} patches with a row stride of {view.row_stride}"
    if view.first < 0 or view.last >= meta.prompt_len:
        return f"at position {view.first} does not fit the prompt of {meta.prompt_len}"
    if not (view.preprocessed_rect.width > 0 and view.preprocessed_rect.height > 0):
        return "has no area"
    if view.cells is not None and len(view.cells) != view.patches:
        return f"has {len(view.cells)} cells for {view.patches} patches"
    if (view.kind == "frame") != (view.frame is not None):
        return "must have `frame` exactly where its kind is frame"
    return None


def expected(name: str, meta: Meta, rows: int) -> tuple[type, tuple] | None:
    """Type and shape (None: any size) of a tensor that the format knows."""
    layers, heads = len(meta.model.attention_layers), meta.model.heads
    total, generated, patches = meta.positions, meta.generated, meta.patches
    known = {
        "attention.rows": (np.int32, (rows,)),
        "attention.weights": (np.float16, (rows, layers, heads, total)),
        "attention.stats": (np.float32, (rows, layers, heads, STAT_COUNT)),
        "attention.span_stats": (np.float32, (rows, layers, heads, len(meta.spans), STAT_COUNT)),
        "attention.head_mean": (np.float16, (layers, total, total)),
        "attention.last_layer": (np.float16, (heads, total, total)),
        "attention.vision": (np.float16, (meta.model.vision_layers, meta.model.vision_heads, None, None)),
        "answer.ids": (np.int32, (generated,)),
        "answer.logprob": (np.float32, (generated,)),
        "answer.topk_ids": (np.int32, (generated, None)),
        "answer.topk_logprob": (np.float32, (generated, None)),
        "relevancy.llm": (np.float32, (generated, total)),
        "relevancy.llm_own": (np.float32, (generated, total)),
        "relevancy.vit": (np.float32, (generated, patches)),
        "relevancy.all": (np.float32, (generated, patches)),
    }
    if name in known:
        return known[name]
    if name.startswith("map."):
        return np.float32, (generated, patches)
    if re.fullmatch(r"canvas\.\d+\.pixels|picture\.\d+\.preprocessed", name):
        return np.uint8, (None, None, 3)
    if re.fullmatch(r"picture\.\d+\.original|causal\.\d+|patch\.[^.]+\.\d+", name):
        return np.uint8, (None,)
    if re.fullmatch(r"vision\.\d+\.attention", name):
        return np.float16, (None, None, None, None)
    return None


def _tensor_problem(meta: Meta, tensors: dict) -> str | None:
    for name in ("attention.rows", "attention.weights", "answer.ids"):
        if name not in tensors:
            return f"the tensor `{name}` is missing"
    rows_tensor = tensors["attention.rows"]
    if len(rows_tensor.shape) != 1:
        return f"the tensor `attention.rows` has shape {list(rows_tensor.shape)}, not [R]"
    for name, tensor in tensors.items():
        fits = expected(name, meta, rows_tensor.shape[0])
        if fits is None:
            continue
        dtype, shape = fits
        same = len(shape) == len(tensor.shape) and all(
            want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
        )
        if tensor.dtype != dtype or not same:
            wanted = ", ".join("_" if axis is None else str(axis) for axis in shape)
            have = f"type {tensor.dtype} and shape {list(tensor.shape)}"
            return f"the tensor `{name}` has {have}, not {np.dtype(dtype)} [{wanted}]"
    rows = np.asarray(tensors["attention.rows"] if isinstance(rows_tensor, np.ndarray) else rows_tensor._slice[:])
    if len(rows) and (np.any(np.diff(rows) <= 0) or rows[0] < 0 or rows[-1] >= meta.positions):
        return f"`attention.rows` must be ascending positions below {meta.positions}"
    for index, one in enumerate(meta.vision):
        tensor = tensors.get(f"vision.{index}.attention")
        count = one["class_tokens"] + one["rows"] * one["columns"]
        if tensor is not None and (tensor.shape[0] != len(one["layers"]) or tensor.shape[2:] != (count, count)):
            return f"`vision.{index}.attention` has shape {list(tensor.shape)} for {count} tokens in {len(one['layers'])} layers"
    for index, canvas in enumerate(meta.canvases):
        pixels = tensors.get(f"canvas.{index}.pixels")
        if pixels is not None and tuple(pixels.shape[:2]) != tuple(canvas.preprocessed_size[::-1]):
            return f"`canvas.{index}.pixels` has shape {list(pixels.shape)} for {canvas.preprocessed_size}"
    return None
