"""`recording`: hooks around a model while someone's own code runs it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import CaptureError
from ..families import Layout, Request, family_of, layout_of
from ..trace import Trace
from .arguments import check_parts, check_topk, check_videos
from .assemble import build_trace, provenance_of
from .given import check_given
from .interface import check_implementation, instance_attribute, observed
from .modules import find_decoder
from .recorder import Run, Wanted
from .refuse import check_cache, check_generation, check_inputs, check_model, used_sampling
from .tokens import Pieces, earlier_turns
from .vision import VisionRecorder

ROWS = ("text", "all")
#: Inputs of a model that are videos.
VIDEO_INPUTS = ("pixel_values_videos", "video_grid_thw")
UNSAMPLED = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "forced": False}

#: Called with a stage, what is done of it, and the total (0: unknown). Stages: "prefill" (positions of the prompt), "decode" (tokens of
#: the answer), "answer" (positions of prompt and given answer, which take one forward pass together).
Progress = Callable[[str, int, int], None]


@dataclass
class Options:
    """What a recording keeps."""

    rows: str = "text"
    vision: bool = False
    head_mean: bool = False
    last_layer: bool = False
    topk: int = 10
    progress: Progress | None = None


@dataclass
class Context:
    """What is known of a prompt beside the model's inputs."""

    question: str = ""
    text: str | None = None
    messages: list | None = None
    pictures: list | None = None
    videos: list | None = None
    sampling: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    processor_options: dict = field(default_factory=dict)
    #: whether other code calls the model
    is_recorded: bool = False
    timings: dict = field(default_factory=dict)


