"""An opened or captured trace."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..errors import TraceError
from . import tensors
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

        `token` is an answer token, `layer` has the model's own number, `head` counts from 0. `query` names a position instead of
        an answer token. Keys after a query that sees only what came before are 0.
        """
        if token is not None and query is not None:
            raise ValueError("give token= or query=, not both")
        generated = self.meta.generated
        if token is not None:
            if not -generated <= token < generated:
                raise IndexError(f"token {token} is outside of the answer's {generated}")
            query = self.meta.query_of_answer(token % generated)
        layer_index = slice(None) if layer is None else self._layer(layer)
        if head is not None and not 0 <= head < self.meta.model.heads:
            raise IndexError(f"head {head} is outside of the model's {self.meta.model.heads}")
        head_index = slice(None) if head is None else head
        if query is not None:
            return self._page(query)[layer_index][..., head_index, :]
        queries = [self.meta.query_of_answer(token) for token in range(generated)]
        return np.stack([self._page(query)[layer_index][..., head_index, :] for query in queries])

    def attention_of_all_rows(self) -> np.ndarray:
        """Attention of every row that was kept, float32: [R, L, H, T]."""
        return self.tensor("attention.weights").astype(np.float32) / np.float32(self.meta.attention_scale)

    def patches(self, token=None, layer=None, head=None, *, view=0, query=None) -> np.ndarray:
        """As `attention`, but only the patches of one view: [..., rows, columns]."""
        if not self.meta.spans:
            raise TraceError(self.meta.unplaced or "the trace has no picture")
        return self.attention(token, layer, head, query=query)[..., self.meta.spans[view].keys()]

    def density(self, token=None, layer=None, head=None, *, picture=0, size=None, query=None) -> tuple[np.ndarray, float]:
        """Attention on the original picture, all its views together, and the weight that lies outside of it (padding).

        The map is [height, width] of `size` (width, height; default: the picture's own); its mean is the share of attention on the
        picture. Axes that are not chosen are averaged (layers and heads that do not exist count for nothing).
        """
        weights = self.attention(token, layer, head, query=query)
        weights = np.nanmean(weights.reshape(-1, weights.shape[-1]), 0)
        sizes = [canvas.original_size for canvas in self.meta.canvases if canvas.picture == picture]
        if not sizes:
            raise TraceError(self.meta.unplaced or f"the trace has no picture {picture}")
        return density(self.meta, weights, picture, size or sizes[0])

    def _page(self, query: int) -> np.ndarray:
        index = int(np.searchsorted(self.rows, query))
        if index >= len(self.rows) or self.rows[index] != query:
            raise TraceError(f"position {query} has no row in this trace; capture it with rows='all'")
        page = tensors.row(self.tensors["attention.weights"], index)
        return page.astype(np.float32) / np.float32(self.meta.attention_scale)

    def _layer(self, layer: int) -> int:
        model = self.meta.model
        if not 0 <= layer < model.layers:
            raise IndexError(f"layer {layer} is outside of the model's {model.layers}")
        if layer not in model.attention_layers:
            kind = model.layer_kinds[layer]
            why = f"its kind is {kind}" if kind in WITHOUT_ATTENTION else "it was not recorded"
            raise TraceError(f"layer {layer} has no attention: {why}; layers with attention are {model.attention_layers}")
        return model.attention_layers.index(layer)

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
