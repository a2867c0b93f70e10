"""The built-in model: what transformers does under a recorder is what its exported graphs do."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import torch
import vlmscope
from test_trace import REPOSITORY

sys.path[:0] = [str(REPOSITORY / "onnx"), str(REPOSITORY / "scripts")]

QUESTIONS = 50
#: One step of f16 just below 1 (weights are stored as halves times a power of two).
ONE_STEP = 2.0**-11


@pytest.fixture(scope="module")
def model_and_processor():
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    folder = REPOSITORY / "onnx" / "tiny" / "checkpoint"
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


def questions():
    """(picture, question) of held-out scenes."""
    from tiny.heldout import examples

    found = (example for example in examples(seed=5, count=4 * QUESTIONS, questions=1) if example.texts)
    for example in itertools.islice(found, QUESTIONS):
        yield example.picture(), example.texts[0]


def answer_by_graphs(runner, processor, picture, trace):
    """Greedy ids, and attention of the trace's rows [R, L, H, T], by ONNX Runtime."""
    meta = trace.meta
    pixels = processor.image_processor(picture, return_tensors="np")["pixel_values"].astype(np.float32)
    features = runner.run("vision", pixel_values=pixels)["image_features"][0]
    prompt = np.array([[token.id for token in meta.tokens[: meta.prompt_len]]], np.int64)
    rows = [row for row in trace.rows.tolist() if row < meta.prompt_len]
    out, cache = runner.decode(runner.embed(prompt, features), rows=rows, logit_rows=[meta.prompt_len - 1])
    pages = np.zeros((len(trace.rows), *trace.tensors["attention.weights"].shape[1:]), np.float32)
    pages[: len(rows), ..., : meta.prompt_len] = runner.attention(out)[:, 0].transpose(2, 0, 1, 3)
    ids, logprobs = [], []
    nothing = np.zeros((0, features.shape[-1]), np.float32)
    for step in range(meta.generated):
        logits = out["logits"][0, -1]
        ids.append(int(logits.argmax()))
        logprobs.append(float(logits[ids[-1]] - logits.max() - np.log(np.exp(logits - logits.max()).sum())))
        if step + 1 < meta.generated:
            embeds = runner.embed(np.array([[ids[-1]]], np.int64), nothing)
            out, cache = runner.decode(embeds, cache, logit_rows=[0])
            weights = runner.attention(out)[:, 0, :, 0]
            pages[len(rows) + step, ..., : weights.shape[-1]] = weights
    return ids, np.array(logprobs), pages


def test_fifty_questions_have_the_answers_and_the_attention_of_the_graphs(model_and_processor):
    from vlmscope_export.selfcheck import BundleRunner

    model, processor = model_and_processor
    runner = BundleRunner(REPOSITORY / "onnx" / "tiny", threads=1)
    worst, count = 0.0, 0
    for picture, question in questions():
        trace = vlmscope.capture(model, processor, images=[picture], question=question)
        ids, logprobs, pages = answer_by_graphs(runner, processor, picture, trace)
        assert trace.tensor("answer.ids").tolist() == ids, question
        assert np.abs(trace.tensor("answer.logprob") - logprobs).max() < 1e-4, question
        worst = max(worst, float(np.abs(trace.attention_of_all_rows() - pages).max()))
        count += 1
    assert count == QUESTIONS
    assert worst <= ONE_STEP, worst


def test_the_prompt_is_labelled_as_the_engine_labels_it(model_and_processor):
    """The committed trace of the format was made by `vlmscope ask`; the same question gives the same labels and places."""
    model, processor = model_and_processor
    picture = REPOSITORY / "onnx" / "tiny" / "samples" / "desk.png"
    trace = vlmscope.capture(model, processor, images=[picture], question="Is there a fox?", max_new_tokens=2)
    kinds = [token.kind for token in trace.meta.tokens[: trace.meta.prompt_len]]
    view = trace.meta.spans[0]
    assert kinds[view.first : view.last + 1] == ["image"] * 144 and "image" not in kinds[view.last + 1 :]
    assert trace.rows[0] == view.last + 1 and trace.rows[-1] == trace.meta.positions - 1
    words = {}
    for token in trace.meta.tokens[view.last + 1 :]:
        if token.word is not None and token.kind == "question":
            words.setdefault(token.word, []).append(token.text)
    assert "fox?" in ["".join(pieces).strip("▁") for pieces in words.values()]
    canvas = trace.meta.canvases[0]
    assert (canvas.mode, canvas.original_size, canvas.preprocessed_size) == ("default", (512, 384), (168, 168))
    left, top = canvas.original_from_preprocessed.apply(0, 0)
    right, bottom = canvas.original_from_preprocessed.apply(168, 168)
    assert (top, bottom) == (0, 384) and abs((left + right) / 2 - 256) < 2 and abs(right - left - 384) < 3