class Recording:
    """Records every answer of a model while it is active; use through `vlmscope.recording`.

    `trace` is the last answer's trace, `traces` are all of them.
    """

    def __init__(self, model, processor, options: Options, context: Context):
        if options.rows not in ROWS:
            raise CaptureError(f"rows={options.rows!r} is not known; it may be {' or '.join(map(repr, ROWS))}.")
        check_topk(options.topk)
        check_parts(model, processor)
        check_model(model)
        self.model, self.processor = model, processor
        self.options, self.context = options, context
        self.family = family_of(model)
        self.decoder = find_decoder(model)
        self.implementation = check_implementation(self.decoder.config, "the language model")
        self.pieces = Pieces(processor)
        self.traces: list[Trace] = []
        self.vision = VisionRecorder(model, self.decoder, self.family) if options.vision else None
        self._run: Run | None = None
        self._layout: Layout | None = None
        self._generating = False
        #: what is known of the sampling of the run
        self._used: dict = {}
        self._stack = contextlib.ExitStack()

    @property
    def trace(self) -> Trace:
        """The last answer's trace."""
        self._finish_plain()
        if not self.traces:
            raise CaptureError("nothing was recorded: the model was not called inside of the `with` block.")
        return self.traces[-1]

    @property
    def layout(self) -> Layout | None:
        """Where the last prompt's patches lie."""
        return self._layout

    def __enter__(self) -> Recording:
        with contextlib.ExitStack() as stack:
            modules = list(self.decoder.attention_modules)
            if self.vision is not None:
                modules += self.vision.modules
            stack.enter_context(observed(modules, self._observe))
            if any(getattr(module, "is_kv_shared_layer", False) for module in self.decoder.attention_modules):
                # Layers that share keys compute the last query only, unless hidden states are asked for.
                stack.enter_context(_attribute(self.decoder.config, "output_hidden_states", True))
            for hook in (
                self.model.register_forward_pre_hook(self._before_model, with_kwargs=True),
                self.model.register_forward_hook(self._after_model),
                self.decoder.module.register_forward_pre_hook(self._before_decoder, with_kwargs=True),
                self.decoder.module.register_forward_hook(self._after_decoder),
            ):
                stack.callback(hook.remove)
            if hasattr(self.model, "generate"):
                stack.enter_context(instance_attribute(self.model, "generate", self._generate(self.model.generate)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback) -> None:
        self._stack.close()
        if kind is None:
            self._finish_plain()

    # A call of generate

    def _generate(self, original):
        @functools.wraps(original)
        def generate(inputs=None, *args, **kwargs):
            if inputs is not None:
                kwargs["input_ids"] = inputs
            if args:
                raise CaptureError("pass the arguments of generate by name while recording.")
            check_generation(self.model, kwargs)
            check_inputs(kwargs)
            self.begin(kwargs)
            self._used = used_sampling(self.model, kwargs, kwargs["input_ids"].shape[1])
            self._generating = True
            try:
                result = original(**kwargs)
            finally:
                self._generating = False
            sequence = result if isinstance(result, torch.Tensor) else result.sequences
            self.end(sequence[0, kwargs["input_ids"].shape[1] :].tolist())
            return result

        return generate

    def begin(self, inputs: dict, prompt_len: int | None = None) -> None:
        """Starts a run for a prompt: the first `prompt_len` ids (all) of the inputs."""
        self._finish_plain()
        ids = inputs["input_ids"][0].detach().cpu().numpy()
        prompt = ids if prompt_len is None else ids[:prompt_len]
        context = self.context
        request = Request(
            self.model, self.processor, prompt, inputs, context.pictures, context.videos, context.processor_options, context.is_recorded
        )
        check_videos(self.family, self.model, any(inputs.get(name) is not None for name in VIDEO_INPUTS))
        self._layout = layout = layout_of(self.family, request)
        if context.is_recorded:
            check_given(layout)
        wanted = Wanted(
            prompt_rows=self._prompt_rows(layout, len(prompt)),
            prompt_len=len(prompt),
            head_mean=self.options.head_mean,
            last_layer=self.options.last_layer,
            topk=self.options.topk,
            virtual=layout.virtual_len,
            cross_keys=layout.cross_keys,
        )
        self._run, self._used = Run(self.decoder, wanted), {}
        if self.vision is not None:
            self.vision.clear()

    def _prompt_rows(self, layout: Layout, length: int) -> np.ndarray:
        if self.options.rows == "all":
            return np.arange(length)
        shift = layout.virtual_len
        patches = {int(p) for p in layout.image_positions}
        patches |= {p - shift for p in layout.separators}
        patches |= {key - shift for view in layout.views for key in view.keys().ravel().tolist()}
        ends = [view.last - shift + 1 for view in layout.views]
        first = max(0, min(ends, default=0))
        return np.array([p for p in range(first, length) if p not in patches], np.int64)

    def end(self, ids: list[int]) -> None:
        """Ends the run; `ids` are the generated ids."""
        run, self._run = self._run, None
        if run is None or not ids:
            raise CaptureError("the model generated nothing.")
        context, layout = self.context, self._layout
        answers, turns = earlier_turns(layout.request.ids, context.text, context.messages, self.pieces.tokenizer)
        provenance = provenance_of(self.model, run, self.implementation)
        vision = self.vision.tensors(layout) if self.vision is not None else ([], {})
        trace = build_trace(
            run=run,
            layout=layout,
            ids=ids,
            pieces=self.pieces,
            question=context.question,
            answers=answers,
            turns=turns,
            sampling={**UNSAMPLED, "max_new_tokens": len(ids), **self._used, **context.sampling},
            provenance={**provenance, **context.provenance},
            vision=vision,
            timings=context.timings,
        )
        self.traces.append(trace)

    def _finish_plain(self) -> None:
        """Ends a run of plain forward passes: its last id is the likeliest one."""
        run = self._run
        if run is None or self._generating:
            return
        if not run.answer_steps:
            self._run = None
            return
        fed = run.seen - run.wanted.prompt_len
        last = run.answer_steps[fed].topk[0][0] if len(run.answer_steps) > fed else None
        ids = [*self._fed, *([] if last is None else [int(last)])]
        likeliest = [int(step.topk[0][0]) for step in run.answer_steps[: len(ids)]]
        # The other code chose the ids; only those of the likeliest tokens are a greedy answer.
        self._used = {"forced": ids != likeliest}
        self.end(ids)

    # Hooks

    def _observe(self, module, query, key, mask, keywords, weights) -> None:
        if self._run is None:
            return
        if self.vision is not None and self.vision.take(module, query, key, mask, keywords, weights):
            return
        self._run.take(module, query, key, mask, keywords, weights)

    def _before_model(self, module, args, kwargs) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not self._generating and self._is_new_prompt(ids, kwargs):
            inputs = {**kwargs, "input_ids": ids}
            if kwargs.get("use_cache") is False and self._run is not None:
                raise CaptureError("use_cache=False processes every position at every step and cannot be captured.")
            check_inputs(inputs)
            self.begin(inputs)
            self._fed: list[int] = []
        elif ids is not None and self._run is not None:
            if not self._generating:
                self._fed += ids[0].tolist()
            self._run.take_ids(ids[0])

    def _is_new_prompt(self, ids, kwargs) -> bool:
        if ids is None:
            raise CaptureError("a prompt of inputs_embeds has no ids, so nothing can be named or placed. Pass input_ids.")
        if self._run is None:
            return True
        if self._run.seen == 0:
            return False
        cache = kwargs.get("past_key_values")
        return cache is None or cache.get_seq_length() == 0

    def _before_decoder(self, module, args, kwargs) -> None:
        if self._run is None:
            return
        embeds = kwargs.get("inputs_embeds")
        embeds = embeds if embeds is not None else kwargs.get("input_ids", args[0] if args else None)
        check_cache(kwargs.get("past_key_values"), self._run.seen)
        if embeds.shape[0] != 1:
            raise CaptureError("only a batch of one can be captured: no beams, one sequence, one question at a time.")
        self._run.begin_pass(embeds.shape[1])
        if self._is_scored and self.options.progress is not None:
            self.options.progress("answer", 0, self._run.seen + embeds.shape[1])

    @property
    def _is_scored(self) -> bool:
        """Whether the answer is given, so that prompt and answer are one forward pass."""
        return bool(self.context.sampling.get("forced"))

    def _after_decoder(self, module, args, output) -> None:
        run = self._run
        if run is None:
            return
        run.end_pass()
        if self.options.progress is not None:
            prompt = run.wanted.prompt_len
            done = run.seen - prompt
            if self._is_scored:
                self.options.progress("answer", run.seen, run.seen)
            elif done <= 0:
                self.options.progress("prefill", run.seen, prompt)
            else:
                self.options.progress("decode", done, int(self.context.sampling.get("max_new_tokens", 0)))

    def _after_model(self, module, args, output) -> None:
        logits = getattr(output, "logits", None)
        if self._run is not None and logits is not None:
            self._run.take_logits(logits)


@contextlib.contextmanager
def _attribute(owner, name: str, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
