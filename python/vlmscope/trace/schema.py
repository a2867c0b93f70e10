"""The metadata of a trace as dataclasses, with their JSON in formats 1.0 and 2.0 (docs/trace-format.md).

In memory there is one shape, that of 2.0; a 1.0 file is a special case of it, which `v1.py` reads and writes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

VIEW_KINDS = ("whole", "base", "tiles", "tile", "thumbnail", "crop", "frame")
LAYER_KINDS = ("full", "sliding", "chunked", "linear", "conv", "cross")
TOKEN_KINDS = ("system", "image", "question", "answer", "special", "separator")
IMAGE_ATTENTION = ("causal", "bidirectional")
#: Kinds of layers that have no attention.
WITHOUT_ATTENTION = ("linear", "conv")
KNOWN_FIELDS = frozenset(
    "format_version model question answer sampling tokens prompt_len virtual_len spans preprocess attention_scale timings "
    "provenance unplaced vision pieces".split()
)
#: A larger number is damage; a list of so many layers would not fit into memory.
MOST_LAYERS = 100_000
#: Stored weights are attention times this.
ATTENTION_SCALE = 4096.0


@dataclass(frozen=True)
class Rect:
    """An axis-aligned rectangle in pixels; the origin is the upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Affine:
    """x' = xx·x + xy·y + x0, y' = yx·x + yy·y + y0, between pixel coordinates whose integers lie on pixel corners."""

    xx: float = 1.0
    xy: float = 0.0
    x0: float = 0.0
    yx: float = 0.0
    yy: float = 1.0
    y0: float = 0.0

    @classmethod
    def scale_offset(cls, scale: tuple[float, float], offset: tuple[float, float] = (0.0, 0.0)) -> Affine:
        """A scale (x, y) followed by an offset (x, y)."""
        return cls(xx=scale[0], x0=offset[0], yy=scale[1], y0=offset[1])

    def apply(self, x: float, y: float) -> tuple[float, float]:
        """Maps a point."""
        return self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0

    def apply_rect(self, rect: Rect) -> Rect:
        """The bounding rectangle of a mapped rectangle."""
        corners = [(rect.x + dx * rect.width, rect.y + dy * rect.height) for dx in (0, 1) for dy in (0, 1)]
        xs, ys = zip(*(self.apply(*corner) for corner in corners), strict=True)
        return Rect(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))

    @property
    def determinant(self) -> float:
        """0 where the map collapses an axis."""
        return self.xx * self.yy - self.xy * self.yx


@dataclass(frozen=True)
class Frame:
    """Which moment of a video a view shows."""

    video: int
    index: int
    seconds: float | None = None


@dataclass(frozen=True)
class Canvas:
    """One rectangle of pixels that the vision tower saw.

    `original_size` and `preprocessed_size` are (width, height) in pixels; the affine map goes from pixels of the canvas to pixels
    of the upright original.
    """

    picture: int
    mode: str
    original_size: tuple[int, int]
    preprocessed_size: tuple[int, int]
    original_from_preprocessed: Affine
    file_name: str = ""


@dataclass(frozen=True)
class View:
    """A grid of patches: key of (row, column) = first + row · row_stride + column."""

    canvas: int
    kind: str
    first: int
    rows: int
    columns: int
    row_stride: int
    preprocessed_rect: Rect
    tile: tuple[int, int] | None = None
    frame: Frame | None = None
    cells: tuple[Rect, ...] | None = None

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.rows * self.columns

    @property
    def last(self) -> int:
        """Key of the last patch."""
        return self.first + (self.rows - 1) * self.row_stride + self.columns - 1

    def keys(self) -> np.ndarray:
        """Keys of the patches: [rows, columns] int."""
        return self.first + np.arange(self.rows)[:, None] * self.row_stride + np.arange(self.columns)

    def cell(self, row: int, column: int) -> Rect:
        """The rectangle of one patch, in pixels of its canvas."""
        if self.cells is not None:
            return self.cells[row * self.columns + column]
        rect = self.preprocessed_rect
        width, height = rect.width / self.columns, rect.height / self.rows
        return Rect(rect.x + column * width, rect.y + row * height, width, height)


