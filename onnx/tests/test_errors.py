"""What goes wrong says what and what to do, and leaves nothing behind."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

import export
from vlmscope_export import bundle, selfcheck, spec
from vlmscope_export.errors import ExportError, UnsupportedArchitecture


def run(capsys, *arguments) -> str:
    """The error paragraph of a failing export."""
    assert export.main([str(a) for a in arguments]) == 1
    return capsys.readouterr().err.split("error: ")[-1].strip()


def with_config(checkpoint, folder, change):
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_an_unsupported_text_model_is_named(checkpoint, tmp_path, capsys):
    folder = with_config(checkpoint, tmp_path / "qwen", lambda c: c["text_config"].update(model_type="qwen2"))
    error = run(capsys, "--model", folder, "--out", tmp_path / "out")
    assert "'qwen2'" in error and "llama, mistral, gemma" in error
    assert list(tmp_path.iterdir()) == [folder]


def test_another_kind_of_model_is_named(tmp_path, capsys):
    from transformers import LlamaConfig

    LlamaConfig().save_pretrained(tmp_path / "llama")
    error = run(capsys, "--model", tmp_path / "llama", "--out", tmp_path / "out")
    assert "type is 'llama'" in error and "LlavaForConditionalGeneration" in error


def test_several_feature_layers_and_odd_activations_are_refused(checkpoint, tmp_path, capsys):
    several = with_config(checkpoint, tmp_path / "several", lambda c: c.update(vision_feature_layer=[-2, -1]))
    assert "several layers" in run(capsys, "--model", several, "--out", tmp_path / "out")
    odd = with_config(checkpoint, tmp_path / "odd", lambda c: c.update(projector_hidden_act="mish"))
    assert "'mish'" in run(capsys, "--model", odd, "--out", tmp_path / "out")


def test_missing_files_are_named(checkpoint, tmp_path, capsys):
    assert "no config.json" in run(capsys, "--model", tmp_path, "--out", tmp_path / "out")
    file = tmp_path / "file"
    file.write_text("x")
    assert "is a file" in run(capsys, "--model", file, "--out", tmp_path / "out")
    bare = tmp_path / "bare"
    shutil.copytree(checkpoint, bare, ignore=shutil.ignore_patterns("token*", "process*", "chat*"))
    assert "processor.save_pretrained" in run(capsys, "--model", bare, "--out", tmp_path / "out")
    weightless = tmp_path / "weightless"
    shutil.copytree(checkpoint, weightless, ignore=shutil.ignore_patterns("*.safetensors"))
    assert "weights" in run(capsys, "--model", weightless, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*.part"))


def test_an_existing_bundle_needs_force_and_anything_else_is_never_replaced(checkpoint, gqa_bundle, tmp_path, capsys):
    target = tmp_path / "target"
    shutil.copytree(gqa_bundle, target)
    assert "--force" in run(capsys, "--model", checkpoint, "--out", target)
    assert export.main(["--model", str(checkpoint), "--out", str(target), "--force", "--skip-self-check"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["target"]
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "tokenizer.json").write_text("{}")
    assert "not a bundle" in run(capsys, "--model", checkpoint, "--out", precious, "--force")
    assert (precious / "tokenizer.json").read_text() == "{}"


def test_files_that_are_not_the_bundles_are_kept(checkpoint, gqa_bundle, tmp_path):
    target = tmp_path / "target"
    shutil.copytree(gqa_bundle, target)
    (target / "README.md").write_text("a model card")
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["files"]["stale.onnx"] = manifest["files"]["decoder.onnx"]
    (target / "manifest.json").write_text(json.dumps(manifest))
    (target / "stale.onnx").write_bytes(b"old")
    assert export.main(["--model", str(checkpoint), "--out", str(target), "--force", "--skip-self-check"]) == 0
    assert (target / "README.md").read_text() == "a model card"
    assert not (target / "stale.onnx").exists()
    assert sorted(p.name for p in target.iterdir()) == sorted([*(p.name for p in gqa_bundle.iterdir()), "README.md"])


def test_a_full_disk_is_noticed_before_writing(checkpoint, tmp_path, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda _: usage(10, 9, 1))
    error = run(capsys, "--model", checkpoint, "--out", tmp_path / "out")
    assert "GB free" in error and "--dtype f16" in error
    assert not list(tmp_path.iterdir())


def test_a_processor_of_another_model_is_refused(checkpoint, tmp_path, capsys):
    folder = with_config(checkpoint, tmp_path / "other", lambda c: c.update(image_token_index=7))
    assert "image token '<image>' has id 3" in run(capsys, "--model", folder, "--out", tmp_path / "out")


def test_weights_that_f16_cannot_hold_are_refused(checkpoint):
    source = spec.load(str(checkpoint), torch.float32)
    source.language_model.layers[0].mlp.up_proj.weight[0, 0] = 1e6
    from vlmscope_export.blocks import to_numpy

    with pytest.raises(ExportError, match="f16 cannot hold"):
        to_numpy(source.language_model.layers[0].mlp.up_proj.weight, "f16", "up")


def test_quantised_weights_are_refused(checkpoint):
    source = spec.load(str(checkpoint), torch.float32)
    layer = source.language_model.layers[0].mlp
    layer.up_proj.weight = torch.nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedArchitecture, match="int8"):
        spec.describe(source.model, source.processor, "quantised")


@pytest.mark.parametrize("file", ["decoder.data", "vision.data", "embed.data"])
def test_the_self_check_notices_wrong_weights(checkpoint, gqa_bundle, tmp_path, file):
    broken = tmp_path / "broken"
    shutil.copytree(gqa_bundle, broken)
    weights = np.fromfile(broken / file, np.float32)
    middle = len(weights) // 2
    weights[middle : middle + 64] += 0.5
    weights.tofile(broken / file)
    results = selfcheck.SelfCheck(broken, spec.load(str(checkpoint), torch.float32)).run()
    assert any(not r.passed for r in results)
    assert "FAILED" in selfcheck.table(results)


def test_a_failed_self_check_keeps_no_bundle(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(selfcheck.TOLERANCES, "f32", dict.fromkeys(("state", "attention", "relevancy"), (1e-12, 0)))
    error = run(capsys, "--model", checkpoint, "--out", tmp_path / "out")
    assert "disagrees with PyTorch" in error
    assert not list(tmp_path.iterdir())


def test_no_absolute_path_reaches_the_manifest(gqa_bundle):
    text = (gqa_bundle / "manifest.json").read_text()
    assert json.loads(text)["source"] == "small-gqa"
    assert str(gqa_bundle.parent) not in text and "/tmp" not in text
