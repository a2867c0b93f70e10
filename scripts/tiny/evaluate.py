"""Measure a trained model on fresh scenes: `python -m tiny.evaluate --model DIR --out metrics.json` in scripts/.

Exact match per question kind, where it looks, whether erasing a thing changes the answer, and what rounding to float16 costs.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from tiny.answering import Answerer
from tiny.batches import ANSWER_HEADS, ANSWER_LAYERS, QUESTION_HEADS, QUESTION_LAYERS
from tiny.heldout import Example, examples
from tiny.localise import maps
from tiny.questions import MARK, plain
from tiny.vocabulary import NOUNS, article

EVALUATION_SEED = 9_001
GREY = (128, 128, 128)


def _mean(values: Iterable[float]) -> float | None:
    """The mean to four digits; None where there is nothing to average."""
    found = list(values)
    return round(float(np.mean(found)), 4) if found else None


@dataclass
class Asked:
    """One question of one example, and what the model said about its pictures."""

    example: Example
    pictures: list[Image.Image]
    kind: str
    text: str
    marked_answer: str
    said: str

    @property
    def right(self) -> bool:
        return self.said == plain(self.marked_answer)


def ask_all(answerer: Answerer, found: Iterator[Example], questions: int) -> list[Asked]:
    """At least `questions` questions about fresh scenes, answered."""
    rows: list[tuple[Example, list[Image.Image], str, str, str]] = []
    for example in found:
        pictures = example.pictures()
        for question, text in zip(example.questions, example.texts, strict=True):
            rows.append((example, pictures, question.kind, text, question.answer))
        if len(rows) >= questions:
            break
    said = answerer.answer([row[1] for row in rows], [[row[3]] for row in rows])
    return [Asked(*row, answer) for row, answer in zip(rows, said, strict=True)]


def accuracy(asked: list[Asked]) -> dict[str, Any]:
    """Exact match overall and per kind. Questions with unseen words are kept apart from the overall figure."""
    kinds: dict[str, list[bool]] = defaultdict(list)
    for one in asked:
        kinds[one.kind].append(one.right)
    seen = [right for kind, rights in kinds.items() if kind != "unknown_unseen" for right in rights]
    table = {kind: {"exact_match": _mean(rights), "questions": len(rights)} for kind, rights in sorted(kinds.items())}
    return {"exact_match": _mean(seen), "questions": len(seen), "kinds": table}


def two_turns(answerer: Answerer, seed: int, count: int) -> dict[str, Any]:
    """Exact match of a second question after a first one with the model's own answer."""
    found = [example for example in examples(seed + 1, 2 * count) if len(example.questions) > 1][:count]
    pictures = [example.picture() for example in found]
    first = answerer.answer(pictures, [[example.texts[0]] for example in found])
    turns = [[example.texts[0], said, example.texts[1]] for example, said in zip(found, first, strict=True)]
    said = answerer.answer(pictures, turns)
    right = [text == plain(example.questions[1].answer) for example, text in zip(found, said, strict=True)]
    return {"exact_match": _mean(right), "dialogues": len(right)}


def _noun_row(one: Asked) -> tuple[int, int] | None:
    """The object and the answer word's index of the first noun that means a single object which the answer brings up."""
    for index, word in enumerate(one.marked_answer.split(" ")):
        mark = MARK.match(word)
        if mark and mark[1].isdigit() and plain(word).rstrip(".,") in NOUNS:
            return int(mark[1]), index
    return None


def localisation(answerer: Answerer, asked: list[Asked], count: int) -> dict[str, Any]:
    """How often the largest patch at the row that predicts the noun has its centre in the object's box. Right answers only."""
    attention, relevancy, inside = [], [], []
    for one in asked:
        found = _noun_row(one) if one.right else None
        if found is None:
            continue
        thing, word = found
        answer = plain(one.marked_answer)
        tokenizer = answerer.processor.tokenizer
        before = tokenizer(tokenizer.eos_token + " " + " ".join(answer.split(" ")[:word]), add_special_tokens=False)
        shown = maps(answerer, one.pictures, one.text, answer, len(before.input_ids) - 1 if word else 0)
        attention.append(shown.attention)
        relevancy.append(shown.relevancy)
        inside.append(one.example.inside(thing, shown.grids))
        if len(inside) == count:
            break
    if len(inside) < 2:
        return {"rows": len(inside)}
    # Pictures differ in their number of patches: attention is K arrays [L, H, N], boxes are K arrays [N].
    hits = np.stack([box[weights.argmax(-1)] for weights, box in zip(attention, inside, strict=True)])  # [K, L, H]
    half = len(inside) // 2
    layer, head = np.unravel_index(hits[:half].mean(0).argmax(), hits.shape[1:])
    guided = np.zeros(hits.shape[1:], bool)
    guided[list(ANSWER_LAYERS), ANSWER_HEADS] = True
    guided[list(QUESTION_LAYERS), QUESTION_HEADS] = True

    other = np.unravel_index(np.where(guided, -1, hits[:half].mean(0)).argmax(), hits.shape[1:])

    def share(scores: list[np.ndarray]) -> float | None:
        return _mean(box[one.argmax()] for one, box in zip(scores, inside, strict=True))

    return {
        "rows": len(inside),
        "chance": _mean(box.mean() for box in inside),
        "relevancy": share(relevancy),
        "mean_attention": share([weights.mean((0, 1)) for weights in attention]),
        "mean_attention_of_heads_never_guided": share([weights[~guided].mean(0) for weights in attention]),
        "best_head": {
            "layer": int(layer),
            "head": int(head),
            "in_box": _mean(hits[half:, layer, head]),
        },
        "best_head_never_guided": {"layer": int(other[0]), "head": int(other[1]), "in_box": _mean(hits[half:, *other])},
        "attention_mass_in_box_of_best_head": _mean(
            weights[layer, head, box].sum() for weights, box in zip(attention, inside, strict=True)
        ),
    }


