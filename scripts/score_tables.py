"""Answers held-out scenes into a table: which heads look at objects, and how well the numbers of a sample find wrong answers.

    .venv-tables/bin/python scripts/score_tables.py PROGRAM FOLDER [--scenes N] [--traces N]

FOLDER gets the scenes (`tiny.make_eval_set`), q.jsonl and scenes.parquet; with --traces also the traces of the first N questions and of
all wrong answers. A run that was stopped goes on. Needs numpy, pandas, pyarrow, pillow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas

ROOT = Path(__file__).resolve().parent.parent
DRAWS = 1000


def write_questions(folder: Path, count: int) -> None:
    """q.jsonl: every question of the scenes, with the expected answer and the boxes of the objects."""
    if not (folder / "scenes.jsonl").is_file():
        make = [sys.executable, "-m", "tiny.make_eval_set", "--count", str(count), "--seed", "1", "--out", str(folder)]
        subprocess.run(make, cwd=ROOT / "scripts", check=True)
    rows = []
    for line in (folder / "scenes.jsonl").read_text().splitlines():
        scene = json.loads(line)
        boxes = [{"noun": box["noun"], "box": box["box"]} for box in scene["boxes"]]
        for number, question in enumerate(scene["questions"]):
            row = {"id": f"{Path(scene['file']).stem}-{number}", "picture": scene["file"], "question": question["text"]}
            row |= {"expected": question["answer"], "rule": "exact", "category": question["kind"], "boxes": boxes}
            rows.append(row)
    (folder / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))


def auc(score: np.ndarray, is_wrong: np.ndarray) -> float:
    """The chance that a wrong answer has a larger score than a right one."""
    ranks = pandas.Series(score).rank().to_numpy()
    wrong = int(is_wrong.sum())
    return float((ranks[is_wrong].sum() - wrong * (wrong + 1) / 2) / (wrong * (len(score) - wrong)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--traces", type=int, default=0, metavar="N")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_questions(folder, args.scenes)
    batch = [args.program.resolve(), "ask", "--batch", "q.jsonl", "--table", "scenes.parquet", "--verdict"]
    # The second run asks only the wrong answers again, whose traces it keeps.
    keeps = [["--out", "traces", "--no-overlay", "--keep", keep] for keep in (str(args.traces), "wrong")] if args.traces else [[]]
    for keep in keeps:
        subprocess.run([*batch, *keep], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    samples = pandas.read_parquet(folder / "scenes.samples.parquet")
    heads = pandas.read_parquet(folder / "scenes.parquet", columns=["layer", "head", "inside"])
    is_wrong = ~samples.correct.to_numpy(bool)
    print(f"{len(samples)} questions, {is_wrong.sum()} wrong answers")
    print(samples.groupby("category").correct.agg(["mean", "size"]))
    print(heads.groupby(["layer", "head"]).inside.mean().sort_values(ascending=False).head(14))
    draw = np.random.default_rng(0)
    scores = {
        "log-probability, negated": -samples.logprob,
        "relevancy on the picture, negated": -samples.relevancy_share,
        "kept with a blank picture": samples.kept,
        "attention on the picture, negated": -samples.image_share,
    }
    for name, column in scores.items():
        score = column.to_numpy(float)
        chosen = [draw.integers(0, len(score), len(score)) for _ in range(DRAWS)]
        drawn = [auc(score[rows], is_wrong[rows]) for rows in chosen if 0 < is_wrong[rows].sum() < len(rows)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        print(f"{name}: AUC {auc(score, is_wrong):.3f} [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
