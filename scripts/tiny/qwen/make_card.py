"""Write the tiny Qwen3-VL's card from the figures of train_tiny_qwen.py, so that the two cannot disagree.

`python -m tiny.qwen.make_card --metrics metrics.json --out ../onnx/tiny-qwen3-vl/MODEL_CARD.md` in scripts/.
"""

from __future__ import annotations

from typing import Any

from tiny.batches import ANSWER_HEADS, ANSWER_LAYERS, BRANCHES, QUESTION_HEADS, QUESTION_LAYERS
from tiny.make_card import EXAMPLES, listed, rows_of, weakest_of, write
from tiny.model import MLP_WIDTH, TEXT_LAYERS, WIDTH
from tiny.qwen.batches import GRIDS, PAIR_SHARE
from tiny.qwen.model import HEADS, KEY_VALUE_HEADS, MROPE_SECTION, VISION_HEADS, VISION_LAYERS
from tiny.qwen.text import CELL, LEAST_CELLS, MERGE, MOST_CELLS, PATCH_SIZE
from tiny.vocabulary import COLOURS, NOUNS

PAIR_EXAMPLES = {
    "which": ("Which picture shows a fox?", "The first picture shows a fox."),
    "which background": ("Which picture shows a beach?", "Neither picture shows a beach."),
    "both": ("Do both pictures show a car?", "No, only the second picture shows a car."),
    "exists in one of two": ("Is there a cat in the second picture?", "Yes, there is a cat."),
    "describe in one of two": ("Describe the first picture.", "I see a fox and a red balloon."),
    "colour in one of two": ("What colour is the car in the second picture?", "The car is blue."),
    "where in one of two": ("Where is the owl in the first image?", "The owl is at the bottom left."),
    "count in one of two": ("How many foxes are in the second picture?", "There are two foxes."),
    "side in one of two": ("What is on the left of the first picture?", "There is a fox on the left."),
    "relation in one of two": (
        "Is the crab below the umbrella in the first picture?",
        "Yes, the crab is below the umbrella.",
    ),
    "of_colour in one of two": ("What is blue in the second picture?", "The triangle is blue."),
    "background in one of two": ("What background does the first picture have?", "The background is a meadow."),
}

CARD = """# vlmscope-tiny-qwen3-vl

A Qwen3-VL of {millions:.2f} million parameters that we trained ourselves, so that vlmscope shows real attention of a model of a modern class: a grid
that follows the picture's shape, positions of time, row and column (M-RoPE), queries in groups that share keys, and two pictures in one question.
It is transformers' own `Qwen3VLForConditionalGeneration`: a tower of {vision_layers} layers with {vision_heads} heads over patches of {patch} pixels, a merger
of {merge} × {merge} patches to one token, and a text model of {text_layers} layers with {heads} query heads and {kv_heads} key-value heads (width {width}, MLP {mlp}; interleaved M-RoPE, {section} of 8
frequencies for time, row and column). A picture becomes {least} to {most} tokens of {cell} × {cell} pixels, in one of {grids} grids in training.
**Two things differ from the published models**: there is no DeepStack (features of inner tower layers that are added in the text model), and the prompt
has the words USER and ASSISTANT instead of `<|im_start|>`.

**Use**: to look inside a vision-language model, to test tools for that, to teach. **Not for use** on photographs: it knows {nouns} things
in drawn scenes and nothing else.

`samples/` has traces that `vlmscope.capture` recorded from it; the program offers them (`captured:1` …) and needs no torch to show them.
`checkpoint/` holds the weights as float16 safetensors with the processor, for `vlmscope.capture` and for an ONNX export of this class, which vlmscope does not have
yet; loaded as float32 they are exactly the model that was measured here:

```python
import vlmscope
from transformers import AutoModelForImageTextToText, AutoProcessor
folder = "onnx/tiny-qwen3-vl/checkpoint"
model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
trace = vlmscope.capture(model, AutoProcessor.from_pretrained(folder), images=["a.png", "b.png"], question="Which picture shows a fox?")
```

## What it can do

Exact match of the whole answer, greedy, on scenes, backgrounds and picture sizes that training never drew (seed {seed}; transformers' `generate`, the real
processor): **{one:.1%} of {one_count:,} questions about one picture, {two:.1%} of {two_count:,} questions about two**.

| one picture | question | answer | exact match | questions |
|---|---|---|---|---|
{one_rows}

The last kind uses words and sentences that training never contained; it is not part of the overall figure.

| two pictures | question | answer | exact match | questions |
|---|---|---|---|---|
{two_rows}

float16 weights against the float32 of training: {same:.1%} of {rounded} answers are the same, exact match {f32:.1%} before and {f16:.1%} after.

## Where it looks

At the row that predicts the first noun of a right answer that names one thing, how often does the largest token of a map have its centre inside the object's box?
With two pictures all tokens of both compete.

| map | one picture | two pictures |
|---|---|---|
| a random token | {chance_1:.1%} | {chance_2:.1%} |
| relevancy (Chefer et al. 2021, text model) | {relevancy_1:.1%} | {relevancy_2:.1%} |
| attention, mean over all layers and heads | {mean_1:.1%} | {mean_2:.1%} |
| attention, mean over the heads that were never guided | {free_1:.1%} | {free_2:.1%} |
| the best head (chosen on one half, measured on the other) | {best_1:.1%} (layer {layer_1}, head {head_1}) | {best_2:.1%} (layer {layer_2}, head {head_2}) |
| the best head that was never guided | {best_free_1:.1%} | {best_free_2:.1%} |
| answers | {rows_1} | {rows_2} |

**Part of this was trained in**, as in the first model: for two thirds of the time a guidance loss (weight 0.1) asked heads {answer_heads} of layers {answer_layers}
to attend to the object at the rows that predict its noun or position, and heads {question_heads} of layers {question_layers} at the question's nouns. It then faded out. So this
model is no evidence that attention localises by itself. Relevancy was never trained on.

## Training

{minutes:g} minutes by the clock, one thread of a busy two-core machine, {steps:,} steps, float32 with bfloat16 products: {warm:g} minutes on what each patch shows (linear
heads that were thrown away: noun, colour, position, background), then answers with the patch heads as an auxiliary loss (weight 0.3). {share:.0%} of the
steps asked about two pictures. About {branches} questions share the pictures of a step's row. Muon and AdamW, seed {plan_seed}. **It did not start from nothing**: the
tower, the projector, the decoder and the words' rows were copied from the first model (`onnx/tiny`), every second head's keys and values were
dropped. `scripts/train_tiny_qwen.py` trains such a model again; because the clock drives the schedule, it will be a similar one.

Scenes, sprites and questions are those of the first model, with frames of other shapes and twelve kinds of questions about two pictures; nothing was downloaded
or collected.

## Licences

As for the first model (`onnx/tiny/MODEL_CARD.md`): Apache-2.0; the sprites are cut from Noto Color Emoji under the SIL Open Font License 1.1.

## Limits

- One domain: drawn objects, {nouns} nouns, {colours} colours, English, at most four things a picture, no more than two pictures, no video.
- Pictures outside of {least}–{most} tokens are resized to fit; grids longer than 2.4 : 1 were not trained.
- Weakest: {weakest}.
"""


