"""`python -m vlmscope.capture` and `python -m vlmscope.check`, the stored result of a check, and what needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import vlmscope
from conftest import picture
from reference import inputs_of
from test_trace import FIXTURES, REPOSITORY

CHECKPOINT = REPOSITORY / "onnx" / "tiny" / "checkpoint"
DESK = REPOSITORY / "onnx" / "tiny" / "samples" / "desk.png"


def command(module: str, *arguments: str, cache) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "python"), *sys.path]), "OMP_NUM_THREADS": "1"}
    environment |= {"XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], capture_output=True, text=True, env=environment)


def test_a_check_is_stored_and_named_in_later_captures(tmp_path):
    checked = command("vlmscope.check", str(CHECKPOINT), "--cells", "2", "--json", cache=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["status"] == "passed"
    out = tmp_path / "x.vlmtrace"
    asked = command(
        "vlmscope.capture", "--model", str(CHECKPOINT), "--image", str(DESK), "--question", "Is there a fox?", "--dtype", "f32",
        "--relevancy", "llm", "--vision", "--out", str(out), cache=tmp_path,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip() == "No, there is no fox."
    assert "prefill: 156 of 156" in asked.stderr and "relevancy: about" in asked.stderr
    trace = vlmscope.open(out)
    assert trace.meta.format_version == "1.0" and trace.meta.provenance["position_check"]["status"] == "passed"
    assert trace.meta.provenance["dtype"] == "float32" and {"relevancy.llm", "vision.0.attention"} <= set(trace.tensors)
    assert trace.meta.canvases[0].file_name == "desk.png"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "none.png", "--question", "What?", "--out", "x.vlmtrace"], "cannot read the picture none.png"),
        (["--question", "What?", "--out", "none/x.vlmtrace"], "folder none does not exist"),
        (["--question", "What?", "--out", "x.vlmtrace", "--processor", "a"], "KEY=VALUE"),
        (["--question", "What?", "--out", "x.vlmtrace", "--max-new-tokens", "0"], "max_new_tokens=0 is no integer from 1"),
        (["--image", str(DESK), "--question", "What?", "--out", "x.vlmtrace", "--processor", "size=abc"], "refused the pictures"),
        (["--question", "What?", "--out", "x.vlmtrace", "--load-in-4bit"], "bitsandbytes"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, message):
    from vlmscope.capture.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["--model", str(CHECKPOINT), "--device", "cpu", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.vlmtrace"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there_is_an_error(tmp_path, capsys):
    from vlmscope.capture.__main__ import main

    arguments = ["--image", str(DESK), "--question", "What?", "--out", str(tmp_path / "x.vlmtrace")]
    assert main(["--model", str(CHECKPOINT), "--device", "cuda", *arguments]) == 1
    assert "cannot use the device cuda" in capsys.readouterr().err
    assert main(["--model", str(CHECKPOINT), "--device", "nonsense", *arguments]) == 1
    assert "cannot use the device nonsense" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path, capsys):
    from vlmscope.check.__main__ import main

    assert main([str(tmp_path)]) == 2
    assert "cannot load" in capsys.readouterr().err


def test_traces_are_read_without_torch():
    """Viewing needs neither torch nor transformers."""
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'torchvision'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"import vlmscope; print(vlmscope.open({str(FIXTURES / 'tiles.vlmtrace')!r}).attention(token=1, layer=2, head=3).shape)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "python"), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert found.returncode == 0 and found.stdout.startswith("("), found.stderr


@pytest.mark.parametrize("call", ["capture(None, None, question='a')", "recording(None, None)", "check(None, None)"])
def test_what_needs_torch_says_so(call, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(vlmscope.CaptureError, match=r"torch is missing: pip install"):
        eval(f"vlmscope.{call}")


def test_the_check_of_other_settings_is_not_taken(make, tmp_path, monkeypatch):
    from vlmscope.check import store

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model, processor = make("qwen2_5_vl")
    assert store.load(model, processor) is None
    report = vlmscope.check(model, processor, cells=2, video=False, save=True)
    assert store.load(model, processor)["hits"] == report.hits
    before = processor.image_processor.size
    processor.image_processor.size = {"shortest_edge": 28 * 28 * 9, "longest_edge": 28 * 28 * 40}
    try:
        assert store.load(model, processor) is None
    finally:
        processor.image_processor.size = before


def test_code_of_one_s_own_is_recorded_without_its_pictures(make):
    """The tower's pixels stand for the picture; where tiles need its size, the trace says so."""
    model, processor = make("qwen2_5_vl")
    inputs = inputs_of(model, processor, [picture((300, 200))])
    with vlmscope.recording(model, processor) as rec, torch.no_grad():
        model.generate(**inputs, max_new_tokens=2, do_sample=False)
    canvas = rec.trace.meta.canvases[0]
    assert canvas.original_size == canvas.preprocessed_size and "picture.0.original" in rec.trace.tensors
    model, processor = make("internvl")
    inputs = inputs_of(model, processor, [picture((300, 200))])
    with vlmscope.recording(model, processor) as rec, torch.no_grad():
        model.generate(**inputs, max_new_tokens=2, do_sample=False)
    assert not rec.trace.meta.spans and "pass images=" in rec.trace.meta.unplaced


def test_unknown_classes_follow_the_general_rule(make, monkeypatch):
    """Square runs, one a picture; anything else is not guessed."""
    from vlmscope import families

    model, processor = make("gemma3")
    known = vlmscope.capture(model, processor, images=[picture((300, 200))], question="What?", max_new_tokens=2)
    monkeypatch.setattr(families, "registered", dict)
    found = vlmscope.capture(model, processor, images=[picture((300, 200))], question="What?", max_new_tokens=2)
    assert [v.keys().tolist() for v in found.meta.spans] == [v.keys().tolist() for v in known.meta.spans]
    assert np.array_equal(found.attention(), known.attention())
    model, processor = make("qwen2_5_vl")
    found = vlmscope.capture(model, processor, images=[picture((300, 200))], question="What?", max_new_tokens=2)
    assert not found.meta.spans and "not square" in found.meta.unplaced
