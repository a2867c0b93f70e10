"""Tokenizer and processor: the words of the first model and those about two pictures, Qwen3-VL's marks of pictures."""

from __future__ import annotations

from transformers import AddedToken, Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

from tiny.qwen.pairs import WORDS
from tiny.text import build_tokenizer, fast_tokenizer

PATCH_SIZE, MERGE = 14, 2
CELL = PATCH_SIZE * MERGE  # pixels of the picture behind one token of the text model, in each direction
LEAST_CELLS, MOST_CELLS = 36, 64
VOCABULARY_SIZE = 840
MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SPECIAL = ("<unk>", "<s>", "</s>", *MARKS, "<pad>")
PICTURE, VIDEO = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '" + PICTURE + "\\n' }}"
    "{% elif content['type'] == 'video' %}{{ '"
    + VIDEO
    + "\\n' }}{% else %}{{ content['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def build_processor() -> Qwen3VLProcessor:
    """The processor: pictures of 36 to 64 tokens (mean and standard deviation 0.5), the tokenizer, the chat template."""
    named = dict(zip(("vision_start_token", "vision_end_token", "image_token", "video_token"), MARKS, strict=True))
    tokenizer = fast_tokenizer(
        build_tokenizer(SPECIAL, WORDS, VOCABULARY_SIZE),
        additional_special_tokens=[AddedToken(mark, special=True) for mark in MARKS],
        extra_special_tokens=named,
    )
    grid = {"patch_size": PATCH_SIZE, "merge_size": MERGE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    limits = {"shortest_edge": CELL**2 * LEAST_CELLS, "longest_edge": CELL**2 * MOST_CELLS}
    image = Qwen2VLImageProcessor(size=limits, **grid)
    video = Qwen3VLVideoProcessor(size=limits, **grid)
    return Qwen3VLProcessor(image, tokenizer, video, chat_template=CHAT_TEMPLATE)
