#!/usr/bin/env python3
"""Derives tests/fixtures from transformers: small bundles, preprocessing, token ids, and the numbers of whole runs.

    python scripts/make_fixtures.py             writes the bundle in onnx/tiny and tests/fixtures
    python scripts/make_fixtures.py --check     derives everything again into a temporary folder and compares

The stamp is written by scripts/test-exporter, once the tests of the exporter have passed too.

Needs the packages of onnx/requirements.txt, and the built-in model's checkpoint in onnx/tiny/checkpoint. Numbers may differ in the last bits from
machine to machine; everything else must come out the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from safetensors.numpy import save_file

from fixtures import compare, interventions, numbers, patching, pictures, prompts, scenes
from fixtures.models import CHECKPOINT, REPOSITORY, SMALL_MODELS, SmallModel, export_random
from fixtures.reference import Reference
from stamp import FIXTURES

QUESTIONS = ("What is on the left?", "Describe the picture.")
BUILTIN = REPOSITORY / "onnx" / "tiny"
BUILTIN_NAME = "vlmscope tiny"
# The folders of tests/fixtures that are derived here; tests/fixtures/traces is written once per format version.
PARTS = ("bundles", "parity")


def derive(out: Path, checkpoint: Path, sources: Path | None = None) -> None:
    """Writes everything under `out`. The pictures are drawn, or taken from the fixtures in `sources`: drawing them again may
    differ by a level on another processor, and they are what everything else is derived from."""
    torch.set_num_threads(1)
    parity = out / "parity"
    names = pictures.write_pictures(parity / "pictures")
    asked = scenes.write_scenes(parity / "scenes")
    if sources:
        for kind in ("pictures", "scenes"):
            shutil.copytree(sources / "parity" / kind, parity / kind, dirs_exist_ok=True)
    _tiny(parity, checkpoint, names, asked)
    for small in SMALL_MODELS:
        _small(out, small, checkpoint, names)


def derive_builtin(out: Path, checkpoint: Path) -> None:
    """The built-in model's bundle, from its checkpoint."""
    from vlmscope_export import spec

    source = spec.load(str(checkpoint), torch.float32)
    export_random(source.model, source.processor, out, BUILTIN_NAME)


def _tiny(parity: Path, checkpoint: Path, names: list[str], asked: list) -> None:
    from vlmscope_export import manifest, spec

    source = spec.load(str(checkpoint), torch.float32)
    reference = Reference(source.model, source.processor, manifest.prompt_section(source), parity)
    tensors: dict[str, np.ndarray] = {}
    first, second = (parity / "scenes" / asked[i * scenes.QUESTIONS][0] for i in (0, 1))
    question = asked[0][1]
    runs = [
        numbers.run_fixture(reference, "one_turn", first, "default", [question], tensors),
        numbers.run_fixture(reference, "two_turns", second, "default", [question, "A cat.", asked[6][1]], tensors),
        numbers.run_fixture(reference, "padded", parity / "pictures" / "rgba.png", "pad", [QUESTIONS[1]], tensors),
    ]
    sampling = numbers.sampling_fixtures(tensors["one_turn.logits"][0].copy(), tensors)
    content = {
        "model": "onnx/tiny",
        "tolerance": {"logits": 1e-4, "attention": [3e-6, 1e-3]},
        "preprocess": pictures.write_preprocessed(
            parity / "pictures", names, source.processor, pictures.MODES, parity / "seen-tiny"
        ),
        "prompts": prompts.prompt_fixtures(source.processor, reference.prompt),
        "runs": runs,
        "scored": [
            numbers.scored_fixture(reference, first, [question], runs[0]["answer"]),
            numbers.scored_fixture(reference, first, [question], "There is nothing."),
        ],
        "vision": numbers.vision_fixture(reference, "vision", first, tensors),
        "sampling": sampling,
        "scenes": scenes.scene_fixtures(reference, parity / "scenes", asked),
    }
    _write(parity, "tiny", content, tensors)
    _write_text(parity, "interventions-tiny", interventions.intervention_fixtures(reference, first, question))
    _write_text(parity, "patching-tiny", patching.patching_fixtures(reference, (first, second), question))


