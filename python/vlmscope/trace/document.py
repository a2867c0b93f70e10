"""An opened or captured trace."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..errors import SelectionError, TraceError
from . import selection, tensors
from .density import density
from .file import write_trace
from .schema import WITHOUT_ATTENTION, Meta
from .show import start_program


class Trace:
    """Attention, answer, pictures and maps of one answered question.

    `meta` is the metadata, `tensors` the named tensors (read from the file when they are asked for), `path` the file or None.
    """

    def __init__(self, meta: Meta, named: dict, path: Path | None = None):
        self.meta = meta
        self.tensors = named
        self.path = path

    def __repr__(self) -> str:
        where = f" from {self.path}" if self.path else ""
        model = self.meta.model
        layers = f"{len(model.attention_layers)} of {model.layers} layers" if self._hybrid else f"{model.layers} layers"
        return f"<vlmscope.Trace{where}: {self.meta.answer!r}, {layers} × {model.heads} heads, {len(self.rows)} rows>"

    @property
    def _hybrid(self) -> bool:
        return len(self.meta.model.attention_layers) != self.meta.model.layers

    @property
    def answer(self) -> str:
        """The answer's text."""
        return self.meta.answer

    @property
    def answer_tokens(self) -> list[str]:
        """Pieces of the generated ids."""
        return [token.text for token in self.meta.tokens[self.meta.prompt_len :]]

    @property
    def rows(self) -> np.ndarray:
        """Query positions that were kept, ascending: [R]."""
        return self.tensor("attention.rows")

    def tensor(self, name: str) -> np.ndarray:
        """A tensor by name; raises KeyError with the names that there are."""
        if name not in self.tensors:
            raise KeyError(f"the trace has no tensor {name!r}; it has {', '.join(sorted(self.tensors))}")
        return tensors.array(self.tensors[name])

    def attention(self, token=None, layer=None, head=None, *, query=None) -> np.ndarray:
        """Attention to all positions, float32; axes that are not chosen stay: [tokens, layers, heads, T].

        `token` is an answer token (−1 is the last), `layer` has the model's own number, `head` counts from 0. `query` names a position
        instead of an answer token. Keys after a query that sees only what came before are 0.

        Raises SelectionError where the trace has no such token, layer, head or position, and TraceError where it kept no row of
        the position or the layer has no attention.
        """
        if token is not None and query is not None:
            raise SelectionError("give token= or query=, not both")
        generated = self.meta.generated
        if token is not None:
            query = self.meta.query_of_answer(selection.number("answer token", token, generated, from_the_end=True))
        layer_index = slice(None) if layer is None else self._layer(layer)
        head_index = slice(None) if head is None else self._head(head, None if layer is None else layer_index)
        if query is not None:
            return self._page(query)[layer_index][..., head_index, :]
        queries = [self.meta.query_of_answer(token) for token in range(generated)]
        return np.stack([self._page(query)[layer_index][..., head_index, :] for query in queries])

    def attention_of_all_rows(self) -> np.ndarray:
        """Attention of every row that was kept, float32: [R, L, H, T]."""
        return self.tensor("attention.weights").astype(np.float32) / np.float32(self.meta.attention_scale)

    def patches(self, token=None, layer=None, head=None, *, view=0, query=None) -> np.ndarray:
        """As `attention`, but only the patches of one view: [..., rows, columns]. `view` is an index into `meta.spans`.

        Raises as `attention`, and TraceError where no token has a place in a picture.
        """
        if not self.meta.spans:
            raise TraceError(self.meta.unplaced or "the trace has no picture")
        keys = self.meta.spans[selection.number("view", view, len(self.meta.spans))].keys()
        return self.attention(token, layer, head, query=query)[..., keys]

    def density(self, token=None, layer=None, head=None, *, picture=0, size=None, query=None) -> tuple[np.ndarray, float]:
        """Attention on the original picture, all its views together, and the weight that lies outside of it (padding).

        The map is [height, width] of `size` (width, height; default: the picture's own); its mean is the share of attention on the
        picture. Axes that are not chosen are averaged (layers and heads that do not exist count for nothing).

        Raises as `attention`, SelectionError for a size without cells, and TraceError where no token has a place in a picture.
        """
        pictures = {canvas.picture: canvas.original_size for canvas in self.meta.canvases}
        if not pictures or not self.meta.spans:
            raise TraceError(self.meta.unplaced or "the trace has no picture")
        picture = selection.number("picture", picture, max(pictures) + 1)
        own = pictures.get(picture)
        if own is None:
            raise TraceError(f"picture {picture} has no place among the tokens of this trace")
        size = selection.map_size(own if size is None else size)
        weights = self.attention(token, layer, head, query=query)
        weights = np.nanmean(weights.reshape(-1, weights.shape[-1]), 0)
        return density(self.meta, weights, picture, size)

    def _page(self, query: int) -> np.ndarray:
        query = selection.number("position", query, self.meta.positions)
        index = int(np.searchsorted(self.rows, query))
        if index >= len(self.rows) or self.rows[index] != query:
            raise TraceError(f"position {query} has no row in this trace; capture it with rows='all'")
        page = tensors.row(self.tensors["attention.weights"], index)
        return page.astype(np.float32) / np.float32(self.meta.attention_scale)

    def _layer(self, layer: int) -> int:
        model = self.meta.model
        layer = selection.number("layer", layer, model.layers)
        if layer not in model.attention_layers:
            kind = model.layer_kinds[layer]
            why = f"its kind is {kind}" if kind in WITHOUT_ATTENTION else "it was not recorded"
            raise TraceError(f"layer {layer} has no attention: {why}; layers with attention are {model.attention_layers}")
        return model.attention_layers.index(layer)

    def _head(self, head: int, layer_index: int | None) -> int:
        """`layer_index` counts the layers with attention; without it, a head of any layer will do."""
        model = self.meta.model
        if layer_index is None or model.heads_of_layer is None:
            return selection.number("head", head, model.heads)
        of = f"layer {model.attention_layers[layer_index]} of this trace"
        return selection.number("head", head, model.heads_of_layer[layer_index], of=of)

    def save(self, path) -> Path:
        """Writes the trace (format 1.0 where that suffices, else 2.0) and returns the path."""
        path = Path(path)
        write_trace(self, path)
        self.path = path
        return path

    def show(self):
        """Opens the trace in the vlmscope window (the program on the PATH, or the one that VLMSCOPE_PROGRAM names).

        Returns the running process. Raises ShowError where there is no program or it ends at once.
        """
        if self.path is None:
            folder = Path(tempfile.mkdtemp(prefix="vlmscope-"))
            self.save(folder / "capture.vlmtrace")
        return start_program(self.path)
