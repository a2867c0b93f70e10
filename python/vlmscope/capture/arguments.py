"""Checks of the arguments of `capture` and `recording`, before anything is computed, and what of them a trace stores."""

from __future__ import annotations

import json
import math
from numbers import Integral, Real

from ..errors import CaptureError

#: Arguments of generate that the prompt decides.
INPUTS = ("inputs", "input_ids", "inputs_embeds", "attention_mask", "pixel_values", "pixel_values_videos")


def check_parts(model, processor) -> None:
    """Refuses what is no transformers model or no processor."""
    if not hasattr(model, "get_decoder") or not hasattr(model, "config"):
        raise CaptureError(f"model= is a vision-language model of transformers, not {type(model).__name__}.")
    if not callable(processor) or not hasattr(processor, "tokenizer"):
        raise CaptureError(
            f"processor= is the model's processor (AutoProcessor.from_pretrained), not {type(processor).__name__}: it prepares pictures "
            "and text together."
        )


def check_prompt(question, prompt, messages, answer) -> None:
    """Refuses a prompt that is no text and no conversation."""
    if sum(given is not None for given in (question, prompt, messages)) != 1:
        raise CaptureError("give one of question=, prompt= and messages=.")
    for name, value in (("question", question), ("prompt", prompt), ("answer", answer)):
        if value is not None and not isinstance(value, str):
            raise CaptureError(f"{name}= is a text, not {type(value).__name__}.")
    if messages is None:
        return
    if not isinstance(messages, (list, tuple)) or not messages or not all(_is_message(message) for message in messages):
        raise CaptureError(
            'messages= is a conversation: a list with at least one {"role": "user", "content": [{"type": "text", "text": "…"}]}, as for '
            "apply_chat_template."
        )


def _is_message(message) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    content = message.get("content")
    return isinstance(content, str) or (isinstance(content, (list, tuple)) and all(isinstance(part, dict) for part in content))


def check_sampling(max_new_tokens, temperature, top_p, seed, topk) -> None:
    """Refuses numbers that sampling or the trace format cannot hold."""
    _whole("max_new_tokens", max_new_tokens, 1, 2**32 - 1)
    _whole("seed", seed, 0, 2**64 - 1)
    check_topk(topk)
    if not _is_number(temperature) or temperature < 0:
        raise CaptureError(f"temperature={temperature!r} is no number from 0 (greedy) on.")
    if not _is_number(top_p) or not 0 < top_p <= 1:
        raise CaptureError(f"top_p={top_p!r} is no share above 0 and up to 1 (1 keeps all tokens).")


def check_topk(topk) -> None:
    """Refuses a number of alternatives that is none."""
    _whole("topk", topk, 0, 2**32 - 1)


def _whole(name: str, value, least: int, most: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
        raise CaptureError(f"{name}={value!r} is no integer from {least} to {most}.")


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_generate_options(options: dict) -> None:
    """Refuses options of generate that arguments of `capture` decide."""
    if "do_sample" in options:
        raise CaptureError("do_sample= follows from temperature=: 0 is greedy, more samples. Leave do_sample out.")
    for name in INPUTS:
        if name in options:
            raise CaptureError(f"{name}= is made from the question and the pictures. Leave it out, or use recording(…) around your own generate.")


def check_videos(family, model, videos) -> None:
    """Refuses videos of families that do not place them; their processors would leave them out."""
    if videos and not family.video:
        raise CaptureError(
            f"{type(model).__name__} (family {family.name}) cannot be captured with videos. Give some frames as images= instead."
        )


def call_of(prompt, messages, processor_options: dict, generate_options: dict) -> dict:
    """What a trace stores of the call, so that the program can show the line that repeats it (`provenance.call`)."""
    call: dict = {"asked_as": "prompt" if prompt is not None else "messages" if messages is not None else "question"}
    left_out = []
    if messages is not None:
        written = _as_json(messages)
        if written is None:
            left_out.append("messages")
        else:
            call["messages"] = written
    if processor_options:
        written = _as_json(processor_options)
        if written is None:
            left_out.append("processor_options")
        else:
            call["processor_options"] = written
    for name, value in generate_options.items():
        written = _as_json(value)
        if written is None and value is not None:
            left_out.append(name)
        else:
            call.setdefault("generate_options", {})[name] = written
    return call | ({"left_out": left_out} if left_out else {})


def _as_json(value):
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return None