def _small(out: Path, small: SmallModel, checkpoint: Path, names: list[str]) -> None:
    from vlmscope_export import manifest, spec

    model, processor = small.build(checkpoint)
    if small.dtype == "f16":
        model = model.half().float()  # the bundle's weights exactly; only the arithmetic differs
    export_random(model, processor, out / "bundles" / small.name, small.name, small.dtype)
    parity = out / "parity"
    source = spec.describe(model, processor, small.name)
    reference = Reference(model, processor, manifest.prompt_section(source), parity)
    tensors: dict[str, np.ndarray] = {}
    picture = parity / "pictures" / "grey.png"
    runs = [
        numbers.run_fixture(reference, f"run{i}", picture, mode, [question], tensors)
        for i, (question, mode) in enumerate(zip(QUESTIONS, ("default", "pad"), strict=True))
    ]
    half = small.dtype == "f16"
    content = {
        "model": f"tests/fixtures/bundles/{small.name}",
        "tolerance": {"logits": 5e-2, "attention": [2e-3, 5e-2]}
        if half
        else {"logits": 1e-4, "attention": [3e-6, 1e-3]},
        "preprocess": pictures.write_preprocessed(
            parity / "pictures", names, processor, pictures.MODES[:1], parity / f"seen-{small.name}"
        ),
        "prompts": prompts.prompt_fixtures(processor, reference.prompt) | {"texts": [], "decoded": []},
        "runs": runs,
        "scored": [numbers.scored_fixture(reference, picture, [QUESTIONS[0]], "A cat.")],
        "vision": numbers.vision_fixture(reference, "vision", picture, tensors),
    }
    _write(parity, small.name, content, tensors)
    _write_text(
        parity,
        f"interventions-{small.name}",
        interventions.intervention_fixtures(reference, picture, QUESTIONS[0]),
    )
    pair = (picture, parity / "pictures" / "rgba.png")
    _write_text(parity, f"patching-{small.name}", patching.patching_fixtures(reference, pair, QUESTIONS[0]))


def _write_text(parity: Path, name: str, content: dict) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (parity / f"{name}.json").write_text(text, encoding="utf-8")


def _write(parity: Path, name: str, content: dict, tensors: dict[str, np.ndarray]) -> None:
    _write_text(parity, name, content)
    save_file(dict(sorted(tensors.items())), parity / f"{name}.safetensors")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the built-in model's checkpoint")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="another folder to write to")
    options = parser.parse_args()
    if not (options.checkpoint / "config.json").is_file():
        print(f"error: {options.checkpoint} holds no checkpoint. Train it with scripts/train_tiny.py.", file=sys.stderr)
        return 1
    is_default = options.out == FIXTURES and options.checkpoint == CHECKPOINT
    with tempfile.TemporaryDirectory() as folder:
        derived = Path(folder)
        derive(derived, options.checkpoint, options.out if options.check else None)
        if options.check:
            derive_builtin(derived / "tiny", options.checkpoint)
            found = compare.folders(BUILTIN, derived / "tiny", "onnx/tiny", ignore_extra=True)
            for part in PARTS:
                found += compare.folders(options.out / part, derived / part, part)
            print("\n".join(found) if found else "The fixtures are what transformers and the exporter derive.")
            return 1 if found else 0
        options.out.mkdir(parents=True, exist_ok=True)
        if is_default:
            derive_builtin(BUILTIN, options.checkpoint)
        for part in PARTS:
            shutil.rmtree(options.out / part, ignore_errors=True)
            shutil.move(derived / part, options.out / part)
    size = sum(p.stat().st_size for part in PARTS for p in (options.out / part).rglob("*") if p.is_file())
    print(f"{options.out}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
