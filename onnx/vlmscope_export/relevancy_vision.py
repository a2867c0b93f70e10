"""Relevancy of the vision tower: from the gradient at the picture's features back to every layer's attention.

relevancy_vision.onnx: pixel_values [1, 3, h, w] and d_image_features [N, D] (the rows of relevancy.onnx's d_inputs at the image
tokens) → vision_abar_l [N+1, N+1] of each layer that feeds the language model. Rule 5's recursion over them is the caller's.
"""

from __future__ import annotations

from .backward import Backward, activated, layer_norm, linear, mean_positive, softmax_backward
from .blocks import Weights, merge_heads
from .graph import Graph, WeightFile
from .relevancy import LOSS_SCALE
from .spec import Source
from .vision import Vision


class VisionRelevancy(Vision):
    """Writes relevancy_vision.onnx on the weights of vision.onnx."""

    def __init__(self, source: Source, dtype: str, file: WeightFile, image_feature_scale: float):
        super().__init__(source, dtype, file, with_attention=False)
        self.g.name = "relevancy_vision"
        self.batch_symbol = 1
        self.loss_scale = LOSS_SCALE if dtype == "f16" else 1.0
        self.image_feature_scale = image_feature_scale

    def write(self) -> Graph:
        g, s = self.g, self.spec
        g.input("pixel_values", "f32", [1, 3, s.image_size, s.image_size])
        g.input("d_image_features", "f32", [s.features, self.source.text.hidden])
        self.batch, self.rows_symbol = g.ints(1), s.tokens
        x = self._embeddings()
        backward = []
        for index, layer in enumerate(self.source.vision_tower.encoder.layers[: s.layers_used]):
            with g.scope(f"layer{index}"):
                x, back = self._block(index, layer, x)
            backward.append(back)
        with g.scope("projector"):
            dx = self._project_backward(x)
        for back in reversed(backward):
            dx = back(dx)
        for index in range(s.layers_used):
            g.output(f"vision_abar_{index}", "f32", [s.tokens, s.tokens])
        return g

    def _block(self, index: int, layer, x: str) -> tuple[str, Backward]:
        g, w = self.g, self.weights.at(f"layers.{index}")
        h, norm1 = layer_norm(w, "norm1", x, layer.layer_norm1)
        attended, attention = self._attention_block(index, layer.self_attn, w, h)
        x = g.op("Add", x, attended)
        h, norm2 = layer_norm(w, "norm2", x, layer.layer_norm2)
        inner, fc1 = linear(w, "fc1", h, layer.mlp.fc1)
        act, act_back = activated(g, self.spec.activation, inner)
        y, fc2 = linear(w, "fc2", act, layer.mlp.fc2)

        def back(dy: str) -> str:
            with g.scope(f"back{index}"):
                dy = g.op("Add", dy, norm2(fc1(act_back(fc2(dy)))))
                return g.op("Add", dy, norm1(attention(dy)))

        return g.op("Add", x, y), back

    def _attention_block(self, index: int, module, w: Weights, h: str) -> tuple[str, Backward]:
        g, s = self.g, self.spec
        scaling = g.const(s.attention_scaling, g.dtype)

        heads = self.heads

        def merged(x: str) -> str:
            return merge_heads(g, x, s.hidden, s.tokens)

        def transposed(x: str) -> str:
            return g.op("Transpose", x, perm=[0, 1, 3, 2])

        query, q_back = linear(w, "q", h, module.q_proj)
        key, k_back = linear(w, "k", h, module.k_proj)
        value, v_back = linear(w, "v", h, module.v_proj)
        query, key, value = heads(g.op("Mul", query, scaling)), heads(key), heads(value)
        weights = g.op("Softmax", g.to_f32(g.op("MatMul", query, transposed(key))), axis=-1)
        low = g.to_model_dtype(weights)
        context = g.op("MatMul", low, value)
        y, o_back = linear(w, "o", merged(context), module.out_proj)

        def back(dy: str) -> str:
            d_context = heads(o_back(dy))
            d_weights = g.op("MatMul", d_context, transposed(value))
            product, d_scores = softmax_backward(g, weights, d_weights, context, d_context)
            out = f"vision_abar_{index}"
            g.leaf(lambda: mean_positive(g, product, s.heads, s.tokens, 1 / self.loss_scale, out))
            d_scores = g.to_model_dtype(d_scores)
            d_q = q_back(g.op("Mul", merged(g.op("MatMul", d_scores, key)), scaling))
            d_k = k_back(merged(g.op("MatMul", transposed(d_scores), query)))
            d_v = v_back(merged(g.op("MatMul", transposed(low), d_context)))
            return g.op("Add", g.op("Add", d_q, d_k), d_v)

        return y, back

    def _project_backward(self, x: str) -> str:
        """The gradient of the last used layer's output [tokens, hidden]; a dropped class token gets none."""
        g, s, w = self.g, self.spec, self.weights.at("projector")
        projector = self.source.model.model.multi_modal_projector
        dropped = s.tokens - s.features
        if dropped:
            x = g.op("Slice", x, g.ints(dropped), g.ints(s.tokens), g.ints(0))
        hidden, linear1 = linear(w, "linear1", x, projector.linear_1)
        _, act_back = activated(g, self.source.projector_activation, hidden)
        scale = self.loss_scale * self.image_feature_scale
        d = g.op("Mul", "d_image_features", g.const(scale, "f32")) if scale != 1 else "d_image_features"
        weight = w.tensor("linear2.weight", projector.linear_2.weight, transpose=True)
        dx = linear1(act_back(g.op("Gemm", g.to_model_dtype(d), weight, transB=1)))
        return g.op("Pad", dx, g.ints(dropped, 0, 0, 0)) if dropped else dx
