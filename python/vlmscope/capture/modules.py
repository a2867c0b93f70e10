"""Which modules of a model are the decoder's attention, and what its configuration says about its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import CaptureError
from ..trace.schema import WITHOUT_ATTENTION

#: transformers' names of layer types → ours.
KINDS = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "conv": "conv",
    "attention": "full",
    "mamba": "linear",
}


@dataclass
class Decoder:
    """The language model inside a vision-language model."""

    module: torch.nn.Module
    config: object
    #: id(attention module) → decoder layer
    layer_of: dict[int, int]
    attention_modules: list[torch.nn.Module]
    #: one of schema.LAYER_KINDS a layer
    kinds: list[str]
    heads: int
    kv_heads: int

    @property
    def attention_layers(self) -> list[int]:
        """Layers that have attention."""
        return [layer for layer, kind in enumerate(self.kinds) if kind not in WITHOUT_ATTENTION]


def find_decoder(model: torch.nn.Module) -> Decoder:
    """Refuses models whose language model cannot be found."""
    if not hasattr(model, "get_decoder") or not hasattr(model, "config"):
        raise CaptureError(f"{type(model).__name__} is no transformers model: it has no get_decoder().")
    module = model.get_decoder()
    if not hasattr(module, "layers") and hasattr(module, "model"):
        module = module.model  # Llama 4's decoder has a head of its own
    config = model.config.get_text_config(decoder=True)
    kinds = layer_kinds(config)
    layer_of, found = {}, []
    for part in module.modules():
        layer = getattr(part, "layer_idx", None)
        is_attention = "Attention" in type(part).__name__ and isinstance(layer, int)
        if is_attention and 0 <= layer < len(kinds) and kinds[layer] not in WITHOUT_ATTENTION:
            layer_of[id(part)] = layer
            found.append(part)
    missing = sorted(set(range(len(kinds))) - set(layer_of.values()))
    missing = [layer for layer in missing if kinds[layer] not in WITHOUT_ATTENTION]
    if missing:
        raise CaptureError(
            f"layer {missing[0]} of {type(module).__name__} has no attention module that can be recognised (a class named "
            "…Attention with layer_idx). Code outside of transformers often has its own attention: use the model's `-hf` conversion."
        )
    heads = int(config.num_attention_heads)
    return Decoder(module, config, layer_of, found, kinds, heads, int(getattr(config, "num_key_value_heads", None) or heads))


def tower_attention(model: torch.nn.Module, decoder: torch.nn.Module) -> list[torch.nn.Module]:
    """Attention modules outside of the language model."""
    inside = {id(module) for module in decoder.modules()}
    found = []
    for module in model.modules():
        named = type(module).__name__.endswith("Attention")
        nested = any(type(child).__name__.endswith("Attention") for child in module.modules() if child is not module)
        if named and not nested and id(module) not in inside:
            found.append(module)
    return found


def layer_kinds(config) -> list[str]:
    """The kind of each decoder layer."""
    layers = int(config.num_hidden_layers)
    named = getattr(config, "layer_types", None)
    if named:
        unknown = [name for name in named if name not in KINDS]
        if unknown:
            raise CaptureError(
                f"the configuration names layers of type {unknown[0]!r}, which is not known to be plain attention "
                f"(known: {', '.join(sorted(KINDS))})."
            )
        kinds = [KINDS[name] for name in named[:layers]]
    elif getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        kinds = ["sliding"] * layers
    else:
        kinds = ["full"] * layers
    for layer in getattr(config, "cross_attention_layers", None) or []:
        kinds[layer] = "cross"
    return kinds
