"""Draw the eight sample pictures and keep the questions that the model answers rightly.

`python -m tiny.make_samples --model DIR --out onnx/tiny/samples` (in scripts/) writes the pictures and samples.json:
[{file, title, boxes: [{noun, label, box}], questions: [{text, answer}]}], boxes in pixels of the file. It fails if a picture
keeps fewer than three questions, so that what the window suggests is always answered well.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tiny.answering import Answerer
from tiny.evaluate import write_json
from tiny.scenes import Scene, Thing, draw_scene, pixel_box, thing_at

OVERSAMPLING, LEAST_QUESTIONS = 2, 3


@dataclass(frozen=True)
class Sample:
    """A picture of our own design. `questions` are (text, right answer), the first one is asked at the first start."""

    file: str
    title: str
    size: tuple[int, int]
    background: str
    seed: int
    things: tuple[Thing, ...]
    questions: tuple[tuple[str, str], ...]


SAMPLES = (
    Sample(
        "fox-and-balloon.png",
        "A fox and a balloon",
        (640, 480),
        "meadow",
        7_003,
        (thing_at("fox", None, (0.24, 0.74), 0.42), thing_at("balloon", "red", (0.76, 0.25), 0.40)),
        (
            ("What is on the left?", "There is a fox on the left."),
            ("Where is the balloon?", "The balloon is at the top right."),
            ("What colour is the balloon?", "The balloon is red."),
            ("Is there a fox in the picture?", "Yes, there is a fox."),
            ("Is there a cat in the picture?", "No, there is no cat."),
            ("Describe the picture.", "I see a fox and a red balloon."),
        ),
    ),
    Sample(
        "beach.jpg",
        "At the beach",
        (500, 333),
        "beach",
        7_011,
        (thing_at("umbrella", "yellow", (0.24, 0.30), 0.45), thing_at("crab", None, (0.74, 0.78), 0.38)),
        (
            ("What is next to the crab?", "There is a yellow umbrella next to the crab."),
            ("Is the crab below the umbrella?", "Yes, the crab is below the umbrella."),
            ("Where is the crab?", "The crab is at the bottom right."),
            ("What is the background?", "The background is a beach."),
            ("What do you see?", "I see a yellow umbrella and a crab."),
        ),
    ),
    Sample(
        "night-flight.png",
        "Night flight",
        (400, 600),
        "night",
        7_020,
        (thing_at("rocket", None, (0.73, 0.27), 0.45), thing_at("owl", None, (0.25, 0.75), 0.40)),
        (
            ("What is at the top?", "There is a rocket at the top."),
            ("Where is the owl?", "The owl is at the bottom left."),
            ("Is the rocket above or below the owl?", "The rocket is above the owl."),
            ("What is in the background?", "The background is a night sky."),
            ("How many things are there?", "There are two things."),
        ),
    ),
    Sample(
        "shapes.png",
        "Three shapes",
        (336, 336),
        "plain",
        7_031,
        (
            thing_at("circle", "red", (0.2, 0.24), 0.27),
            thing_at("triangle", "blue", (0.5, 0.76), 0.30),
            thing_at("star", "yellow", (0.79, 0.26), 0.30),
        ),
        (
            ("What is blue?", "The triangle is blue."),
            ("What colour is the star?", "The star is yellow."),
            ("Is the circle left of the star?", "Yes, the circle is left of the star."),
            ("What is at the bottom?", "There is a blue triangle at the bottom."),
            ("What is on the left?", "There is a red circle on the left."),
            ("How many things are there?", "There are three things."),
        ),
    ),
    Sample(
        "butterflies.png",
        "Two butterflies",
        (480, 640),
        "meadow",
        7_042,
        (
            thing_at("butterfly", None, (0.22, 0.22), 0.32, degrees=-8),
            thing_at("butterfly", None, (0.78, 0.29), 0.28, degrees=8, flip=True),
            thing_at("flower", None, (0.5, 0.78), 0.36),
        ),
        (
            ("How many butterflies are there?", "There are two butterflies."),
            ("What is at the bottom?", "There is a flower at the bottom."),
            ("Where is the flower?", "The flower is at the bottom."),
            ("What colour is the flower?", "The flower is yellow."),
            ("Is there a bird in the picture?", "No, there is no bird."),
        ),
    ),
    Sample(
        "winter.jpg",
        "A car in the snow",
        (640, 427),
        "snow",
        7_050,
        (thing_at("penguin", None, (0.22, 0.5), 0.38), thing_at("car", "blue", (0.73, 0.77), 0.46)),
        (
            ("What colour is the car?", "The car is blue."),
            ("What is on the left?", "There is a penguin on the left."),
            ("Is the car left of the penguin?", "No, the car is right of the penguin."),
            ("What is the background?", "The background is a snowy field."),
            ("Is there a red car in the picture?", "No, there is no red car."),
        ),
    ),
    Sample(
        "birthday.png",
        "A birthday",
        (600, 450),
        "room",
        7_064,
        (
            thing_at("bear", None, (0.21, 0.77), 0.36),
            thing_at("balloon", "purple", (0.5, 0.25), 0.36),
            thing_at("cake", None, (0.8, 0.76), 0.36),
        ),
        (
            ("What do you see?", "I see a bear, a purple balloon and a cake."),
            ("Where is the cake?", "The cake is at the bottom right."),
            ("What is at the top?", "There is a purple balloon at the top."),
            ("How many cakes are there?", "There is one cake."),
            ("Is the bear left of the cake?", "Yes, the bear is left of the cake."),
        ),
    ),
    Sample(
        "desk.png",
        "A cat and a book",
        (512, 384),
        "room",
        7_075,
        (thing_at("book", "green", (0.77, 0.28), 0.38), thing_at("cat", None, (0.26, 0.73), 0.42)),
        (
            ("Where is the cat?", "The cat is at the bottom left."),
            ("What is next to the cat?", "There is a green book next to the cat."),
            ("What colour is the book?", "The book is green."),
            ("Is there a dog in the picture?", "No, there is no dog."),
            ("Is there a giraffe in the picture?", "I do not know that word."),
            ("Hello!", "I do not know. Ask me about the picture."),
        ),
    ),
)


def draw(sample: Sample) -> Image.Image:
    """The picture, drawn larger and reduced for smooth edges."""
    width, height = sample.size
    scene = Scene(sample.background, sample.seed, sample.things)
    large = draw_scene(scene, width * OVERSAMPLING, height * OVERSAMPLING)
    return large.resize(sample.size, Image.Resampling.LANCZOS)


def keep_right(answerer: Answerer, sample: Sample, picture: Image.Image) -> list[dict[str, str]]:
    """The questions of a sample that the model answers exactly as expected."""
    said = answerer.answer([picture] * len(sample.questions), [[text] for text, _ in sample.questions])
    kept = []
    for (text, right), answer in zip(sample.questions, said, strict=True):
        if answer == right:
            kept.append({"text": text, "answer": right})
        else:
            print(f"{sample.file}: left out {text!r}: {answer!r} instead of {right!r}")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    answerer = Answerer(args.model)
    entries: list[dict[str, Any]] = []
    for sample in SAMPLES:
        path = args.out / sample.file
        draw(sample).save(path, quality=93, optimize=True)
        questions = keep_right(answerer, sample, Image.open(path).convert("RGB"))
        boxes = [
            {"noun": thing.noun, "label": thing.label, "box": pixel_box(thing, *sample.size)} for thing in sample.things
        ]
        entries.append({"file": sample.file, "title": sample.title, "boxes": boxes, "questions": questions})
    write_json(args.out / "samples.json", entries)
    poor = [entry["file"] for entry in entries if len(entry["questions"]) < LEAST_QUESTIONS]
    if poor:
        raise SystemExit(f"fewer than {LEAST_QUESTIONS} questions are answered rightly on {', '.join(poor)}")


if __name__ == "__main__":
    main()
