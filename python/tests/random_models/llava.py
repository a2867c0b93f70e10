"""LLaVA and its relatives."""

from __future__ import annotations

import transformers as t

from .common import build, byte_tokenizer, template, text_options

IMAGE = "<image>"


def clip(image_size: int = 56, layers: int = 3):
    """A CLIP tower with 14-pixel patches."""
    return t.CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4, image_size=image_size, patch_size=14
    )


def siglip(image_size: int = 56, layers: int = 2, **changes):
    """A SigLIP tower with 14-pixel patches."""
    options = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": layers, "num_attention_heads": 4}
    return t.SiglipVisionConfig(**options, image_size=image_size, patch_size=14, **changes)


def llava(text=None, image_size: int = 56, implementation=None, seed: int = 1):
    """LLaVA-1.5: CLIP with a class token, short edge resized, centre cropped. `text` makes the text configuration."""
    tokenizer = byte_tokenizer(IMAGE)
    text = (text or t.LlamaConfig)(**text_options(tokenizer)) if text is None or isinstance(text, type) else text(tokenizer)
    config = t.LlavaConfig(
        vision_config=clip(image_size), text_config=text, image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(image_size // 14) ** 2,
    )  # fmt: skip
    image = t.CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size})
    processor = t.LlavaProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template(IMAGE), image_token=IMAGE,
        num_additional_image_tokens=1,
    )  # fmt: skip
    return build(t.LlavaForConditionalGeneration, config, seed, implementation), processor


def llava_siglip():
    """A SigLIP tower: no class token, the picture squashed."""
    tokenizer = byte_tokenizer(IMAGE)
    config = t.LlavaConfig(
        vision_config=siglip(vision_use_head=False), text_config=t.Qwen2Config(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE), image_seq_length=16, vision_feature_select_strategy="full",
    )  # fmt: skip
    image = t.SiglipImageProcessor(size={"height": 56, "width": 56})
    processor = t.LlavaProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="full", chat_template=template(IMAGE), image_token=IMAGE
    )
    return build(t.LlavaForConditionalGeneration, config, 2), processor


def pixtral():
    """A Pixtral tower in LLaVA's class: one run a row, each ended by a break token."""
    tokenizer = byte_tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    vision = t.PixtralVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=160, patch_size=16
    )
    config = t.LlavaConfig(
        vision_config=vision, text_config=t.MistralConfig(**text_options(tokenizer, sliding_window=None, head_dim=16)),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"), vision_feature_select_strategy="full", vision_feature_layer=-1,
    )  # fmt: skip
    image = t.PixtralImageProcessor(size={"longest_edge": 160}, patch_size={"height": 16, "width": 16})
    processor = t.PixtralProcessor(image, tokenizer, patch_size=16, chat_template=template("[IMG]"))
    return build(t.LlavaForConditionalGeneration, config, 3), processor


def mistral3():
    """Pixtral's layout with merged patches."""
    tokenizer = byte_tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    vision = t.PixtralVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=224, patch_size=14
    )
    config = t.Mistral3Config(
        vision_config=vision, text_config=t.MistralConfig(**text_options(tokenizer, sliding_window=None, head_dim=16)),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"), spatial_merge_size=2, vision_feature_layer=-1,
    )  # fmt: skip
    image = t.PixtralImageProcessor(size={"longest_edge": 224}, patch_size={"height": 28, "width": 28})
    processor = t.PixtralProcessor(image, tokenizer, patch_size=14, spatial_merge_size=2, chat_template=template("[IMG]"))
    return build(t.Mistral3ForConditionalGeneration, config, 4), processor


PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]


def llava_next():
    """Base, then tiles as one grid without the padding, a newline vector behind each row."""
    tokenizer = byte_tokenizer(IMAGE)
    config = t.LlavaNextConfig(
        vision_config=clip(), text_config=t.LlamaConfig(**text_options(tokenizer)), image_grid_pinpoints=PINPOINTS,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE), image_seq_length=16,
    )  # fmt: skip
    image = t.LlavaNextImageProcessor(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_grid_pinpoints=PINPOINTS
    )
    processor = t.LlavaNextProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template(IMAGE), image_token=IMAGE,
        num_additional_image_tokens=1,
    )  # fmt: skip
    return build(t.LlavaNextForConditionalGeneration, config, 5), processor


def llava_onevision():
    """LLaVA-NeXT's layout with a grid that is shrunk where it is large, and videos of pooled frames."""
    tokenizer = byte_tokenizer(IMAGE, "<video>")
    config = t.LlavaOnevisionConfig(
        vision_config=siglip(vision_use_head=False), text_config=t.Qwen2Config(**text_options(tokenizer)),
        image_grid_pinpoints=PINPOINTS, vision_aspect_ratio="anyres_max_2", vision_feature_layer=-1,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE), video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
    )  # fmt: skip
    image = t.LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=PINPOINTS)
    video = t.LlavaOnevisionVideoProcessor(size={"height": 56, "width": 56})
    processor = t.LlavaOnevisionProcessor(
        image, tokenizer, video, num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=template(IMAGE, "<video>"), vision_aspect_ratio="anyres_max_2",
    )  # fmt: skip
    return build(t.LlavaOnevisionForConditionalGeneration, config, 6), processor


def vipllava():
    """LLaVA's layout in a class of its own."""
    tokenizer = byte_tokenizer(IMAGE)
    config = t.VipLlavaConfig(
        vision_config=clip(layers=12), text_config=t.LlamaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE), image_seq_length=16,
    )  # fmt: skip
    image = t.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = t.LlavaProcessor(
        image, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template(IMAGE), image_token=IMAGE,
        num_additional_image_tokens=1,
    )  # fmt: skip
    return build(t.VipLlavaForConditionalGeneration, config, 7), processor
