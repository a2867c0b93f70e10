"""Every supported family passes the self-check, and its bundle is what the schema and the manifest say."""

import hashlib
import json
from pathlib import Path

import jsonschema
import onnx
import pytest
from fixtures import models
from transformers import CLIPVisionConfig, LlamaConfig, SiglipVisionConfig

SCHEMA = json.loads((Path(__file__).resolve().parents[1] / "manifest.schema.json").read_text())


def small_vision(kind=CLIPVisionConfig, **more):
    return kind(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
        **more,
    )


def small_llama(**more):
    common = dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=128
    )
    return LlamaConfig(**common, **more)


def tied_yarn(folder):
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 32}
    text = small_llama(rope_parameters=rope, tie_word_embeddings=True)
    return models.random_llava(text, small_vision(), folder, seed=1)


def llama3_rope(folder):
    rope = {
        "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }  # fmt: skip
    return models.random_llava(small_llama(rope_parameters=rope), small_vision(), folder, seed=2)


def dynamic_rope(folder):
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    return models.random_llava(small_llama(rope_parameters=rope, mlp_bias=True), small_vision(), folder, seed=3)


def siglip(folder):
    model, processor = models.random_llava(
        small_llama(), small_vision(SiglipVisionConfig), folder, seed=4, vision_feature_select_strategy="full"
    )
    processor.vision_feature_select_strategy, processor.num_additional_image_tokens = "full", 0
    return model, processor


def class_token_kept(folder):
    """The class token reaches the language model, and the features are the last layer's."""
    model, processor = models.random_llava(
        small_llama(), small_vision(), folder, seed=5, vision_feature_select_strategy="full", vision_feature_layer=-1
    )
    processor.vision_feature_select_strategy = "full"
    return model, processor


FAMILIES = {
    "gqa": (models.gqa, "f32"),
    "gqa-f16": (models.gqa, "f16"),
    "gemma": (models.gemma, "f32"),
    "gemma-f16": (models.gemma, "f16"),
    "mistral-sliding-window": (models.mistral, "f32"),
    "mistral-f16": (models.mistral, "f16"),
    "tied-yarn": (tied_yarn, "f32"),
    "llama3-rope": (llama3_rope, "f32"),
    "dynamic-rope": (dynamic_rope, "f32"),
    "siglip": (siglip, "f32"),
    "class-token-kept": (class_token_kept, "f32"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, processor_folder, tmp_path):
    build, dtype = FAMILIES[family]
    model, processor = build(processor_folder)
    bundle = tmp_path / family
    models.export_random(model, processor, bundle, family, dtype)  # raises if the self-check fails
    manifest = json.loads((bundle / "manifest.json").read_text())
    jsonschema.validate(manifest, SCHEMA)
    assert {p.name for p in bundle.iterdir()} == {"manifest.json", *manifest["files"]}
    for name, entry in manifest["files"].items():
        data = (bundle / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])
    for graph in manifest["graphs"].values():
        onnx.checker.check_model(str(bundle / graph["file"]))
        proto = onnx.load(str(bundle / graph["file"]), load_external_data=False).graph
        assert [i.name for i in proto.input] == [i["name"] for i in graph["inputs"]]
        assert [o.name for o in proto.output] == [o["name"] for o in graph["outputs"]]


def test_tied_weights_are_stored_once(processor_folder, tmp_path):
    model, processor = tied_yarn(processor_folder)
    models.export_random(model, processor, tmp_path / "tied", "tied", self_check=False)
    manifest = json.loads((tmp_path / "tied" / "manifest.json").read_text())
    assert manifest["graphs"]["decoder"]["data"] == ["decoder.data", "embed.data"]
    weights = sum(f["bytes"] for f in manifest["files"].values() if f["role"] == "weights")
    assert weights < 4 * sum(p.numel() for p in model.parameters()) * 1.05


def test_the_prompt_section_follows_the_template(processor_folder, tmp_path):
    from vlmscope_export import manifest, spec

    parts = manifest.prompt_section(spec.describe(*models.mistral(processor_folder), "parts"))
    assert (parts["message_content"], parts["add_special_tokens"]) == ("parts", True)
    assert "generation %}" not in parts["chat_template"] and "{%- if true -%}" in parts["chat_template"]
    string = manifest.prompt_section(spec.describe(*models.gqa(processor_folder), "string"))
    assert (string["message_content"], string["add_special_tokens"]) == ("string", False)
    none = manifest.prompt_section(spec.describe(*models.gemma(processor_folder), "none"))
    assert none["chat_template"] is None and none["fallback_system"]


def test_plain_jinja_renders_the_same_text():
    """transformers' generation tags, with every kind of white-space control, against the replacement in plain Jinja."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from transformers.utils.chat_template_utils import _compile_jinja_template

    from vlmscope_export.manifest import plain_jinja

    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    for left, right in (("", ""), ("-", "-"), ("-", ""), ("", "-")):
        template = f"a \n  {{%{left} generation {right}%}} \n x \n  {{%{left} endgeneration {right}%}} \n b"
        assert plain.from_string(plain_jinja(template)).render() == _compile_jinja_template(template).render()
