"""Every family: the answer of plain sdpa, the attention of eager, and patches where they belong."""

from __future__ import annotations

import io
from unittest import mock

import numpy as np
import pytest
import torch
import vlmscope
from conftest import film, picture
from PIL import Image
from random_models import BUILDERS
from reference import STEPS, eager, inputs_of, largest_excess, plain
from vlmscope.capture.load import terminal_progress
from vlmscope.families import family_of
from vlmscope.trace import checks

#: f32 sums in another order; the largest excess of the prototype was 8.6e-7.
NOISE = 2e-6
PICTURES = [(170, 410), (300, 200)]
VIDEO = [name for name in BUILDERS if name in "llava_onevision qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe qwen3_5 glm4v internvl smolvlm molmo2 minicpm gemma4".split()]
#: transformers cannot mix pictures and videos in these.
UNMIXED = ("glm4v", "smolvlm", "molmo2")
#: Their processors take one video.
ONE_VIDEO = ("molmo2",)
PLACED = [name for name in BUILDERS if name != "idefics2"]


def images():
    return [picture(size, seed) for seed, size in enumerate(PICTURES)]


@pytest.mark.parametrize("name", BUILDERS)
def test_answer_is_that_of_plain_sdpa_and_rows_are_those_of_eager(make, name):
    model, processor = make(name)
    inputs = inputs_of(model, processor, images())
    # Gemma 4's last layers share keys; plain sdpa leaves out their prompt rows, unless hidden states are asked for.
    shared = {"output_hidden_states": True} if name == "gemma4" else {}
    ids, logits = plain(model, inputs, **shared)
    assert plain(model, inputs)[0] == ids
    with vlmscope.recording(model, processor, images=images(), rows="all") as rec, torch.no_grad():
        out = model.generate(
            **inputs, max_new_tokens=STEPS, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
    trace = rec.trace
    assert torch.equal(torch.cat(out.logits), logits)
    assert trace.tensor("answer.ids").tolist() == ids
    expected = torch.log_softmax(logits.float(), -1)[torch.arange(STEPS), ids].numpy()
    assert np.array_equal(trace.tensor("answer.logprob"), expected)
    assert checks.problem(trace.meta, trace.tensors) is None
    again, again_logits = plain(model, inputs, **shared)
    assert again == ids and torch.equal(again_logits, logits), "the model was not restored"
    eager_ids, passes = eager(model, inputs, len(trace.meta.model.attention_layers))
    assert eager_ids == ids
    assert largest_excess(trace.attention_of_all_rows(), expected_rows(trace, passes, rec.layout.cross_keys)) < NOISE


def expected_rows(trace, passes, cross_keys) -> np.ndarray:
    """Eager's attention as [R, L, H, T]."""
    meta = trace.meta
    rows = trace.rows.tolist()
    out = np.zeros((len(rows), len(meta.model.attention_layers), meta.model.heads, meta.positions), np.float32)
    seen = virtual = meta.virtual_len
    for step in passes:
        count = next(
            layer.shape[1] for index, layer in zip(meta.model.attention_layers, step, strict=True) if layer.shape[0] == meta.model.heads
        )
        for index, weights in enumerate(step):
            cross = meta.model.layer_kinds[meta.model.attention_layers[index]] == "cross"
            keys = weights.shape[-1]
            # A layer that shares keys computes the prompt's last query only, in eager as well.
            first = seen + count - weights.shape[1]
            place = slice(seen + count - keys, seen + count)
            if cross:
                place, weights = cross_keys[cross_keys >= 0], weights[..., cross_keys >= 0]
            for offset in range(weights.shape[1]):
                if first + offset < meta.positions:
                    out[rows.index(first + offset), index][:, place] = weights[:, offset]
        seen += count
    assert seen == meta.positions and virtual >= 0
    return out


@pytest.mark.parametrize("name", PLACED)
def test_patches_lie_where_the_family_says(make, name):
    model, processor = make(name)
    report = vlmscope.check(model, processor, cells=5)
    assert report.hits == report.cells and report.cells >= 15, report
    assert report.pictures_apart is True, report
    assert (report.frames_apart is True) == (name in VIDEO), report
    assert family_of(model).video == (name in VIDEO)


def test_a_wrong_place_fails_the_painting_test(make, monkeypatch):
    model, processor = make("qwen2_5_vl")
    family = type(family_of(model))
    right = family.layout

    def transposed(self, request):
        layout = right(self, request)
        layout.views = [
            view.__class__(**{**vars(view), "rows": view.columns, "columns": view.rows, "row_stride": view.rows}) for view in layout.views
        ]
        return layout

    monkeypatch.setattr(family, "layout", transposed)
    assert vlmscope.check(model, processor, cells=5, video=False).status == "failed"


@pytest.mark.parametrize("name", BUILDERS)
def test_a_given_answer_is_scored_as_it_was_generated(make, name, tmp_path):
    model, processor = make(name)
    asked = {"images": images()[:1], "question": "Is it a fox?"}
    generated = vlmscope.capture(model, processor, **asked, max_new_tokens=STEPS)
    path = generated.save(tmp_path / "a.vlmtrace")
    read = vlmscope.open(path)
    assert np.array_equal(read.attention(), generated.attention())
    assert read.meta.tokens == generated.meta.tokens and read.meta.spans == generated.meta.spans
    ids = generated.tensor("answer.ids").tolist()
    scored = score_ids(model, processor, asked, ids)
    assert scored.tensor("answer.ids").tolist() == ids
    assert np.allclose(scored.tensor("answer.logprob"), generated.tensor("answer.logprob"), atol=2e-4)
    assert np.abs(scored.attention() - generated.attention()).max() < 2e-3


def score_ids(model, processor, asked, ids):
    """Scores ids (bytes of a random model's answer are seldom text)."""
    with mock.patch("vlmscope.capture.ask.answer_ids", return_value=ids):
        return vlmscope.capture(model, processor, **asked, answer="x")


def test_a_given_answer_is_one_pass_with_masked_pictures_too(make, capsys):
    model, processor = make("qwen3_vl")
    asked = {"images": images()[:1], "question": "Is it a fox?", "answer": "No."}
    said = []
    scored = vlmscope.capture(model, processor, **asked, progress=lambda *step: said.append(step))
    assert {stage for stage, *_ in said} == {"answer"} and said[-1] == ("answer", scored.meta.positions, scored.meta.positions)
    terminal_progress()(*said[-1])
    assert "one forward pass over prompt and answer" in capsys.readouterr().err
    masked = vlmscope.capture(model, processor, **asked, blank=True)
    assert [token.id for token in masked.meta.tokens] == [token.id for token in scored.meta.tokens]
    assert masked.meta.provenance["request"]["is_altered"] and "request" not in scored.meta.provenance
    pixels = np.asarray(Image.open(io.BytesIO(masked.tensor("picture.0.original").tobytes())))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 1
    mean = np.asarray(asked["images"][0]).reshape(-1, 3).mean(0)
    assert np.abs(pixels[0, 0] - mean).max() <= 0.5
    assert not np.allclose(masked.tensor("answer.logprob"), scored.tensor("answer.logprob"), atol=1e-6)
    with pytest.raises(vlmscope.CaptureError, match="needs a picture"):
        vlmscope.capture(model, processor, question="Is it a fox?", blank=True)


@pytest.mark.parametrize("name", VIDEO)
def test_frames_of_a_video_are_pictures_in_time(make, name):
    model, processor = make(name)
    frames = [picture((240, 160), seed) for seed in range(4)]
    given = [] if name in UNMIXED else images()[1:]
    trace = vlmscope.capture(model, processor, images=given, videos=[frames], question="What happens?", max_new_tokens=3)
    seen = [view for view in trace.meta.spans if view.frame is not None]
    assert len(seen) in (2, 4) and [view.frame.index for view in seen] == list(range(len(seen)))
    seconds = [view.frame.seconds for view in seen]
    assert seconds == ([0.5, 2.5] if len(seen) == 2 else [0, 1, 2, 3])
    pictures = {trace.meta.canvases[view.canvas].picture for view in trace.meta.spans}
    assert pictures == set(range(len(given) + len(seen)))
    assert all(f"picture.{number}.original" in trace.tensors for number in pictures)
    prompt = trace.meta.tokens[: trace.meta.prompt_len]
    if name in ("qwen3_vl", "qwen3_vl_moe", "qwen3_5"):
        # The time stamp of each frame, the first one too, is no words of the system prompt.
        text = "".join(token.text for token in prompt if token.kind == "separator").replace("▁", " ")
        assert all(f"<{second} seconds>" in text for second in seconds), text
    assert "seconds" not in "".join(token.text for token in prompt if token.kind == "system")
    shown = {int(id_) for id_ in trace.tensor("answer.topk_ids").ravel()}
    known = {token.id for token in trace.meta.tokens}
    assert set(trace.meta.pieces) == shown - known and all(trace.meta.pieces.values())


@pytest.mark.parametrize("name", [name for name in VIDEO if name not in ONE_VIDEO])
def test_frames_of_two_videos_are_told_apart(make, name):
    model, processor = make(name)
    # LLaVA-OneVision's and InternVL's processors want as many frames, of one size, of each.
    same = name in ("llava_onevision", "internvl")
    videos = [[picture((240, 160), seed) for seed in range(4)], [picture((160, 240), seed) for seed in range(4 if same else 2)]]
    trace = vlmscope.capture(model, processor, videos=videos, question="What happens?", max_new_tokens=1)
    frames = [(view.frame.video, view.frame.index) for view in trace.meta.spans]
    first = len([video for video, _ in frames if video == 0])
    assert frames == [(0, index) for index in range(first)] + [(1, index) for index in range(len(frames) - first)]
    assert first == (len(frames) - first) * (1 if same else 2)
    for view in trace.meta.spans:
        assert trace.meta.canvases[view.canvas].original_size == ((240, 160), (160, 240))[view.frame.video]
        assert view.frame.seconds is not None


@pytest.mark.parametrize("name", VIDEO)
def test_frames_of_a_video_file_are_sampled_and_keep_their_time(make, name, tmp_path):
    """Of 100 frames, 20 a second, only as many are taken as the processor's own rule says; frame n has the grey level 2n."""
    film(tmp_path / "a.mp4", 100, 20)
    model, processor = make(name)
    trace = vlmscope.capture(model, processor, videos=[tmp_path / "a.mp4"], question="What happens?", max_new_tokens=2)
    frames = trace.meta.spans
    assert 4 <= len(frames) <= 10 and trace.meta.unplaced is None
    merged = 2 if len(frames) == 5 and name != "minicpm" else 1
    for view in frames:
        number = trace.meta.canvases[view.canvas].picture
        grey = np.asarray(Image.open(io.BytesIO(bytes(trace.tensor(f"picture.{number}.original"))))).mean()
        # The picture of merged frames is the first of them, and their time is the mean.
        late = view.frame.seconds - grey / 2 / 20
        assert -0.1 < late < (0.1 if merged == 1 else 0.4), (name, view.frame, grey)


@pytest.mark.parametrize(
    ("name", "options", "count"), [("qwen2_5_vl", {"fps": 1}, 2), ("qwen3_vl", {"num_frames": 4}, 2), ("minicpm", {"max_num_frames": 3}, 3)]
)
def test_options_of_the_processor_say_how_many_frames_of_a_file_are_taken(make, name, options, count, tmp_path):
    """Five seconds; Qwen merges two frames."""
    film(tmp_path / "a.mp4", 100, 20)
    model, processor = make(name)
    asked = {"videos": [tmp_path / "a.mp4"], "question": "What?", "max_new_tokens": 1}
    assert len(vlmscope.capture(model, processor, **asked, processor_options=options).meta.spans) == count


def test_all_frames_of_a_file_are_taken_where_the_options_say_so(make, tmp_path):
    film(tmp_path / "a.mp4", 12, 20)
    model, processor = make("qwen2_5_vl")
    asked = {"videos": [tmp_path / "a.mp4"], "question": "What?", "max_new_tokens": 1}
    trace = vlmscope.capture(model, processor, **asked, processor_options={"do_sample_frames": False})
    assert [view.frame.seconds for view in trace.meta.spans] == pytest.approx([(2 * pair + 0.5) / 20 for pair in range(6)])
    with pytest.raises(vlmscope.CaptureError, match="no such file"):
        vlmscope.capture(model, processor, videos=[tmp_path / "b.mp4"], question="What?")


@pytest.mark.parametrize("name", [name for name in BUILDERS if not name.startswith("paligemma")])
def test_questions_without_a_picture_are_recorded(make, name, tmp_path):
    """PaliGemma's processor refuses them itself."""
    model, processor = make(name)
    trace = vlmscope.capture(model, processor, question="What is a fox?", max_new_tokens=3)
    assert not trace.meta.spans and trace.meta.unplaced is None and trace.meta.virtual_len == 0
    read = vlmscope.open(trace.save(tmp_path / "a.vlmtrace"))
    own = [index for index, layer in enumerate(read.meta.model.attention_layers) if read.meta.model.layer_kinds[layer] != "cross"]
    assert np.allclose(read.attention()[:, own].sum(-1), 1, atol=2e-3)
    assert read.meta.model.name == type(model).__name__, "a model that came from no folder is named by its class"


def test_tokens_of_a_resampler_have_no_place_and_the_trace_says_why(make):
    model, processor = make("idefics2")
    trace = vlmscope.capture(model, processor, images=images(), question="What?", max_new_tokens=3)
    assert not trace.meta.spans and "resampler" in trace.meta.unplaced
    with pytest.raises(vlmscope.TraceError, match="resampler"):
        trace.patches(token=0)
    assert vlmscope.check(model, processor).status == "unplaced"
