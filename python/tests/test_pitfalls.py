"""One test for each way in which a capture can go wrong without a word, and for what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers as t
import vlmscope
from conftest import picture
from random_models.common import text_options
from random_models.llava import llava
from reference import STEPS, eager, inputs_of, largest_excess, plain

NOISE = 2e-6
ASKED = {"question": "What is it?", "max_new_tokens": STEPS}


def image():
    return picture((300, 200))


def compare_with_eager(model, processor, layers: int = 4):
    """Captures all rows; asserts ids and rows; returns the trace."""
    inputs = inputs_of(model, processor, [image()])
    ids, passes = eager(model, inputs, layers)
    trace = vlmscope.capture(model, processor, images=[image()], rows="all", **ASKED)
    assert trace.tensor("answer.ids").tolist() == ids
    exact = np.zeros((trace.meta.positions, layers, *passes[0][0].shape[:1], trace.meta.positions), np.float32)
    for step, layer_weights in enumerate(passes):
        for layer, weights in enumerate(layer_weights):
            end = trace.meta.prompt_len + step
            queries, keys = weights.shape[1:]
            exact[end - queries : end, layer, :, end - keys : end] = weights.transpose(1, 0, 2)
    assert largest_excess(trace.attention_of_all_rows(), exact) < NOISE
    return trace


def test_masks_stay_as_they_are_with_a_sliding_window():
    """A function that is registered without its mask would lose the window, and change the answer."""
    model, processor = llava(lambda tok: t.MistralConfig(**text_options(tok, sliding_window=8, head_dim=16)))
    inputs = inputs_of(model, processor, [image()])
    ids, logits = plain(model, inputs)
    trace = compare_with_eager(model, processor)
    assert trace.tensor("answer.ids").tolist() == ids
    assert trace.meta.model.layer_kinds == ["sliding"] * 4
    last = trace.attention(token=STEPS - 1)
    assert last[..., : -8].max() == 0 and last[..., -8:].min() > 0


def test_keys_of_sliding_layers_are_the_last_ones(make):
    """While decoding, a sliding layer's cache holds only the window."""
    model, processor = make("gemma3")
    trace = compare_with_eager(model, processor)
    kinds = trace.meta.model.layer_kinds
    window = model.config.get_text_config().sliding_window
    for layer, kind in enumerate(kinds):
        seen = (trace.attention(token=STEPS - 1, layer=layer) > 0).any(0)
        assert seen.sum() == (window if kind == "sliding" else trace.meta.positions), kind
        assert seen[-1]


def test_layers_that_share_keys_keep_their_prompt_rows(make):
    """Gemma 4 computes only the prompt's last query in such layers, unless it is told otherwise."""
    model, processor = make("gemma4")
    trace = vlmscope.capture(model, processor, images=[image()], rows="all", **ASKED)
    weights = trace.attention_of_all_rows()
    assert np.allclose(weights.sum(-1), 1, atol=2e-3)
    assert model.config.get_text_config().output_hidden_states is False


def test_pictures_attend_in_both_directions(make):
    """Rows of a picture see its later patches; the format says so."""
    model, processor = make("gemma3")
    trace = vlmscope.capture(model, processor, images=[image()], rows="all", **ASKED)
    first = int(trace.meta.spans[0].first)
    assert trace.attention(query=first, layer=1)[..., first + 1 : first + 16].min() > 0
    assert trace.attention(query=first - 1, layer=1)[..., first:].max() == 0
    assert trace.meta.model.image_attention == "bidirectional"


def test_soft_capping_is_in_the_rows(make):
    """Gemma 2's scores go through tanh; its eager weights are recorded as they are."""
    model, processor = make("paligemma2")
    before = model.config.text_config.attn_logit_softcapping
    trace = compare_with_eager(model, processor)
    assert trace.meta.provenance["attention"] == "eager"
    for layer in model.model.language_model.layers:
        layer.self_attn.attn_logit_softcapping = 1e6
    try:
        uncapped = vlmscope.capture(model, processor, images=[image()], rows="all", **ASKED)
    finally:
        for layer in model.model.language_model.layers:
            layer.self_attn.attn_logit_softcapping = before
    assert np.abs(uncapped.attention(token=0) - trace.attention(token=0)).max() > 0.01


def test_sinks_take_their_share_out_of_the_rows():
    """gpt-oss adds a column to the softmax and drops it: rows sum to less than 1."""

    def text(tokenizer):
        options = text_options(tokenizer, head_dim=16, num_local_experts=2, num_experts_per_tok=1, sliding_window=8)
        return t.GptOssConfig(**options, layer_types=["sliding_attention", "full_attention"] * 2)

    model, processor = llava(text)
    for layer in model.model.language_model.layers:
        layer.self_attn.sinks.fill_(1.5)
    trace = compare_with_eager(model, processor)
    sums = trace.attention().sum(-1)
    assert sums.mean() < 0.99 and (sums.min((0, 2)) < 0.97).all() and sums.max() < 1.001


