"""Loads the model and its processor and describes them; refuses what the graphs cannot express.

Everything that depends on a model's configuration is read here, so that the graph writers see plain numbers. Values that
transformers computes (rotary frequencies, embedding scales) are taken from its modules instead of being recomputed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .errors import ExportError, UnsupportedArchitecture

TEXT_TYPES = ("llama", "mistral", "gemma")
VISION_TYPES = ("clip_vision_model", "siglip_vision_model")
SUPPORTED = "LlavaForConditionalGeneration with a CLIP (or SigLIP) vision tower and a text model of type " + ", ".join(
    TEXT_TYPES
)
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
}
# Rotary types whose frequencies do not depend on the length of the sequence, up to the longest position allowed here.
STATIC_ROPE = ("default", "linear", "yarn", "llama3", "dynamic", "longrope")


@dataclass(frozen=True)
class TextSpec:
    type: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    max_positions: int
    norm_eps: float
    activation: str
    attention_scaling: float
    inv_freq: torch.Tensor
    rope_scaling: float
    sliding_window: int | None
    embedding_scale: float
    tied: bool


@dataclass(frozen=True)
class VisionSpec:
    type: str
    layers: int
    heads: int
    hidden: int
    image_size: int
    patch_size: int
    has_cls: bool
    feature_layer: int
    layers_used: int
    select: str
    norm_eps: float
    activation: str
    attention_scaling: float

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def tokens(self) -> int:
        """Positions inside the tower: patches and, where there is one, the class token."""
        return self.grid[0] * self.grid[1] + int(self.has_cls)

    @property
    def features(self) -> int:
        """Positions that reach the text model."""
        return self.tokens - int(self.has_cls and self.select == "default")


@dataclass
class Source:
    """A loaded model with its processor and what the graphs need to know about them."""

    model: nn.Module
    processor: object
    name: str
    text: TextSpec
    vision: VisionSpec
    image_token_id: int
    projector_activation: str

    @property
    def language_model(self) -> nn.Module:
        return self.model.model.language_model

    @property
    def vision_tower(self) -> nn.Module:
        tower = self.model.model.vision_tower
        return getattr(tower, "vision_model", tower)


def load(model: str, torch_dtype: torch.dtype) -> Source:
    """Loads a folder or a hub id. Attention is eager, because no other implementation returns its weights."""
    from transformers import AutoConfig, LlavaForConditionalGeneration

    folder = Path(model)
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{model} is a file. Give the folder that save_pretrained wrote, or a model id of the hub.")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ExportError(
            f"{model} has no config.json, so it is not a folder written by save_pretrained. "
            "Give the folder that holds config.json, the safetensors and the processor's files."
        )
    try:
        config = AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"The configuration of '{model}' cannot be read: {_first_line(error)} "
            "Check the path or the id; a model of the hub needs a network connection (and a login if it is gated)."
        ) from error
    check_config(config)
    try:
        loaded = LlavaForConditionalGeneration.from_pretrained(model, dtype=torch_dtype, attn_implementation="eager")
    except (OSError, ValueError, RuntimeError) as error:
        raise ExportError(f"The weights of '{model}' cannot be loaded: {_first_line(error)}") from error
    loaded.eval().requires_grad_(False)
    return describe(loaded, load_processor(model), folder.resolve().name if folder.is_dir() else model)


def load_processor(model: str):
    """The LlavaProcessor, with an error that names the missing files."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(model)
    except (OSError, ValueError, ImportError, TypeError) as error:
        raise ExportError(
            f"The processor of '{model}' cannot be loaded: {_first_line(error)} The bundle needs the tokenizer and the image "
            "processor beside the weights: run `processor.save_pretrained(FOLDER)` (tokenizer.json, tokenizer_config.json, "
            "processor_config.json or preprocessor_config.json) and export again."
        ) from error
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise ExportError(
                f"'{model}' has no {part}: AutoProcessor returned {type(processor).__name__}. Save the whole LlavaProcessor "
                "into the folder with `processor.save_pretrained(FOLDER)` and export again."
            )
    if not getattr(processor.tokenizer, "is_fast", False):
        raise ExportError(
            f"The tokenizer of '{model}' has no fast version, so there is no tokenizer.json to put into the bundle."
        )
    return processor


