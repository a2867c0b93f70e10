#!/usr/bin/env python3
"""Train the built-in model: `python scripts/train_tiny.py --out DIR`. About an hour on two idle CPU cores.

Composes its own data, trains, evaluates on fresh scenes and leaves DIR/checkpoint (float16 safetensors and processor) with
DIR/metrics.json. Interrupted? The same command with --resume goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import torch

from tiny.evaluate import evaluate, write_json
from tiny.train import Plan, train, write_checkpoint


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, snapshots and results")
    parser.add_argument("--steps", type=int, help=f"joint training steps (default {Plan.joint_steps})")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--resume", action="store_true", help="go on from DIR's checkpoint")
    parser.add_argument(
        "--smoke", action="store_true", help="a run of about a minute that learns nothing: does every part work?"
    )
    return parser.parse_args()


def main() -> None:
    args = parse()
    plan = Plan(seed=args.seed)
    if args.smoke:
        plan = replace(plan, warm_steps=4, joint_steps=6, warm_batch=4, joint_batch=4)
    if args.steps:
        plan = replace(plan, joint_steps=args.steps)
    train(args.out, plan, args.resume)
    write_checkpoint(args.out / "snapshot", args.out / "checkpoint")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    results = evaluate(args.out / "checkpoint", 40 if args.smoke else 3_000, unrounded=args.out / "snapshot")
    write_json(args.out / "metrics.json", {"plan": asdict(plan), **results})
    print(
        f"{args.out / 'checkpoint'}: exact match {results['accuracy']['exact_match']:.3f}; all figures in metrics.json"
    )


if __name__ == "__main__":
    main()
