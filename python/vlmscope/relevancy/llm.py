"""`relevancy.llm`: from a captured answer to one row of relevancy for each of its tokens."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import time

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from ..capture.interface import instance_attribute, keyword_reader, refuse_keywords, replaced
from ..errors import CaptureError
from ..trace import Trace
from .attention import CHUNK_BYTES, Recursion, RelevancyAttention

KINDS = ("llm",)


def check_kinds(kinds: tuple[str, ...]) -> None:
    """Refuses maps that cannot be computed for captured models."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise CaptureError(f"relevancy of kind {unknown[0]!r} is not known for captured models; there is {', '.join(KINDS)}.")


def add_relevancy(model, recorder, inputs: dict, trace: Trace, kinds: tuple[str, ...], progress) -> None:
    """Adds `relevancy.llm` [G, T] to a trace that was captured from `inputs`.

    Raises CaptureError where the definition does not apply (layers without attention, cross-attention, attention that is not sdpa) or
    the memory does not suffice.
    """
    check_kinds(kinds)
    decoder = recorder.decoder
    check(decoder, recorder.implementation)
    ids = trace.tensor("answer.ids").tolist()
    prompt_len, positions = trace.meta.prompt_len, trace.meta.positions
    needed = estimate(decoder, positions, len(ids), model)
    free = free_bytes(model.device)
    print(f"relevancy: about {needed / 1e9:.2f} GB beside the model for {positions} positions", file=sys.stderr, flush=True)
    if free is not None and needed > free:
        raise CaptureError(
            f"relevancy of {positions} positions needs about {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free. Use a smaller "
            "picture or a shorter answer."
        )
    started = time.perf_counter()
    queries = [prompt_len - 1 + index for index in range(len(ids))]
    recursion = Recursion.begin(queries, positions, prompt_len, model.device)
    whole = recorder.family.extend(inputs, ids[:-1], model)
    temperature = float(trace.meta.sampling.get("temperature") or 0)
    with torch.enable_grad(), _prepared(model, decoder, recursion, progress):
        keep = {"logits_to_keep": len(ids)} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        logits = model(**whole, use_cache=False, **keep).logits[0, -len(ids) :].float()
        score = logits[torch.arange(len(ids)), torch.tensor(ids, device=logits.device)].sum()
        (score / temperature if temperature > 0.001 else score).backward()
    if recursion.layers_done != len(decoder.attention_layers):
        raise CaptureError(f"gradients reached {recursion.layers_done} of {len(decoder.attention_layers)} layers.")
    rows = recursion.added.cpu().double().numpy()
    sums = rows.sum(1, keepdims=True)
    trace.tensors["relevancy.llm"] = np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0).astype(np.float32)
    trace.meta.timings["relevancy"] = time.perf_counter() - started


def check(decoder, implementation: str) -> None:
    """Refuses models to which the definition does not apply."""
    other = sorted(set(decoder.kinds) - {"full", "sliding", "chunked"})
    if other:
        raise CaptureError(
            f"relevancy is not defined for {other[0]} layers: what a word takes from others there is not attention between positions "
            "of the text."
        )
    if implementation != "sdpa":
        raise CaptureError("relevancy needs a model that runs with sdpa; this one has soft-capping, sinks, or another own attention.")


def estimate(decoder, positions: int, generated: int, model) -> int:
    """Bytes beside the model: checkpoints, activations of one layer and of the tower, chunks of scores, rows of R, logits.

    On the model of benches/capture_cost.py: 0.65 GB, where 0.59 were measured.
    """
    config = decoder.config
    hidden, inner = int(config.hidden_size), int(getattr(config, "intermediate_size", 0) or 4 * config.hidden_size)
    number = torch.finfo(model.dtype).bits // 8
    states = positions * hidden * number * (len(decoder.kinds) + 1)
    layer = positions * (16 * hidden + 6 * inner) * max(number, 4)
    logits = generated * int(config.vocab_size) * 12
    return states + 2 * layer + 6 * CHUNK_BYTES + 16 * generated * positions + logits


def free_bytes(device) -> int | None:
    """Free memory of the device, None where it cannot be told."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo") as file:
        line = next(line for line in file if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    return None


@contextlib.contextmanager
def _prepared(model, decoder, recursion: Recursion, progress):
    """While active, the decoder's attention is `RelevancyAttention` and its layers are checkpoints."""

    def wrap(base):
        read = keyword_reader(base)

        def attention(module, query, key, value, attention_mask=None, *args, **kwargs):
            with torch.no_grad():
                output, weights = base(module, query, key, value, attention_mask, *args, **kwargs)
            if id(module) not in decoder.layer_of:
                return output, weights
            keywords = read(module, query, key, value, attention_mask, args, kwargs)
            refuse_keywords(module, keywords)
            causal = keywords.get("is_causal")
            causal = getattr(module, "is_causal", True) if causal is None else causal
            mask = None if attention_mask is None else attention_mask[0]
            result = RelevancyAttention.apply(
                query[0], key[0], value[0], output[0], mask, keywords.get("scaling"), bool(causal), recursion
            )
            if progress is not None and recursion.layers_done:
                progress("relevancy", recursion.layers_done, len(decoder.attention_layers))
            return result[None], None

        return attention

    def detach(_module, args, kwargs):
        embeds = kwargs.get("inputs_embeds")
        if embeds is None:
            raise CaptureError("the language model did not get embeddings; relevancy is not understood here.")
        return args, {**kwargs, "inputs_embeds": embeds.detach().requires_grad_(True)}

    with contextlib.ExitStack() as stack:
        stack.enter_context(replaced(decoder.attention_modules, wrap))
        stack.callback(decoder.module.register_forward_pre_hook(detach, with_kwargs=True).remove)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.requires_grad_(False)
                stack.callback(parameter.requires_grad_, True)
        for layer in decoder.module.layers:
            again = functools.partial(checkpoint, layer.forward, use_reentrant=False)
            stack.enter_context(instance_attribute(layer, "forward", again))
        yield
