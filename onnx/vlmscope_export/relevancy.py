"""Relevancy of the language model: the decoder's blocks with their backward pass, on the decoder's own weights.

Chefer et al. (arXiv 2103.15679), rules 5 and 6, need per layer Ā = mean over heads of (∇_A y ⊙ A)⁺, where y is the score of an
answer token. Two graphs give them all, and a third has the gradients of activations:

- relevancy.onnx runs a whole prompt and one backward from Σ_k w_k · logit[pos_k, ids_k]: every row of Ā, and the gradient that
  reaches the inputs, which the vision tower continues.
- relevancy_rows.onnx runs the S positions that predict the answer's tokens on the prompt's KV cache. The gradient of a token's score
  reaches its own row of each layer only through its own position, every earlier key and value being constant: so all rows go backward at
  once, each from its own score, at about the cost of a decode of S positions.
"""

from __future__ import annotations

from .backward import Backward, activated, linear, mean_positive, rms_norm, softmax_backward
from .blocks import Weights
from .graph import Graph, WeightFile
from .spec import Source
from .text import Symbols, TextGraph

# Multiplies the score in f16 graphs, whose small gradients would underflow; every output is divided by it again.
LOSS_SCALE = 1024.0


class TextRelevancy(TextGraph):
    """What the two graphs share: forward blocks that remember how to go backward."""

    def __init__(self, name: str, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        super().__init__(name, source, dtype, file, embed_file)
        self.loss_scale = LOSS_SCALE if dtype == "f16" else 1.0

    def run_blocks(self) -> tuple[str, list[Backward]]:
        """The last hidden state [S, D] and each block's backward, first block first."""
        g = self.g
        x = self.first_hidden()
        backward = []
        for index, layer in enumerate(self.source.language_model.layers):
            with g.scope(f"layer{index}"):
                x, back = self._block(index, layer, x)
            backward.append(back)
        return x, backward

    def _block(self, index: int, layer, x: str) -> tuple[str, Backward]:
        g, s, w = self.g, self.spec, self.weights.at(f"layers.{index}")
        h, norm1 = rms_norm(w, "input_norm", x, layer.input_layernorm, s.norm_eps, self.plus_one)
        attended, attention = self._attention(index, layer.self_attn, w, h)
        x = g.op("Add", x, attended)
        h, norm2 = rms_norm(w, "mlp_norm", x, layer.post_attention_layernorm, s.norm_eps, self.plus_one)
        gated, mlp = self._mlp(layer.mlp, w, h)

        def back(dy: str) -> str:
            with g.scope(f"back{index}"):
                dy = g.op("Add", dy, norm2(mlp(dy)))
                return g.op("Add", dy, norm1(attention(dy)))

        return g.op("Add", x, gated), back

    def _mlp(self, module, w: Weights, h: str) -> tuple[str, Backward]:
        g = self.g
        gate, gate_back = linear(w, "gate", h, module.gate_proj)
        act, act_back = activated(g, self.spec.activation, gate)
        up, up_back = linear(w, "up", h, module.up_proj)
        y, down_back = linear(w, "down", g.op("Mul", act, up), module.down_proj)

        def back(dy: str) -> str:
            d = down_back(dy)
            return g.op("Add", gate_back(act_back(g.op("Mul", d, up))), up_back(g.op("Mul", d, act)))

        return y, back

    def _attention(self, index: int, module, w: Weights, h: str) -> tuple[str, Backward]:
        g, s = self.g, self.spec
        scaling = g.const(s.attention_scaling, g.dtype)
        query, q_back = linear(w, "q", h, module.q_proj)
        key, k_back = linear(w, "k", h, module.k_proj)
        value, v_back = linear(w, "v", h, module.v_proj)
        query = self.heads(g.op("Mul", query, scaling), s.heads, rotate=True)
        key, value = self.cached(index, self.heads(key, s.kv_heads, True), self.heads(value, s.kv_heads, False))
        dh, total = s.head_dim, self.total
        scores = self.grouped_matmul(query, dh, g.op("Transpose", key, perm=[0, 1, 3, 2]), total)
        weights = self.attention_weights(scores, self.causal)
        low = g.to_model_dtype(weights)
        context = self.grouped_matmul(low, total, value, dh)
        y, o_back = linear(w, "o", self.merged(context), module.o_proj)

        def back(dy: str) -> str:
            d_merged = o_back(dy)
            self.emit_heads(index, d_merged)
            d_context = self.heads(d_merged, s.heads, rotate=False)
            d_weights = self.grouped_matmul(d_context, dh, g.op("Transpose", value, perm=[0, 1, 3, 2]), total)
            product, d_scores = softmax_backward(g, weights, d_weights, context, d_context)
            self.emit(index, product)
            d_scores = g.to_model_dtype(d_scores)
            d_query = self._unheads(self.grouped_matmul(d_scores, total, key, dh), s.heads, rotate=True)
            d_key, d_value = self.key_value_gradients(query, low, d_context, d_scores)
            d_q = q_back(g.op("Mul", d_query, scaling))
            d_k = k_back(self._unheads(d_key, s.kv_heads, rotate=True))
            return g.op("Add", g.op("Add", d_q, d_k), v_back(self._unheads(d_value, s.kv_heads, rotate=False)))

        return y, back

    def _unheads(self, x: str, heads: int, rotate: bool) -> str:
        """The transpose of `heads`: [1, heads, S, dh] → [S, heads·dh]."""
        g = self.g
        x = g.op("Transpose", x, perm=[0, 2, 1, 3])
        x = self.rotate(x, transpose=True) if rotate else x
        features = heads * self.spec.head_dim
        return g.reshape(x, -1, features, hint=[self.symbols.rows, features])

    def score(self, x: str) -> tuple[str, str]:
        """Logits [K, V] of hidden states x [K, D] and the gradient of Σ w · logit[ids] with respect to x."""
        g, s = self.g, self.spec
        h, norm = rms_norm(self.weights, "norm", x, self.source.language_model.norm, s.norm_eps, self.plus_one)
        head = self.head_weight()
        logits = g.op("Gemm", h, head, transB=1)
        w = g.op("Unsqueeze", g.op("Mul", "w", g.const(self.loss_scale, "f32")), g.ints(1))
        seeds = g.op("Mul", g.to_f32(g.op("Gather", head, "ids", axis=0)), w)
        return logits, norm(g.to_model_dtype(seeds))

    # The steps that differ between the two graphs.

    def cached(self, index: int, key: str, value: str) -> tuple[str, str]:
        raise NotImplementedError

    def key_value_gradients(self, query: str, weights: str, d_context: str, d_scores: str) -> tuple[str, str]:
        raise NotImplementedError

    def emit(self, index: int, product: str) -> None:
        raise NotImplementedError

    def emit_heads(self, index: int, gradient: str) -> None:
        """Receives the gradient with respect to the heads' outputs, [S, H·dh]."""


class PromptRelevancy(TextRelevancy):
    """Writes relevancy.onnx: inputs_embeds [1, T, D], pos, ids, w [K] → logits [K, V], d_inputs [1, T, D], abar_l [T, T]."""

    symbols = Symbols(batch=1, new="T", total="T", rows="T")

    def __init__(self, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        super().__init__("relevancy", source, dtype, file, embed_file)

    def write(self) -> Graph:
        g, s = self.g, self.spec
        g.input("inputs_embeds", "f32", [1, "T", s.hidden])
        for name, dtype in (("pos", "i64"), ("ids", "i64"), ("w", "f32")):
            g.input(name, dtype, ["K"])
        self.prepare(None)
        x, backward = self.run_blocks()
        with g.scope("score"):
            logits, dx = self.score(g.op("Gather", x, "pos", axis=0))
            g.f32_output(logits, -1, s.vocab, out="logits")
            dx = self.spread(dx)
        for back in reversed(backward):
            dx = back(dx)
        dx = g.reshape(dx, 1, -1, s.hidden)
        g.op("Mul", g.to_f32(dx), g.const(1 / self.loss_scale, "f32"), out="d_inputs")
        g.output("logits", "f32", ["K", s.vocab])
        g.output("d_inputs", "f32", [1, "T", s.hidden])
        for layer in range(s.layers):
            g.output(f"abar_{layer}", "f32", ["T", "T"])
        return g

    def spread(self, dx: str) -> str:
        """The gradient at the positions `pos`, [K, D], as a gradient at all positions, [T, D]."""
        g = self.g
        seeded = g.op("Equal", self.query_positions, g.op("Unsqueeze", "pos", g.ints(0)))
        return g.hint(g.op("MatMul", g.cast(seeded, g.dtype), dx), ["T", self.spec.hidden])

    def cached(self, index: int, key: str, value: str) -> tuple[str, str]:
        return key, value

    def key_value_gradients(self, query: str, weights: str, d_context: str, d_scores: str) -> tuple[str, str]:
        """dK = dSᵀ Q and dV = Aᵀ dC; stacking the query heads of a shared key head also sums over them."""
        g, width = self.g, self.spec.head_dim

        def product(left: str, right: str) -> str:
            left = g.op("Transpose", self.stack(left, self.total), perm=[0, 1, 3, 2])
            return g.op("MatMul", left, self.stack(right, width))

        return product(d_scores, query), product(weights, d_context)

    def emit(self, index: int, product: str) -> None:
        g, s = self.g, self.spec
        g.leaf(lambda: mean_positive(g, product, s.heads, self.new, 1 / self.loss_scale, f"abar_{index}"))


class RowsRelevancy(TextRelevancy):
    """Writes relevancy_rows.onnx: inputs_embeds [1, S, D], past_k_l and past_v_l, ids and w [S] → logits [S, V],
    abar_l [S, C+S], grad_attn_l [H, S, C+S] = gradient ⊙ attention with its sign."""

    symbols = Symbols(batch=1, rows="S")

    def __init__(self, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        super().__init__("relevancy_rows", source, dtype, file, embed_file)

    def write(self) -> Graph:
        g, s = self.g, self.spec
        g.input("inputs_embeds", "f32", [1, "S", s.hidden])
        for layer in range(s.layers):
            for kind in "kv":
                g.input(f"past_{kind}_{layer}", g.dtype, [1, s.kv_heads, "C", s.head_dim])
        g.input("ids", "i64", ["S"])
        g.input("w", "f32", ["S"])
        self.prepare("past_k_0")
        self.own = g.cast(g.op("Equal", self.key_positions, self.query_positions), g.dtype)
        x, backward = self.run_blocks()
        with g.scope("score"):
            logits, dx = self.score(x)
            g.f32_output(logits, -1, s.vocab, out="logits")
        for back in reversed(backward):
            dx = back(dx)
        g.output("logits", "f32", ["S", s.vocab])
        for layer in range(s.layers):
            g.output(f"abar_{layer}", "f32", ["S", "C+S"])
        for layer in range(s.layers):
            g.output(f"grad_attn_{layer}", "f32", [s.heads, "S", "C+S"])
        return g

    def cached(self, index: int, key: str, value: str) -> tuple[str, str]:
        g = self.g
        return g.concat(f"past_k_{index}", key, axis=2), g.concat(f"past_v_{index}", value, axis=2)

    def key_value_gradients(self, query: str, weights: str, d_context: str, d_scores: str) -> tuple[str, str]:
        """Only a row's own key and value are variable: the diagonal entries, summed over the query heads that share them."""
        g, s = self.g, self.spec

        def product(pairs: str, per_row: str) -> str:
            diagonal = g.op("ReduceSum", g.op("Mul", pairs, self.own), g.ints(-1), keepdims=1)
            each = g.op("Mul", diagonal, per_row)
            if s.heads == s.kv_heads:
                return each
            grouped = g.reshape(each, 1, s.kv_heads, s.heads // s.kv_heads, self.new, s.head_dim)
            return g.op("ReduceSum", grouped, g.ints(2), keepdims=0)

        return product(d_scores, query), product(weights, d_context)

    def emit(self, index: int, product: str) -> None:
        g, s = self.g, self.spec

        def leaves() -> None:
            scaled = product
            if self.loss_scale != 1:
                scaled = g.op("Mul", product, g.const(1 / self.loss_scale, "f32"))
            g.reshape(scaled, s.heads, self.new, self.total, out=f"grad_attn_{index}")
            mean_positive(g, scaled, s.heads, self.new, 1.0, f"abar_{index}")

        g.leaf(leaves)


class Attribution(PromptRelevancy):
    """Writes attribution.onnx: inputs_embeds [1, T, D], pos, ids, w [K] → logits [K, V], d_residual_l [T, D] for l from 0 to L,
    d_heads_l [T, H·dh].

    The backward pass starts from Σ_k w_k · log p(ids_k) at pos_k, a log-probability where relevancy takes a logit. d_residual_l is
    the gradient with respect to the residual stream at the input of layer l (L: the last layer's output); because the MLP of a
    layer is added to its output, d_residual_{l+1} is also the gradient with respect to that MLP's output. d_heads_l belongs to the
    heads' outputs before the output projection.
    """

    def __init__(self, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        TextRelevancy.__init__(self, "attribution", source, dtype, file, embed_file)

    def write(self) -> Graph:
        g, s = self.g, self.spec
        g.input("inputs_embeds", "f32", [1, "T", s.hidden])
        for name, dtype in (("pos", "i64"), ("ids", "i64"), ("w", "f32")):
            g.input(name, dtype, ["K"])
        self.prepare(None)
        x, backward = self.run_blocks()
        with g.scope("score"):
            logits, dx = self.score(g.op("Gather", x, "pos", axis=0))
            g.f32_output(logits, -1, s.vocab, out="logits")
            dx = self.spread(dx)
        self._gradient(dx, f"d_residual_{s.layers}")
        for layer in reversed(range(s.layers)):
            dx = backward[layer](dx)
            self._gradient(dx, f"d_residual_{layer}")
        g.output("logits", "f32", ["K", s.vocab])
        for layer in range(s.layers + 1):
            g.output(f"d_residual_{layer}", "f32", ["T", s.hidden])
        for layer in range(s.layers):
            g.output(f"d_heads_{layer}", "f32", ["T", s.heads * s.head_dim])
        return g

    def score(self, x: str) -> tuple[str, str]:
        """Logits [K, V] of hidden states x [K, D] and the gradient of Σ w · log p(ids): that of the token's own logit minus the mean
        over the vocabulary, weighted by probability."""
        g, s = self.g, self.spec
        h, norm = rms_norm(self.weights, "norm", x, self.source.language_model.norm, s.norm_eps, self.plus_one)
        head = self.head_weight()
        logits = g.op("Gemm", h, head, transB=1)
        w = g.op("Unsqueeze", g.op("Mul", "w", g.const(self.loss_scale, "f32")), g.ints(1))
        probabilities = g.to_model_dtype(g.op("Softmax", g.to_f32(logits), axis=-1))
        expected = g.to_f32(g.op("MatMul", probabilities, head))
        own = g.to_f32(g.op("Gather", head, "ids", axis=0))
        return logits, norm(g.to_model_dtype(g.op("Mul", g.op("Sub", own, expected), w)))

    def _gradient(self, dx: str, out: str) -> None:
        """A graph output of a gradient, with the loss scale undone."""
        g = self.g
        g.leaf(lambda: g.op("Mul", g.to_f32(dx), g.const(1 / self.loss_scale, "f32"), out=out))

    def emit(self, index: int, product: str) -> None:
        """Attention's gradients are no output here."""

    def emit_heads(self, index: int, gradient: str) -> None:
        self._gradient(gradient, f"d_heads_{index}")
