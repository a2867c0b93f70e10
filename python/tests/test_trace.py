"""Reading and writing traces, without torch."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vlmscope
from vlmscope.trace import checks, schema, show, v1
from vlmscope.trace.tensors import Pages

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "tests" / "fixtures" / "traces2"
OLD = sorted((REPOSITORY / "tests" / "fixtures" / "traces").glob("*.vlmtrace"))
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())


def opened(name: str = "tiles"):
    return vlmscope.open(FIXTURES / f"{name}.vlmtrace")


@pytest.mark.parametrize("name", EXPECTED)
def test_fixtures_are_read_and_written_back_the_same(name, tmp_path):
    trace = opened(name)
    assert trace.meta.format_version == EXPECTED[name]["format_version"]
    again = vlmscope.open(trace.save(tmp_path / "again.vlmtrace"))
    assert again.meta == trace.meta and sorted(again.tensors) == sorted(trace.tensors)
    for tensor in trace.tensors:
        assert np.array_equal(trace.tensor(tensor), again.tensor(tensor), equal_nan=trace.tensors[tensor].dtype.kind == "f"), tensor


def test_each_kind_of_format_2_is_among_the_fixtures():
    reasons = {reason for name in EXPECTED for reason in v1.needs_v2(opened(name).meta)}
    wanted = {
        "layers without attention", "cross-attention", "attention to later positions", "separators", "row strides",
        "explicit cells or video frames", "several views of a picture", "another preprocessing mode",
        "a picture whose tokens have no place",
    }  # fmt: skip
    assert reasons == wanted
    assert EXPECTED["dynamic_grid"]["format_version"] == EXPECTED["two_pictures"]["format_version"] == "1.0"


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_traces_of_the_engine_are_read_and_stay_1_0(path, tmp_path):
    trace = vlmscope.open(path)
    assert trace.meta.format_version.startswith("1.") and trace.attention(token=0).shape[-1] == trace.meta.positions
    assert not v1.needs_v2(trace.meta)
    again = vlmscope.open(trace.save(tmp_path / "again.vlmtrace"))
    assert again.meta.format_version == "1.0" and again.meta.spans == trace.meta.spans
    assert sorted(again.tensors) == sorted(trace.tensors)


def test_there_are_traces_of_the_engine_to_read():
    assert OLD


def test_attention_is_reached_by_token_layer_and_head():
    trace = opened("hybrid")
    meta = trace.meta
    assert meta.model.attention_layers == [1, 3]
    whole = trace.attention()
    assert whole.shape == (meta.generated, 2, meta.model.heads, meta.positions)
    assert np.array_equal(trace.attention(token=1, layer=3, head=2), whole[1, 1, 2])
    assert np.array_equal(trace.attention(token=-1), whole[-1])
    assert np.array_equal(trace.attention(query=meta.query_of_answer(1)), whole[1])
    assert np.array_equal(trace.attention(head=1), whole[:, :, 1])
    assert np.allclose(whole.sum(-1), 1, atol=2e-3)
    with pytest.raises(vlmscope.TraceError, match="layer 2 has no attention: its kind is linear"):
        trace.attention(token=0, layer=2)
    with pytest.raises(vlmscope.TraceError, match="rows='all'"):
        trace.attention(query=3)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"layer": 99}, "layer 99 does not exist: this trace has layers 0 to 3"),
        ({"layer": -1}, "layer -1 does not exist"),
        ({"layer": "a"}, "layer 'a' is no integer: this trace has layers 0 to 3"),
        ({"layer": 1.0}, "layer 1.0 is no integer"),
        ({"token": 0, "head": 9}, "head 9 does not exist: this trace has heads 0 to 3"),
        ({"head": -1}, "head -1 does not exist"),
        ({"head": [1]}, r"head \[1\] is no integer"),
        ({"token": 77}, "answer token 77 does not exist: this trace has answer tokens 0 to 2"),
        ({"token": -4}, "answer token -4 does not exist"),
        ({"query": 5000}, "position 5000 does not exist: this trace has positions 0 to"),
        ({"query": "last"}, "position 'last' is no integer"),
        ({"token": 0, "query": 30}, "not both"),
    ],
)
def test_a_choice_that_does_not_exist_says_what_there_is(choice, says):
    trace = opened()
    assert (trace.meta.model.layers, trace.meta.model.heads, trace.meta.generated) == (4, 4, 3)
    for method in (trace.attention, trace.patches, trace.density):
        with pytest.raises(vlmscope.SelectionError, match=says) as caught:
            method(**choice)
        assert isinstance(caught.value, ValueError) and isinstance(caught.value, vlmscope.VlmscopeError)


def test_views_pictures_and_sizes_that_do_not_exist_say_what_there_is():
    trace = opened()
    views = len(trace.meta.spans)
    for view in (views, -1, None):
        with pytest.raises(vlmscope.SelectionError, match=f"view {view} .*this trace has views 0 to {views - 1}"):
            trace.patches(token=0, view=view)
    for picture in (7, -1, "a.jpg"):
        with pytest.raises(vlmscope.SelectionError, match="picture .*this trace has picture 0 only"):
            trace.density(token=0, picture=picture)
    for size in ((0, 0), (0, 5), (4, -1), (10**6, 10**6), 5, (1, 2, 3), (1.5, 2), "ab"):
        with pytest.raises(vlmscope.SelectionError, match="^size "):
            trace.density(token=0, size=size)
    assert trace.density(token=np.int64(0), layer=np.int32(1), head=np.uint8(1), size=(1, 1))[0].shape == (1, 1)


def test_a_head_that_one_layer_lacks_is_refused_there():
    trace = opened()
    trace.meta.model.heads_of_layer = [4, 4, 4, 3]
    assert trace.attention(token=0, layer=2, head=3).shape == (trace.meta.positions,)
    with pytest.raises(vlmscope.SelectionError, match="head 3 does not exist: layer 3 of this trace has heads 0 to 2"):
        trace.density(token=0, layer=3, head=3)


def test_patches_skip_separators():
    trace = opened("stride")
    view = trace.meta.spans[1]
    assert view.row_stride == view.columns + 1
    grid = trace.patches(token=0, layer=1, head=0, view=1)
    row = trace.attention(token=0, layer=1, head=0)
    assert grid.shape == (view.rows, view.columns)
    assert grid[2, 1] == row[view.first + 2 * view.row_stride + 1]
    assert all(trace.meta.tokens[view.first + r * view.row_stride + view.columns].kind == "separator" for r in range(view.rows))


def test_stats_count_patches_and_question_without_separators():
    trace = opened("stride")
    meta, stats = trace.meta, trace.tensor("attention.stats")
    pages = trace.attention_of_all_rows()
    image = pages[..., meta.image_keys()]
    assert np.allclose(stats[..., 0], image.sum(-1), atol=1e-5)
    assert np.allclose(stats[..., 1], pages[..., meta.question_keys()].sum(-1), atol=1e-5)
    assert np.allclose(stats[..., 2], image.max(-1), atol=1e-6)
    scaled = image / image.sum(-1, keepdims=True)
    entropy = -(scaled * np.log(np.maximum(scaled, 1e-30))).sum(-1)
    assert np.allclose(stats[..., 3], entropy, atol=1e-3)
    spans = trace.tensor("attention.span_stats")
    assert np.allclose(spans[..., 0].sum(-1), stats[..., 0], atol=1e-5)
    assert np.allclose(spans[..., 1, 2], image[..., 16:].max(-1), atol=1e-6)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_question_holds_no_token_of_a_picture(name):
    meta = opened(name).meta
    kinds = {meta.tokens[key].kind for key in meta.question_keys()}
    assert "question" in kinds and not kinds & {"image", "separator"}
    assert meta.question_keys().tolist() == EXPECTED[name]["question_keys"]


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "unplaced"])
def test_a_density_keeps_its_mass(name):
    trace = opened(name)
    row = np.nanmean(trace.attention(token=1), (0, 1))
    for picture in sorted({canvas.picture for canvas in trace.meta.canvases}):
        keys = [view.keys().ravel() for view in trace.meta.spans if trace.meta.canvases[view.canvas].picture == picture]
        for size in (None, (7, 5)):
            found, outside = trace.density(token=1, picture=picture, size=size)
            assert found.mean() + outside == pytest.approx(row[np.concatenate(keys)].sum(), abs=1e-6)
            assert found.min() >= 0 and outside >= -1e-9


def test_a_density_is_even_where_the_weights_are():
    trace = opened("two_pictures")
    weights = np.zeros(trace.meta.positions)
    view = trace.meta.spans[1]
    weights[view.keys()] = 1 / view.patches
    found, outside = schema_density(trace, weights, 1)
    assert np.allclose(found, 1) and abs(outside) < 1e-9


def schema_density(trace, weights, picture):
    from vlmscope.trace.density import density

    return density(trace.meta, weights, picture, (9, 11))


def test_a_patch_shows_on_the_original_where_it_lies():
    trace = opened("tiles")
    view = trace.meta.spans[1]
    canvas = trace.meta.canvases[view.canvas]
    weights = np.zeros(trace.meta.positions)
    weights[view.keys()[1, 2]] = 1
    found, _ = schema_density_size(trace, weights, canvas.original_size)
    rect = canvas.original_from_preprocessed.apply_rect(view.cell(1, 2))
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert rect.y <= row + 0.5 <= rect.y + rect.height and rect.x <= column + 0.5 <= rect.x + rect.width


def schema_density_size(trace, weights, size):
    from vlmscope.trace.density import density

    return density(trace.meta, weights, 0, size)


def test_a_written_file_follows_the_umask_and_replaces_the_old_one(tmp_path):
    trace = opened()
    path = tmp_path / "a.vlmtrace"
    path.write_bytes(b"old")
    before = os.umask(0o027)
    try:
        trace.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.vlmtrace"]
    assert vlmscope.open(path).meta == trace.meta


def test_nothing_is_left_behind_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.vlmtrace"
    path.write_bytes(b"old")
    trace = opened()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(vlmscope.TraceError, match="No space left"):
        trace.save(path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(vlmscope.TraceError, match="cannot write"):
        trace.save(tmp_path / "missing" / "a.vlmtrace")


def rewritten(tmp_path, change) -> Path:
    """A fixture with changed metadata."""
    data = (FIXTURES / "tiles.vlmtrace").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    meta = json.loads(header["__metadata__"]["vlmtrace"])
    change(meta)
    header["__metadata__"]["vlmtrace"] = json.dumps(meta)
    encoded = json.dumps(header).encode()
    path = tmp_path / "changed.vlmtrace"
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])
    return path


def set_path(*keys, value):
    def change(meta):
        for key in keys[:-1]:
            meta = meta[key]
        meta[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("trace format 3.0", set_path("format_version", value="3.0")),
        ("format version", set_path("format_version", value=None)),
        ("does not fit format 2.0", lambda meta: meta.pop("tokens")),
        ("row stride", set_path("spans", 0, "row_stride", value=2)),
        ("unknown kind", set_path("spans", 0, "kind", value="slice")),
        ("names canvas 9", set_path("spans", 0, "canvas", value=9)),
        ("does not fit the prompt", set_path("spans", 0, "first", value=5000)),
        ("shares keys", set_path("spans", 1, "first", value=10)),
        ("has no area", set_path("spans", 0, "preprocessed_rect", "width", value=0)),
        ("exactly where its kind is frame", set_path("spans", 0, "frame", value={"index": 0})),
        ("cells", set_path("spans", 0, "cells", value=[[0, 0, 1, 1]])),
        ("maps to a line", set_path("preprocess", 0, "original_from_preprocessed", "xx", value=0)),
        ("layer_kinds", set_path("model", "layer_kinds", value=["full"])),
        ("listed in model.attention_layers", set_path("model", "layer_kinds", value=["linear", "full", "full", "full"])),
        ("not ascending", set_path("model", "attention_layers", value=[1, 0, 2, 3])),
        ("26, 3, 4", set_path("model", "attention_layers", value=[0, 1, 2])),
        ("heads_of_layer", set_path("model", "heads_of_layer", value=[3, 3, 3, 3])),
        ("virtual_len", set_path("virtual_len", value=9999)),
        ("unknown kind 'patch'", set_path("tokens", 0, "kind", value="patch")),
        ("which is 'question'", set_path("tokens", 7, "kind", value="question")),
        ("attention scale", set_path("attention_scale", value=0)),
        ("image_attention", set_path("model", "image_attention", value="sideways")),
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path, match, change):
    with pytest.raises(vlmscope.TraceError, match=match):
        vlmscope.open(rewritten(tmp_path, change))


def test_unknown_fields_and_words_are_kept(tmp_path):
    def change(meta):
        meta["later"] = {"a": 1}
        meta["preprocess"][0]["mode"] = "folded"

    trace = vlmscope.open(rewritten(tmp_path, change))
    again = vlmscope.open(trace.save(tmp_path / "again.vlmtrace"))
    assert again.meta.extra == {"later": {"a": 1}} and again.meta.canvases[0].mode == "folded"


def test_files_that_are_no_traces_are_refused(tmp_path):
    whole = (FIXTURES / "tiles.vlmtrace").read_bytes()
    path = tmp_path / "cut.vlmtrace"
    for content in (b"", b"hello", whole[:40], whole[:-100]):
        path.write_bytes(content)
        with pytest.raises(vlmscope.TraceError, match=r"cut\.vlmtrace"):
            vlmscope.open(path)
    with pytest.raises(vlmscope.TraceError, match="cannot read"):
        vlmscope.open(tmp_path / "none.vlmtrace")
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2, np.float32)}, path)
    with pytest.raises(vlmscope.TraceError, match="not a trace"):
        vlmscope.open(path)


def test_an_inconsistent_trace_is_not_written(tmp_path):
    trace = opened()
    trace.tensors["answer.logprob"] = np.zeros(99, np.float32)
    with pytest.raises(vlmscope.TraceError, match="answer.logprob"):
        trace.save(tmp_path / "a.vlmtrace")


def test_pages_are_padded_while_they_are_written():
    parts = [np.ones((1, 2, keys), np.float16) for keys in (2, 3, 4)]
    pages = Pages(parts, 1, 2, 4)
    whole = np.stack([pages.row(index) for index in range(3)])
    assert whole[0, 0, 0].tolist() == [1, 1, 0, 0]
    assert b"".join(pages.chunks()) == whole.tobytes()


def test_a_trace_with_missing_heads_holds_nan():
    meta = opened().meta
    model = replace(meta.model, heads_of_layer=[4, 4, 4, 3])
    assert checks.problem(replace(meta, model=model), opened().tensors) is None
    assert "layers of unequal numbers of heads" in v1.needs_v2(replace(meta, model=model))
    assert schema.to_json(replace(meta, model=model))["model"]["heads_of_layer"] == [4, 4, 4, 3]


def test_modules_and_program_have_one_version():
    cargo = tomllib.loads((REPOSITORY / "Cargo.toml").read_text())
    assert vlmscope.__version__ == cargo["package"]["version"]


def test_show_starts_the_program_on_a_saved_trace(tmp_path, monkeypatch):
    program = tmp_path / "vlmscope"
    program.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/shown\nexec sleep 30\n')
    program.chmod(0o755)
    monkeypatch.setenv("VLMSCOPE_PROGRAM", str(program))
    trace = opened("dynamic_grid")
    trace.path = None
    process = trace.show()
    try:
        assert process.poll() is None
        shutil.copy(tmp_path / "shown", tmp_path / "shown.vlmtrace")
        assert vlmscope.open(tmp_path / "shown.vlmtrace").meta == trace.meta
    finally:
        process.kill()
        process.wait()


def test_the_program_of_the_installed_wheel_is_found_without_the_path(tmp_path, monkeypatch):
    """A wheel's program lies beside the interpreter; an environment that is not active is not on the PATH."""
    packages, program = tmp_path / "lib" / "site-packages", tmp_path / "bin" / "vlmscope"
    installed = packages / "vlmscope-0.1.0.dist-info"
    installed.mkdir(parents=True)
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: vlmscope\nVersion: 0.1.0\n")
    (installed / "RECORD").write_text("vlmscope/__init__.py,,\n../../bin/vlmscope,,\n")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("VLMSCOPE_PROGRAM", raising=False)
    with pytest.raises(vlmscope.ShowError, match="not found"):  # it may not be run
        show.find_program()
    program.chmod(0o755)
    assert show.find_program() == str(program)


def test_show_says_what_is_wrong(tmp_path, monkeypatch):
    trace = opened("dynamic_grid")
    monkeypatch.delenv("VLMSCOPE_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(vlmscope.ShowError, match="was not found"):
        trace.show()
    monkeypatch.setenv("VLMSCOPE_PROGRAM", str(tmp_path / "none"))
    with pytest.raises(vlmscope.ShowError, match="no program"):
        trace.show()
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho 'no display' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("VLMSCOPE_PROGRAM", str(program))
    with pytest.raises(vlmscope.ShowError, match="no display"):
        trace.show()
