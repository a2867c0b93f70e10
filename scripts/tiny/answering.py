"""Asking the model as a user would: processor, chat template, transformers' own greedy `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers import logging as transformers_logging

BATCH = 32


class Answerer:
    """A model and its processor, loaded from a folder written by `save_pretrained`, as float32."""

    def __init__(self, folder: Path, attention: str = "sdpa") -> None:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        if not (folder / "config.json").is_file():
            raise SystemExit(
                f"{folder}: no config.json here; give DIR/checkpoint of train_tiny.py or train_tiny_qwen.py"
            )
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        ).eval()

    def prompt(self, turns: Sequence[str], pictures: int = 1) -> str:
        """The prompt for user and assistant turns in alternation, the last one the user's; the pictures come first."""
        messages = []
        for index, text in enumerate(turns):
            content = [{"type": "text", "text": text}]
            if index == 0:
                content = [{"type": "image"}] * pictures + content
            messages.append({"role": "user" if index % 2 == 0 else "assistant", "content": content})
        return self.processor.apply_chat_template(messages, add_generation_prompt=True)

    @torch.inference_mode()
    def answer(
        self, pictures: Sequence[Image.Image | Sequence[Image.Image]], conversations: Sequence[Sequence[str]]
    ) -> list[str]:
        """One answer for each picture (or list of pictures) and conversation, greedy."""
        answers: list[str] = []
        tokenizer = self.processor.tokenizer
        for first in range(0, len(pictures), BATCH):
            part = slice(first, first + BATCH)
            shown = [[one] if isinstance(one, Image.Image) else list(one) for one in pictures[part]]
            prompts = [self.prompt(turns, len(some)) for turns, some in zip(conversations[part], shown, strict=True)]
            inputs = self.processor(images=shown, text=prompts, padding=True, return_tensors="pt")
            ids = self.model.generate(**inputs, max_new_tokens=32, do_sample=False)[:, inputs["input_ids"].shape[1] :]
            answers += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
        return answers
