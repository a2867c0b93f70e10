"""Format 1.0: one contiguous run of patches a picture, every layer with attention, no separators.

A trace that needs nothing more is written as 1.0, which every vlmscope program reads.
"""

from __future__ import annotations

from dataclasses import asdict

from .schema import (
    Affine,
    Canvas,
    Meta,
    View,
    affine_from_json,
    common_fields,
    pieces_to_json,
    read_model,
    rect_from_json,
)

MODES = ("default", "resize", "pad")


def needs_v2(meta: Meta) -> list[str]:
    """Why the trace cannot be written as 1.0; empty where it can."""
    model = meta.model
    reasons = []
    if model.attention_layers != list(range(model.layers)):
        reasons.append("layers without attention")
    if model.heads_of_layer is not None:
        reasons.append("layers of unequal numbers of heads")
    if "cross" in model.layer_kinds or meta.virtual_len:
        reasons.append("cross-attention")
    if model.image_attention != "causal":
        reasons.append("attention to later positions")
    if any(token.kind == "separator" for token in meta.tokens):
        reasons.append("separators")
    if any(view.row_stride != view.columns for view in meta.spans):
        reasons.append("row strides")
    if any(view.cells is not None or view.frame is not None for view in meta.spans):
        reasons.append("explicit cells or video frames")
    one_a_picture = [canvas.picture for canvas in meta.canvases] == list(range(len(meta.canvases)))
    if not one_a_picture or len({view.canvas for view in meta.spans}) != len(meta.spans):
        reasons.append("several views of a picture")
    if any(canvas.mode not in MODES for canvas in meta.canvases):
        reasons.append("another preprocessing mode")
    if meta.unplaced is not None:
        reasons.append("a picture whose tokens have no place")
    return reasons


def is_vision_attention(meta: Meta, named: dict) -> bool:
    """Whether `vision.0.attention` is what 1.0 calls `attention.vision`: one input, all layers of the tower."""
    tensor = named.get("vision.0.attention")
    return tensor is not None and len(meta.vision) == 1 and tensor.shape[:2] == (meta.model.vision_layers, meta.model.vision_heads)


def to_json_v1(meta: Meta) -> dict:
    """The JSON object of format 1.0. Model fields that 1.0 does not know are kept: its readers ignore them."""
    model = {name: value for name, value in asdict(meta.model).items() if value is not None}
    spans = []
    for view in meta.spans:
        span = {
            "picture": meta.canvases[view.canvas].picture,
            "first": view.first,
            "rows": view.rows,
            "columns": view.columns,
            "preprocessed_rect": asdict(view.preprocessed_rect),
            "original_from_preprocessed": asdict(meta.canvases[view.canvas].original_from_preprocessed),
        }
        spans.append(span)
    preprocess = [
        {
            "mode": canvas.mode,
            "original_size": canvas.original_size,
            "preprocessed_size": canvas.preprocessed_size,
            "file_name": canvas.file_name,
        }
        for canvas in meta.canvases
    ]
    return {
        **meta.extra,
        **({"vision": meta.vision} if meta.vision else {}),
        **pieces_to_json(meta),
        "format_version": "1.0",
        "model": model,
        "question": meta.question,
        "answer": meta.answer,
        "sampling": meta.sampling,
        "tokens": [asdict(token) for token in meta.tokens],
        "prompt_len": meta.prompt_len,
        "spans": spans,
        "preprocess": preprocess,
        "attention_scale": meta.attention_scale,
        "timings": meta.timings,
        "provenance": meta.provenance,
    }


def from_json_v1(data: dict) -> Meta:
    """Reads format 1.0 into the shape of 2.0: each span becomes a view, each picture a canvas."""
    spans = data["spans"]
    maps = {int(span["picture"]): affine_from_json(span["original_from_preprocessed"]) for span in spans}
    canvases = []
    for picture, one in enumerate(data["preprocess"]):
        original, preprocessed = tuple(one["original_size"]), tuple(one["preprocessed_size"])
        squash = Affine.scale_offset((original[0] / preprocessed[0], original[1] / preprocessed[1]))
        affine = maps.get(picture, squash)
        canvases.append(Canvas(picture, one["mode"], original, preprocessed, affine, one.get("file_name", "")))
    canvas_of = {canvas.picture: index for index, canvas in enumerate(canvases)}
    views = []
    for span in spans:
        picture = int(span["picture"])
        if picture not in canvas_of:  # no entry in `preprocess`: the map and the rectangle are all that is known
            rect = rect_from_json(span["preprocessed_rect"])
            size = (round(rect.x + rect.width), round(rect.y + rect.height))
            canvas_of[picture] = len(canvases)
            canvases.append(Canvas(picture, "default", size, size, maps[picture]))
        columns = int(span["columns"])
        rect = rect_from_json(span["preprocessed_rect"])
        views.append(
            View(canvas_of[picture], "whole", int(span["first"]), int(span["rows"]), columns, columns, rect)
        )
    return Meta(
        format_version=data["format_version"],
        model=read_model(data["model"]),
        spans=views,
        canvases=canvases,
        vision=data.get("vision", []),
        **common_fields(data),
    )
