"""Write held-out scenes as files: `python -m tiny.make_eval_set --count 50 --seed 1 --out DIR` in scripts/.

DIR/NNNN.png and DIR/scenes.jsonl, one line a picture: {file, width, height, background, boxes: [{label, noun, colour, box}],
questions: [{kind, text, answer, objects}]}. Boxes are left, top, right, bottom in pixels of the file; `objects` are the indices
of the boxes that the answer is about. The same seed gives the same files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tiny.heldout import Example, examples
from tiny.questions import MARK, plain
from tiny.scenes import pixel_box


def describe(example: Example, file: str) -> dict[str, Any]:
    """One line of scenes.jsonl."""
    boxes = [
        {"label": t.label, "noun": t.noun, "colour": t.colour, "box": pixel_box(t, example.width, example.height)}
        for t in example.scene.things
    ]
    questions = [
        {
            "kind": question.kind,
            "text": text,
            "answer": plain(question.answer),
            "objects": sorted({int(i) for mark in MARK.findall(question.answer) for i in mark.split("+")}),
        }
        for question, text in zip(example.questions, example.texts, strict=True)
    ]
    return {
        "file": file,
        "width": example.width,
        "height": example.height,
        "background": example.scene.background,
        "boxes": boxes,
        "questions": questions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="how many scenes")
    parser.add_argument("--questions", type=int, default=3, help="how many questions a scene, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, example in enumerate(examples(args.seed, args.count, args.questions)):
        name = f"{index:04d}.png"
        example.picture().save(args.out / name, optimize=True)
        lines.append(json.dumps(describe(example, name), ensure_ascii=False))
    part = args.out / "scenes.jsonl.part"
    part.write_text("\n".join(lines) + "\n")
    part.replace(args.out / "scenes.jsonl")
    print(f"{args.out}: {len(lines)} scenes")


if __name__ == "__main__":
    main()
