#!/usr/bin/env python3
"""Derives tests/fixtures from transformers: small bundles, preprocessing, token ids, and the numbers of whole runs.

    python scripts/make_fixtures.py             writes the bundle in onnx/tiny, tests/fixtures and its stamp
    python scripts/make_fixtures.py --check     derives everything again into a temporary folder and compares

Needs the packages of onnx/requirements.txt, and the built-in model's checkpoint in onnx/tiny/checkpoint. Files that hold no floats must come
out byte for byte; tensors may differ in the last bits from machine to machine (1e-5), and a bundle's weights not at all.
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
from safetensors.numpy import load_file, save_file

from fixtures import numbers, pictures, prompts, scenes
from fixtures.models import CHECKPOINT, REPOSITORY, SMALL_MODELS, SmallModel, export_random
from fixtures.reference import Reference
from fixtures_stamp import FIXTURES, stamp, write_stamp

QUESTIONS = ("What is on the left?", "Describe the picture.")
TOLERANCE = 1e-5
BUILTIN = REPOSITORY / "onnx" / "tiny"
BUILTIN_NAME = "vlmscope tiny"


def derive(out: Path, checkpoint: Path) -> None:
    """Writes everything under `out`."""
    torch.set_num_threads(1)
    parity = out / "parity"
    names = pictures.write_pictures(parity / "pictures")
    asked = scenes.write_scenes(parity / "scenes")
    _tiny(parity, checkpoint, names, asked)
    for small in SMALL_MODELS:
        _small(out, small, checkpoint, names)


def derive_builtin(out: Path, checkpoint: Path) -> None:
    """The built-in model's bundle, from its checkpoint."""
    from vlmscope_export import spec

    source = spec.load(str(checkpoint), torch.float32)
    export_random(source.model, source.processor, out, BUILTIN_NAME)


def builtin_differences(derived: Path) -> list[str]:
    """What differs between the committed built-in bundle and a fresh one."""
    found = []
    for path in sorted(derived.iterdir()):
        committed = BUILTIN / path.name
        if not committed.exists():
            found.append(f"onnx/tiny/{path.name}: not committed")
        elif path.suffix != ".json" and committed.read_bytes() != path.read_bytes():
            found.append(f"onnx/tiny/{path.name}: differs")
    return found


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


def _write(parity: Path, name: str, content: dict, tensors: dict[str, np.ndarray]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (parity / f"{name}.json").write_text(text, encoding="utf-8")
    save_file(dict(sorted(tensors.items())), parity / f"{name}.safetensors")


def differences(committed: Path, derived: Path) -> list[str]:
    """What differs between two fixture folders, in words."""
    files = {p.relative_to(root).as_posix() for root in (committed, derived) for p in root.rglob("*") if p.is_file()}
    found = []
    for name in sorted(files - {"STAMP", "README.md"}):
        old, new = committed / name, derived / name
        if not old.exists() or not new.exists():
            found.append(f"{name}: {'not derived any more' if old.exists() else 'not committed'}")
        elif name.endswith(".safetensors"):
            found += [f"{name}: {problem}" for problem in _tensor_differences(old, new)]
        elif name.endswith(".json") and "parity/" in name:
            if not _close(json.loads(old.read_text()), json.loads(new.read_text())):
                found.append(f"{name}: differs")
        elif name.endswith("manifest.json"):
            old_manifest, new_manifest = (json.loads(p.read_text()) for p in (old, new))
            if old_manifest | {"exporter": 0} != new_manifest | {"exporter": 0}:
                found.append(f"{name}: differs")
        elif old.read_bytes() != new.read_bytes():
            found.append(f"{name}: differs")
    return found


def _tensor_differences(old: Path, new: Path) -> list[str]:
    a, b = load_file(old), load_file(new)
    if a.keys() != b.keys():
        return [f"other tensors: {sorted(a.keys() ^ b.keys())}"]
    return [
        f"{key}: largest difference {np.abs(a[key] - b[key]).max():.1e}"
        if a[key].shape == b[key].shape
        else f"{key}: other shape"
        for key in a
        if a[key].shape != b[key].shape or not np.allclose(a[key], b[key], rtol=TOLERANCE, atol=TOLERANCE)
    ]


def _close(a, b) -> bool:
    """Equal JSON up to the rounding of floats."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-4 * max(1.0, abs(a))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    return a == b


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="the built-in model's checkpoint")
    parser.add_argument(
        "--out", type=Path, default=FIXTURES, help="another folder to write to (no stamp is written there)"
    )
    options = parser.parse_args()
    if not (options.checkpoint / "config.json").is_file():
        print(f"error: {options.checkpoint} holds no checkpoint. Train it with scripts/train_tiny.py.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        derived = Path(folder)
        derive(derived, options.checkpoint)
        if options.check:
            derive_builtin(derived / "tiny", options.checkpoint)
            found = builtin_differences(derived / "tiny")
            shutil.rmtree(derived / "tiny")
            found += differences(options.out, derived)
            print("\n".join(found) if found else f"The fixtures are what {stamp()[:12]} derives.")
            return 1 if found else 0
        options.out.mkdir(parents=True, exist_ok=True)
        if options.out == FIXTURES and options.checkpoint == CHECKPOINT:
            derive_builtin(BUILTIN, options.checkpoint)
        for part in ("bundles", "parity"):
            shutil.rmtree(options.out / part, ignore_errors=True)
            shutil.move(derived / part, options.out / part)
    if options.out == FIXTURES:
        write_stamp()
    size = sum(
        p.stat().st_size for part in ("bundles", "parity") for p in (options.out / part).rglob("*") if p.is_file()
    )
    print(f"{options.out}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY / "scripts"))
    sys.exit(main())
