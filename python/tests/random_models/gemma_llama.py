"""Gemma 3 and 4, PaliGemma 1 and 2, Llama 4 and Llama 3.2 Vision, Idefics2."""

from __future__ import annotations

import transformers as t

from .common import build, byte_tokenizer, template, text_options
from .llava import siglip

SLIDING = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]


def gemma3():
    """Gemma 3: sliding and full layers, pictures that attend in both directions."""
    tokenizer = byte_tokenizer(
        image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
    )
    id_of = tokenizer.convert_tokens_to_ids
    text = t.Gemma3TextConfig(**text_options(tokenizer, head_dim=16, sliding_window=12, layer_types=SLIDING))
    config = t.Gemma3Config(
        text_config=text, vision_config=siglip(112, vision_use_head=False), mm_tokens_per_image=16,
        boi_token_index=id_of("<start_of_image>"), eoi_token_index=id_of("<end_of_image>"), image_token_index=id_of("<image_soft_token>"),
    )  # fmt: skip
    image = t.Gemma3ImageProcessor(size={"height": 112, "width": 112}, pan_and_scan_min_crop_size=64)
    processor = t.Gemma3Processor(image, tokenizer, image_seq_length=16, chat_template=template("<start_of_image>"))
    return build(t.Gemma3ForConditionalGeneration, config, 31), processor


def gemma4(shared: int = 2):
    """Gemma 4: `shared` layers reuse the keys of earlier ones; heads of full layers are wider."""
    tokenizer = byte_tokenizer(
        image_token="<|image|>", boi_token="<|image>", eoi_token="<image|>", audio_token="<|audio|>", boa_token="<|audio>",
        eoa_token="<audio|>", video_token="<|video|>",
    )  # fmt: skip
    id_of = tokenizer.convert_tokens_to_ids
    text = t.Gemma4TextConfig(
        **text_options(
            tokenizer, num_hidden_layers=6, head_dim=16, global_head_dim=32, sliding_window=12, num_kv_shared_layers=shared,
            layer_types=["sliding_attention", "full_attention"] * 3, hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=len(tokenizer), use_bidirectional_attention="vision",
        )
    )  # fmt: skip
    vision = t.Gemma4VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, head_dim=8,
        patch_size=16, pooling_kernel_size=3, position_embedding_size=256,
    )  # fmt: skip
    config = t.Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None, image_token_id=id_of("<|image|>"), video_token_id=id_of("<|video|>"),
        boi_token_id=id_of("<|image>"), eoi_token_id=id_of("<image|>"), audio_token_id=id_of("<|audio|>"),
    )  # fmt: skip
    image = t.Gemma4ImageProcessor(max_soft_tokens=70)
    video = t.Gemma4VideoProcessor(max_soft_tokens=70, num_frames=4)
    chat = template("<|image|>", "<|video|>")
    processor = t.Gemma4Processor(t.Gemma4AudioFeatureExtractor(), image, tokenizer, video, chat_template=chat)
    model = build(t.Gemma4ForConditionalGeneration, config, 32)
    for layer in model.model.language_model.layers:
        layer.self_attn.q_norm.weight.mul_(0.4)  # its scores are not scaled by the head size
    return model, processor


def paligemma():
    """PaliGemma: the whole prompt attends in both directions."""
    return _paligemma(t.GemmaConfig, 33)


def paligemma2():
    """PaliGemma 2: soft-capping and sliding layers; its text model has no sdpa."""
    return _paligemma(t.Gemma2Config, 34, sliding_window=12, layer_types=SLIDING, attn_logit_softcapping=5.0, query_pre_attn_scalar=16)


def _paligemma(text_class, seed: int, **changes):
    tokenizer = byte_tokenizer(image_token="<image>")
    text = text_class(**text_options(tokenizer, head_dim=16, **changes))
    config = t.PaliGemmaConfig(
        text_config=text, vision_config=siglip(vision_use_head=False), image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=64, hidden_size=64,
    )  # fmt: skip
    image = t.SiglipImageProcessor(size={"height": 56, "width": 56})
    image.image_seq_length = 16
    processor = t.PaliGemmaProcessor(image, tokenizer)
    return build(t.PaliGemmaForConditionalGeneration, config, seed), processor


def llama4():
    """Llama 4: tiles and separators, chunked layers, experts."""
    names = (
        "<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>", "<|tile_x_separator|>", "<|tile_y_separator|>",
    )  # fmt: skip
    tokenizer = byte_tokenizer(*names)
    text = t.Llama4TextConfig(
        **text_options(
            tokenizer, head_dim=16, intermediate_size_mlp=96, num_local_experts=2, attention_chunk_size=32, interleave_moe_layer_step=2,
            no_rope_layers=[1, 1, 1, 0], moe_layers=[1, 3],
        )
    )  # fmt: skip
    vision = t.Llama4VisionConfig(
        hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, image_size=112, patch_size=14,
        vision_output_dim=48, projector_input_dim=48, projector_output_dim=48, pixel_shuffle_ratio=0.5,
    )  # fmt: skip
    config = t.Llama4Config(
        text_config=text, vision_config=vision, image_token_index=tokenizer.convert_tokens_to_ids("<|patch|>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<|image_start|>"), eoi_token_index=tokenizer.convert_tokens_to_ids("<|image_end|>"),
    )  # fmt: skip
    image = t.Llama4ImageProcessor(size={"height": 112, "width": 112}, max_patches=4)
    processor = t.Llama4Processor(image, tokenizer, patch_size=14, pixel_shuffle_ratio=0.5, chat_template=template("<|image|>"))
    return build(t.Llama4ForConditionalGeneration, config, 35), processor


def mllama():
    """Llama 3.2 Vision: cross-attention in layers 1 and 3."""
    tokenizer = byte_tokenizer("<|image|>")
    text = t.MllamaTextConfig(
        **text_options(
            tokenizer, num_hidden_layers=5, cross_attention_layers=[1, 3], rope_parameters={"rope_type": "default", "rope_theta": 10000.0}
        )
    )
    vision = t.MllamaVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_global_layers=1, attention_heads=4, image_size=56, patch_size=14,
        vision_output_dim=64, max_num_tiles=4, intermediate_layers_indices=[0],
        supported_aspect_ratios=[[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
    )  # fmt: skip
    config = t.MllamaConfig(text_config=text, vision_config=vision, image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"))
    image = t.MllamaImageProcessor(size={"height": 56, "width": 56}, max_image_tiles=4)
    processor = t.MllamaProcessor(image, tokenizer, chat_template=template("<|image|>"))
    return build(t.MllamaForConditionalGeneration, config, 36), processor


def idefics2():
    """Idefics2: a resampler, so that image tokens have no place."""
    tokenizer = byte_tokenizer("<image>", "<fake_token_around_image>", "<end_of_utterance>")
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 112, "patch_size": 14,
    }  # fmt: skip
    perceiver = {
        "hidden_size": 64, "resampler_n_latents": 8, "resampler_depth": 1, "resampler_n_heads": 4, "resampler_head_dim": 16,
        "num_key_value_heads": 2,
    }  # fmt: skip
    config = t.Idefics2Config(
        vision_config=vision, perceiver_config=perceiver, text_config=t.MistralConfig(**text_options(tokenizer, sliding_window=None)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    image = t.Idefics2ImageProcessor(size={"shortest_edge": 56, "longest_edge": 112}, do_image_splitting=False)
    processor = t.Idefics2Processor(image, tokenizer, image_seq_len=8, chat_template=template("<image>"))
    return build(t.Idefics2ForConditionalGeneration, config, 37), processor