def refused(make, match: str, name: str = "llava", **options):
    model, processor = make(name)
    inputs = inputs_of(model, processor, [image()])
    with pytest.raises(vlmscope.CaptureError, match=match), vlmscope.recording(model, processor), torch.no_grad():
        model.generate(**inputs, max_new_tokens=4, **options)
    check_restored(model, inputs)


def check_restored(model, inputs):
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
    from transformers.models.llama import modeling_llama

    assert "sdpa" not in ALL_ATTENTION_FUNCTIONS._local_mapping
    assert modeling_llama.eager_attention_forward.__module__ == modeling_llama.__name__
    assert "generate" not in vars(model)
    assert not model._forward_hooks and not model._forward_pre_hooks
    assert len(plain(model, inputs)[0]) == STEPS


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("static", {"cache_implementation": "static"}),
        ("beam", {"num_beams": 2}),
        ("several answers", {"num_return_sequences": 2, "do_sample": True}),
        ("use_cache", {"use_cache": False}),
        ("prompt_lookup", {"prompt_lookup_num_tokens": 3}),
    ],
)
def test_ways_of_generating_that_cannot_be_captured_are_refused(make, match, options):
    refused(make, match, **options)


def test_a_static_cache_that_is_passed_is_refused(make):
    model, _ = make("llava")
    cache = t.StaticCache(config=model.config.get_text_config(), max_cache_len=128)
    refused(make, "StaticCache", past_key_values=cache)