def card(metrics: dict[str, Any]) -> str:
    """The card's text."""
    plan, one, two, rounded = (metrics[name] for name in ("plan", "one_picture", "two_pictures", "rounding"))
    where = {}
    for number, name in ((1, "one_picture"), (2, "two_pictures")):
        found = metrics["localisation"][name]
        where |= {
            f"rows_{number}": found["rows"],
            f"chance_{number}": found["chance"],
            f"relevancy_{number}": found["relevancy"],
            f"mean_{number}": found["mean_attention"],
            f"free_{number}": found["mean_attention_of_heads_never_guided"],
            f"best_{number}": found["best_head"]["in_box"],
            f"layer_{number}": found["best_head"]["layer"],
            f"head_{number}": found["best_head"]["head"],
            f"best_free_{number}": found["best_head_never_guided"]["in_box"],
        }
    return CARD.format(
        millions=metrics["parameters"] / 1e6,
        vision_layers=VISION_LAYERS,
        vision_heads=VISION_HEADS,
        patch=PATCH_SIZE,
        merge=MERGE,
        text_layers=TEXT_LAYERS,
        heads=HEADS,
        kv_heads=KEY_VALUE_HEADS,
        width=WIDTH,
        mlp=MLP_WIDTH,
        section=", ".join(map(str, MROPE_SECTION)),
        least=LEAST_CELLS,
        most=MOST_CELLS,
        cell=CELL,
        grids=len(GRIDS),
        nouns=len(NOUNS),
        colours=len(COLOURS),
        seed=metrics["seed"],
        one=one["exact_match"],
        one_count=one["questions"],
        two=two["exact_match"],
        two_count=two["questions"],
        one_rows=rows_of(one["kinds"], EXAMPLES),
        two_rows=rows_of(two["kinds"], PAIR_EXAMPLES),
        same=rounded["same_answer"],
        rounded=rounded["questions"],
        f32=rounded["exact_match_float32"],
        f16=rounded["exact_match_float16"],
        answer_heads=listed(range(ANSWER_HEADS.start, ANSWER_HEADS.stop)),
        answer_layers=listed(ANSWER_LAYERS),
        question_heads=listed(range(QUESTION_HEADS.start, QUESTION_HEADS.stop)),
        question_layers=listed(QUESTION_LAYERS),
        minutes=plan["minutes"],
        warm=plan["warm_minutes"],
        steps=metrics["steps"],
        share=PAIR_SHARE,
        branches=BRANCHES,
        plan_seed=plan["seed"],
        weakest=weakest_of(one["kinds"] | two["kinds"], 4),
        **where,
    )


if __name__ == "__main__":
    write(__doc__, card)
