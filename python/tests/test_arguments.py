"""What is given to `capture` and `recording`: refused by name where it is wrong, and stored as it was."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import vlmscope
from conftest import film, picture
from PIL import Image
from reference import STEPS, inputs_of
from test_trace import FIXTURES

SIZES = ((300, 200), (170, 410))


def image():
    return picture((300, 200))


def refuse(make, match: str, name: str = "llava", **arguments):
    model, processor = make(name)
    given = {"images": [image()], **arguments}
    if not {"prompt", "messages", "question"} & set(given):
        given["question"] = "What?"
    with pytest.raises(vlmscope.CaptureError, match=match):
        vlmscope.capture(model, processor, **given)


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("question= is a text", {"question": 5}),
        ("prompt= is a text", {"prompt": b"a"}),
        ("answer= is a text", {"answer": 5}),
        ("messages= is a conversation", {"messages": "What?"}),
        ("messages= is a conversation", {"messages": []}),
        ("messages= is a conversation", {"messages": [{"role": "user"}]}),
        ("seed=-1", {"seed": -1}),
        ("seed=1.5", {"seed": 1.5}),
        ("max_new_tokens=0", {"max_new_tokens": 0}),
        ("temperature=-1", {"temperature": -1}),
        ("temperature=nan", {"temperature": float("nan")}),
        ("top_p=9", {"top_p": 9}),
        ("top_p=0", {"top_p": 0}),
        ("topk=-1", {"topk": -1}),
        ("rows='some'", {"rows": "some"}),
        ("check= is True", {"check": "yes"}),
        ("do_sample", {"do_sample": True}),
        ("input_ids", {"input_ids": torch.zeros(1, 3, dtype=torch.long)}),
        ("guidance_scale", {"guidance_scale": 1.5}),
        ("imagess", {"imagess": []}),
        ("refused", {"processor_options": {"size": "abc"}}),
        ("holds nothing", {"images": [np.zeros((0, 5, 3), np.uint8)]}),
        ("holds nothing", {"images": [Image.new("RGB", (0, 4))]}),
        ("one size", {"videos": [[image(), picture((100, 200))]]}),
    ],
)
def test_arguments_that_are_wrong_are_refused_by_name(make, match, arguments):
    refuse(make, match, "qwen2_5_vl" if "videos" in arguments else "llava", **arguments)


def test_what_is_no_model_or_no_processor_is_refused(make):
    model, processor = make("llava")
    for wrong in (processor.tokenizer, None):
        with pytest.raises(vlmscope.CaptureError, match="processor= is"):
            vlmscope.capture(model, wrong, images=[image()], question="What?")
        with pytest.raises(vlmscope.CaptureError, match="processor= is"):
            vlmscope.recording(model, wrong)
    for wrong in ("a/b", processor):
        with pytest.raises(vlmscope.CaptureError, match="model= is"):
            vlmscope.capture(wrong, processor, images=[image()], question="What?")


def test_options_of_generate_are_not_given_twice(make):
    model, processor = make("llava")
    asked = {"images": [image()], "question": "What?", "max_new_tokens": 2}
    greedy = vlmscope.capture(model, processor, **asked)
    sampled = vlmscope.capture(model, processor, **asked, temperature=5.0, top_k=1)
    assert sampled.tensor("answer.ids").tolist() == greedy.tensor("answer.ids").tolist()
    assert sampled.meta.provenance["call"]["generate_options"] == {"top_k": 1}


def test_no_check_is_asked_for_and_none_is_stored(make, monkeypatch):
    from vlmscope.check import store

    model, processor = make("llava")
    monkeypatch.setattr(store, "load", lambda *_: {"status": "passed"})
    asked = {"images": [image()], "question": "What?", "max_new_tokens": 1}
    assert "position_check" in vlmscope.capture(model, processor, **asked).meta.provenance
    assert "position_check" not in vlmscope.capture(model, processor, **asked, check=False).meta.provenance


def test_videos_of_families_without_them_are_refused(make):
    frames = [picture((240, 160), seed) for seed in range(4)]
    refuse(make, r"LlavaForConditionalGeneration \(family llava\) cannot be captured with videos", videos=[frames])
    model, processor = make("llava")
    with pytest.raises(vlmscope.CaptureError, match="cannot be captured with videos"):
        vlmscope.recording(model, processor, videos=[frames])
    inputs = inputs_of(model, processor, [image()])
    with pytest.raises(vlmscope.CaptureError, match="cannot be captured with videos"), vlmscope.recording(model, processor):
        model.generate(**inputs, pixel_values_videos=torch.zeros(1), max_new_tokens=1)


def test_a_picture_as_a_video_is_refused(make, tmp_path):
    image().save(tmp_path / "a.png")
    model, processor = make("internvl")
    with pytest.raises(vlmscope.CaptureError, match=r"a\.png|refused"):
        vlmscope.capture(model, processor, videos=[tmp_path / "a.png"], question="What?", max_new_tokens=1)


@pytest.mark.parametrize("rows", ["text", "all"])
def test_a_prompt_may_be_processed_in_chunks(make, rows):
    """Chunks that lie on a picture have no wanted row."""
    model, processor = make("qwen2_5_vl")
    asked = {"images": [image()], "question": "What is it?", "max_new_tokens": 3, "rows": rows}
    whole = vlmscope.capture(model, processor, **asked)
    cut = vlmscope.capture(model, processor, **asked, prefill_chunk_size=16)
    assert cut.tensor("answer.ids").tolist() == whole.tensor("answer.ids").tolist()
    assert cut.rows.tolist() == whole.rows.tolist()
    assert np.abs(cut.attention_of_all_rows() - whole.attention_of_all_rows()).max() < 2e-3


def record(model, processor, inputs, given: dict, **options):
    with vlmscope.recording(model, processor, **given) as rec, torch.no_grad():
        model.generate(**inputs, max_new_tokens=2, **options)
    return rec.trace


def test_recordings_store_the_sampling_that_generate_used(make):
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    sampled = record(model, processor, inputs, {}, do_sample=True, temperature=0.7, top_p=0.9).meta
    assert (sampled.sampling["temperature"], sampled.sampling["top_p"]) == (0.7, 0.9)
    assert sampled.sampling["max_new_tokens"] == 2 and sampled.provenance["call"]["is_recorded"]
    assert record(model, processor, inputs, {}, temperature=0.7).meta.sampling["temperature"] == 0
    model.generation_config.do_sample, model.generation_config.temperature = True, 0.6
    try:
        assert record(model, processor, inputs, {}).meta.sampling["temperature"] == 0.6
        assert record(model, processor, inputs, {}, do_sample=False).meta.sampling["temperature"] == 0
    finally:
        model.generation_config.do_sample, model.generation_config.temperature = False, None


def test_ids_that_other_code_chose_are_no_greedy_answer(make):
    model, processor = make("qwen3_vl")
    inputs = inputs_of(model, processor, [image()])

    def loop(pick: int):
        with vlmscope.recording(model, processor) as rec, torch.no_grad():
            out = model(**inputs, use_cache=True)
            chosen = out.logits[:, -1].topk(5).indices[:, pick : pick + 1]
            model(input_ids=chosen, past_key_values=out.past_key_values, use_cache=True)
        return rec.trace.meta.sampling["forced"]

    assert loop(3) and not loop(0)


@pytest.mark.parametrize("name", ["llava", "llava_next", "llava_onevision", "pixtral", "qwen2_5_vl", "internvl", "gemma3", "smolvlm", "mllama"])
def test_pictures_that_the_model_did_not_receive_are_refused(make, name):
    model, processor = make(name)
    given = [picture(size, seed) for seed, size in enumerate(SIZES)]
    inputs = inputs_of(model, processor, given)
    assert record(model, processor, inputs, {"images": given}).meta.spans
    wrong = [given[:1], given[::-1], [given[0], picture(SIZES[1], 9)], [given[0], picture((90, 90), 1)], [*given, given[0]]]
    for pictures in wrong:
        with pytest.raises(vlmscope.CaptureError, match="images= "):
            record(model, processor, inputs, {"images": pictures})


def test_videos_that_the_model_did_not_receive_are_refused(make):
    model, processor = make("qwen2_5_vl")
    frames = [picture((240, 160), seed) for seed in range(4)]
    inputs = inputs_of(model, processor, videos=[frames])
    assert len(record(model, processor, inputs, {"videos": [frames]}).meta.spans) == 2
    for videos in ([frames[::-1]], [frames, frames], []):
        with pytest.raises(vlmscope.CaptureError, match="videos="):
            record(model, processor, inputs, {"videos": videos})


def test_cross_attention_is_recorded_without_its_pictures(make, tmp_path):
    """The keys of the tower stay, without places."""
    model, processor = make("mllama")
    inputs = inputs_of(model, processor, [image()])
    known = record(model, processor, inputs, {"images": [image()], "rows": "all"})
    found = record(model, processor, inputs, {"rows": "all"})
    assert not found.meta.spans and "pass images=" in found.meta.unplaced
    assert found.meta.virtual_len == known.meta.virtual_len > 0
    assert np.array_equal(found.attention_of_all_rows(), known.attention_of_all_rows())
    kinds = [token.kind for token in found.meta.tokens[: found.meta.virtual_len]]
    assert kinds == [token.kind for token in known.meta.tokens[: known.meta.virtual_len]] and "image" in kinds
    assert vlmscope.open(found.save(tmp_path / "a.vlmtrace")).meta.unplaced == found.meta.unplaced


def test_two_pictures_of_onevision_lie_on_a_padded_square(make):
    model, processor = make("llava_onevision")
    trace = vlmscope.capture(model, processor, images=[picture(size) for size in SIZES], question="What?", max_new_tokens=1)
    for canvas, (width, height) in zip(trace.meta.canvases, SIZES, strict=True):
        side = max(width, height)
        assert canvas.mode == "pad"
        corner = canvas.original_from_preprocessed.apply(0, 0)
        assert corner == (-((side - width) // 2), -((side - height) // 2))
    pixels = trace.tensor("canvas.0.pixels")
    assert len(np.unique(pixels[0], axis=0)) == 1, "the first row is padding"


def test_the_painting_test_finds_a_picture_that_is_misplaced_among_others(make, monkeypatch):
    from vlmscope.families import llava_next

    model, processor = make("llava_onevision")
    monkeypatch.setattr(llava_next, "padded_square", lambda *_: None)
    report = vlmscope.check(model, processor, cells=8, video=False)
    assert report.status == "failed" and any("of 2)" in miss for miss in report.misses)


def test_a_padded_square_of_llava_is_where_its_processor_puts_it(make):
    model, processor = make("llava")
    from transformers import LlavaImageProcessor

    before = processor.image_processor
    processor.image_processor = LlavaImageProcessor(
        do_pad=True, size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
    )
    try:
        report = vlmscope.check(model, processor, cells=8)
        assert report.hits == report.cells and report.pictures_apart, report
    finally:
        processor.image_processor = before


def test_a_very_long_picture_keeps_its_base(make, tmp_path):
    """The grid of its tiles has no patches."""
    model, processor = make("llava_next")
    trace = vlmscope.capture(model, processor, images=[picture((10, 1000))], question="What?", max_new_tokens=1)
    assert [view.kind for view in trace.meta.spans] == ["base"]
    assert vlmscope.open(trace.save(tmp_path / "a.vlmtrace")).meta.spans == trace.meta.spans


def test_the_call_is_stored_as_it_was_made(make, tmp_path):
    film(tmp_path / "a.mp4", 12, 4)
    model, processor = make("qwen2_5_vl")
    asked = {"videos": [tmp_path / "a.mp4"], "question": "What?", "max_new_tokens": 1, "processor_options": {"fps": 1}}
    meta = vlmscope.open(vlmscope.capture(model, processor, **asked).save(tmp_path / "a.vlmtrace")).meta
    assert {canvas.file_name for canvas in meta.canvases} == {"a.mp4"}
    assert meta.provenance["call"] == {"asked_as": "question", "processor_options": {"fps": 1}}
    prompt = "<|vision_start|><|image_pad|><|vision_end|>What?"
    meta = vlmscope.capture(model, processor, images=[image()], prompt=prompt, max_new_tokens=1).meta
    assert meta.provenance["call"] == {"asked_as": "prompt"} and meta.question == prompt
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    meta = vlmscope.capture(model, processor, images=[image()], messages=messages, max_new_tokens=1).meta
    assert meta.provenance["call"] == {"asked_as": "messages", "messages": messages}
    messages[0]["content"][0]["image"] = image()
    meta = vlmscope.capture(model, processor, images=[image()], messages=messages, max_new_tokens=1).meta
    assert meta.provenance["call"] == {"asked_as": "messages", "left_out": ["messages"]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda meta: meta.sampling.update(seed=-1), r"sampling\.seed is -1"),
        (lambda meta: meta.sampling.update(temperature="0"), r"sampling\.temperature is '0'"),
        (lambda meta: meta.sampling.update(max_new_tokens=1.5), r"sampling\.max_new_tokens is 1\.5"),
        (lambda meta: setattr(meta, "question", 5), "question is 5"),
        (lambda meta: meta.tokens.__setitem__(0, type(meta.tokens[0])(-1, "a", "system")), "token 0 has the id -1"),
    ],
)
def test_values_that_the_program_refuses_are_not_written(change, match, tmp_path):
    trace = vlmscope.open(FIXTURES / "tiles.vlmtrace")
    change(trace.meta)
    with pytest.raises(vlmscope.TraceError, match=match):
        trace.save(tmp_path / "a.vlmtrace")
    assert not list(tmp_path.iterdir())


def damaged(path: Path, out: Path, keys: tuple, value) -> None:
    """Copies a trace with one field of its metadata replaced."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    meta = json.loads(header["__metadata__"]["vlmtrace"])
    place = meta
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    header["__metadata__"]["vlmtrace"] = json.dumps(meta)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    out.write_bytes(struct.pack("<Q", len(encoded)) + encoded + raw[8 + length :])


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("preprocess", 0, "preprocessed_size", 0), []),
        (("model", "layers"), [0, 0]),
        (("model", "layers"), 10**15),
        (("model", "layer_kinds", 1), {}),
        (("model", "attention_layers"), 7),
        (("spans", 0, "rows"), 10**12),
        (("tokens", 0, "id"), -1),
        (("sampling",), 5),
        (("vision",), 5),
        (("provenance",), None),
    ],
)
def test_damaged_metadata_is_an_error_that_names_the_file(keys, value, tmp_path):
    damaged(FIXTURES / "tiles.vlmtrace", tmp_path / "x.vlmtrace", keys, value)
    with pytest.raises(vlmscope.TraceError, match=r"x\.vlmtrace is no valid trace"):
        vlmscope.open(tmp_path / "x.vlmtrace")


def test_answers_keep_their_length(make):
    """`max_new_tokens` in a recording is the limit, not the number of ids."""
    model, processor = make("llava")
    inputs = inputs_of(model, processor, [image()])
    trace = record(model, processor, inputs, {}, eos_token_id=list(range(300)))
    assert trace.meta.generated == 1 and trace.meta.sampling["max_new_tokens"] == 2 < STEPS
