"""Write the model card from the figures of `tiny.evaluate` or train_tiny.py, so that the two cannot disagree.

`python -m tiny.make_card --metrics metrics.json --out ../onnx/tiny/MODEL_CARD.md` in scripts/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny.batches import ANSWER_HEADS, ANSWER_LAYERS, BRANCHES, QUESTION_HEADS, QUESTION_LAYERS
from tiny.model import IMAGE_SIZE, MLP_WIDTH, PATCH_SIZE, TEXT_LAYERS, VISION_LAYERS, WIDTH
from tiny.train import Plan
from tiny.vocabulary import BACKGROUNDS, COLOURS, NOUNS

EXAMPLES = {
    "background": ("What is the background?", "The background is a meadow."),
    "colour": ("What colour is the car?", "The car is blue."),
    "count": ("How many foxes are there?", "There are two foxes."),
    "describe": ("Describe the picture.", "I see a fox and a red balloon."),
    "exists": ("Is there an owl in the picture?", "No, there is no owl."),
    "next_to": ("What is next to the crab?", "There is a yellow umbrella next to the crab."),
    "of_colour": ("What is blue?", "The triangle is blue."),
    "relation": ("Is the crab below the umbrella?", "Yes, the crab is below the umbrella."),
    "side": ("What is on the left?", "There is a fox on the left."),
    "unknown": ("Hello!", "I do not know. Ask me about the picture."),
    "unknown_unseen": ("Is there a giraffe?", "I do not know that word."),
    "where": ("Where is the owl?", "The owl is at the bottom left."),
}

CARD = """# vlmscope-tiny

A LLaVA of {millions:.2f} million parameters that we trained ourselves, so that vlmscope shows real attention of a model that has really
learned to look, with no download. It is transformers' own `LlavaForConditionalGeneration`: a CLIP vision tower ({image} × {image} pixels,
{grid} × {grid} patches, {vision_layers} layers of which the last is skipped by the feature layer −2 and so never trained), a two-layer projector, a Llama text model
({text_layers} layers, 8 heads, width {width}, MLP {mlp}), LLaVA-1.5's prompt format, a BPE tokenizer with `▁` word starts and byte fallback.

**Use**: to look inside a vision-language model, to test tools for that, to teach. **Not for use** on photographs: it knows {nouns} things
in drawn scenes and nothing else.

`checkpoint/` holds the weights as float16 safetensors with the processor; loaded as float32 they are exactly the model that was measured here.

## What it can do

Exact match of the whole answer, greedy, on {questions:,} questions about scenes, backgrounds and picture sizes that training never drew
(seed {seed}): **{exact:.1%}**.

| kind | question | answer | exact match | questions |
|---|---|---|---|---|
{rows}

The last kind uses words and sentences that training never contained; it is not part of the overall figure.
A second question in the same conversation: {second:.1%} ({dialogues} dialogues). float16 weights against the float32 of training: {same:.1%} of
{rounded} answers are the same, exact match {f32:.1%} before and {f16:.1%} after.

## Where it looks

At the row that predicts the first noun of a right answer ({located} answers of all kinds that name one thing), how often does the largest patch of a map have its centre inside the object's
box? A random patch: {chance:.1%}.

| map | inside the box |
|---|---|
| relevancy (Chefer et al. 2021, text model) | {relevancy:.1%} |
| attention, mean over all layers and heads | {mean:.1%} |
| attention, mean over the heads that were never guided | {mean_free:.1%} |
| the best head (layer {layer}, head {head}; chosen on one half, measured on the other) | {best:.1%} |
| the best head that was never guided | {best_free:.1%} |

**Part of this was trained in.** For the first two thirds of the joint steps a guidance loss (weight 0.1) asked heads {answer_heads} of layers {answer_layers}
to attend to the object at the rows that predict its noun or position, and heads {question_heads} of layers {question_layers} at the question's nouns. It faded out before the last
third, which trained on answers alone; the figures above are after that. So this model is no evidence that attention localises by
itself. Relevancy was never trained on.

## What happens when a thing is erased

A grey rectangle is painted over the thing that was asked about, or of the same size elsewhere ({pictures} pictures).

| | |
|---|---|
| "Is there a …?" answered yes before | {seen:.1%} |
| … and no once the thing is erased | {gone:.1%} |
| … and still yes with the rectangle elsewhere | {stay:.1%} |
| "Describe the picture." no longer names the erased thing | {drops:.1%} |
| … and is unchanged with the rectangle elsewhere | {unchanged:.1%} |

## Data

Composed while training from a seed, {pictures_warm:,} pictures for the vision tower alone and {pictures_joint:,} with about {branches} questions each; nothing was
downloaded or collected. A scene has 0–4 of {nouns} things ({painted} of them painted in {colours} colours) on one of {backgrounds} drawn backgrounds; a quarter has flat grey
rectangles beside the things, so that erasing is nothing new; one in eight is drawn at another size and resized. Ambiguous questions are
rejected. Questions vary in wording, case and punctuation; a tenth of the conversations has two turns.

