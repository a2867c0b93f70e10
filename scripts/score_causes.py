#!/usr/bin/env python3
"""Mask the explanations of `vlmscope causal` on held-out scenes of the built-in model and write the table of docs/causes.md.

    .venv/bin/python scripts/score_causes.py --vlmscope target/vlmscope --work out/causes

The scenes and questions are those of score_methods.py: the answer names a thing that the question does not name, and is right. The
first token of the word that names it is explained, in the head of the last layer that looks at the picture most, and the explanation is
masked beside as many tokens of highest attention, of highest relevancy and at random. Each scene's result is a file of its own: stop it
at any time (or give --seconds) and run it again to go on. The same seed gives the same scenes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from score_methods import ask, interval, make_scenes

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- table: written by scripts/score_causes.py -->", "<!-- end of table -->"
KINDS = {
    "explanation": "CLEANN's explanation",
    "top-attention": "top attention, same head",
    "top-relevancy": "top relevancy (`llm`)",
    "equal-attention": "random, equal attention",
    "random": "random",
}


def token_of(shown: dict[str, Any], noun: str) -> int | None:
    """The first answer token of the word that spells `noun`."""
    tokens = shown["tokens"][shown["prompt_tokens"] :]
    words: dict[int, list[int]] = {}
    for index, token in enumerate(tokens):
        if token["word"] is not None:
            words.setdefault(token["word"], []).append(index)
    for members in words.values():
        text = "".join(tokens[index]["text"] for index in members)
        if text.strip("▁ .,?!").lower() == noun:
            return members[0]
    return None


def run_json(*command: str) -> dict[str, Any]:
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def masked(args: argparse.Namespace, mask: str, trace: Path, scene: dict[str, Any], seed: str) -> dict[str, Any]:
    """What masking did in one scene; `right` is false where the answer is wrong, `explained` where no head has an explanation."""
    shown = run_json(args.vlmscope, "inspect", str(trace), "--json")
    token = token_of(shown, scene["noun"])
    if shown["answer"] != scene["question"]["answer"] or token is None:
        return {"right": False}
    if "relevancy.llm" not in shown["maps"]:
        command = [args.vlmscope, "relevancy", str(trace), "--methods", "llm", "--threads", "1"]
        subprocess.run(command, check=True, capture_output=True)
    found = run_json(
        *[args.vlmscope, "causal", str(trace), "--token", str(token), f"--test={mask}", "--draws", str(args.draws)],
        *["--max-sets", str(args.max_sets), "--stability", "0", "--seed", seed, "--threads", "1", "--json"],
    )
    head = next((head for head in found["heads"] if "masking" in head), None)
    if head is None:
        return {"right": True, "explained": False}
    graph = {"nodes": len(head["graph"]["nodes"]), "edges": len(head["graph"]["edges"])}
    about = {"right": True, "explained": True, "range": found["parameters"]["range"], "head": head["head"], "graph": graph}
    return {**about, **head["masking"]}


def results(args: argparse.Namespace, mask: str, chosen: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of the first `count` right answers; fewer when the time is up."""
    folder, stop = args.work / f"masked-{mask}", time.monotonic() + args.seconds
    folder.mkdir(exist_ok=True)
    found: list[dict[str, Any]] = []
    for name, scene in chosen.items():
        if len(found) == args.count:
            break
        file, trace = folder / f"{name}.json", args.work / "traces" / f"{name}.vlmtrace"
        if not file.exists():
            if time.monotonic() > stop:
                break
            part = file.with_suffix(".part")
            part.write_text(json.dumps(masked(args, mask, trace, scene, name.lstrip("0") or "0")))
            part.replace(file)
        content = json.loads(file.read_text())
        if content["right"]:
            found.append(content)
    return found


def table(all_scenes: list[dict[str, Any]]) -> str:
    """Markdown: for each distance a line for each kind of set."""
    found = [scene for scene in all_scenes if scene["explained"]]
    head = ["within", "masked", "tokens", "attention", "answer token changes", "Δ log p (mean)"]
    lines = [head, ["---:", "---", "---:", "---:", "---:", "---:"]]
    for depth in range(1, found[0]["range"] + 1):
        # A graph that ends before has the same explanation from there on.
        at = [min(depth, max(entry["depth"] for entry in scene["sets"] if "depth" in entry)) for scene in found]
        for kind, title in KINDS.items():
            sets = [
                [entry for entry in scene["sets"] if entry["kind"] == kind and entry.get("depth") == scene_depth]
                for scene, scene_depth in zip(found, at, strict=True)
            ]
            if not all(sets):
                continue

            def mean(of: str, sets: list[list[dict[str, Any]]] = sets) -> np.ndarray:
                return np.array([np.mean([float(entry[of]) for entry in scene]) for scene in sets])

            size = np.mean([len(scene[0]["positions"]) for scene in sets])
            changes, delta = mean("changes_token"), mean("delta_logprob")
            lines.append(
                [
                    *[str(depth), title, f"{size:.1f}", f"{mean('attention').mean():.2f}"],
                    *[f"{changes.mean():.0%} ± {interval(changes):.0%}", f"{delta.mean():.2f} ± {interval(delta):.2f}"],
                ]
            )
    smallest = [[entry for entry in scene["sets"] if entry["kind"] == "smallest"] for scene in found]
    sizes = [len(parts[0]["positions"]) for parts in smallest if parts]
    complete = sum(scene["is_complete"] for scene in found)
    one = sum(size == 1 for size in sizes)
    about = (
        f"{len(found)} of {len(all_scenes)} scenes, those in which some head has an explanation, masked by `{found[0]['mask']}`; "
        "mean ± half of the 95 % interval over scenes. Graphs have "
        f"{np.mean([scene['graph']['nodes'] for scene in found]):.0f} nodes and "
        f"{np.mean([scene['graph']['edges'] for scene in found]):.0f} edges on average. In {len(sizes)} scenes a part of the explanation "
        f"that hangs together changes the token ({one} by a single token). All parts up to the smallest that does, or up to the whole "
        f"explanation, could be tried in {complete} scenes; {np.mean([scene['tried'] for scene in found]):.0f} parts were tried on average."
    )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n\n" + about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlmscope", required=True, help="the program")
    parser.add_argument("--work", type=Path, required=True, help="where scenes, traces and results are kept")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--masks", default="knock-text,blank-mean", help="ways to mask, separated by commas; a table each")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--max-sets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop starting new scenes after this long")
    parser.add_argument("--partial", action="store_true", help="write the table although scenes are missing; it says how many")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "causes.md")
    args = parser.parse_args()
    args.vlmscope = str(Path(args.vlmscope).resolve())
    args.work.mkdir(parents=True, exist_ok=True)
    chosen = ask(args, make_scenes(args.work, args.seed, args.count))
    tables = []
    for mask in args.masks.split(","):
        found = results(args, mask, chosen)
        print(f"{mask}: {len(found)} of {args.count} scenes are masked")
        if len(found) < args.count and not (args.partial and found):
            raise SystemExit("run it again to go on")
        tables.append(table(found))
    before, rest = args.out.read_text().split(BEGIN)
    after = rest.split(END)[1]
    written = "\n\n".join(tables)
    args.out.write_text(f"{before}{BEGIN}\n{written}\n{END}{after}")


if __name__ == "__main__":
    main()
