"""The tiny Qwen3-VL (scripts/tiny/qwen): its training pass is that of transformers, and its questions have the right answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import vlmscope
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

REPOSITORY = Path(__file__).resolve().parents[2]
SPECIMEN = REPOSITORY / "onnx" / "tiny-qwen3-vl"
sys.path.insert(0, str(REPOSITORY / "scripts"))

from tiny.questions import plain  # noqa: E402
from tiny.qwen.batches import GRIDS, Batches, PromptEncoder, extent_of, inside, pair_for, scene_for  # noqa: E402
from tiny.qwen.heldout import grid_examples  # noqa: E402
from tiny.qwen.make_samples import SAMPLES, capture  # noqa: E402
from tiny.qwen.model import build_model, merged, packed_text, vision_features  # noqa: E402
from tiny.qwen.pairs import ask_pair  # noqa: E402
from tiny.qwen.text import MERGE, PATCH_SIZE, PICTURE, build_processor  # noqa: E402
from tiny.qwen.train import Plan, Trainer  # noqa: E402


@pytest.fixture(scope="module")
def processor():
    return build_processor()


@pytest.fixture(scope="module")
def model(processor):
    return build_model(processor, seed=3).eval()


def patchified(pixels: torch.Tensor) -> torch.Tensor:
    """What the processor gives for a normalised picture [3, H, W]: patches [n, 3 · 2 · 14 · 14] in blocks of four."""
    rows, columns = pixels.shape[1] // PATCH_SIZE, pixels.shape[2] // PATCH_SIZE
    frames = pixels[:, None].expand(3, 2, *pixels.shape[1:])
    blocks = frames.reshape(3, 2, rows // MERGE, MERGE, PATCH_SIZE, columns // MERGE, MERGE, PATCH_SIZE)
    return blocks.permute(2, 5, 3, 6, 0, 1, 4, 7).reshape(rows * columns, -1)


def test_packed_branches_match_transformers(model, processor):
    """Questions packed behind one or two pictures give the logits that transformers gives for each one alone."""
    batches = Batches(PromptEncoder(processor, model), seed=5, size=3)
    seen = set()
    for step in range(12):
        batch = batches.batch(step, 1)
        if len(batch.pixels) in seen:
            continue
        seen.add(len(batch.pixels))
        pixels = [shown.float() / 127.5 - 1 for shown in batch.pixels]
        grids = [(shown.shape[2] // PATCH_SIZE, shown.shape[3] // PATCH_SIZE) for shown in pixels]
        packed, row = batch.packed, 1
        with torch.no_grad():
            cells = [merged(model, vision_features(model, one), *grid) for one, grid in zip(pixels, grids, strict=True)]
            ours = model.lm_head(packed_text(model, torch.cat(cells, 1), packed)[0])
            for branch in range(int(packed.branch[row].max()) + 1):
                at = (packed.branch[row] == branch).nonzero().flatten()
                ids = torch.cat([packed.ids[row, : packed.prefix], packed.ids[row, at]])[None]
                theirs = model(
                    input_ids=ids,
                    pixel_values=torch.cat([patchified(one[row]) for one in pixels]),
                    image_grid_thw=torch.tensor([[1, *grid] for grid in grids]),
                    mm_token_type_ids=(ids == model.config.image_token_id).int(),
                ).logits[0, packed.prefix :]
                torch.testing.assert_close(ours[row, at - packed.prefix], theirs, atol=1e-4, rtol=1e-4)
    assert seen == {1, 2}


def test_words_are_encoded_as_the_whole_prompt_is(model, processor):
    encoder = PromptEncoder(processor, model)
    for pictures in (1, 2):
        start = encoder.prefix(((1, 1),) * pictures)[0]
        for example in grid_examples(11, 20, pictures):
            for question, text in zip(example.questions, example.texts, strict=True):
                answer = plain(question.answer)
                whole = processor.tokenizer(
                    "USER: " + (PICTURE + "\n") * pictures + f"{text} ASSISTANT: {answer}"
                ).input_ids
                asked = encoder.words.phrase(f"{text} ASSISTANT:", line_start=True)[0]
                assert start + asked + encoder.words.phrase(answer)[0] == whole, text


def test_the_processor_gives_the_grids_of_training(processor):
    for size in ((640, 480), (480, 640), (600, 300), (168, 336), (1920, 1080)):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        grid = processor.image_processor(images=[image], return_tensors="np")["image_grid_thw"][0]
        assert (grid[1] // MERGE, grid[2] // MERGE) in GRIDS, size


def test_answers_about_two_pictures_hold():
    """Yes, no, which and neither agree with the scenes, and marks are about objects with the noun that they mark."""
    asked: dict[str, int] = {}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        grids = tuple(GRIDS[int(rng.integers(len(GRIDS)))] for _ in range(2))
        scenes = pair_for(rng, grids)
        things = [thing for scene in scenes for thing in scene.things]
        for question in ask_pair(scenes, 9, rng):
            asked[question.kind] = asked.get(question.kind, 0) + 1
            text, answer = plain(question.text), plain(question.answer)
            for word in (question.text + " " + question.answer).split():
                if word.startswith("@") and ":" in word:
                    numbers = [int(number) for number in word[1 : word.index(":")].split("+")]
                    assert all(number < len(things) for number in numbers)
            if question.kind in ("which", "both"):
                name = re.search(r"shows? an? (.+)\.$", answer)[1]
                assert name in text
                shown = [any(name in (t.noun, t.label) for t in scene.things) for scene in scenes]
                one = f" {'first' if shown[0] else 'second'} picture"
                assert ("oth pictures" if all(shown) else one if any(shown) else "either picture") in answer, (
                    text,
                    answer,
                )
            if question.kind.startswith("exists"):
                which = 0 if "first" in text else 1
                named = (
                    answer.rstrip(".").split(" there is ")[1].removeprefix("no ").removeprefix("an ").removeprefix("a ")
                )
                labels = {name for thing in scenes[which].things for name in (thing.noun, thing.label)}
                assert answer.startswith("Yes") == (named in labels)
    assert {
        "which",
        "both",
        "which background",
        "exists in one of two",
        "where in one of two",
        "colour in one of two",
    } <= set(asked)


def test_objects_of_a_wide_picture_lie_in_the_picture():
    rng = np.random.default_rng(4)
    for grid in ((5, 12), (12, 5)):
        assert extent_of(*grid)[0 if grid[1] > grid[0] else 1] == 12 / 5
        found = []
        for _ in range(30):
            scene = scene_for(rng, grid)
            found += [thing.centre for thing in scene.things]
            for thing in scene.things:
                assert min(thing.box) > -0.02 and max(thing.box) < 1.02
                assert inside((scene,), (grid,))[0].any()
        assert np.ptp(np.array(found), axis=0).min() > 0.6


def test_resuming_goes_on_from_the_checkpoint(tmp_path):
    plan = Plan(minutes=4.0, batch=2)
    trainer = Trainer(tmp_path, plan, resume=False)
    trainer.one(0, 0)
    trainer.one(1, 0)
    trainer.step, trainer.spent = 2, 0.5
    trainer.checkpoint()
    again = Trainer(tmp_path, plan, resume=True)
    assert (again.step, again.spent) == (2, 0.5)
    for name, weight in trainer.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weight, msg=name)
    with pytest.raises(SystemExit, match="another plan"):
        Trainer(tmp_path, Plan(minutes=1.0), resume=True)


def test_the_command_runs_to_the_end(tmp_path):
    out = tmp_path / "run"
    subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "train_tiny_qwen.py", "--smoke", "--out", out],
        check=True,
        timeout=900,
    )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["one_picture"]["questions"] >= 20
    assert metrics["two_pictures"]["questions"] >= 20
    weights = load_file(out / "checkpoint" / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    assert (out / "checkpoint" / "model.safetensors").stat().st_size <= 5 * 1024**2


@pytest.fixture(scope="module")
def trained():
    """The committed model and its processor."""
    folder = SPECIMEN / "checkpoint"
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(folder)


def test_sample_traces_have_their_grids_and_answers():
    """Each opens; its views are where its list says, and the painting test had passed."""
    listed = json.loads((SPECIMEN / "samples" / "samples.json").read_text())
    assert sorted(entry["file"] for entry in listed) == sorted(path.name for path in (SPECIMEN / "samples").glob("*.vlmtrace"))
    total = 0
    for entry in listed:
        trace = vlmscope.open(SPECIMEN / "samples" / entry["file"])
        meta = trace.meta
        assert meta.answer.strip() == entry["answer"]
        assert meta.question == entry["question"]
        assert [[view.rows, view.columns] for view in meta.spans] == entry["grids"]
        for view in meta.spans:
            keys = view.keys()
            assert {meta.tokens[key].kind for key in keys.ravel()} == {"image"}
            assert np.array_equal(keys.ravel(), np.arange(view.first, view.first + view.rows * view.columns))
        assert meta.provenance["position_check"]["status"] == "passed"
        sums = np.nansum(trace.attention(token=1), axis=-1)
        assert np.abs(sums - 1).max() < 0.01
        total += (SPECIMEN / "samples" / entry["file"]).stat().st_size
    assert total < 6_000_000


def test_the_trained_model_passes_the_painting_test(trained):
    report = vlmscope.check(*trained)
    assert report.status == "passed", report
    assert report.pair_hits == report.pair_cells > 0


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_capturing_again_gives_the_sample_traces(trained, number, tmp_path):
    """The committed traces are what the committed weights answer: same ids, attention within two steps of a half float."""
    sample = SAMPLES[number]
    answerer = SimpleNamespace(model=trained[0], processor=trained[1])
    found, kept = capture(answerer, sample, tmp_path), vlmscope.open(SPECIMEN / "samples" / sample.file)
    assert np.array_equal(found.tensor("answer.ids"), kept.tensor("answer.ids"))
    for token in range(len(kept.tensor("answer.ids")) - 1):
        difference = np.abs(found.attention(token) - kept.attention(token))
        assert np.nanmax(difference) < 2e-3, token


def test_relevancy_of_a_noun_lies_on_its_object():
    """Which picture shows a fox: at the row that predicts `fox`, the largest token of the relevancy shows the fox."""
    sample = next(sample for sample in SAMPLES if sample.file == "two.vlmtrace")
    trace = vlmscope.open(SPECIMEN / "samples" / sample.file)
    words = [token.text for token in trace.meta.tokens[trace.meta.prompt_len :]]
    row = next(index for index, word in enumerate(words) if word.strip(" ▁") == "fox")
    relevancy = trace.tensor("relevancy.llm")[row]
    best = max(((relevancy[view.keys()].max(), number, view) for number, view in enumerate(trace.meta.spans)), key=lambda one: one[0])
    assert best[1] == 0
    at = np.unravel_index(relevancy[best[2].keys()].argmax(), (best[2].rows, best[2].columns))
    _, _, (x, y), side = next(thing for thing in sample.pictures[0].things if thing[0] == "fox")
    assert abs((at[1] + 0.5) / best[2].columns - x) < side / 2
    assert abs((at[0] + 0.5) / best[2].rows - y) < side / 2
