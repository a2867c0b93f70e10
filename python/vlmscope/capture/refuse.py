"""Calls that cannot be captured, refused by name before anything is computed."""

from __future__ import annotations

import torch

from ..errors import CaptureError

_STATIC = ("static", "offloaded_static", "hybrid", "sliding_window", "paged")


def check_generation(model, arguments: dict) -> None:
    """Checks what `generate` was called with, on top of the model's generation_config."""
    option = _reader(model, arguments)
    if (option("num_beams", 1) or 1) > 1:
        raise CaptureError("beam search cannot be captured: several answers share one pass. Use num_beams=1.")
    if (option("num_return_sequences", 1) or 1) > 1:
        raise CaptureError("several answers at once cannot be captured. Use num_return_sequences=1, and capture again.")
    if option("use_cache", True) is False:
        raise CaptureError("use_cache=False processes every position at every step and cannot be captured. Leave the cache on.")
    if option("cache_implementation") in _STATIC:
        raise CaptureError(
            f"the cache implementation {option('cache_implementation')!r} pads keys to its full length. Use the default dynamic cache."
        )
    if (option("guidance_scale", 1) or 1) != 1:
        raise CaptureError("guidance_scale runs a second prompt at every step and cannot be captured. Leave it out.")
    for name in ("assistant_model", "prompt_lookup_num_tokens", "custom_generate", "dola_layers"):
        if option(name):
            raise CaptureError(f"{name} decodes in another way than token by token and cannot be captured. Leave it out.")
    if arguments.get("inputs_embeds") is not None:
        raise CaptureError("a prompt of inputs_embeds has no ids, so nothing can be named or placed. Pass input_ids.")


def used_sampling(model, arguments: dict, prompt_len: int) -> dict:
    """`sampling` of a trace from what `generate` was called with, on top of the model's generation_config."""
    option = _reader(model, arguments)
    temperature, top_p = (option(name) for name in ("temperature", "top_p"))
    found = {"temperature": 0.0, "top_p": 1.0}
    if option("do_sample", False):
        found = {"temperature": float(1.0 if temperature is None else temperature), "top_p": float(1.0 if top_p is None else top_p)}
    most, length = option("max_new_tokens"), option("max_length")
    if most is None and length is not None and length > prompt_len:
        most = length - prompt_len
    return found | ({} if most is None else {"max_new_tokens": int(most)})


def _reader(model, arguments: dict):
    """(name, default) → an option of `generate`: the call's, its generation_config's, the model's."""
    configs = (arguments.get("generation_config"), getattr(model, "generation_config", None))

    def option(name, default=None):
        if arguments.get(name) is not None:
            return arguments[name]
        found = (getattr(config, name, None) for config in configs)
        return next((value for value in found if value is not None), default)

    return option


def check_inputs(inputs: dict) -> None:
    """Checks the inputs of a prompt."""
    ids = inputs.get("input_ids")
    if not isinstance(ids, torch.Tensor) or ids.dim() != 2:
        raise CaptureError("the prompt needs input_ids of shape [1, positions], as a processor returns with return_tensors='pt'.")
    if ids.shape[0] != 1:
        raise CaptureError(f"only a batch of one can be captured, not {ids.shape[0]} prompts: capture one question at a time.")
    mask = inputs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.dim() == 2 and not bool(mask.all()):
        side = "left" if not bool(mask[0, 0]) else "right"
        raise CaptureError(
            f"the prompt is padded on the {side}, which shifts its positions. Call the processor with one text and without padding."
        )


def check_cache(cache, seen: int) -> None:
    """Checks the key-value cache of a pass that begins after `seen` positions."""
    if cache is None:
        return
    if getattr(cache, "is_compileable", False) or "Static" in type(cache).__name__:
        raise CaptureError(f"{type(cache).__name__} pads keys to its full length. Use the default dynamic cache.")
    length = cache.get_seq_length() if hasattr(cache, "get_seq_length") else seen
    if seen == 0 and length:
        raise CaptureError(
            f"the cache already holds {length} positions, whose attention was not recorded. Start with an empty cache."
        )


def check_model(model) -> None:
    """Checks the model itself."""
    if model.training:
        raise CaptureError("the model is in training mode, in which dropout changes its attention. Call model.eval().")
    if getattr(model, "_orig_mod", None) is not None:
        raise CaptureError("a compiled model cannot be captured; pass the model that was given to torch.compile.")
