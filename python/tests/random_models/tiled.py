"""InternVL, Cohere2-Vision, Aya, Idefics3, SmolVLM, LFM2-VL, MiniCPM-V, Molmo2."""

from __future__ import annotations

import transformers as t

from .common import build, byte_tokenizer, template, text_options
from .llava import siglip


def internvl():
    """InternVL: 4 × 4 tokens a tile of 112 pixels."""
    tokenizer = byte_tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>", video_token="<video>"
    )
    vision = t.InternVLVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=[112, 112], patch_size=[14, 14]
    )
    config = t.InternVLConfig(
        vision_config=vision, text_config=t.Qwen2Config(**text_options(tokenizer)), image_seq_length=16, downsample_ratio=0.5,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    image = t.GotOcr2ImageProcessor(size={"height": 112, "width": 112}, crop_to_patches=True, min_patches=1, max_patches=6)
    video = t.InternVLVideoProcessor(size={"height": 112, "width": 112})
    processor = t.InternVLProcessor(
        image, tokenizer, video, image_seq_length=16, chat_template=template("<IMG_CONTEXT>", "<video>")
    )
    return build(t.InternVLForConditionalGeneration, config, 21), processor


def cohere2_vision():
    """Cohere2-Vision: a line break behind each tile, sliding layers."""
    names = {"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>", "image_token": "<|IMG_PATCH|>"}
    tokenizer = byte_tokenizer(**names, img_line_break_token="<|IMG_LINE_BREAK|>")
    text = t.Cohere2Config(**text_options(tokenizer, sliding_window=24))
    config = t.Cohere2VisionConfig(
        vision_config=siglip(112, vision_use_head=False), text_config=text, downsample_factor=2, alignment_intermediate_size=128,
        image_token_id=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
    )  # fmt: skip
    image = t.Cohere2VisionImageProcessor(size={"height": 112, "width": 112}, max_patches=6, patch_size=4)
    processor = t.Cohere2VisionProcessor(image, tokenizer, chat_template=template("<|IMG_PATCH|>"))
    return build(t.Cohere2VisionForConditionalGeneration, config, 22), processor


def aya_vision():
    """Aya: tiles by name, the whole picture last."""
    names = ("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL", "<image>")
    tokenizer = byte_tokenizer(*names)
    config = t.AyaVisionConfig(
        vision_config=siglip(112, vision_use_head=False), text_config=t.CohereConfig(**text_options(tokenizer)), downsample_factor=2,
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"), adapter_layer_norm_eps=1e-6, vision_feature_layer=-1,
    )  # fmt: skip
    image = t.GotOcr2ImageProcessor(size={"height": 112, "width": 112}, crop_to_patches=True, min_patches=1, max_patches=6)
    processor = t.AyaVisionProcessor(
        image, tokenizer, patch_size=14, img_size=112, downsample_factor=2, chat_template=template("<image>")
    )
    return build(t.AyaVisionForConditionalGeneration, config, 23), processor


def _idefics_tokenizer():
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    return byte_tokenizer(
        *rows, "<global-img>", "<end_of_utterance>", "<video>", image_token="<image>", fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>", end_of_utterance_token="<end_of_utterance>", video_token="<video>",
    )  # fmt: skip


def _idefics(kind: str, vision, seed: int, processor_class, image, **processor_options):
    tokenizer = _idefics_tokenizer()
    config = getattr(t, f"{kind}Config")(
        vision_config=vision, text_config=t.LlamaConfig(**text_options(tokenizer)), scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    chat = template("<image>", "<video>")
    processor = processor_class(image, tokenizer, image_seq_len=16, chat_template=chat, **processor_options)
    return build(getattr(t, f"{kind}ForConditionalGeneration"), config, seed), processor


def idefics3():
    """Idefics3: 4 × 4 tokens a tile of 112 pixels."""
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 112, "patch_size": 14,
    }  # fmt: skip
    image = t.Idefics3ImageProcessor(size={"longest_edge": 336}, max_image_size={"longest_edge": 112})
    return _idefics("Idefics3", vision, 24, t.Idefics3Processor, image)


def smolvlm():
    """SmolVLM: Idefics3's layout and videos."""
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 112, "patch_size": 14,
    }  # fmt: skip
    image = t.SmolVLMImageProcessor(size={"longest_edge": 336}, max_image_size={"longest_edge": 112})
    video = t.SmolVLMVideoProcessor(size={"longest_edge": 112}, max_image_size={"longest_edge": 112}, num_frames=4, fps=1)
    return _idefics("SmolVLM", vision, 25, t.SmolVLMProcessor, image, video_processor=video)


