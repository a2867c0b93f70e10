"""The vision tower and projector, without and with attention outputs, on one weights file.

vision.onnx stops at the layer whose features the language model reads; vision_attention.onnx runs all layers, because the
last one's attention can be looked at even though nothing reads its output.
"""

from __future__ import annotations

from .blocks import Weights, activation, merge_heads, scaled_f16
from .graph import Dim, Graph, WeightFile
from .spec import Source


class Vision:
    """Writes vision.onnx or vision_attention.onnx; one instance per graph."""

    batch_symbol: Dim = "B"
    rows_symbol: Dim = "B*tokens"

    def __init__(self, source: Source, dtype: str, file: WeightFile, with_attention: bool):
        self.source, self.spec = source, source.vision
        self.with_attention = with_attention
        self.g = Graph("vision_attention" if with_attention else "vision", dtype)
        self.weights = Weights(self.g, file, "vision.")

    def write(self) -> Graph:
        g, s = self.g, self.spec
        g.input("pixel_values", "f32", ["B", 3, s.image_size, s.image_size])
        self.batch = g.dim("pixel_values", 0)
        x = self._embeddings()
        features = x
        layers = self.source.vision_tower.encoder.layers
        for index, layer in enumerate(layers if self.with_attention else layers[: s.layers_used]):
            with g.scope(f"layer{index}"):
                x = self._layer(index, layer, x, with_output=index + 1 < s.layers)
            if index + 1 == s.layers_used:
                features = x
        with g.scope("projector"):
            self._project(features)
        g.output("image_features", "f32", ["B", s.features, self.source.text.hidden])
        if self.with_attention:
            for index in range(s.layers):
                g.output(f"vision_attn_{index}", "f16", ["B", s.heads, s.tokens, s.tokens])
        return g

    def _embeddings(self) -> str:
        g, s, w = self.g, self.spec, self.weights.at("embeddings")
        module, tower = self.source.vision_tower.embeddings, self.source.vision_tower
        with g.scope("embeddings"):
            conv = module.patch_embedding
            inputs = [g.to_model_dtype("pixel_values"), w.tensor("patch.weight", conv.weight)]
            if conv.bias is not None:
                inputs.append(w.tensor("patch.bias", conv.bias))
            strides = [s.patch_size, s.patch_size]
            patches = g.op("Conv", *inputs, kernel_shape=strides, strides=strides)
            patches = g.op("Transpose", g.reshape(patches, self.batch, s.hidden, -1), perm=[0, 2, 1])
            if s.has_cls:
                cls = w.tensor("class", module.class_embedding.reshape(1, 1, -1))
                shape = g.concat(self.batch, g.ints(1), g.ints(s.hidden), axis=0)
                patches = g.concat(g.op("Expand", cls, shape), patches, axis=1)
            x = g.op("Add", patches, w.tensor("position", module.position_embedding.weight))
            x = g.reshape(x, -1, s.hidden, hint=[self.rows_symbol, s.hidden])
            return w.layer_norm("norm", x, tower.pre_layrnorm) if hasattr(tower, "pre_layrnorm") else x

    def heads(self, x: str) -> str:
        """[B·tokens, hidden] → [B, heads, tokens, dh]."""
        g, s = self.g, self.spec
        shape = [s.tokens, s.heads, s.hidden // s.heads]
        x = g.reshape(x, self.batch, *shape, hint=[self.batch_symbol, *shape])
        return g.op("Transpose", x, perm=[0, 2, 1, 3])

    def _layer(self, index: int, layer, x: str, with_output: bool) -> str:
        """One block. The last one is cut after its softmax: its output goes nowhere."""
        g, s, w = self.g, self.spec, self.weights.at(f"layers.{index}")
        attention = layer.self_attn
        h = w.layer_norm("norm1", x, layer.layer_norm1)

        def heads(name: str, module, scale: float | None = None) -> str:
            y = w.linear(name, h, module)
            y = g.op("Mul", y, g.const(scale, g.dtype)) if scale else y
            return self.heads(y)

        query = heads("q", attention.q_proj, s.attention_scaling)
        key = g.op("Transpose", heads("k", attention.k_proj), perm=[0, 1, 3, 2])
        weights = g.op("Softmax", g.to_f32(g.op("MatMul", query, key)), axis=-1)
        if self.with_attention:
            g.leaf(lambda: scaled_f16(g, weights, f"vision_attn_{index}"))
        if not with_output and s.layers_used <= index:
            return x
        context = g.op("MatMul", g.to_model_dtype(weights), heads("v", attention.v_proj))
        x = g.op("Add", x, w.linear("o", merge_heads(g, context, s.hidden, self.rows_symbol), attention.out_proj))
        h2 = w.layer_norm("norm2", x, layer.layer_norm2)
        hidden = activation(g, s.activation, w.linear("fc1", h2, layer.mlp.fc1))
        return g.op("Add", x, w.linear("fc2", hidden, layer.mlp.fc2))

    def _project(self, x: str) -> None:
        g, s, w = self.g, self.spec, self.weights.at("projector")
        projector = self.source.model.model.multi_modal_projector
        if s.features != s.tokens:
            x = g.reshape(x, -1, s.tokens, s.hidden)
            x = g.op("Slice", x, g.ints(1), g.ints(s.tokens), g.ints(1))
            x = g.reshape(x, -1, s.hidden)
        x = activation(g, self.source.projector_activation, w.linear("linear1", x, projector.linear_1))
        x = w.linear("linear2", x, projector.linear_2)
        g.f32_output(x, -1, s.features, self.source.text.hidden, out="image_features")
