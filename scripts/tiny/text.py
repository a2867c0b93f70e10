"""Tokenizer and processor: Llama's conventions (`▁` starts a word, byte fallback) and LLaVA-1.5's chat template.

The vocabulary is trained on *distinct* words, so that every word of the questions and answers becomes one token, and one answer
noun is one row of attention.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

from tiny.offtopic import OFF_TOPIC
from tiny.questions import ask_many, plain
from tiny.scenes import sample_scene
from tiny.vocabulary import COLOURS, NOUNS

VOCABULARY_SIZE = 1024
SPECIAL = ("<unk>", "<s>", "</s>", "<image>", "<pad>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{# Render all text next #}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def _known_words() -> list[str]:
    """Every word, as written (with its leading space, or at a line's start), that questions and answers use. Sorted."""
    rng = np.random.default_rng(20_26)
    words = {" USER", " ASSISTANT", "USER"}
    for noun in NOUNS.values():
        words |= {f" {noun.name}", f" {noun.many}"}
    words |= {f" {colour}" for colour in COLOURS}
    for _ in range(4_000):
        for question in ask_many(sample_scene(rng), 9, rng):
            if question.kind != "unknown":
                first, *rest = re.findall(r"[A-Za-z]+", plain(question.text))
                words |= {first, first[0].lower() + first[1:], f" {first}", *(f" {word}" for word in rest)}
            words |= {f" {word}" for word in re.findall(r"[A-Za-z]+", plain(question.answer))}
    return sorted(words)


def build_tokenizer(
    special: tuple[str, ...] = SPECIAL, more: frozenset[str] = frozenset(), size: int = VOCABULARY_SIZE
) -> Tokenizer:
    """The BPE tokenizer; deterministic. `more` are words beside those of questions about one picture."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("\n", "isolated"),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True),
            pre_tokenizers.Split(Regex(r"[^\w\s▁]|[0-9]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    known = sorted({*_known_words(), *more})
    letters = [chr(c) for c in range(0x21, 0x7F)]
    # A line's start carries no mark, hence the newline before a word without a leading space.
    corpus = (
        ["\n" + word for word in known for _ in range(50)]
        + [f"\n {line}" for line in OFF_TOPIC[0]]
        + ["\n" + "\n".join(letters)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=["▁", "\n", *letters],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    state = tokenizer.to_str()
    tokenizer = Tokenizer.from_str(_only_special(state))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def _only_special(state: str) -> str:
    """The trainer marks the byte tokens as special; they must be ordinary or decoding would drop them."""
    data = json.loads(state)
    data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
    return json.dumps(data, ensure_ascii=False)


def fast_tokenizer(tokenizer: Tokenizer, **options: Any) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="left",
        **options,
    )


def build_processor(image_size: int, patch_size: int) -> LlavaProcessor:
    """The processor: CLIP's resize and centre crop (mean and standard deviation 0.5), the tokenizer, the chat template."""
    tokenizer = fast_tokenizer(build_tokenizer(), additional_special_tokens=[AddedToken("<image>", special=True)])
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": image_size},
        crop_size={"height": image_size, "width": image_size},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )
