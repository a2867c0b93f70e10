"""Relevancy by the row recursion against torch autograd of the definition, with whole matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import vlmscope
from conftest import picture
from reference import inputs_of
from vlmscope.capture.modules import find_decoder
from vlmscope.families import family_of

#: Relative to the largest entry of a row, as for the engine (docs/relevancy.md).
TOLERANCE = 1e-4
ASKED = {"question": "Is it a fox?", "max_new_tokens": 4}


def by_definition(model, inputs: dict, ids: list[int], prompt: int, temperature: float = 1.0) -> np.ndarray:
    """Rows R − I of `relevancy.llm` [G, T] (Chefer et al., rules 5 and 6), scaled to sum 1."""
    whole = family_of(model).extend(inputs, ids[:-1], model)
    before = {name: getattr(model.config, name)._attn_implementation for name in model.config.sub_configs if getattr(model.config, name, None)}
    model.set_attn_implementation("eager")
    try:
        embeds = {}

        def grab(_module, args, kwargs):
            embeds["x"] = kwargs["inputs_embeds"].detach().requires_grad_(True)
            return args, {**kwargs, "inputs_embeds": embeds["x"]}

        hook = find_decoder(model).module.register_forward_pre_hook(grab, with_kwargs=True)
        out = model(**whole, use_cache=False, output_attentions=True)
        hook.remove()
    finally:
        model.set_attn_implementation(before)
    attentions = out.attentions
    total = prompt + len(ids) - 1
    kept = torch.zeros(len(attentions), total, total, dtype=torch.float64)
    rows = []
    for index, token in enumerate(ids):
        query = prompt - 1 + index
        score = out.logits[0, query, token] / temperature
        gradients = torch.autograd.grad(score, attentions, retain_graph=True)
        fresh = slice(0, prompt) if index == 0 else slice(query, query + 1)
        for layer, (weights, gradient) in enumerate(zip(attentions, gradients, strict=True)):
            abar = (weights[0] * gradient[0]).clamp(min=0).mean(0).detach().double()
            kept[layer, fresh] = abar[fresh]
        relevance = torch.eye(total, dtype=torch.float64)
        for abar in kept:
            relevance = relevance + abar @ relevance
        row = relevance[query].clone()
        row[query] -= 1
        rows.append((row / row.sum()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "qwen3_vl", "gemma3", "internvl", "llama4", "paligemma", "gemma4"])
def test_rows_are_those_of_the_definition(make, name):
    model, processor = make(name)
    images = [picture((300, 200))]
    trace = vlmscope.capture(model, processor, images=images, relevancy=("llm",), **ASKED)
    found = trace.tensor("relevancy.llm")
    expected = by_definition(model, inputs_of(model, processor, images, question=ASKED["question"]), trace.tensor("answer.ids").tolist(), trace.meta.prompt_len)
    assert found.shape == expected.shape and np.allclose(found.sum(1), 1, atol=1e-5)
    assert (np.abs(found - expected).max(1) / expected.max(1)).max() < TOLERANCE
    assert not any("forward" in vars(module) for module in model.modules())
    plain = vlmscope.capture(model, processor, images=images, **ASKED)
    assert np.array_equal(plain.attention(), trace.attention()), "the model was not restored"


def test_a_forward_of_a_layer_s_own_comes_back(make):
    """accelerate replaces `forward` of the layers themselves to move their inputs between devices."""
    model, processor = make("llava")
    layer = model.model.language_model.layers[1]
    calls = []
    original = layer.forward

    def moved(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    layer.__dict__["forward"] = moved
    try:
        vlmscope.capture(model, processor, images=[picture((300, 200))], relevancy=("llm",), **ASKED)
        assert layer.__dict__["forward"] is moved and len(calls) == ASKED["max_new_tokens"] + 2
    finally:
        del layer.__dict__["forward"]


def test_the_temperature_divides_the_scores(make):
    model, processor = make("llava")
    images = [picture((300, 200))]
    trace = vlmscope.capture(model, processor, images=images, relevancy=("llm",), temperature=0.25, seed=3, **ASKED)
    inputs = inputs_of(model, processor, images, question=ASKED["question"])
    ids = trace.tensor("answer.ids").tolist()
    expected = by_definition(model, inputs, ids, trace.meta.prompt_len, 0.25)
    other = by_definition(model, inputs, ids, trace.meta.prompt_len)
    found = trace.tensor("relevancy.llm")
    assert (np.abs(found - expected).max(1) / expected.max(1)).max() < TOLERANCE
    assert (np.abs(found - other).max(1) / other.max(1)).max() > 10 * TOLERANCE


def test_rows_do_not_depend_on_the_size_of_chunks(make, monkeypatch):
    model, processor = make("qwen2_5_vl")
    images = [picture((300, 200))]
    whole = vlmscope.capture(model, processor, images=images, relevancy=("llm",), **ASKED).tensor("relevancy.llm")
    from vlmscope.relevancy import attention

    monkeypatch.setattr(attention, "CHUNK_BYTES", 4096)
    cut = vlmscope.capture(model, processor, images=images, relevancy=("llm",), **ASKED).tensor("relevancy.llm")
    assert np.abs(whole - cut).max() < 1e-6


@pytest.mark.parametrize(("name", "match"), [("qwen3_5", "linear layers"), ("mllama", "cross layers"), ("paligemma2", "sdpa")])
def test_models_without_a_definition_are_refused(make, name, match):
    model, processor = make(name)
    with pytest.raises(vlmscope.CaptureError, match=match):
        vlmscope.capture(model, processor, images=[picture((300, 200))], relevancy=("llm",), **ASKED)


def test_too_little_memory_is_refused_with_the_numbers(make, monkeypatch, capsys):
    model, processor = make("llava")
    from vlmscope.relevancy import llm

    monkeypatch.setattr(llm, "free_bytes", lambda device: 1000)
    with pytest.raises(vlmscope.CaptureError, match=r"needs about .* GB, but 0\.0 GB are free"):
        vlmscope.capture(model, processor, images=[picture((300, 200))], relevancy=("llm",), **ASKED)
    assert "relevancy: about" in capsys.readouterr().err
