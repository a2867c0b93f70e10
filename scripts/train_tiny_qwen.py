#!/usr/bin/env python3
"""Train the second model, a tiny Qwen3-VL: `python scripts/train_tiny_qwen.py --out DIR`. About an hour on one CPU core.

Starts from the first model's weights (onnx/tiny/checkpoint) where shapes allow, composes its own data, evaluates on fresh scenes
and leaves DIR/checkpoint (float16 safetensors and processor) with DIR/metrics.json. Interrupted? The same command with --resume
goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

from tiny.evaluate import write_json
from tiny.qwen.evaluate import NUMBERS, evaluate
from tiny.qwen.train import Plan, Trainer, write_checkpoint
from tiny.training import LARGE_HEAP


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, snapshots and results")
    parser.add_argument("--minutes", type=float, help=f"length of the training (default {Plan.minutes:g})")
    parser.add_argument("--resume", action="store_true", help="go on from DIR's checkpoint")
    parser.add_argument(
        "--smoke", action="store_true", help="a run of a few seconds that learns nothing: does every part work?"
    )
    return parser.parse_args()


def main() -> None:
    args = parse()
    if any(os.environ.get(name) != value for name, value in LARGE_HEAP.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | LARGE_HEAP)
    torch.set_num_threads(1)
    plan = Plan()
    if args.smoke:
        plan = replace(plan, minutes=0.1, warm_minutes=0.03, batch=3)
    if args.minutes:
        plan = replace(plan, minutes=args.minutes)
    trainer = Trainer(args.out, plan, args.resume)
    trainer.run()
    write_checkpoint(args.out / "snapshot", args.out / "checkpoint")
    torch.set_grad_enabled(False)
    results = evaluate(args.out / "checkpoint", 20 if args.smoke else 1_500, unrounded=args.out / "snapshot")
    write_json(args.out / "metrics.json", {"plan": asdict(plan), "steps": trainer.step, **results})
    shown = ", ".join(f"{name.replace('_', ' ')}: {results[name]['exact_match']:.3f}" for name in NUMBERS)
    print(f"{args.out / 'checkpoint'}: exact match {shown}; all figures in metrics.json")


if __name__ == "__main__":
    main()