Training: {warm} steps on what each patch shows (linear heads that were thrown away: noun, colour, position, background), then {joint} steps on answers
with the patch heads as an auxiliary loss (weight 0.3) and the guidance above. Muon and AdamW, seed {plan_seed}, float32, two processes
on two CPU cores. `scripts/train_tiny.py` repeats it; other processors and library versions round differently and end in another, similar model.

## Licences

Weights, code and composed pictures: Apache-2.0. The sprites are cut from Noto Color Emoji and stay under the SIL Open Font License 1.1, which lies
beside them (`scripts/tiny/sprites/OFL.txt`); by its clause 5 it does not extend to documents made with the font.

## Limits

- One domain: drawn objects, {nouns} nouns, {colours} colours, English. A word that it does not know should give "I do not know that word."; free typing far from its
  templates mostly does too, but forms close to them that it was never taught give nonsense ("Is the balloon blue?", "What is above the fox?").
- Weakest: {weakest}.
- It counts to three, orders descriptions from left to right, and was not taught pictures with more than four things, or things that overlap.
- It says what it was taught to say: a colour word is the name of the paint, a position one of nine.
"""


def listed(values: range | tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


def rows_of(kinds: dict[str, Any], examples: dict[str, tuple[str, str]]) -> str:
    """A row of a table for each kind of question, those about unseen words last."""
    return "\n".join(
        f"| {kind.replace('_', ' ')} | {examples[kind][0]} | {examples[kind][1]} | {kinds[kind]['exact_match']:.1%} | {kinds[kind]['questions']} |"
        for kind in sorted(kinds, key=lambda kind: (kind == "unknown_unseen", kind))
    )


def weakest_of(kinds: dict[str, Any], count: int) -> str:
    """The kinds of question that are answered worst, with their share of exact answers."""
    seen = [kind for kind in kinds if kind != "unknown_unseen"]
    weakest = sorted(seen, key=lambda kind: kinds[kind]["exact_match"])[:count]
    return ", ".join(f"{kind.replace('_', ' ')} ({kinds[kind]['exact_match']:.0%})" for kind in weakest)


def write(description: str | None, card: Callable[[dict[str, Any]], str]) -> None:
    """The command line: the card of the figures in a file, written to another file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    part = args.out.with_name(args.out.name + ".part")
    part.write_text(card(json.loads(args.metrics.read_text())))
    part.replace(args.out)


def card(metrics: dict[str, Any]) -> str:
    """The card's text."""
    plan = metrics.get("plan") or vars(Plan())
    accuracy, where, erased = metrics["accuracy"], metrics["localisation"], metrics["erasing"]
    rounded = metrics["rounding"]
    kinds = accuracy["kinds"]
    return CARD.format(
        millions=metrics["parameters"] / 1e6,
        image=IMAGE_SIZE,
        grid=IMAGE_SIZE // PATCH_SIZE,
        vision_layers=VISION_LAYERS,
        text_layers=TEXT_LAYERS,
        width=WIDTH,
        mlp=MLP_WIDTH,
        nouns=len(NOUNS),
        painted=sum(noun.painted for noun in NOUNS.values()),
        colours=len(COLOURS),
        backgrounds=len(BACKGROUNDS),
        questions=accuracy["questions"],
        seed=metrics["seed"],
        exact=accuracy["exact_match"],
        rows=rows_of(kinds, EXAMPLES),
        second=metrics["second_turn"]["exact_match"],
        dialogues=metrics["second_turn"]["dialogues"],
        same=rounded["same_answer"],
        rounded=rounded["questions"],
        f32=rounded["exact_match_float32"],
        f16=rounded["exact_match_float16"],
        located=where["rows"],
        chance=where["chance"],
        relevancy=where["relevancy"],
        mean=where["mean_attention"],
        mean_free=where["mean_attention_of_heads_never_guided"],
        layer=where["best_head"]["layer"],
        head=where["best_head"]["head"],
        best=where["best_head"]["in_box"],
        best_free=where["best_head_never_guided"]["in_box"],
        answer_heads=listed(range(ANSWER_HEADS.start, ANSWER_HEADS.stop)),
        answer_layers=listed(ANSWER_LAYERS),
        question_heads=listed(range(QUESTION_HEADS.start, QUESTION_HEADS.stop)),
        question_layers=listed(QUESTION_LAYERS),
        pictures=erased["pictures"],
        seen=erased["seen_before"],
        gone=erased["erased_then_no"],
        stay=erased["erased_elsewhere_still_yes"],
        drops=erased["description_drops_the_erased"],
        unchanged=erased["description_unchanged_elsewhere"],
        pictures_warm=plan["warm_steps"] * plan["warm_batch"],
        pictures_joint=plan["joint_steps"] * plan["joint_batch"],
        branches=BRANCHES,
        warm=plan["warm_steps"],
        joint=plan["joint_steps"],
        plan_seed=plan["seed"],
        weakest=weakest_of(kinds, 3),
    )


if __name__ == "__main__":
    write(__doc__, card)
