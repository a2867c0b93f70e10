"""The language model as one graph for prefill and decode: [B, S] new positions after C cached ones.

Interventions (head_scale, knock_*) are inputs with neutral defaults and cost next to nothing: one multiplication of each head's
output and one addition on the [S, C+S] mask a layer. The mask is added, never selected, so that neutral values leave every
bit as it was. Attention outputs are gathered before they are scaled and cast, so that rows nobody asked for cost nothing.

Activation patching: patch_* inputs overwrite rows of the residual stream, of the heads' outputs and of the MLPs' outputs, and
state_rows reads them. A scatter of no rows leaves its input in place, so that a call without patches pays for one empty operator
a site. Each member of a batch may have its own patches, in its own layers.
"""

from __future__ import annotations

import numpy as np

from . import ATTENTION_SCALE
from .blocks import Weights, activation, scaled_f16
from .graph import Graph, WeightFile
from .spec import Source
from .text import TextGraph

# Added to the scores of knocked-out pairs: exp() of it is exactly 0, and 0 times it is 0 where an infinity would make NaN.
KNOCKED = -1e30

# The sites of a layer at which activations are read and overwritten: the residual stream at its input, the heads' outputs before
# the output projection, the output of its MLP.
SITES = ("residual", "heads", "mlp")


class Decoder(TextGraph):
    """Writes decoder.onnx; one instance per graph."""

    def __init__(self, source: Source, dtype: str, file: WeightFile, embed_file: WeightFile):
        super().__init__("decoder", source, dtype, file, embed_file)

    def write(self) -> Graph:
        self._declare_inputs()
        g = self.g
        with g.scope("prepare"):
            self.prepare("past_k_0")
            self._knockout_mask()
            self.mean_wanted = g.op("Greater", g.op("Size", "mean_rows"), g.const(0, "i64"))
            scales = g.reshape("head_scale", self.spec.layers, 1, self.spec.heads, 1, 1)
            self.head_scales = g.to_model_dtype(scales)
            self.bias_query = g.op("Unsqueeze", "bias_query", g.ints(1))
            self.patches = {site: self._patches(site) for site in SITES}
            x = self.first_hidden()
        for index, layer in enumerate(self.source.language_model.layers):
            with g.scope(f"layer{index}"):
                x = self._layer(index, layer, x)
        with g.scope("head"):
            self._logits(x)
        self._declare_outputs()
        return g

    def _declare_inputs(self) -> None:
        g, s = self.g, self.spec
        g.input("inputs_embeds", "f32", ["B", "S", s.hidden])
        for layer in range(s.layers):
            for kind in "kv":
                g.input(f"past_{kind}_{layer}", g.dtype, ["B", s.kv_heads, "C", s.head_dim])
        g.input("rows", "i64", ["r"])
        g.input("logit_rows", "i64", ["v"])
        g.input("mean_rows", "i64", ["m"], default=np.zeros(0))
        g.input("last_rows", "i64", ["z"], default=np.zeros(0))
        g.input("head_scale", "f32", [s.layers, s.heads], default=np.ones((s.layers, s.heads)))
        g.input("knock_layers", "f32", [s.layers], default=np.zeros(s.layers))
        g.input("knock_query", "f32", ["kq"], default=np.zeros(1))
        g.input("knock_key", "f32", ["kk"], default=np.zeros(1))
        g.input("attention_bias", "f32", [s.layers, "bh", "bk"], default=np.zeros((s.layers, 1, 1)))
        g.input("bias_query", "f32", ["bq"], default=np.ones(1))
        g.input("state_rows", "i64", ["w"], default=np.zeros(0))
        for site in SITES:
            place, width = (3, s.head_dim) if site == "heads" else (1, s.hidden)
            g.input(f"patch_{site}_counts", "i64", [s.layers], default=np.zeros(s.layers))
            g.input(f"patch_{site}_at", "i64", [f"p_{site}", place], default=np.zeros((0, place)))
            g.input(f"patch_{site}", "f32", [f"p_{site}", width], default=np.zeros((0, width)))

    def _declare_outputs(self) -> None:
        g, s = self.g, self.spec
        g.output("logits", "f32", ["B", "v", s.vocab])
        for layer in range(s.layers):
            for kind in "kv":
                g.output(f"present_{kind}_{layer}", g.dtype, ["B", s.kv_heads, "C+S", s.head_dim])
        for layer in range(s.layers):
            g.output(f"attn_{layer}", "f16", ["B", s.heads, "r", "C+S"])
        for layer in range(s.layers):
            g.output(f"head_mean_{layer}", "f16", ["B", "m", "C+S"])
        g.output("last_layer", "f16", ["B", s.heads, "z", "C+S"])
        for site in SITES:
            for layer in range(s.layers):
                g.output(f"{site}_{layer}", "f32", ["w", s.heads * s.head_dim if site == "heads" else s.hidden])

    def _patches(self, site: str) -> tuple[list[str], list[str]]:
        """Places and values of the patches of each layer; the inputs hold them one layer after the other."""
        g, layers = self.g, self.spec.layers
        counts = f"patch_{site}_counts"
        values = g.to_model_dtype(f"patch_{site}")
        split = [g.op("Split", value, counts, count=layers, axis=0) for value in (f"patch_{site}_at", values)]
        return tuple([pieces] if layers == 1 else pieces for pieces in split)

    def _patched(self, site: str, layer: int, x: str) -> str:
        """x with the rows of this layer's patches overwritten."""
        places, values = self.patches[site]
        return self.g.op("ScatterND", x, places[layer], values[layer])

    def _states(self, layer: int, values: tuple[str, str, str]) -> None:
        """The wanted rows of each site, [w, features] in f32; they feed outputs only."""
        g = self.g
        for site, rows in zip(SITES, values, strict=True):
            read = g.op("Gather", rows, "state_rows", axis=0, out=f"{site}_{layer}" if g.dtype == "f32" else None)
            if g.dtype != "f32":
                g.cast(read, "f32", out=f"{site}_{layer}")

    def _knockout_mask(self) -> None:
        """What a knocked-out layer adds to the causal mask, [S, C+S]: 0 or KNOCKED, the diagonal spared."""
        g = self.g
        pairs = g.op("Mul", g.op("Unsqueeze", "knock_query", g.ints(1)), g.op("Unsqueeze", "knock_key", g.ints(0)))
        own = g.op("Equal", self.key_positions, self.query_positions)
        knocked = g.op("Where", own, g.const(0.0, "f32"), g.op("Mul", pairs, g.const(KNOCKED, "f32")))
        self.knocked = self.over_pairs(knocked)

    def _layer(self, index: int, layer, x: str) -> str:
        g, s, w = self.g, self.spec, self.weights.at(f"layers.{index}")
        x = self._patched("residual", index, x)
        residual = x
        h = w.rms_norm("input_norm", x, layer.input_layernorm, s.norm_eps, self.plus_one)
        attended, heads = self._attention(index, layer.self_attn, w, h)
        x = g.op("Add", x, attended)
        h = w.rms_norm("mlp_norm", x, layer.post_attention_layernorm, s.norm_eps, self.plus_one)
        gate = activation(g, s.activation, w.linear("gate", h, layer.mlp.gate_proj))
        up = w.linear("up", h, layer.mlp.up_proj)
        mlp = self._patched("mlp", index, w.linear("down", g.op("Mul", gate, up), layer.mlp.down_proj))
        g.leaf(lambda: self._states(index, (residual, heads, mlp)))
        return g.op("Add", x, mlp)

    def _attention(self, index: int, module, w: Weights, h: str) -> tuple[str, str]:
        """The output of attention, [B·S, D], and the heads' outputs, [B·S, H·dh], from which the output projection computes it."""
        g, s = self.g, self.spec
        # Scaling the queries is cheaper than scaling the scores, which are S times as many.
        query = g.op("Mul", w.linear("q", h, module.q_proj), g.const(s.attention_scaling, g.dtype))
        query = self.heads(query, s.heads, rotate=True)
        key = self.heads(w.linear("k", h, module.k_proj), s.kv_heads, rotate=True)
        value = self.heads(w.linear("v", h, module.v_proj), s.kv_heads, rotate=False)
        key = g.concat(f"past_k_{index}", key, axis=2, out=f"present_k_{index}")
        value = g.concat(f"past_v_{index}", value, axis=2, out=f"present_v_{index}")

        scores = self.grouped_matmul(query, s.head_dim, g.op("Transpose", key, perm=[0, 1, 3, 2]), self.total)
        knock = g.op("Gather", "knock_layers", g.const(index, "i64"))
        mask = g.op("Add", self.causal, g.op("Mul", self.knocked, knock))
        mask = g.hint(g.op("Add", mask, self._bias(index)), ["bh", self.symbols.new, self.symbols.total], "f32")
        weights = self.attention_weights(scores, mask)
        g.leaf(lambda: self._attention_leaves(index, weights))

        context = self.grouped_matmul(g.to_model_dtype(weights), self.total, value, s.head_dim)
        scale = g.op("Gather", self.head_scales, g.const(index, "i64"), axis=0)
        context = self._patched("heads", index, g.op("Mul", context, scale))
        merged = self.merged(context)
        return w.linear("o", merged, module.o_proj), merged

    def _bias(self, index: int) -> str:
        """The bias of a layer's scores, [H, S, C+S] or, in the neutral case, [1, 1, 1]: a mask [S, C+S] stays small until a bias
        that differs between heads is asked for."""
        g = self.g
        bias = g.op("Unsqueeze", g.op("Gather", "attention_bias", g.const(index, "i64"), axis=0), g.ints(1))
        return g.op("Mul", bias, self.bias_query)

    def _attention_leaves(self, index: int, weights: str) -> None:
        """Scaled f16 copies of the rows asked for; they feed outputs only."""
        g = self.g
        if index == self.spec.layers - 1:
            scaled_f16(g, g.op("Gather", weights, "last_rows", axis=2), "last_layer")
        g.branch(self.mean_wanted, lambda: self._head_mean(weights), self._no_head_mean, out=f"head_mean_{index}")
        scaled_f16(g, g.op("Gather", weights, "rows", axis=2), f"attn_{index}")

    def _head_mean(self, weights: str) -> str:
        """The scaled mean over heads as one matrix product over all rows, then the wanted rows of it: gathering rows of every
        head first would copy the whole attention, which takes nine times as long where all rows are wanted."""
        g, s = self.g, self.spec
        flat = g.reshape(weights, self.batch, s.heads, -1)
        each = g.const(np.full((1, 1, s.heads), ATTENTION_SCALE / s.heads), "f32")
        mean = g.reshape(g.op("MatMul", each, flat), self.batch, self.new, -1)
        return g.cast(g.op("Gather", mean, "mean_rows", axis=1), "f16")

    def _no_head_mean(self) -> str:
        g = self.g
        shape = g.concat(self.batch, g.ints(0), self.total, axis=0)
        return g.cast(g.op("ConstantOfShape", shape), "f16")

    def _logits(self, x: str) -> None:
        """The final norm and the head, on the wanted rows only."""
        g, s = self.g, self.spec
        x = g.op("Gather", g.reshape(x, self.batch, self.new, s.hidden), "logit_rows", axis=1)
        wanted = g.dim("logit_rows", 0)
        x = g.reshape(x, g.op("Mul", self.batch, wanted), s.hidden)
        x = self.weights.rms_norm("norm", x, self.source.language_model.norm, s.norm_eps, self.plus_one)
        head = self.head_weight()
        g.f32_output(g.op("Gemm", x, head, transB=1), self.batch, wanted, s.vocab, out="logits")
