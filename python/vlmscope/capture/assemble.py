"""From a recorded run and a layout to a trace."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from ..families import Layout
from ..trace import Trace
from ..trace.schema import Affine, Meta, Model, Token
from ..trace.stats import deferred_stats
from ..trace.tensors import Pages
from .recorder import Run
from .tokens import Labeller, Pieces, kinds_of


def build_trace(
    *,
    run: Run,
    layout: Layout,
    ids: list[int],
    pieces: Pieces,
    question: str,
    answers: np.ndarray,
    turns: np.ndarray,
    sampling: dict,
    provenance: dict,
    vision: tuple[list[dict], dict[str, np.ndarray]],
    timings: dict,
) -> Trace:
    """Puts everything together; `ids` are the generated ids."""
    request = layout.request
    tokens = label_tokens(layout, ids, pieces, answers, turns)
    skip = pieces.tokenizer.decode(ids, skip_special_tokens=True)
    decoder = run.decoder
    rows, parts = run.pages.finish()
    counts = [run.pages.heads_of_layer.get(layer, decoder.heads) for layer in decoder.attention_layers]
    vision_config = getattr(request.config, "vision_config", None)
    model = Model(
        name=model_name(request.model),
        layers=len(decoder.kinds),
        heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        vision_layers=first_of(vision_config, "num_hidden_layers", "depth", "num_layers"),
        vision_heads=first_of(vision_config, "num_attention_heads", "num_heads", "attention_heads"),
        attention_layers=decoder.attention_layers,
        layer_kinds=decoder.kinds,
        heads_of_layer=None if len(set(counts)) == 1 and counts[0] == decoder.heads else counts,
        image_attention=layout.image_attention,
        model_class=type(request.model).__name__,
    )
    meta = Meta(
        model=model,
        question=question,
        answer=skip.strip(),
        tokens=tokens,
        prompt_len=layout.virtual_len + len(request.ids),
        spans=layout.views,
        canvases=list(layout.canvases),
        sampling=sampling,
        timings={"prefill": run.prefill_seconds, "decode": run.decode_seconds, **timings},
        provenance=provenance,
        virtual_len=layout.virtual_len,
        unplaced=layout.unplaced,
        vision=vision[0],
    )
    answer = run.answer_tensors(ids)
    meta.pieces = other_pieces(answer["answer.topk_ids"], tokens, pieces)
    keep = rows < meta.positions
    parts = [part for part, kept in zip(parts, keep, strict=True) if kept]
    pages = Pages(parts, len(model.attention_layers), model.heads, meta.positions)
    named = {"attention.rows": rows[keep], "attention.weights": pages, **answer, **vision[1]}
    named |= deferred_stats(meta, pages)
    if run.wanted.head_mean:
        named["attention.head_mean"] = run.mean.finish(meta.positions)
    if run.wanted.last_layer:
        named["attention.last_layer"] = run.last.finish(meta.positions)
    add_pictures(named, meta, layout)
    return Trace(meta, named)


def other_pieces(alternatives: np.ndarray, tokens: list[Token], pieces: Pieces) -> dict[int, str]:
    """The pieces of alternatives [G, K] that are no tokens of the sequence, by id."""
    known = {token.id for token in tokens}
    return {token: pieces.piece(token) for token in np.unique(alternatives).tolist() if token not in known}


def label_tokens(layout: Layout, ids: list[int], pieces: Pieces, answers: np.ndarray, turns: np.ndarray) -> list[Token]:
    """Tokens of virtual positions, prompt and answer."""
    prompt = layout.request.ids
    patches = {key for view in layout.views for key in view.keys().ravel().tolist()}
    shift = layout.virtual_len
    image = np.array(sorted(patches), np.int64) if layout.views else layout.image_positions + shift
    inside = image[image >= shift] - shift
    separators = {p - shift for p in layout.separators if p >= shift}
    has_picture = bool(len(inside)) or bool(shift)
    kinds = kinds_of(prompt, inside, separators, pieces.special, answers, has_picture)
    labeller = Labeller(pieces)
    image_token = int(prompt[layout.image_positions[0]]) if len(layout.image_positions) else 0
    tokens = [
        labeller.label(image_token, "separator" if position in layout.separators else "image", 0) for position in range(shift)
    ]
    tokens += [
        labeller.label(int(token), kind, int(turn)) for token, kind, turn in zip(prompt, kinds, turns, strict=True)
    ]
    turn = int(turns[-1]) if len(turns) else 0
    return tokens + [
        labeller.label(int(token), "special" if token in pieces.special else "answer", turn) for token in ids
    ]


def add_pictures(named: dict, meta: Meta, layout: Layout) -> None:
    """picture.K.original and canvas.C.pixels; a stored picture that was reduced changes its canvases' maps."""
    request = layout.request
    for picture in sorted({canvas.picture for canvas in meta.canvases} | set(range(len(request.pictures or [])))):
        source = _source(layout, picture)
        if source is None:
            continue
        stored, size = source.encoded()
        named[f"picture.{picture}.original"] = stored
        given = source.image.size
        if size != given:
            shrink = (size[0] / given[0], size[1] / given[1])
            for index, canvas in enumerate(meta.canvases):
                if canvas.picture == picture:
                    affine = after(Affine.scale_offset(shrink), canvas.original_from_preprocessed)
                    meta.canvases[index] = replace(canvas, original_size=size, original_from_preprocessed=affine)
    for index, pixels in enumerate(layout.pixels):
        if pixels is not None:
            named[f"canvas.{index}.pixels"] = np.ascontiguousarray(pixels)


def _source(layout: Layout, picture: int):
    from .media import Picture, load_picture

    given = layout.source(picture)
    if given is not None:
        return given
    for index, canvas in enumerate(layout.canvases):
        if canvas.picture == picture and layout.pixels[index] is not None:
            found = load_picture(layout.pixels[index])
            return Picture(found.image.resize(canvas.original_size))
    return None


def after(second: Affine, first: Affine) -> Affine:
    """`second` after `first`."""
    x0, y0 = second.apply(first.x0, first.y0)
    return Affine(
        second.xx * first.xx + second.xy * first.yx,
        second.xx * first.xy + second.xy * first.yy,
        x0,
        second.yx * first.xx + second.yy * first.yx,
        second.yx * first.xy + second.yy * first.yy,
        y0,
    )


def first_of(config, *names: str) -> int:
    """The first of several attributes of a configuration, 0 where there is none."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return 0


def model_name(model) -> str:
    """The repository or folder that the model came from, without the folder's path; the class of a model that came from none."""
    path = getattr(model, "name_or_path", "") or ""
    name = path.rstrip("/")
    short = name.split("/")[-1] if name.startswith(("/", ".")) or name.count("/") != 1 else name
    return short or type(model).__name__


def provenance_of(model, run: Run, implementation: str) -> dict:
    """Who measured."""
    import torch
    import transformers

    from .. import __version__

    return {
        "writer": f"vlmscope-python {__version__}",
        "created_unix": int(time.time()),
        "provider": str(model.device),
        "runtime": f"torch {torch.__version__}, transformers {transformers.__version__}",
        "attention": "sdpa+rows" if implementation == "sdpa" else "eager",
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }
