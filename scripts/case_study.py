#!/usr/bin/env python3
"""The case study of docs/case-study.md: its figures and its numbers, by driving vlmscope alone.

    python scripts/case_study.py --vlmscope target/vlmscope --work /tmp/case     about five minutes

Writes docs/case-study/*.png and docs/case-study/numbers.json. Scenes are held out: training drew none of them. Needs numpy, Pillow and safetensors.
Answers that are there already are kept, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
from safetensors import safe_open

from tiny.heldout import examples
from tiny.make_eval_set import describe

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "case-study"
SEED = 77
# Hue turns of the red balloon of sample:1.
HUES = {"red": None, "yellow": 60, "green": 120, "blue": 240, "purple": 280}
BALLOON = {"x": 370, "y": 16, "width": 142, "height": 204}
OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}


class Tool:
    """The program, and where its files go."""

    def __init__(self, program: Path, work: Path) -> None:
        self.program, self.work = program, work
        work.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: object) -> str:
        command = [str(self.program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.work, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        return done.stdout

    def batch(self, name: str, lines: list[dict], *more: str) -> dict[str, Path]:
        """Asks all lines in one process; returns the traces by id."""
        path = self.work / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.run("ask", "--batch", path, "--out", self.work / name, "--no-overlay", *more)
        return {line["id"]: self.work / name / f"{line['id']}.vlmtrace" for line in lines}


def meta_of(trace: Path) -> dict:
    with safe_open(trace, "np") as file:
        return json.loads(file.metadata()["vlmtrace"])


def relevancy(trace: Path, word: re.Pattern) -> dict[str, float]:
    """Relevancy of the first answer token that `word` matches: of the picture and of the question's words, sums and maxima."""
    with safe_open(trace, "np") as file:
        meta = json.loads(file.metadata()["vlmtrace"])
        rows = file.get_tensor("relevancy.llm")
    prompt, span = meta["prompt_len"], meta["spans"][0]
    answer = [token["text"].replace("▁", "") for token in meta["tokens"][prompt:]]
    row = rows[next(i for i, text in enumerate(answer) if word.search(text))]
    end = span["first"] + span["rows"] * span["columns"]
    words = [i for i in range(end, prompt) if meta["tokens"][i]["kind"] == "question" and meta["tokens"][i]["word"] is not None]
    picture, text = row[span["first"] : end], row[words]
    return {
        "picture_max": float(picture.max()),
        "word_max": float(text.max()),
        "picture_share": float(picture.sum() / (picture.sum() + text.sum())),
    }


def edits(size: tuple[int, int], step: dict) -> str:
    """A file with one step, as TOML (JSON's inline forms of numbers and strings are TOML's)."""

    def inline(value: object) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {inline(item)}" for key, item in value.items()) + " }"
        return json.dumps(value)

    lines = [f"{key} = {inline(value)}" for key, value in step.items()]
    return "\n".join(["version = 1", f"size = [{size[0]}, {size[1]}]", "[[step]]", *lines, ""])


def rectangle(box: dict) -> dict:
    return {"outline": {"shape": "rectangle", "rect": box}}


def recolour(tool: Tool) -> dict:
    """The paper's first finding: the answer follows the colour, and the picture outweighs the question."""
    found, question = {}, "What colour is the balloon?"
    for name, hue in HUES.items():
        trace = tool.work / f"balloon-{name}.vlmtrace"
        more: list[object] = []
        if hue is not None:
            like = {"colour": [222, 36, 40], "tolerance": 30}
            step = {"tool": "adjust", "by": {"hue": hue}, "area": rectangle(BALLOON) | {"like": like}}
            path = tool.work / f"balloon-{name}.toml"
            path.write_text(edits((640, 480), step))
            more = ["--edit", path]
        tool.run("ask", "sample:1", question, "--no-overlay", "--relevancy", "llm", "--out", trace, *more)
        answer = meta_of(trace)["answer"]
        colour = re.compile("|".join(HUES))
        found[name] = {"answer": answer} | relevancy(trace, colour)
    first = tool.work / "balloon-red.vlmtrace"
    for name in ("red", "blue"):
        render(tool, f"balloon-{name}", tool.work / f"balloon-{name}.vlmtrace", "--view", "relevancy", "--token", 3)
    scored = tool.work / "balloon-blue-scored.vlmtrace"
    difference = json.loads(tool.run("diff", first, tool.work / "balloon-blue.vlmtrace", "--json", "--out", scored))
    found["blue"]["delta_logprob_of_red"] = difference["delta_logprob"]
    found["blue"]["moved_most"] = difference["heads"][0]
    render(tool, "balloon-difference", first, "--view", "diff", "--second-trace", scored, "--token", 3)
    tool.run("occlusion", first)
    render(tool, "balloon-occlusion", first, "--map", "map.occlusion", "--token", 3)
    return found


def render(tool: Tool, name: str, trace: Path, *arguments: object) -> None:
    tool.run("render", trace, *arguments, "--size", "960x600", "--out", OUT / f"{name}.png")


def scenes(tool: Tool, count: int) -> list[dict]:
    """Held-out scenes with their pictures written."""
    told = []
    for index, example in enumerate(examples(SEED, count, 6)):
        path = tool.work / f"{index:04d}.png"
        if not path.exists():
            example.picture().save(path)
        told.append(describe(example, path.name))
    return told


def elsewhere(scene: dict, box: list[int], rng: np.random.Generator) -> dict | None:
    """A rectangle of the box's size that touches no object, in what the model sees (the centre square); None if there is no room."""
    width, height = box[2] - box[0], box[3] - box[1]
    side = min(scene["width"], scene["height"])
    left, top = (scene["width"] - side) // 2, (scene["height"] - side) // 2
    for _ in range(400):
        if side <= width or side <= height:
            return None
        x, y = left + int(rng.integers(side - width)), top + int(rng.integers(side - height))
        apart = (x + width <= b[0] or b[2] <= x or y + height <= b[1] or b[3] <= y for b in (o["box"] for o in scene["boxes"]))
        if all(apart):
            return {"x": x, "y": y, "width": width, "height": height}
    return None


def erase(tool: Tool, told: list[dict]) -> dict:
    """An edit outside of a question's object leaves the answer, an edit that erases it changes it."""
    rng = np.random.default_rng(SEED)
    lines, kinds = [], {}
    for scene in told:
        size = (scene["width"], scene["height"])
        picked = [
            q for q in scene["questions"]
            if q["kind"] in ("exists", "colour", "where") and len(q["objects"]) == 1 and not q["answer"].startswith("No")
        ]
        for question in picked[:1]:
            box = scene["boxes"][question["objects"][0]]["box"]
            own = {"x": box[0], "y": box[1], "width": box[2] - box[0], "height": box[3] - box[1]}
            other = elsewhere(scene, box, rng)
            if other is None:
                continue
            stem = scene["file"].removesuffix(".png")
            for kind, place in (("erased", own), ("outside", other)):
                picture = tool.work / f"{stem}-{kind}.png"
                if not picture.exists():
                    path = tool.work / f"{stem}-{kind}.toml"
                    path.write_text(edits(size, {"tool": "fill", "with": {"kind": "mean"}, "area": rectangle(place)}))
                    tool.run("edit", scene["file"], path, "--out", picture)
                lines.append({"picture": picture.name, "question": question["text"], "id": f"{stem}-{kind}"})
            lines.append({"picture": scene["file"], "question": question["text"], "id": f"{stem}-original"})
            kinds[stem] = question
    traces = tool.batch("erase", lines)
    answers = {name: meta_of(trace)["answer"] for name, trace in traces.items()}
    table: dict[str, Counter] = {}
    for stem, question in kinds.items():
        before = answers[f"{stem}-original"]
        if before != question["answer"]:
            continue  # only answers that were right to begin with
        for name in (question["kind"], "all"):
            counts = table.setdefault(name, Counter())
            counts["questions"] += 1
            counts["outside_leaves"] += answers[f"{stem}-outside"] == before
            counts["erased_changes"] += answers[f"{stem}-erased"] != before
    return {name: dict(counts) for name, counts in sorted(table.items())}


def leading(tool: Tool, told: list[dict]) -> dict:
    """The paper's second finding: does a question get its own yes? Opposite questions about the same two things."""
    pattern = re.compile(r"^is the ((?:(?! or ).)+?) (?:to the )?(above|below|left of|right of) the (.+?)\??$", re.IGNORECASE)
    lines = []
    for scene in told:
        for question in scene["questions"]:
            match = pattern.match(question["text"]) if question["kind"] == "relation" else None
            if match is None:
                continue
            a, word, b = match[1], match[2].lower(), match[3]
            stem = scene["file"].removesuffix(".png")
            for name, relation in (("said", word), ("opposite", OPPOSITE[word])):
                text = f"Is the {a} {relation} the {b}?"
                lines.append({"picture": scene["file"], "question": text, "id": f"{stem}-{name}"})
            break
    traces = tool.batch("leading", lines, "--relevancy", "llm")
    counts, share = Counter(), {"consistent": [], "both_the_same": []}
    example = None
    for name, trace in traces.items():
        if not name.endswith("-said"):
            continue
        other = traces[name.replace("-said", "-opposite")]
        first, second = (meta_of(path)["answer"].split(",")[0] for path in (trace, other))
        if {first, second} - {"Yes", "No"}:
            counts["something_else"] += 1
            continue
        kind = "consistent" if first != second else f"both_{first.lower()}"
        counts[kind] += 1
        group = "consistent" if first != second else "both_the_same"
        share[group] += [relevancy(path, re.compile("Yes|No"))["picture_share"] for path in (trace, other)]
        if kind == "both_yes" and example is None:
            example = name
    found: dict = dict(counts) | {
        f"picture_share_{group}": float(np.mean(values)) for group, values in share.items() if values
    }
    shown = example or next(name for name in traces if name.endswith("-said"))
    for name in (shown, shown.replace("-said", "-opposite")):
        render(tool, f"relation-{name.split('-')[1]}", traces[name], "--view", "relevancy", "--token", 0)
        meta = meta_of(traces[name])
        found[f"example_{name.split('-')[1]}"] = {"question": meta["question"], "answer": meta["answer"]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlmscope", type=Path, default=ROOT / "target" / "release" / "vlmscope")
    parser.add_argument("--work", type=Path, required=True, help="a folder for pictures and traces")
    parser.add_argument("--count", type=int, default=400, help="how many held-out scenes")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    tool = Tool(options.vlmscope.resolve(), options.work.resolve())
    numbers: dict = {"seed": SEED, "scenes": options.count, "recolour": recolour(tool)}
    told = scenes(tool, options.count)
    numbers |= {"erase": erase(tool, told), "leading": leading(tool, told)}
    (OUT / "numbers.json").write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")
    print(json.dumps(numbers, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