def lfm2_vl():
    """LFM2-VL: layers of convolution beside layers of attention."""
    rows = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = byte_tokenizer(*rows, "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", image_token="<image>")
    text = t.Lfm2Config(**text_options(tokenizer, layer_types=["conv", "full_attention", "conv", "full_attention"]))
    vision = t.Siglip2VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, patch_size=16, num_patches=64,
        vision_use_head=False,
    )  # fmt: skip
    config = t.Lfm2VlConfig(
        vision_config=vision, text_config=text, downsample_factor=2, image_token_id=tokenizer.convert_tokens_to_ids("<image>")
    )
    image = t.Lfm2VlImageProcessor(
        downsample_factor=2, min_tiles=2, max_tiles=4, min_image_tokens=4, max_image_tokens=16, encoder_patch_size=16, tile_size=128,
        max_pixels_tolerance=2.0,
    )  # fmt: skip
    processor = t.Lfm2VlProcessor(image, tokenizer, chat_template=template("<image>"))
    return build(t.Lfm2VlForConditionalGeneration, config, 26), processor


def molmo2():
    """Molmo2: overlapping crops, a column token behind each row."""
    names = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>", "<im_low>")
    tokenizer = byte_tokenizer(*names, image_token="<|image|>", video_token="<|video|>")
    id_of = tokenizer.convert_tokens_to_ids
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4,
        "head_dim": 8, "image_size": [126, 126], "image_patch_size": 14, "image_num_pos": 81,
    }  # fmt: skip
    adapter = {
        "vit_layers": [-1, -2], "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8,
        "intermediate_size": 48, "text_hidden_size": 64,
    }  # fmt: skip
    config = t.Molmo2Config(
        vit_config=vision, adapter_config=adapter, text_config=text_options(tokenizer, head_dim=16, additional_vocab_size=0),
        image_start_token_id=id_of("<im_start>"), low_res_image_start_token_id=id_of("<low_res_im_start>"),
        image_end_token_id=id_of("<im_end>"), image_patch_id=id_of("<im_patch>"), image_col_id=id_of("<im_col>"),
        frame_start_token_id=id_of("<frame_start>"), frame_end_token_id=id_of("<frame_end>"), image_low_res_id=id_of("<im_low>"),
    )  # fmt: skip
    image = t.Molmo2ImageProcessor(size={"height": 126, "width": 126}, max_crops=4, overlap_margins=[2, 2])
    video = t.Molmo2VideoProcessor(size={"height": 126, "width": 126})
    processor = t.Molmo2Processor(image, video, tokenizer, chat_template=template("<|image|>", "<|video|>"))
    return build(t.Molmo2ForConditionalGeneration, config, 27), processor


def minicpm():
    """MiniCPM-V 4.6: slices, a hybrid text model."""
    tokenizer = byte_tokenizer(
        image_token="<|image_pad|>", video_token="<|video_pad|>", image_start_token="<image>", image_end_token="</image>",
        slice_start_token="<slice>", slice_end_token="</slice>", image_id_start_token="<image_id>", image_id_end_token="</image_id>",
    )  # fmt: skip
    text = t.Qwen3_5TextConfig(
        **text_options(
            tokenizer, head_dim=32, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=16,
            linear_value_head_dim=16, layer_types=["linear_attention", "full_attention", "linear_attention", "full_attention"],
        )
    )  # fmt: skip
    vision = t.MiniCPMV4_6VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, image_size=224, patch_size=14,
    )  # fmt: skip
    config = t.MiniCPMV4_6Config(
        vision_config=vision, text_config=text, insert_layer_id=1, image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
    )  # fmt: skip
    image = t.MiniCPMV4_6ImageProcessor(scale_resolution=224, max_slice_nums=4, patch_size=14)
    video = t.MiniCPMV4_6VideoProcessor(scale_resolution=224, max_slice_nums=1, patch_size=14)
    processor = t.MiniCPMV4_6Processor(image, video, tokenizer, chat_template=template("<|image_pad|>", "<|video_pad|>"))
    return build(t.MiniCPMV4_6ForConditionalGeneration, config, 28), processor