@dataclass(frozen=True)
class Token:
    """One position: vocabulary id, piece (`▁` marks a word start), kind, question-answer turn and word number."""

    id: int
    text: str
    kind: str
    turn: int = 0
    word: int | None = None


@dataclass
class Model:
    """The model that answered. `layers` counts all decoder layers; `attention_layers` are those that have pages."""

    name: str = ""
    bundle_sha: str = ""
    layers: int = 0
    heads: int = 0
    kv_heads: int = 0
    vision_layers: int = 0
    vision_heads: int = 0
    attention_layers: list[int] = field(default_factory=list)
    layer_kinds: list[str] = field(default_factory=list)
    heads_of_layer: list[int] | None = None
    image_attention: str = "causal"
    model_class: str = ""


@dataclass
class Meta:
    """Everything about an answered question that is not a tensor."""

    model: Model
    question: str
    answer: str
    tokens: list[Token]
    prompt_len: int
    spans: list[View] = field(default_factory=list)
    canvases: list[Canvas] = field(default_factory=list)
    sampling: dict = field(default_factory=dict)
    timings: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    attention_scale: float = ATTENTION_SCALE
    virtual_len: int = 0
    unplaced: str | None = None
    #: what the tensors vision.V.attention are about: canvas, rect, rows, columns, class_tokens, layers each
    vision: list[dict] = field(default_factory=list)
    #: Pieces of alternatives in answer.topk_ids that are no tokens of the sequence, by id.
    pieces: dict[int, str] = field(default_factory=dict)
    format_version: str = "2.0"
    #: Fields of the file that this version does not know; they are written back.
    extra: dict = field(default_factory=dict)

    @property
    def generated(self) -> int:
        """G: generated ids, the stop id included."""
        return len(self.tokens) - self.prompt_len

    @property
    def positions(self) -> int:
        """T = P + G − 1: positions that have attention."""
        return len(self.tokens) - 1

    @property
    def patches(self) -> int:
        """N: patches over all views."""
        return sum(view.patches for view in self.spans)

    def query_of_answer(self, token: int) -> int:
        """The query position that predicts answer token `token`."""
        return self.prompt_len - 1 + token

    def image_keys(self) -> np.ndarray:
        """Keys of all patches, view by view, row by row: [N]."""
        return np.concatenate([view.keys().ravel() for view in self.spans] or [np.zeros(0, np.int64)])

    def question_keys(self) -> np.ndarray:
        """Prompt positions after the last patch (without views: the last latent of a resampler) that are no separators."""
        latents = (p + 1 for p in range(self.prompt_len) if self.tokens[p].kind == "image")
        ends = [view.last + 1 for view in self.spans] or [self.virtual_len, *latents]
        first = max(ends)
        kept = [p for p in range(first, self.prompt_len) if self.tokens[p].kind != "separator"]
        return np.array(kept, np.int64)


def to_json(meta: Meta) -> dict:
    """The JSON object of format 2.0."""
    model = asdict(meta.model)
    if model["heads_of_layer"] is None:
        del model["heads_of_layer"]
    out = {
        "format_version": "2.0",
        "model": model,
        "question": meta.question,
        "answer": meta.answer,
        "sampling": meta.sampling,
        "tokens": [asdict(token) for token in meta.tokens],
        "prompt_len": meta.prompt_len,
        "virtual_len": meta.virtual_len,
        "spans": [_view_to_json(view) for view in meta.spans],
        "preprocess": [asdict(canvas) for canvas in meta.canvases],
        "attention_scale": meta.attention_scale,
        "timings": meta.timings,
        "provenance": meta.provenance,
    }
    if meta.unplaced is not None:
        out["unplaced"] = meta.unplaced
    if meta.vision:
        out["vision"] = meta.vision
    out |= pieces_to_json(meta)
    return {**meta.extra, **out}


