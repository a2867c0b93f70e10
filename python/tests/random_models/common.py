"""Parts of random models: a synthetic tokenizer, a chat template, weights that make attention neither uniform nor one-hot."""

from __future__ import annotations

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

HIDDEN, HEADS, KV_HEADS, LAYERS = 64, 4, 2, 4


def byte_tokenizer(*specials: str, **attributes: str) -> PreTrainedTokenizerFast:
    """One token a byte, and special tokens; `attributes` are names of special tokens that processors look up."""
    alphabet = sorted(bytes_to_unicode().values())
    tokenizer = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=attributes,
    )
    fast.add_special_tokens({"additional_special_tokens": [*specials, *attributes.values()]}, replace_extra_special_tokens=False)
    return fast


def template(image: str, video: str = "", bos: str = "<s>") -> str:
    """A chat template that writes `image` and `video` where a message has them."""
    return (
        f"{{{{ '{bos}' }}}}{{% for m in messages %}}{{{{ m['role'] + ':' }}}}"
        "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
        f"{{% if part['type'] == 'image' %}}{{{{ '{image}' }}}}"
        f"{{% elif part['type'] == 'video' %}}{{{{ '{video}' }}}}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )


def text_options(tokenizer, **changes) -> dict:
    """Sizes of a text configuration."""
    return {
        "hidden_size": HIDDEN,
        "intermediate_size": 96,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **changes,
    }


def build(model_class, config, seed: int = 0, implementation: str | None = None):
    """The model with weights from numpy's generator, which gives the same numbers on every machine."""
    torch.manual_seed(seed)
    options = {} if implementation is None else {"attn_implementation": implementation}
    model = model_class._from_config(config, dtype=torch.float32, **options).eval().requires_grad_(False)
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        mean, std = _distribution(name, parameter)
        values = rng.standard_normal(tuple(parameter.shape), dtype=np.float32) * np.float32(std) + np.float32(mean)
        parameter.copy_(torch.from_numpy(values))
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    model.generation_config.do_sample = False
    # Control tokens in an answer would stand for pictures when it is scored.
    model.generation_config.suppress_tokens = list(range(256, model.config.get_text_config().vocab_size))
    return model


def _distribution(name: str, parameter: torch.Tensor) -> tuple[float, float]:
    vision = "vision" in name or "visual" in name or "vit" in name
    if parameter.dim() < 2:
        special = "A_log" in name or "dt_bias" in name or "gate" in name
        # Norms that multiply by 1 + weight stay positive with either mean.
        is_norm = "norm" in name or "ln_" in name
        return (0.9 if is_norm and name.endswith("weight") else 0.0), 0.0 if special else 0.1
    fan_in = parameter[0].numel()
    if "embed" in name and "patch" not in name:
        return 0.0, 0.05 if vision or "position" in name else 0.1
    # Loud layers: a tied head would otherwise say the last token again.
    gains = {"q_proj": 1.4, "k_proj": 1.4, "o_proj": 2.0, "down_proj": 2.0, "lm_head": 4.0}
    gain = next((gain for part, gain in gains.items() if part in name), 0.9)
    return 0.0, gain / fan_in**0.5
