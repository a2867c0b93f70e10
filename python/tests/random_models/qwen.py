"""Qwen2-VL, 2.5, 3, 3.5 and GLM-4V."""

from __future__ import annotations

import transformers as t

from .common import HEADS, LAYERS, build, byte_tokenizer, template, text_options

IMAGE, VIDEO = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
M_ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}


def tokenizer_of():
    """Qwen's special tokens."""
    return byte_tokenizer(
        image_token="<|image_pad|>", video_token="<|video_pad|>", vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>", vision_bos_token="<|vision_start|>", vision_eos_token="<|vision_end|>",
    )  # fmt: skip


def ids(tokenizer) -> dict:
    """Ids of a configuration."""
    id_of = tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": id_of("<|image_pad|>"),
        "video_token_id": id_of("<|video_pad|>"),
        "vision_start_token_id": id_of("<|vision_start|>"),
        "vision_end_token_id": id_of("<|vision_end|>"),
    }


def processor_of(kind, video_kind, tokenizer, patch: int, text_image=IMAGE, text_video=VIDEO, **size):
    """A processor that keeps pictures below about 60 tokens."""
    cell = (patch * 2) ** 2
    limits = {"shortest_edge": cell * 9, "longest_edge": cell * 60}
    image = t.Qwen2VLImageProcessor(size=limits, patch_size=patch, merge_size=2)
    video = video_kind(size={"shortest_edge": cell * 4, "longest_edge": cell * 120}, patch_size=patch, merge_size=2)
    return kind(image, tokenizer, video, chat_template=template(text_image, text_video))


def qwen2_vl():
    """Qwen2-VL."""
    tokenizer = tokenizer_of()
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    config = t.Qwen2VLConfig(
        text_config=text_options(tokenizer, rope_parameters=dict(M_ROPE)), vision_config=vision, **ids(tokenizer)
    )
    processor = processor_of(t.Qwen2VLProcessor, t.Qwen2VLVideoProcessor, tokenizer, 14)
    return build(t.Qwen2VLForConditionalGeneration, config, 11), processor


def qwen2_5_vl():
    """Qwen2.5-VL: windows in the tower."""
    tokenizer = tokenizer_of()
    vision = {
        "depth": 3, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 4, "intermediate_size": 48, "patch_size": 14,
        "window_size": 56, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = t.Qwen2_5_VLConfig(
        text_config=text_options(tokenizer, rope_parameters=dict(M_ROPE)), vision_config=vision, **ids(tokenizer)
    )
    processor = processor_of(t.Qwen2_5_VLProcessor, t.Qwen2VLVideoProcessor, tokenizer, 14)
    return build(t.Qwen2_5_VLForConditionalGeneration, config, 12), processor


VISION_3 = {
    "depth": 3, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 4, "intermediate_size": 48, "patch_size": 16,
    "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
}  # fmt: skip


def qwen3_vl():
    """Qwen3-VL: DeepStack, timestamps between pairs of frames."""
    tokenizer = tokenizer_of()
    text = text_options(tokenizer, head_dim=16, rope_parameters={**M_ROPE, "mrope_interleaved": True})
    config = t.Qwen3VLConfig(text_config=text, vision_config=dict(VISION_3), **ids(tokenizer))
    processor = processor_of(t.Qwen3VLProcessor, t.Qwen3VLVideoProcessor, tokenizer, 16)
    return build(t.Qwen3VLForConditionalGeneration, config, 13), processor


def qwen3_vl_moe():
    """Qwen3-VL with experts."""
    tokenizer = tokenizer_of()
    text = text_options(
        tokenizer, head_dim=16, rope_parameters={**M_ROPE, "mrope_interleaved": True}, num_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=32, decoder_sparse_step=1, mlp_only_layers=[],
    )  # fmt: skip
    config = t.Qwen3VLMoeConfig(text_config=text, vision_config=dict(VISION_3), **ids(tokenizer))
    processor = processor_of(t.Qwen3VLProcessor, t.Qwen3VLVideoProcessor, tokenizer, 16)
    return build(t.Qwen3VLMoeForConditionalGeneration, config, 14), processor


def qwen3_5():
    """Qwen3.5: every fourth layer has attention."""
    tokenizer = tokenizer_of()
    text = text_options(
        tokenizer, head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16, linear_value_head_dim=16,
        rope_parameters={**M_ROPE, "mrope_interleaved": True, "partial_rotary_factor": 0.5}, partial_rotary_factor=0.5,
        layer_types=["linear_attention", "full_attention", "linear_attention", "full_attention"],
    )  # fmt: skip
    vision = {name: value for name, value in VISION_3.items() if name != "deepstack_visual_indexes"}
    config = t.Qwen3_5Config(text_config=text, vision_config=vision, **ids(tokenizer))
    processor = processor_of(t.Qwen3VLProcessor, t.Qwen3VLVideoProcessor, tokenizer, 16)
    return build(t.Qwen3_5ForConditionalGeneration, config, 15), processor


def glm4v():
    """GLM-4V: pictures and frames share one token."""
    names = ("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>")
    tokenizer = byte_tokenizer(*names, image_token="<|image|>", video_token="<|video|>")
    id_of = tokenizer.convert_tokens_to_ids
    vision = {
        "depth": 2, "hidden_size": 32, "out_hidden_size": 64, "num_heads": HEADS, "intermediate_size": 48, "patch_size": 14,
        "image_size": 112, "spatial_merge_size": 2,
    }  # fmt: skip
    text = text_options(
        tokenizer, rope_parameters={**M_ROPE, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}, partial_rotary_factor=0.5
    )
    config = t.Glm4vConfig(
        text_config=text, vision_config=vision, image_token_id=id_of("<|image|>"), video_token_id=id_of("<|video|>"),
        image_start_token_id=id_of(names[0]), image_end_token_id=id_of(names[1]), video_start_token_id=id_of(names[2]),
        video_end_token_id=id_of(names[3]),
    )  # fmt: skip
    cell = 28**2
    image = t.Glm4vImageProcessor(size={"shortest_edge": cell * 9, "longest_edge": cell * 60}, patch_size=14, merge_size=2)
    video = t.Glm4vVideoProcessor(size={"shortest_edge": cell * 4, "longest_edge": cell * 200}, patch_size=14, merge_size=2)
    chat = template(names[0] + "<|image|>" + names[1], names[2] + "<|video|>" + names[3])
    processor = t.Glm4vProcessor(image, tokenizer, video, chat_template=chat)
    return build(t.Glm4vForConditionalGeneration, config, 16), processor


assert LAYERS == 4  # qwen3_5's layer_types
