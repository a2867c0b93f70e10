"""Draw the sample pictures of the tiny Qwen3-VL, ask about them, and capture the attention of the answers as traces.

`python -m tiny.qwen.make_samples --model DIR --out onnx/tiny-qwen3-vl/samples` (in scripts/) writes one .vlmtrace a sample and
samples.json: [{file, title, question, answer, grids}]. It fails where the model's answer is not the right one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from tiny.answering import Answerer
from tiny.evaluate import write_json
from tiny.make_samples import OVERSAMPLING
from tiny.qwen.batches import extent_of
from tiny.scenes import Scene, draw_scene, thing_at

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "python"))

import vlmscope  # noqa: E402

NAME = "vlmscope-tiny-qwen3-vl"
#: Noun, colour, centre in units of the picture, longer side in units of the picture's shorter one.
Placed = tuple[str, str | None, tuple[float, float], float]


@dataclass(frozen=True)
class Drawing:
    """A picture of our own design."""

    file: str
    size: tuple[int, int]
    background: str
    seed: int
    things: tuple[Placed, ...]

    def draw(self) -> Image.Image:
        """The picture, drawn larger and reduced for smooth edges."""
        width, height = self.size
        extent = extent_of(height, width)
        things = tuple(thing_at(noun, colour, at, side, extent=extent) for noun, colour, at, side in self.things)
        scene = Scene(self.background, self.seed, things, (), extent)
        large = draw_scene(scene, width * OVERSAMPLING, height * OVERSAMPLING)
        return large.resize(self.size, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Sample:
    """Pictures, a question and its right answer."""

    file: str
    title: str
    pictures: tuple[Drawing, ...]
    question: str
    answer: str


WIDE = Drawing(
    "wide-beach.png",
    (672, 280),
    "beach",
    8_003,
    (
        ("umbrella", "yellow", (0.14, 0.36), 0.50),
        ("crab", None, (0.45, 0.77), 0.38),
        ("car", "blue", (0.83, 0.72), 0.48),
    ),
)
TALL = Drawing(
    "tall-night.png",
    (280, 672),
    "night",
    8_011,
    (("rocket", None, (0.5, 0.16), 0.50), ("balloon", "red", (0.27, 0.5), 0.40), ("owl", None, (0.72, 0.82), 0.46)),
)
MEADOW = Drawing(
    "meadow.png",
    (504, 336),
    "meadow",
    8_020,
    (("fox", None, (0.22, 0.72), 0.42), ("balloon", "red", (0.77, 0.27), 0.40)),
)
ROOM = Drawing(
    "room.png",
    (336, 504),
    "room",
    8_031,
    (("cat", None, (0.3, 0.8), 0.42), ("balloon", "blue", (0.72, 0.2), 0.42), ("book", "green", (0.74, 0.52), 0.36)),
)

SAMPLES = (
    Sample(
        "wide.vlmtrace",
        "A wide picture",
        (WIDE,),
        "Describe the picture.",
        "I see a yellow umbrella, a crab and a blue car.",
    ),
    Sample("tall.vlmtrace", "A tall picture", (TALL,), "Where is the rocket?", "The rocket is at the top."),
    Sample(
        "two.vlmtrace",
        "Two pictures: which one shows a fox?",
        (MEADOW, ROOM),
        "Which picture shows a fox?",
        "The first picture shows a fox.",
    ),
    Sample(
        "both.vlmtrace",
        "Two pictures: do both show a balloon?",
        (MEADOW, ROOM),
        "Do both pictures show a balloon?",
        "Yes, both pictures show a balloon.",
    ),
)


def capture(answerer: Answerer, sample: Sample, folder: Path) -> vlmscope.Trace:
    """The trace of a sample's answer: of one picture all rows, of two those of the text; and relevancy."""
    files = []
    for drawing in sample.pictures:
        drawing.draw().save(folder / drawing.file, optimize=True)
        files.append(folder / drawing.file)
    trace = vlmscope.capture(
        answerer.model,
        answerer.processor,
        images=files,
        question=sample.question,
        rows="all" if len(files) == 1 else "text",
        relevancy=("llm",),
        check=True,
    )
    meta = trace.meta
    if meta.answer.strip() != sample.answer:
        raise SystemExit(f"{sample.file}: the model says {meta.answer!r} instead of {sample.answer!r}")
    meta.model.name = NAME
    meta.timings = dict.fromkeys(meta.timings, 0.0)
    meta.provenance |= {"writer": "scripts/tiny/qwen/make_samples.py", "created_unix": 0}
    meta.provenance["position_check"]["created_unix"] = 0
    return trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    answerer = Answerer(args.model)
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for sample in SAMPLES:
            trace = capture(answerer, sample, Path(folder))
            trace.save(args.out / sample.file)
            entry = {"file": sample.file, "title": sample.title, "question": sample.question, "answer": sample.answer}
            entries.append(entry | {"grids": [[view.rows, view.columns] for view in trace.meta.spans]})
    write_json(args.out / "samples.json", entries)


if __name__ == "__main__":
    main()
