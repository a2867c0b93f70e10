"""Captures the attention of transformers' vision-language models.

The model's own attention (SDPA) computes the answer; beside it, the softmax of the rows that are wanted is computed in chunks and moved
to the CPU layer by layer, as half floats times 4096. Logits and ids are those of the model without a recorder.
"""

from __future__ import annotations

import importlib.util

from ..errors import CaptureError


def capture(
    model,
    processor,
    *,
    images=None,
    videos=None,
    question: str | None = None,
    prompt: str | None = None,
    messages: list | None = None,
    answer: str | None = None,
    rows: str = "text",
    vision: bool = False,
    head_mean: bool = False,
    last_layer: bool = False,
    max_new_tokens: int = 32,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    topk: int = 10,
    relevancy=(),
    blank: bool = False,
    check=None,
    progress=None,
    processor_options: dict | None = None,
    **generate_options,
):
    """Asks a model about pictures and returns a `Trace` of its answer.

    One of `question` (put into the processor's chat template behind the pictures), `prompt` (the whole text, with the model's own
    picture tokens) or `messages` (a conversation as for `apply_chat_template`). `images` and `videos` are paths, PIL images or
    arrays; a video may be a list of frames.

    `answer` scores a given answer in one forward pass instead of generating one. `rows="text"` keeps rows of the text after the
    first picture and of the answer, `rows="all"` every position. `vision` also keeps the tower's attention, `head_mean` and
    `last_layer` what rollout and sink removal need; the last two compute every row, which costs as much as eager attention.
    `relevancy=("llm",)` adds relevancy of the language model by autograd.

    `blank=True` masks the pictures: each, and each frame of a video, is replaced by its mean colour. With `answer=`, the trace says how
    probable every word of that answer is without the picture.

    `check=True` runs the painting test first (`vlmscope.check`) and stores its result; a `Report` or, by default, the last
    stored result of this model is stored as well; `check=False` stores none.

    `temperature` 0 is greedy. `processor_options` go to the processor (`max_pixels=…`), other keywords to `generate`.

    Raises CaptureError for what is not understood: the message names it and says what to do.
    """
    _need_torch()
    from .ask import capture as run

    arguments = dict(locals())
    options = arguments.pop("generate_options")
    arguments.pop("run")
    return run(arguments.pop("model"), arguments.pop("processor"), generate_options=options, **arguments)


def recording(
    model,
    processor,
    *,
    images=None,
    videos=None,
    question: str = "",
    rows: str = "text",
    vision: bool = False,
    head_mean: bool = False,
    last_layer: bool = False,
    topk: int = 10,
    progress=None,
    processor_options: dict | None = None,
):
    """Records the answers of code that calls `model.generate(**inputs)` or the model itself inside of a `with` block.

    `with recording(model, processor) as rec: …`, then `rec.trace`. Give `images` and `videos` as they went to the processor, so that
    the trace holds them and tiles can be placed (others are refused); `processor_options` are the options that the processor was called with. The model is restored when the block ends, also by an exception.
    """
    _need_torch()
    from .ask import start_recording

    return start_recording(
        model,
        processor,
        images=images,
        videos=videos,
        question=question,
        rows=rows,
        vision=vision,
        head_mean=head_mean,
        last_layer=last_layer,
        topk=topk,
        progress=progress,
        processor_options=processor_options,
    )


def _need_torch() -> None:
    for name in ("torch", "transformers"):
        if importlib.util.find_spec(name) is None:
            raise CaptureError(f'{name} is missing: pip install "vlmscope[capture]".')


__all__ = ["CaptureError", "capture", "recording"]