def pieces_to_json(meta: Meta) -> dict:
    """The field `pieces`, where there are any: keys of JSON objects are strings."""
    return {"pieces": {str(token): text for token, text in meta.pieces.items()}} if meta.pieces else {}


def _view_to_json(view: View) -> dict:
    out = asdict(view)
    if view.cells is not None:
        out["cells"] = [[cell.x, cell.y, cell.width, cell.height] for cell in view.cells]
    return {name: value for name, value in out.items() if value is not None}


def from_json(data: dict) -> Meta:
    """Reads format 2.0. Fields that are missing take the defaults of docs/trace-format.md; unknown ones are dropped.

    Raises KeyError, TypeError or ValueError where the object does not fit.
    """
    model = read_model(data["model"])
    return Meta(
        format_version=data["format_version"],
        model=model,
        spans=[_view_from_json(view) for view in data["spans"]],
        canvases=[_canvas_from_json(canvas) for canvas in data["preprocess"]],
        virtual_len=int(data.get("virtual_len", 0)),
        unplaced=data.get("unplaced"),
        vision=data.get("vision", []),
        **common_fields(data),
    )


def read_model(data: dict) -> Model:
    """The `model` object of either format."""
    known = {name: data[name] for name in Model.__dataclass_fields__ if name in data}
    model = Model(**known)
    if not isinstance(model.layers, int) or model.layers > MOST_LAYERS:
        raise ValueError(f"model.layers is {model.layers!r}")
    if not model.layer_kinds:
        model.layer_kinds = ["full"] * model.layers
    if not model.attention_layers:
        model.attention_layers = [
            layer for layer, kind in enumerate(model.layer_kinds) if kind not in WITHOUT_ATTENTION
        ]
    return model


def common_fields(data: dict) -> dict:
    """Fields that mean the same in both formats."""
    return {
        "question": data["question"],
        "answer": data["answer"],
        "tokens": [
            Token(int(t["id"]), t["text"], t["kind"], int(t.get("turn", 0)), t.get("word")) for t in data["tokens"]
        ],
        "prompt_len": int(data["prompt_len"]),
        "attention_scale": float(data["attention_scale"]),
        "sampling": data.get("sampling", {}),
        "timings": data.get("timings", {}),
        "provenance": data.get("provenance", {}),
        "pieces": {int(token): text for token, text in data.get("pieces", {}).items()},
        "extra": {name: value for name, value in data.items() if name not in KNOWN_FIELDS},
    }


def rect_from_json(data: dict) -> Rect:
    """A rectangle."""
    return Rect(*(float(data[name]) for name in ("x", "y", "width", "height")))


def affine_from_json(data: dict) -> Affine:
    """An affine map."""
    return Affine(*(float(data[name]) for name in ("xx", "xy", "x0", "yx", "yy", "y0")))


def _canvas_from_json(data: dict) -> Canvas:
    return Canvas(
        picture=int(data["picture"]),
        mode=str(data["mode"]),
        original_size=tuple(data["original_size"]),
        preprocessed_size=tuple(data["preprocessed_size"]),
        original_from_preprocessed=affine_from_json(data["original_from_preprocessed"]),
        file_name=data.get("file_name", ""),
    )


def _view_from_json(data: dict) -> View:
    frame = data.get("frame")
    cells = data.get("cells")
    return View(
        canvas=int(data["canvas"]),
        kind=data["kind"],
        first=int(data["first"]),
        rows=int(data["rows"]),
        columns=int(data["columns"]),
        row_stride=int(data.get("row_stride", data["columns"])),
        preprocessed_rect=rect_from_json(data["preprocessed_rect"]),
        tile=tuple(data["tile"]) if data.get("tile") is not None else None,
        frame=None if frame is None else Frame(int(frame.get("video", 0)), int(frame["index"]), frame.get("seconds")),
        cells=None if cells is None else tuple(Rect(*map(float, cell)) for cell in cells),
    )
