"""What the decoder and the relevancy graphs of the language model have in common: positions, rotary embedding, causal mask,
attention products that never repeat a shared key head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .blocks import Weights, merge_heads
from .graph import Dim, Graph, WeightFile
from .spec import Source, TextSpec


@dataclass(frozen=True)
class Symbols:
    """The names of the dynamic dimensions of one graph, for shape hints."""

    batch: Dim = "B"
    new: Dim = "S"
    total: Dim = "C+S"
    rows: Dim = "B*S"


class TextGraph:
    """Base of the graphs that run the decoder's blocks on S positions after C cached ones."""

    symbols = Symbols()

    def __init__(self, name: str, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        self.source = source
        self.spec: TextSpec = source.text
        self.g = Graph(name, dtype)
        self.weights = Weights(self.g, file)
        self.embed_file = embed_file

    @property
    def plus_one(self) -> bool:
        """Gemma's norms multiply by 1 + weight."""
        return self.spec.type == "gemma"

    def head_weight(self) -> str:
        """lm_head as [vocabulary, hidden]; a tied model reads it from the embedding's file."""
        if self.spec.tied:
            table = self.source.language_model.embed_tokens.weight
            return Weights(self.g, self.embed_file).tensor("embed_tokens.weight", table)
        return self.weights.tensor("lm_head.weight", self.source.model.lm_head.weight)

    def prepare(self, past: str | None) -> None:
        """Sizes, positions, rotary tables and mask. `past` names an input [B, Hkv, C, dh]; without it C is 0."""
        g = self.g
        self.batch, self.new = g.dim("inputs_embeds", 0), g.dim("inputs_embeds", 1)
        self.past = g.dim(past, 2) if past else g.ints(0)
        self.total = g.op("Add", self.past, self.new)
        self._positions()
        self._causal_mask()

    def _positions(self) -> None:
        """Query positions C … C+S−1 as a column, key positions 0 … C+S−1 as a row, and the rotary tables [S, 1, dh/2]."""
        g, s = self.g, self.spec
        zero, one = g.const(0, "i64"), g.const(1, "i64")
        scalar = g.ints()
        past, total = g.op("Reshape", self.past, scalar), g.op("Reshape", self.total, scalar)
        self.query_positions = g.op("Unsqueeze", g.op("Range", past, total, one), g.ints(1))
        self.key_positions = g.op("Unsqueeze", g.op("Range", zero, total, one), g.ints(0))
        frequencies = g.const(s.inv_freq.numpy()[None, :], "f32")
        angles = g.op("Unsqueeze", g.op("Mul", g.cast(self.query_positions, "f32"), frequencies), g.ints(1))
        tables = [g.op("Cos", angles), g.op("Sin", angles)]
        if s.rope_scaling != 1.0:
            tables = [g.op("Mul", t, g.const(s.rope_scaling, "f32")) for t in tables]
        shape = [self.symbols.new, 1, s.head_dim // 2]
        self.cos, self.sin = (g.hint(g.to_model_dtype(t), shape) for t in tables)

    def _causal_mask(self) -> None:
        """[S, C+S]: 0 where a query sees a key, −∞ elsewhere."""
        g, s = self.g, self.spec
        visible = g.op("LessOrEqual", self.key_positions, self.query_positions)
        if s.sliding_window is not None:
            oldest = g.op("Sub", self.query_positions, g.const(s.sliding_window, "i64"))
            visible = g.op("And", visible, g.op("Greater", self.key_positions, oldest))
        self.causal = self.over_pairs(g.op("Where", visible, g.const(0.0, "f32"), g.const(-np.inf, "f32")))

    def over_pairs(self, value: str) -> str:
        """Hints that an f32 value has the shape [S, C+S]."""
        return self.g.hint(value, [self.symbols.new, self.symbols.total], "f32")

    def first_hidden(self) -> str:
        """inputs_embeds as [B·S, D] in the model's dtype."""
        g, hidden = self.g, self.spec.hidden
        flat = g.reshape("inputs_embeds", -1, hidden)
        return g.to_model_dtype(g.hint(flat, [self.symbols.rows, hidden], "f32"))

    def attention_weights(self, scores: str, mask: str) -> str:
        """softmax(scores + mask) in f32, [B, H, S, C+S]."""
        g = self.g
        return g.op("Softmax", g.op("Add", g.to_f32(scores), mask), axis=-1)

    def rotate(self, x: str, transpose: bool = False) -> str:
        """Rotary embedding of [B, S, heads, dh] in the half-split form of transformers, or its transpose (the backward)."""
        g, half = self.g, self.spec.head_dim // 2
        first, second = g.op("Split", x, g.ints(half, half), count=2, axis=-1)
        cos_first, sin_second = g.op("Mul", first, self.cos), g.op("Mul", second, self.sin)
        cos_second, sin_first = g.op("Mul", second, self.cos), g.op("Mul", first, self.sin)
        left, right = ("Add", "Sub") if transpose else ("Sub", "Add")
        return g.concat(g.op(left, cos_first, sin_second), g.op(right, cos_second, sin_first), axis=-1)

    def heads(self, x: str, heads: int, rotate: bool) -> str:
        """[B·S, heads·dh] → [B, heads, S, dh], rotated if asked for."""
        g, dh = self.g, self.spec.head_dim
        x = g.reshape(x, self.batch, self.new, heads, dh, hint=[self.symbols.batch, self.symbols.new, heads, dh])
        return g.op("Transpose", self.rotate(x) if rotate else x, perm=[0, 2, 1, 3])

    def merged(self, context: str) -> str:
        """[B, H, S, dh] → [B·S, H·dh]."""
        return merge_heads(self.g, context, self.spec.heads * self.spec.head_dim, self.symbols.rows)

    def stack(self, x: str, last: int | str) -> str:
        """[B, H, S, n] → [B, Hkv, H/Hkv·S, n]: the query heads that share a key head, one below the other. `last` is n: a number,
        or `self.total`."""
        g, s, symbols = self.g, self.spec, self.symbols
        if s.heads == s.kv_heads:
            return x
        group = s.heads // s.kv_heads
        rows = g.op("Mul", self.new, g.ints(group))
        shape = [symbols.batch, s.kv_heads, f"{group}*{symbols.new}", symbols.total if last == self.total else last]
        return g.reshape(x, self.batch, s.kv_heads, rows, last, hint=shape)

    def grouped_matmul(self, left: str, inner: int | str, right: str, outer: int | str) -> str:
        """left [B, H, S, inner] × right [B, Hkv, inner, outer] → [B, H, S, outer], without repeating keys and values in memory."""
        g, s, symbols = self.g, self.spec, self.symbols
        product = g.op("MatMul", self.stack(left, inner), right)
        if s.heads == s.kv_heads:
            return product
        shape = [symbols.batch, s.heads, symbols.new, symbols.total if outer == self.total else outer]
        return g.reshape(product, self.batch, s.heads, self.new, outer, hint=shape)
