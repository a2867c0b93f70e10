#!/usr/bin/env python3
"""Score every method on held-out scenes of the built-in model and write the table of docs/methods.md.

    .venv/bin/python scripts/score_methods.py --vlmscope target/vlmscope --work out/methods

It makes scenes that training never drew, asks questions whose answer names a thing that the question does not name, keeps those
that are answered rightly, and runs `vlmscope score` on the word that names it. Each scene's scores are a file of their own: stop
it at any time (or give --seconds) and run it again to go on. The same seed gives the same scenes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
METHODS = "attention,no-bos,no-sinks,heads,rollout,relative,grad-attention,llm,vit,all"
BEGIN, END = "<!-- table: written by scripts/score_methods.py -->", "<!-- end of table -->"
RESAMPLES = 2_000


def make_scenes(work: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """Twice as many scenes as are needed: not every one has a fitting question, nor every answer is right."""
    scenes = work / "scenes"
    if not (scenes / "scenes.jsonl").exists():
        command = [sys.executable, "-m", "tiny.make_eval_set", "--count", str(2 * count), "--seed", str(seed)]
        subprocess.run([*command, "--questions", "6", "--out", str(scenes.resolve())], cwd=ROOT / "scripts", check=True)
    return [json.loads(line) for line in (scenes / "scenes.jsonl").read_text().splitlines()]


def fitting(scene: dict[str, Any]) -> dict[str, Any] | None:
    """The first question whose answer names one thing, by a word that the question does not hold."""
    for question in scene["questions"]:
        words = [word.strip(".,?!").lower() for word in question["answer"].split()]
        asked = question["text"].lower()
        for index in question["objects"]:
            noun = scene["boxes"][index]["noun"]
            same = [box for box in scene["boxes"] if box["noun"] == noun]
            if noun in words and noun not in asked and len(same) == 1:
                return {"question": question, "noun": noun, "box": scene["boxes"][index]["box"]}
    return None


def ask(args: argparse.Namespace, scenes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Asks one question a scene; the answers by the scene's name."""
    chosen, lines = {}, []
    for scene in scenes:
        if found := fitting(scene):
            name = Path(scene["file"]).stem
            chosen[name] = {**found, "width": scene["width"], "height": scene["height"]}
            picture = str((args.work / "scenes" / scene["file"]).resolve())
            lines.append(json.dumps({"id": name, "picture": picture, "question": found["question"]["text"]}))
    batch, traces = args.work / "questions.jsonl", args.work / "traces"
    batch.write_text("\n".join(lines) + "\n")
    command = [args.vlmscope, "ask", "--batch", str(batch), "--out", str(traces), "--no-overlay", "--threads", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return chosen


def answer_of(vlmscope: str, trace: Path) -> str:
    shown = subprocess.run([vlmscope, "inspect", str(trace), "--json"], check=True, capture_output=True, text=True)
    return json.loads(shown.stdout)["answer"]


def score(args: argparse.Namespace, chosen: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores of the first `count` right answers; fewer when the time is up."""
    folder, stop = args.work / "scores", time.monotonic() + args.seconds
    folder.mkdir(exist_ok=True)
    results: list[dict[str, Any]] = []
    for name, scene in chosen.items():
        if len(results) == args.count:
            break
        file, trace = folder / f"{name}.json", args.work / "traces" / f"{name}.vlmtrace"
        if not file.exists():
            if time.monotonic() > stop:
                break
            content: dict[str, Any] = {"right": answer_of(args.vlmscope, trace) == scene["question"]["answer"]}
            if content["right"]:
                boxes = args.work / "boxes.json"
                box = {"noun": scene["noun"], "box": scene["box"]}
                boxes.write_text(json.dumps({"width": scene["width"], "height": scene["height"], "boxes": [box]}))
                command = [args.vlmscope, "score", str(trace), "--word", scene["noun"], "--boxes", str(boxes)]
                command += ["--method", METHODS, "--fill", args.fill, "--steps", str(args.steps), "--threads", "1"]
                command += ["--seed", name.lstrip("0") or "0", "--json"]
                content.update(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            part = file.with_suffix(".part")
            part.write_text(json.dumps(content))
            part.replace(file)
        content = json.loads(file.read_text())
        if content["right"]:
            results.append(content)
    return results


def numbers(results: list[dict[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    """For each method [scenes] of every number, the control last."""
    by_method: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for entry in result["methods"]:
            lists = by_method.setdefault(entry["title"], {"hit": [], "energy": []})
            for curve in entry["curves"]:
                for kind in ("deletion", "insertion"):
                    lists.setdefault(f"{kind} {curve['fill']}", []).append(curve[kind]["auc"])
            lists["hit"].append(float(entry["pointing"]["hit"]))
            lists["energy"].append(entry["pointing"]["energy_in_box"] or 0.0)
    return {title: {key: np.array(values) for key, values in lists.items()} for title, lists in by_method.items()}


def interval(values: np.ndarray) -> float:
    """Half the width of the 95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(high - low) / 2


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: one line a method."""
    found = numbers(results)
    control = list(found.values())[-1]
    fills = [curve["fill"] for curve in results[0]["methods"][0]["curves"]]
    head, rule = ["method"], ["---"]
    for fill in fills:
        head += [f"deletion ↓ ({fill})", f"insertion ↑ ({fill})", "better than random"]
    head += ["pointing ↑", "energy in box ↑"]
    rule += ["---:"] * (len(head) - 1)
    lines = [head, rule]
    for title, lists in found.items():
        line = [title]
        for fill in fills:
            deletion, insertion = lists[f"deletion {fill}"], lists[f"insertion {fill}"]
            wins = (deletion < control[f"deletion {fill}"]) & (insertion > control[f"insertion {fill}"])
            both = "–" if lists is control else f"{wins.mean():.0%}"
            line += [f"{values.mean():.3f} ± {interval(values):.3f}" for values in (deletion, insertion)] + [both]
        hit, energy = lists["hit"], lists["energy"]
        lines.append([*line, f"{hit.mean():.0%} ± {interval(hit):.0%}", f"{energy.mean():.0%} ± {interval(energy):.0%}"])
    chance = np.mean([result["methods"][0]["pointing"]["chance"] for result in results])
    whole = np.mean([result["p"] for result in results])
    blank = ", ".join(
        f"{np.mean([result['p_blank'][index]['p'] for result in results]):.3f} ({fill})" for index, fill in enumerate(fills)
    )
    points = len(results[0]["methods"][0]["curves"][0]["deletion"]["points"]) - 1
    about = (
        f"{len(results)} scenes, curves of {points} steps; mean ± half of the 95 % interval over scenes. The word's mean "
        f"probability is {whole:.3f} with the whole picture and {blank} with every patch blanked; its box covers {chance:.0%} of "
        "the picture. *Better than random* counts the scenes in which both curves beat the random map's."
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlmscope", required=True, help="the program")
    parser.add_argument("--work", type=Path, required=True, help="where scenes, traces and scores are kept")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--fill", default="mean", choices=["mean", "blur", "both"])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop starting new scenes after this long")
    parser.add_argument("--partial", action="store_true", help="write the table although scenes are missing; it says how many")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "methods.md")
    args = parser.parse_args()
    args.vlmscope = str(Path(args.vlmscope).resolve())
    args.work.mkdir(parents=True, exist_ok=True)
    chosen = ask(args, make_scenes(args.work, args.seed, args.count))
    results = score(args, chosen)
    print(f"{len(results)} of {args.count} scenes are scored")
    if len(results) < args.count and not (args.partial and results):
        raise SystemExit("run it again to go on")
    before, rest = args.out.read_text().split(BEGIN)
    after = rest.split(END)[1]
    args.out.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")


if __name__ == "__main__":
    main()
