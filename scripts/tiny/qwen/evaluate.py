"""Measure the tiny Qwen3-VL on fresh scenes: `python -m tiny.qwen.evaluate --model DIR --out metrics.json` in scripts/.

Exact match per question kind with one and with two pictures, where it looks, and what rounding to float16 costs. One thread.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from tiny.answering import Answerer
from tiny.evaluate import EVALUATION_SEED, accuracy, ask_all, localisation, rounding, write_json
from tiny.questions import plain
from tiny.qwen.heldout import grid_examples

NUMBERS = {"one_picture": 1, "two_pictures": 2}


def evaluate(
    folder: Path, questions: int = 1_500, seed: int = EVALUATION_SEED, unrounded: Path | None = None
) -> dict[str, Any]:
    """All figures of the model card: `questions` about one picture and as many about two."""
    answerer = Answerer(folder)
    asked = {
        name: ask_all(answerer, grid_examples(seed, questions, number), questions) for name, number in NUMBERS.items()
    }
    results: dict[str, Any] = {"seed": seed, "parameters": answerer.model.num_parameters()}
    for name, found in asked.items():
        results[name] = accuracy(found)
        print(f"{name}: accuracy {results[name]['exact_match']:.3f} over {len(found)} questions", flush=True)
    everything = [one for found in asked.values() for one in found]
    results["wrong"] = [
        {"kind": o.kind, "question": o.text, "said": o.said, "expected": plain(o.marked_answer)}
        for found in asked.values()
        for o in [one for one in found if not one.right][:15]
    ]
    if unrounded is not None:
        results["rounding"] = rounding(Answerer(unrounded), everything[:: max(1, len(everything) // 300)])
    eager = Answerer(folder, attention="eager")
    results["localisation"] = {
        name: localisation(eager, found, max(8, questions // 8)) for name, found in asked.items()
    }
    print(f"localisation {results['localisation']}", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder with config.json, model.safetensors and the processor"
    )
    parser.add_argument(
        "--unrounded", type=Path, help="the same model before rounding to float16, to measure what that costs"
    )
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--questions", type=int, default=1_500, help="about one picture, and as many about two")
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    results = evaluate(args.model, args.questions, args.seed, args.unrounded)
    print(json.dumps({name: results[name] for name in NUMBERS}, indent=1))
    if args.out:
        write_json(args.out, results)


if __name__ == "__main__":
    main()