def test_padding_is_refused(make):
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    padded = dict(inputs)
    padded["input_ids"] = torch.nn.functional.pad(inputs["input_ids"], (2, 0))
    padded["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], (2, 0))
    with pytest.raises(vlmscope.CaptureError, match="padded on the left"), vlmscope.recording(model, processor):
        model.generate(**padded, max_new_tokens=2)


def test_a_batch_is_refused(make):
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    two = {name: torch.cat([value, value]) for name, value in inputs.items()}
    with pytest.raises(vlmscope.CaptureError, match="batch of one"), vlmscope.recording(model, processor):
        model.generate(**two, max_new_tokens=2)


def test_another_implementation_is_refused(make):
    model, processor = make("llava")
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation("flex_attention")
    try:
        with pytest.raises(vlmscope.CaptureError, match="flex_attention"):
            vlmscope.capture(model, processor, images=[image()], **ASKED)
    finally:
        model.set_attn_implementation(before)


def test_training_mode_is_refused(make):
    model, processor = make("llava")
    model.train()
    try:
        with pytest.raises(vlmscope.CaptureError, match=r"model\.eval"):
            vlmscope.capture(model, processor, images=[image()], **ASKED)
    finally:
        model.eval()


def test_an_unknown_keyword_of_the_attention_is_refused(make, monkeypatch):
    """A keyword that sdpa does not know is swallowed by it; it may change the mathematics elsewhere."""
    model, processor = make("llava")
    attention = type(model.model.language_model.layers[0].self_attn)
    forward = attention.forward

    def with_bias(self, *args, **kwargs):
        return forward(self, *args, **kwargs, wave_bias=torch.ones(1))

    monkeypatch.setattr(attention, "forward", with_bias)
    with pytest.raises(vlmscope.CaptureError, match="wave_bias"):
        vlmscope.capture(model, processor, images=[image()], **ASKED)
    monkeypatch.undo()
    check_restored(model, inputs_of(model, processor, [image()]))


def test_a_layer_that_bypasses_the_interface_is_refused(make, monkeypatch):
    model, processor = make("llava")
    attention = type(model.model.language_model.layers[0].self_attn)
    forward = attention.forward

    def bypass(self, hidden_states, *args, **kwargs):
        return (hidden_states, None) if self.layer_idx == 2 else forward(self, hidden_states, *args, **kwargs)

    monkeypatch.setattr(attention, "forward", bypass)
    with pytest.raises(vlmscope.CaptureError, match="layer 2 gave no attention"):
        vlmscope.capture(model, processor, images=[image()], **ASKED)


def test_the_model_is_restored_after_an_exception_in_the_middle(make):
    model, processor = make("gemma4")
    inputs = inputs_of(model, processor, [image()])
    before = plain(model, inputs)

    def stop(stage, done, total):
        if stage == "decode" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vlmscope.capture(model, processor, images=[image()], progress=stop, **ASKED)
    assert model.config.get_text_config().output_hidden_states is False
    after = plain(model, inputs)
    assert before[0] == after[0] and torch.equal(before[1], after[1])


def test_sampling_draws_the_same_answer_as_without_a_recorder(make):
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    torch.manual_seed(7)
    with torch.no_grad():
        expected = model.generate(**inputs, max_new_tokens=STEPS, do_sample=True, temperature=1.3, top_p=0.9)
    trace = vlmscope.capture(model, processor, images=[image()], temperature=1.3, top_p=0.9, seed=7, **ASKED)
    assert trace.tensor("answer.ids").tolist() == expected[0, inputs["input_ids"].shape[1] :].tolist()


def test_plain_forward_passes_are_recorded_as_well(make):
    model, processor = make("qwen3_vl")
    inputs = inputs_of(model, processor, [image()])
    asked = vlmscope.capture(model, processor, images=[image()], question="What is it?", max_new_tokens=1)
    with vlmscope.recording(model, processor, images=[image()]) as rec, torch.no_grad():
        model(**inputs)
    assert np.array_equal(rec.trace.attention(), asked.attention())


def test_recordings_may_be_nested(make):
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    with vlmscope.recording(model, processor, rows="all") as outer, torch.no_grad():
        with vlmscope.recording(model, processor) as inner:
            model.generate(**inputs, max_new_tokens=2, do_sample=False)
        model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert inner.trace.meta.generated == 2 and outer.trace.meta.generated == 3
    assert len(outer.traces) == 2 and len(outer.trace.rows) == outer.trace.meta.positions
    assert np.array_equal(outer.traces[0].attention(), inner.trace.attention())
    check_restored(model, inputs)


@pytest.mark.parametrize("name", ["gemma3", "mllama"])
def test_head_mean_and_last_layer_are_those_of_all_rows(make, name):
    """Also where a layer's keys are scattered (cross-attention)."""
    model, processor = make(name)
    trace = vlmscope.capture(model, processor, images=[image()], rows="all", head_mean=True, last_layer=True, **ASKED)
    pages = trace.attention_of_all_rows()
    # Cross keys are positions without a query: their rows are empty.
    mean = trace.tensor("attention.head_mean").astype(np.float32)[:, trace.rows] / 4096
    last = trace.tensor("attention.last_layer").astype(np.float32)[:, trace.rows] / 4096
    assert np.abs(mean - pages.mean(2).transpose(1, 0, 2)).max() < 5e-4
    assert np.array_equal(last, pages[:, -1].transpose(1, 0, 2))
    few = vlmscope.capture(model, processor, images=[image()], head_mean=True, **ASKED)
    assert "attention.last_layer" not in few.tensors
    assert np.array_equal(few.tensor("attention.head_mean"), trace.tensor("attention.head_mean"))
    assert np.array_equal(few.attention(), trace.attention())


@pytest.mark.parametrize("head_mean", [False, True])
def test_rows_do_not_depend_on_how_they_are_cut_into_chunks(make, monkeypatch, head_mean):
    model, processor = make("qwen2_5_vl")
    whole = vlmscope.capture(model, processor, images=[image()], rows="all", head_mean=head_mean, **ASKED)
    from vlmscope.capture import rows

    # One head, or one group of heads that share keys, and a few rows at a time.
    monkeypatch.setattr(rows, "CHUNK_BYTES", 4096)
    monkeypatch.setattr(rows, "CACHE_BYTES", 4096)
    assert len(rows.head_parts(4, 2, 1024)) == 2
    cut = vlmscope.capture(model, processor, images=[image()], rows="all", head_mean=head_mean, **ASKED)
    assert np.abs(whole.attention_of_all_rows() - cut.attention_of_all_rows()).max() < 5e-4
    if head_mean:
        assert np.abs(whole.tensor("attention.head_mean") - cut.tensor("attention.head_mean")).max() < 2


def test_turns_and_earlier_answers_are_named(make):
    model, processor = make("qwen2_5_vl")
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A fox."}]},
        {"role": "user", "content": [{"type": "text", "text": "Where?"}]},
    ]
    trace = vlmscope.capture(model, processor, images=[image()], messages=messages, max_new_tokens=2)
    answer = "".join(token.text for token in trace.meta.tokens[: trace.meta.prompt_len] if token.kind == "answer")
    assert answer.replace("▁", " ").strip() == "A fox." and trace.meta.question == "Where?"
    assert trace.meta.tokens[-1].turn == 1


def test_pieces_of_byte_level_vocabularies_name_their_bytes():
    """The character 狐 is E7 8B 90; bytes of a cut character are named, as by the program."""
    from vlmscope.capture.tokens import _marked_bytes

    assert _marked_bytes("çĭĲ") == "狐"
    assert _marked_bytes("Ġtheç") == " the<0xE7>"
    assert _marked_bytes("狐") is None
