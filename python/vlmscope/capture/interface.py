"""Puts a function beside the attention that a model calls, and takes it away again.

transformers looks the attention function up by name at every call. The recorder takes the place of the entry `sdpa` (and of
`eager_attention_forward` in modules of models that have no sdpa) while it is active. The model's configuration stays as it is, so that
masks are made as ever and code that compares the implementation's name takes the same branch; modules of other models pass
through.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator

import torch

from ..errors import CaptureError

#: Called after the attention: (module, query, key, mask, keywords, weights or None).
Observer = Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Tensor | None, dict, torch.Tensor | None], None]

IMPLEMENTATIONS = ("sdpa", "eager")

#: Keywords that do not change what scaled_dot_product_attention computes.
HARMLESS = frozenset(
    "attention_mask cache_position cu_seq_lens_k cu_seq_lens_q cu_seqlens dropout is_causal logits_to_keep max_length_k max_length_q "
    "max_seqlen mm_token_type_ids num_items_in_batch output_attentions output_hidden_states output_router_logits past_key_values "
    "position_embeddings position_ids return_dict return_shared_kv_states scaling sliding_window token_type_ids use_cache".split()
)


def check_implementation(config, what: str) -> str:
    """The name of the attention implementation of a (sub)configuration; refuses those that cannot be captured."""
    name = getattr(config, "_attn_implementation", None) or "eager"
    if name not in IMPLEMENTATIONS:
        raise CaptureError(
            f"{what} uses the attention implementation {name!r}, beside which rows cannot be computed. "
            'Load the model with attn_implementation="sdpa", or call model.set_attn_implementation("sdpa").'
        )
    return name


def refuse_keywords(module: torch.nn.Module, keywords: dict) -> None:
    """Refuses keywords that could change the mathematics of sdpa in a way that the rows do not follow."""
    unknown = [name for name, value in keywords.items() if value is not None and name not in HARMLESS]
    if unknown:
        raise CaptureError(
            f"{type(module).__name__} passes {unknown[0]!r} to its attention, which may change the attention in a way that the "
            'recorder does not know. Load the model with attn_implementation="eager": its weights are then recorded as they are.'
        )


@contextlib.contextmanager
def observed(modules: list[torch.nn.Module], observer: Observer) -> Iterator[None]:
    """While active, `observer` is called after every attention of transformers' `sdpa` and of the given modules' eager attention."""
    with contextlib.ExitStack() as stack:
        sources = {type(module).__module__: sys.modules[type(module).__module__] for module in modules}
        registries = {}
        for source in sources.values():
            registry = getattr(source, "ALL_ATTENTION_FUNCTIONS", None)
            if registry is not None:
                registries[id(registry)] = registry
            eager = getattr(source, "eager_attention_forward", None)
            if callable(eager):
                stack.callback(setattr, source, "eager_attention_forward", eager)
                source.eager_attention_forward = _beside(eager, observer)
        for registry in registries.values():
            stack.enter_context(_replaced(registry, "sdpa", observer))
        yield


@contextlib.contextmanager
def _replaced(registry, name: str, observer: Observer) -> Iterator[None]:
    local = registry._local_mapping
    before = local.get(name)
    registry[name] = _beside(registry[name], observer)
    try:
        yield
    finally:
        if before is None:
            del registry[name]
        else:
            registry[name] = before


def _beside(base: Callable, observer: Observer) -> Callable:
    signature = inspect.signature(base)

    def attention(module, query, key, value, attention_mask=None, *args, **kwargs):
        output = base(module, query, key, value, attention_mask, *args, **kwargs)
        keywords = kwargs
        if args:
            bound = signature.bind(module, query, key, value, attention_mask, *args, **kwargs).arguments
            keywords = {**bound.pop("kwargs", {}), **bound}
            for name in ("module", "query", "key", "value", "attention_mask"):
                keywords.pop(name, None)
        observer(module, query, key, attention_mask, keywords, output[1])
        return output

    return attention
