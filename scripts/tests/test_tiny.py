"""The tiny model's workshop holds what its documents promise: `python -m pytest scripts/tests`, a few minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor

SCRIPTS = Path(__file__).parents[1]
sys.path.insert(0, str(SCRIPTS))

from tiny.batches import Batches, WordEncoder, patches_of  # noqa: E402
from tiny.heldout import examples  # noqa: E402
from tiny.localise import relevancy_row  # noqa: E402
from tiny.model import IMAGE_SIZE, PATCH_SIZE, build_model, packed_text, vision_features  # noqa: E402
from tiny.optimiser import orthogonalise  # noqa: E402
from tiny.questions import KINDS, ask, plain  # noqa: E402
from tiny.scenes import draw_scene, sample_scene  # noqa: E402
from tiny.text import build_processor  # noqa: E402
from tiny.train import Plan, Trainer  # noqa: E402
from tiny.vocabulary import NOUNS  # noqa: E402


@pytest.fixture(scope="module")
def processor() -> LlavaProcessor:
    return build_processor(IMAGE_SIZE, PATCH_SIZE)


@pytest.fixture(scope="module")
def model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    return build_model(processor, seed=3).eval()


def test_packed_branches_match_transformers(model: LlavaForConditionalGeneration, processor: LlavaProcessor) -> None:
    """Nine questions packed behind one picture give the logits that transformers gives for each one alone."""
    batch = Batches(processor.tokenizer, seed=5, stage=1, worker=0, size=2)[7]
    pixels = batch.pixels.float() / 127.5 - 1
    packed = batch.packed
    with torch.no_grad():
        hidden, _ = packed_text(model, vision_features(model, pixels), packed)
        ours = model.lm_head(hidden)
        for picture in range(2):
            for branch in packed.branch[picture].unique():
                if branch < 0:
                    continue
                rows = (packed.branch[picture] == branch).nonzero().flatten()
                ids = torch.cat([packed.ids[picture, : packed.prefix], packed.ids[picture, rows]])[None]
                theirs = model(input_ids=ids, pixel_values=pixels[picture : picture + 1]).logits[0, packed.prefix :]
                torch.testing.assert_close(ours[picture, rows - packed.prefix], theirs, atol=2e-5, rtol=1e-4)


def test_words_are_encoded_as_the_whole_prompt_is(processor: LlavaProcessor) -> None:
    encoder = WordEncoder(processor.tokenizer)
    for example in examples(11, 40):
        for question, text in zip(example.questions, example.texts, strict=True):
            answer = plain(question.answer)
            whole = processor.tokenizer(f"USER: <image>\n{text} ASSISTANT: {answer}").input_ids
            pieces = encoder.prompt_prefix(1) + encoder.phrase(f"{text} ASSISTANT:", line_start=True)[0]
            assert pieces + encoder.phrase(answer)[0] == whole, text


def test_every_noun_is_one_token(processor: LlavaProcessor) -> None:
    for noun in NOUNS.values():
        for word in (noun.name, noun.many):
            assert len(processor.tokenizer(f"<image> {word}", add_special_tokens=False).input_ids) == 2, word


def test_text_survives_the_tokenizer(processor: LlavaProcessor) -> None:
    for text in ("Is it “naïve”? 12 ½ €", "Hello, 世界! 🦊", "a  b"):
        ids = processor.tokenizer(text, add_special_tokens=False).input_ids
        assert processor.tokenizer.decode(ids) == text


def test_scenes_repeat_and_answers_hold() -> None:
    """The same seed draws the same picture, and the sentences agree with the scene that they are about."""
    asked = dict.fromkeys(KINDS, 0)
    for seed in range(150):
        scene = sample_scene(np.random.default_rng(seed))
        assert scene == sample_scene(np.random.default_rng(seed))
        labels = {word for thing in scene.things for word in (thing.noun, thing.label)}
        for kind in KINDS:
            question = ask(scene, kind, np.random.default_rng(seed))
            if question is None:
                continue
            asked[kind] += 1
            answer = plain(question.answer)
            if kind == "exists":
                named = (
                    answer.rstrip(".").split(" there is ")[1].removeprefix("no ").removeprefix("an ").removeprefix("a ")
                )
                assert answer.startswith("Yes") == (named in labels)
            if kind == "where":
                assert any(f" is {t.position}." in answer and t.noun in answer for t in scene.things)
            if kind == "describe":
                assert all(t.noun in answer or NOUNS[t.noun].many in answer for t in scene.things)
    assert all(asked.values()), asked
    first = sample_scene(np.random.default_rng(1))
    assert draw_scene(first).tobytes() == draw_scene(first).tobytes()


def test_marked_patches_lie_in_the_box() -> None:
    inside = patches_of((0.0, 0.0, 0.5, 0.25)).reshape(IMAGE_SIZE // PATCH_SIZE, -1)
    assert inside[:3, :6].all()
    assert inside.sum() == 18


def test_orthogonalise_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 48), (3, 48, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.min() > 0.5
        assert values.max() < 1.4


def test_relevancy_row_matches_the_full_matrix() -> None:
    """The row recursion equals the last row of R ← R + Ā R built step by step (Chefer et al. 2021, rules 5 and 6)."""
    torch.manual_seed(1)
    layers, heads, size, prompt, vocabulary = 3, 2, 7, 5, 11
    ids = torch.randint(vocabulary, (size,))
    weights = [torch.rand(1, heads, size, size).tril().requires_grad_() for _ in range(layers)]
    x = torch.randn(size, heads, 4)
    for attention in weights:
        x = x + torch.tanh(torch.einsum("hqk,khd->qhd", attention[0], x))
    logits = x.flatten(1) @ torch.randn(heads * 4, vocabulary)
    token = 1
    end = prompt + token
    full = torch.eye(end)
    for layer in weights:
        mixed = torch.zeros(end, end)
        for earlier in range(token + 1):
            row = prompt - 1 + earlier
            gradient = torch.autograd.grad(logits[row, ids[row + 1]], layer, retain_graph=True)[0]
            rows = slice(0, prompt) if earlier == 0 else slice(row, row + 1)
            mixed[rows] = (gradient[0] * layer[0].detach()).clamp(min=0).mean(0)[rows, :end]
        full = full + mixed @ full
    torch.testing.assert_close(relevancy_row(weights, logits, ids, prompt, token), full[-1])


def test_guidance_is_off_for_the_last_third() -> None:
    plan = Plan()
    off = plan.warm_steps + round(plan.joint_steps * 2 / 3) + 1
    assert plan.guidance(plan.warm_steps) > 0
    assert all(plan.guidance(step) == 0 for step in range(off, plan.total))


def test_resuming_changes_nothing(tmp_path: Path) -> None:
    """A run that stops at a checkpoint and goes on ends with the same weights as one that never stopped."""
    plan = replace(Plan(), warm_steps=2, joint_steps=4, warm_batch=2, joint_batch=2, workers=1, checkpoint_every=3)
    whole = Trainer(tmp_path / "whole", plan, resume=False)
    whole.run()
    broken = Trainer(tmp_path / "broken", plan, resume=False)
    broken._stage(0, 2, 2)
    broken._stage(1, 3, 2)
    again = Trainer(tmp_path / "broken", plan, resume=True)
    assert again.step == 3
    again.run()
    expected, found = whole.model.state_dict(), again.model.state_dict()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, msg=name)


def test_the_command_runs_to_the_end(tmp_path: Path) -> None:
    """`train_tiny.py --smoke`: two workers, evaluation and a float16 checkpoint that loads."""
    out = tmp_path / "run"
    subprocess.run([sys.executable, SCRIPTS / "train_tiny.py", "--smoke", "--out", out], check=True, timeout=900)
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics["accuracy"]["kinds"]) <= {*KINDS, "unknown_unseen"}
    weights = load_file(out / "checkpoint" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert (out / "checkpoint" / "model.safetensors").stat().st_size < 5_100_000