def check_config(config) -> None:
    """Refuses an architecture that has no graph here, before any weight is loaded."""
    if config.model_type != "llava":
        raise UnsupportedArchitecture(f"The model's type is '{config.model_type}'. Supported: {SUPPORTED}.")
    text, vision = config.text_config, config.vision_config
    if text.model_type not in TEXT_TYPES:
        raise UnsupportedArchitecture(f"The text model's type is '{text.model_type}'. Supported: {SUPPORTED}.")
    if vision.model_type not in VISION_TYPES:
        raise UnsupportedArchitecture(f"The vision tower's type is '{vision.model_type}'. Supported: {SUPPORTED}.")
    if not isinstance(config.vision_feature_layer, int):
        raise UnsupportedArchitecture(
            f"The picture's features come from several layers {config.vision_feature_layer}; one layer is supported."
        )
    for part, activation in (
        ("text model", text.hidden_act),
        ("vision tower", vision.hidden_act),
        ("projector", config.projector_hidden_act),
    ):
        if activation not in ACTIVATIONS:
            raise UnsupportedArchitecture(
                f"The {part}'s activation is '{activation}'. Supported: {', '.join(ACTIVATIONS)}."
            )
    if getattr(text, "use_bidirectional_attention", False):
        raise UnsupportedArchitecture("The text model attends in both directions; only causal attention is supported.")
    if vision.image_size % vision.patch_size:
        # The convolution drops the rest, as transformers does; the grid is what remains.
        pass
    rope = (getattr(text, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope not in STATIC_ROPE:
        raise UnsupportedArchitecture(f"The rotary embedding's type is '{rope}'. Supported: {', '.join(STATIC_ROPE)}.")


def describe(model: nn.Module, processor, name: str) -> Source:
    """Reads the specifications from a loaded model."""
    config = model.config
    check_config(config)
    _check_plain_linears(model)
    source = Source(
        model=model,
        processor=processor,
        name=name,
        text=None,
        vision=None,
        image_token_id=config.image_token_id,
        projector_activation=ACTIVATIONS[config.projector_hidden_act],
    )
    source.text = _text_spec(source)
    source.vision = _vision_spec(source)
    _check_tokens(source)
    return source


def _text_spec(source: Source) -> TextSpec:
    config, model = source.model.config.text_config, source.language_model
    attention, rotary = model.layers[0].self_attn, model.rotary_emb
    rope = config.rope_parameters
    max_positions = config.max_position_embeddings
    if rope["rope_type"] == "longrope":
        # Beyond this length transformers switches to other frequencies for every position, cached ones included.
        max_positions = min(max_positions, rope.get("original_max_position_embeddings", max_positions))
    return TextSpec(
        type=config.model_type,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=attention.head_dim,
        hidden=config.hidden_size,
        vocab=source.model.lm_head.weight.shape[0],
        max_positions=max_positions,
        norm_eps=config.rms_norm_eps,
        activation=ACTIVATIONS[config.hidden_act],
        attention_scaling=float(attention.scaling),
        inv_freq=rotary.original_inv_freq.detach().float(),
        rope_scaling=float(rotary.attention_scaling),
        sliding_window=getattr(config, "sliding_window", None) if config.model_type == "mistral" else None,
        embedding_scale=float(getattr(model.embed_tokens, "scalar_embed_scale", 1.0)),
        tied=source.model.lm_head.weight.data_ptr() == model.embed_tokens.weight.data_ptr(),
    )


def _vision_spec(source: Source) -> VisionSpec:
    config, tower = source.model.config.vision_config, source.vision_tower
    layers = config.num_hidden_layers
    feature_layer = source.model.config.vision_feature_layer
    # hidden_states has one entry before the first layer and one after each.
    layers_used = feature_layer if feature_layer >= 0 else layers + 1 + feature_layer
    if not 0 <= layers_used <= layers:
        raise ExportError(f"vision_feature_layer is {feature_layer}, but the vision tower has {layers} layers.")
    return VisionSpec(
        type="siglip" if config.model_type.startswith("siglip") else "clip",
        layers=layers,
        heads=config.num_attention_heads,
        hidden=config.hidden_size,
        image_size=config.image_size,
        patch_size=config.patch_size,
        has_cls=hasattr(tower.embeddings, "class_embedding"),
        feature_layer=feature_layer,
        layers_used=layers_used,
        select=source.model.config.vision_feature_select_strategy,
        norm_eps=config.layer_norm_eps,
        activation=ACTIVATIONS[config.hidden_act],
        attention_scaling=float(tower.encoder.layers[0].self_attn.scale),
    )


def _check_plain_linears(model: nn.Module) -> None:
    """A quantised layer keeps its weights in a packed form that a plain matrix product cannot read."""
    for path, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and not weight.is_floating_point():
            raise UnsupportedArchitecture(
                f"'{path}' holds {weight.dtype} weights ({type(module).__name__}). Load and save the model unquantised "
                "(float32, float16 or bfloat16) and export that."
            )
        if weight is not None and weight.device.type == "meta":
            raise ExportError(f"'{path}' has no weights in memory. Is there enough memory to load the model?")


def _check_tokens(source: Source) -> None:
    tokenizer = source.processor.tokenizer
    if len(tokenizer) > source.text.vocab and source.image_token_id < source.text.vocab:
        raise ExportError(
            f"The tokenizer has {len(tokenizer)} tokens but the model's vocabulary has {source.text.vocab}: the processor in "
            "the folder belongs to another model."
        )
    image_token = getattr(source.processor, "image_token", "<image>")
    found = tokenizer.convert_tokens_to_ids(image_token)
    if found != source.image_token_id:
        raise ExportError(
            f"The processor's image token '{image_token}' has id {found}, but the model expects id {source.image_token_id} "
            "(image_token_index in config.json)."
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    line = text[0].strip() if text else type(error).__name__
    return line if line.endswith((".", "!", "?")) else line + "."
