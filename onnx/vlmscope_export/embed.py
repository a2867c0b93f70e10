"""Token embeddings with the picture's features laid over the image tokens, in their order."""

from __future__ import annotations

from .blocks import Weights
from .graph import Graph, WeightFile
from .spec import Source


def write_embed(source: Source, dtype: str, file: WeightFile, image_feature_scale: float) -> Graph:
    """embed.onnx: input_ids [B, S] and image_features [n, D] → inputs_embeds [B, S, D]; n = number of image tokens, maybe 0.

    Gemma multiplies token embeddings by √hidden. transformers 4.41 did so with image features too, 5.x does not:
    `image_feature_scale` (1 for 5.x) covers a checkpoint that was trained with the former.
    """
    g, spec = Graph("embed", dtype), source.text
    table_module = source.language_model.embed_tokens
    ids = g.input("input_ids", "i64", ["B", "S"])
    features = g.input("image_features", "f32", ["n", spec.hidden])
    table = Weights(g, file).tensor("embed_tokens.weight", table_module.weight)
    is_image = g.op("Equal", ids, g.const(source.image_token_id, "i64"))
    if source.image_token_id >= table_module.weight.shape[0]:
        # The image token may lie past the table; its row is replaced anyway.
        ids = g.op("Where", is_image, g.const(0, "i64"), ids)
    tokens = g.op("Gather", table, ids, axis=0)
    if spec.embedding_scale != 1.0:
        tokens = g.op("Mul", tokens, g.const(spec.embedding_scale, dtype))
    tokens = g.to_f32(tokens)
    if image_feature_scale != 1.0:
        features = g.op("Mul", features, g.const(image_feature_scale, "f32"))
    slots = g.op("Transpose", g.op("NonZero", is_image), perm=[1, 0])
    g.op("ScatterND", tokens, slots, features, out="inputs_embeds")
    g.output("inputs_embeds", "f32", ["B", "S", spec.hidden])
    return g
