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
    with replaced(modules, lambda base: _beside(base, observer)):
        yield


@contextlib.contextmanager
def replaced(modules: list[torch.nn.Module], wrap: Callable[[Callable], Callable]) -> Iterator[None]:
    """While active, `wrap(function)` stands for the attention functions that the given modules look up."""
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
                source.eager_attention_forward = wrap(eager)
        for registry in registries.values():
            stack.enter_context(_replaced(registry, "sdpa", wrap))
        yield


@contextlib.contextmanager
def _replaced(registry, name: str, wrap: Callable[[Callable], Callable]) -> Iterator[None]:
    local = registry._local_mapping
    before = local.get(name)
    registry[name] = wrap(registry[name])
    try:
        yield
    finally:
        if before is None:
            del registry[name]
        else:
            registry[name] = before


@contextlib.contextmanager
def instance_attribute(module: torch.nn.Module, name: str, value) -> Iterator[None]:
    """While active, the module itself has an attribute; one that it had before (accelerate sets some) comes back."""
    missing = object()
    before = module.__dict__.get(name, missing)
    module.__dict__[name] = value
    try:
        yield
    finally:
        if before is missing:
            module.__dict__.pop(name, None)
        else:
            module.__dict__[name] = before


def _beside(base: Callable, observer: Observer) -> Callable:
    read = keyword_reader(base)

    def attention(module, query, key, value, attention_mask=None, *args, **kwargs):
        output = base(module, query, key, value, attention_mask, *args, **kwargs)
        observer(module, query, key, attention_mask, read(module, query, key, value, attention_mask, args, kwargs), output[1])
        return output

    return attention


def keyword_reader(base: Callable) -> Callable[..., dict]:
    """Reads the arguments behind the mask by name, however they were passed."""
    signature = inspect.signature(base)

    def read(module, query, key, value, mask, args: tuple, kwargs: dict) -> dict:
        if not args:
            return kwargs
        bound = dict(signature.bind(module, query, key, value, mask, *args, **kwargs).arguments)
        found = {**bound.pop("kwargs", {}), **bound}
        for name in list(signature.parameters)[:5]:
            found.pop(name, None)
        return found

    return read
