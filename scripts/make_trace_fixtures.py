#!/usr/bin/env python3
"""Writes the small traces of tests/fixtures/traces2, one for each kind that a reader must know, from random models.

    .venv-exporter/bin/python scripts/make_trace_fixtures.py            writes them
    .venv-exporter/bin/python scripts/make_trace_fixtures.py --check    derives them again and compares

expected.json holds what a reader should find: keys and rectangles of some patches, masses, and the density map of one token on the
original picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "python"), str(REPOSITORY / "python" / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import vlmscope  # noqa: E402
from conftest import picture  # noqa: E402
from random_models import BUILDERS  # noqa: E402

FOLDER = REPOSITORY / "tests" / "fixtures" / "traces2"
WIDE, TALL = (168, 112), (90, 150)
#: Numbers of a random model may differ in the last digits between processors.
WEIGHTS, NUMBERS, PIXELS = 8, 2e-3, 2


def frames(count: int) -> list:
    """Frames of a video."""
    return [picture((96, 64), 40 + number) for number in range(count)]


CASES = {
    "dynamic_grid": ("qwen2_5_vl", {"images": [picture(WIDE, 1)]}),
    "two_pictures": ("qwen3_vl", {"images": [picture(WIDE, 2), picture(TALL, 3)]}),
    "stride": ("llava_next", {"images": [picture(WIDE, 4)]}),
    "row_breaks": ("pixtral", {"images": [picture(TALL, 5)]}),
    "tiles": ("internvl", {"images": [picture((168, 84), 6)]}),
    "crops": ("gemma3", {"images": [picture((192, 80), 7)], "processor_options": {"do_pan_and_scan": True}}),
    "frames": ("qwen3_vl", {"videos": [frames(6)]}),
    "hybrid": ("qwen3_5", {"images": [picture(WIDE, 8)]}),
    "cross": ("mllama", {"images": [picture((100, 60), 9)]}),
    "unplaced": ("idefics2", {"images": [picture((64, 48), 10)]}),
}


def make(folder: Path) -> None:
    """Writes everything into a folder."""
    expected = {}
    for name, (model_name, given) in CASES.items():
        model, processor = BUILDERS[model_name]()
        trace = vlmscope.capture(model, processor, question="Is it a fox?", max_new_tokens=3, **given)
        meta = trace.meta
        meta.model.name = f"random {model_name}"
        meta.timings = dict.fromkeys(meta.timings, 0.0)
        meta.provenance = {"writer": "scripts/make_trace_fixtures.py", "created_unix": 0, "provider": "cpu"}
        meta.provenance |= {"runtime": "torch", "attention": "sdpa+rows", "dtype": "float32", "device": "cpu"}
        trace.save(folder / f"{name}.vlmtrace")
        expected[name] = facts(vlmscope.open(folder / f"{name}.vlmtrace"))
    lines = [f"{json.dumps(name)}: {json.dumps(found)}" for name, found in expected.items()]
    (folder / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def facts(trace) -> dict:
    """What a reader should find in a trace."""
    meta = trace.meta
    token = 1
    mean = np.nanmean(trace.attention(token), (0, 1))
    out = {
        "format_version": meta.format_version,
        "positions": meta.positions,
        "question_keys": meta.question_keys().tolist(),
        "separators": [position for position, token in enumerate(meta.tokens) if token.kind == "separator"],
        "attention_layers": meta.model.attention_layers,
        "token": token,
        "question_mass": float(mean[meta.question_keys()].sum()),
        "views": [],
        "pictures": [],
    }
    for view in meta.spans:
        row, column = view.rows - 1, view.columns // 2
        canvas = meta.canvases[view.canvas]
        rect = canvas.original_from_preprocessed.apply_rect(view.cell(row, column))
        keys = view.keys()
        out["views"].append(
            {
                "picture": canvas.picture,
                "mass": float(mean[keys].sum()),
                "patch": [row, column],
                "key": int(keys[row, column]),
                "original_rect": [rect.x, rect.y, rect.width, rect.height],
            }
        )
    for number in sorted({canvas.picture for canvas in meta.canvases}):
        size = next(canvas.original_size for canvas in meta.canvases if canvas.picture == number)
        density, outside = trace.density(token, picture=number, size=(12, 8))
        found = {"size": list(size), "outside": outside, "density_12x8": np.round(density, 7).tolist()}
        out["pictures"].append(found)
    return out


def differences(old: Path, new: Path) -> list[str]:
    """What differs between two folders of fixtures by more than rounding."""
    found = []
    for name in CASES:
        if not (old / f"{name}.vlmtrace").is_file():
            found.append(f"{name}: missing")
            continue
        left, right = (vlmscope.open(folder / f"{name}.vlmtrace") for folder in (old, new))
        for part in ("model", "tokens", "prompt_len", "spans", "canvases", "answer", "format_version"):
            if getattr(left.meta, part) != getattr(right.meta, part):
                found.append(f"{name}: {part} differs")
        if sorted(left.tensors) != sorted(right.tensors):
            found.append(f"{name}: other tensors")
            continue
        for tensor in left.tensors:
            a, b = left.tensor(tensor), right.tensor(tensor)
            limit = WEIGHTS if tensor == "attention.weights" else PIXELS if a.dtype == np.uint8 else NUMBERS
            if tensor.endswith((".original", "stats")):  # encoders differ; stats follow from the weights
                continue
            if a.shape != b.shape or np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0) > limit:
                found.append(f"{name}: {tensor} differs")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="derive the traces again and compare")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.check:
        FOLDER.mkdir(parents=True, exist_ok=True)
        make(FOLDER)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        found = differences(FOLDER, Path(folder))
    print("\n".join(found) if found else f"{len(CASES)} trace fixtures are the same as those that are derived again")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