def _paint(picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    erased = picture.copy()
    ImageDraw.Draw(erased).rectangle(box, fill=GREY)
    return erased


def _free_box(
    example: Example, box: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """A box of the same size that touches no object."""
    width, height = box[2] - box[0], box[3] - box[1]
    for _ in range(60):
        left, top = int(rng.integers(0, example.width - width + 1)), int(rng.integers(0, example.height - height + 1))
        free = (left, top, left + width, top + height)
        if all(free[2] < b[0] or b[2] < free[0] or free[3] < b[1] or b[3] < free[1] for _, b in example.boxes()):
            return free
    return None


def erasing(answerer: Answerer, seed: int, count: int) -> dict[str, Any]:
    """Paint a grey rectangle over the thing that was asked about, or of the same size elsewhere, and ask again."""
    rng = np.random.default_rng(seed)
    plain_pictures, erased, elsewhere, questions, nouns = [], [], [], [], []
    for example in examples(seed + 2, 20 * count):
        names = [thing.noun for thing in example.scene.things]
        alone = [index for index, noun in enumerate(names) if names.count(noun) == 1]
        if not alone:
            continue
        index = int(rng.choice(alone))
        box = example.boxes()[index][1]
        free = _free_box(example, box, rng)
        if free is None:
            continue
        picture = example.picture()
        plain_pictures.append(picture)
        erased.append(_paint(picture, box))
        elsewhere.append(_paint(picture, free))
        nouns.append(names[index])
        questions.append([f"Is there {article(names[index])} {names[index]} in the picture?"])
        if len(questions) == count:
            break
    before, after, beside = (answerer.answer(p, questions) for p in (plain_pictures, erased, elsewhere))
    described = [["Describe the picture."]] * len(questions)
    lists = [answerer.answer(p, described) for p in (plain_pictures, erased, elsewhere)]
    yes = [i for i, text in enumerate(before) if text.startswith("Yes")]
    named = [i for i, text in enumerate(lists[0]) if nouns[i] in text.rstrip(".").replace(",", "").split()]
    return {
        "pictures": len(questions),
        "seen_before": round(len(yes) / len(questions), 4),
        "erased_then_no": _mean([after[i].startswith("No") for i in yes]),
        "erased_elsewhere_still_yes": _mean([beside[i].startswith("Yes") for i in yes]),
        "description_drops_the_erased": _mean([nouns[i] not in lists[1][i] for i in named]),
        "description_unchanged_elsewhere": _mean([a == b for a, b in zip(lists[0], lists[2], strict=True)]),
    }


def rounding(unrounded: Answerer, asked: list[Asked]) -> dict[str, Any]:
    """What float16 weights change: `asked` was answered with the rounded weights, `unrounded` holds those of training."""
    said = unrounded.answer([one.pictures for one in asked], [[one.text] for one in asked])
    pairs = list(zip(asked, said, strict=True))
    return {
        "questions": len(pairs),
        "same_answer": _mean([one.said == text for one, text in pairs]),
        "exact_match_float32": _mean([text == plain(one.marked_answer) for one, text in pairs]),
        "exact_match_float16": _mean([one.right for one in asked]),
    }


def evaluate(
    folder: Path, questions: int = 3_000, seed: int = EVALUATION_SEED, unrounded: Path | None = None
) -> dict[str, Any]:
    """All figures of the model card as one dictionary; `unrounded` is the same model before it was rounded to float16."""
    answerer = Answerer(folder)
    asked = ask_all(answerer, examples(seed, questions), questions)
    print(f"accuracy {accuracy(asked)['exact_match']:.3f} over {len(asked)} questions", flush=True)
    results = {
        "seed": seed,
        "parameters": answerer.model.num_parameters(),
        "accuracy": accuracy(asked),
        "second_turn": two_turns(answerer, seed, max(8, questions // 10)),
        "erasing": erasing(answerer, seed, max(8, questions // 15)),
        "wrong": [
            {"kind": o.kind, "question": o.text, "said": o.said, "expected": plain(o.marked_answer)}
            for o in asked
            if not o.right
        ][:20],
    }
    if unrounded is not None:
        results["rounding"] = rounding(Answerer(unrounded), asked[: max(8, questions // 3)])
    print(f"erasing {results['erasing']}", flush=True)
    results["localisation"] = localisation(Answerer(folder, attention="eager"), asked, max(8, questions // 6))
    print(f"localisation {results['localisation']}", flush=True)
    return results


def write_json(path: Path, content: Any) -> None:
    """Written to a temporary name, then renamed."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder with config.json, model.safetensors and the processor"
    )
    parser.add_argument(
        "--unrounded", type=Path, help="the same model before rounding to float16, to measure what that costs"
    )
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--questions", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    args = parser.parse_args()
    results = evaluate(args.model, args.questions, args.seed, args.unrounded)
    print(json.dumps(results["accuracy"], indent=1))
    if args.out:
        write_json(args.out, results)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
