"""Follows one answer through a model: positions, wanted rows, logits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from ..errors import CaptureError
from .interface import refuse_keywords
from .modules import Decoder
from .pages import PageStore, Squares
from .rows import Scratch, head_parts, softmax_rows


@dataclass
class Wanted:
    """What is to be kept. `prompt_rows` are real positions of the prompt; rows of the answer are always kept."""

    prompt_rows: np.ndarray
    prompt_len: int
    head_mean: bool = False
    last_layer: bool = False
    topk: int = 10
    #: real positions = decoder positions; the trace's positions are these plus `virtual`
    virtual: int = 0
    #: for cross-attention: index of the key in the layer → virtual position (−1: padding, left out)
    cross_keys: np.ndarray | None = None


@dataclass
class Step:
    """Logits of one position of the answer."""

    #: [V], until it is known which id was chosen
    logprobs: torch.Tensor | None
    topk: tuple[np.ndarray, np.ndarray]
    logprob: float = float("nan")

    def choose(self, token: int) -> None:
        """Notes the id that was chosen."""
        if self.logprobs is not None:
            self.logprob = float(self.logprobs[token])
            self.logprobs = None


@dataclass
class Run:
    """One recorded answer."""

    decoder: Decoder
    wanted: Wanted
    pages: PageStore = field(init=False)
    mean: Squares = field(default_factory=Squares)
    last: Squares = field(default_factory=Squares)
    #: positions that the decoder has seen, and those of the pass that is running
    seen: int = 0
    length: int = 0
    answer_steps: list[Step] = field(default_factory=list)
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    last_attention_layer: int = 0
    _started: float = 0.0
    _scratch: Scratch = field(default_factory=Scratch)
    _local: torch.Tensor | None = None
    _keyword_checked: set[int] = field(default_factory=set)
    _known: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pages = PageStore(self.decoder.attention_layers, self.decoder.heads)
        self.last_attention_layer = self.decoder.attention_layers[-1]

    def begin_pass(self, length: int) -> None:
        """The decoder is about to process `length` more positions."""
        wanted = self.wanted
        if self.seen >= wanted.prompt_len and length > 1:
            raise CaptureError(
                f"the model processed {length} positions at once after the prompt. Prompt-lookup and assisted decoding, and "
                "use_cache=False, cannot be captured: generate token by token with a cache."
            )
        self.length = length
        first, end = self.seen, self.seen + length
        inside = wanted.prompt_rows[(wanted.prompt_rows >= first) & (wanted.prompt_rows < end)]
        answers = np.arange(max(first, wanted.prompt_len - 1), end)
        rows = np.union1d(inside, answers).astype(np.int64)
        self._local = torch.from_numpy(rows - first)
        self.pages.begin(rows + wanted.virtual, end + wanted.virtual)
        if not wanted.virtual:
            for layer, kind in enumerate(self.decoder.kinds):
                if kind == "cross":
                    self.pages.mark(layer)  # skipped without a picture: its rows stay 0
        self._started = time.perf_counter()

    def end_pass(self) -> None:
        """The decoder has processed the positions."""
        seconds = time.perf_counter() - self._started
        if self.seen < self.wanted.prompt_len:
            self.prefill_seconds += seconds
        else:
            self.decode_seconds += seconds
        self.seen += self.length
        self.length = 0

    def take(self, module, query, key, mask, keywords: dict, weights) -> None:
        """Observer of the decoder's attention; other modules are ignored. Shapes as in interface.Observer."""
        layer = self.decoder.layer_of.get(id(module))
        if layer is None:
            return
        if not self.length:
            raise CaptureError("attention was computed outside of the language model's forward pass; this is not understood.")
        if query.shape[0] != 1:
            raise CaptureError("only a batch of one can be captured: no beams, one sequence, one question at a time.")
        if weights is None and layer not in self._keyword_checked:
            refuse_keywords(module, keywords)
            self._keyword_checked.add(layer)
        self.pages.mark(layer)
        count, keys = query.shape[2], key.shape[2]
        places = self._places(layer, count, keys)
        local = self._local
        if count != self.length:
            raise CaptureError(
                f"layer {layer} computed {count} of {self.length} positions: it shares keys with earlier layers and leaves out rows. "
                "Set config.text_config.output_hidden_states = True on the model (capture does so by itself)."
            )
        if weights is not None:

            def given(rows, heads=slice(None)):
                return [(slice(0, len(rows)), weights[0, heads][:, rows.to(weights.device), :keys].float())]

            self._keep(layer, local, given, places, [slice(0, weights.shape[1])])
            return
        causal = keywords.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        scaling = keywords.get("scaling")
        mask = None if mask is None else mask[0]
        causal = bool(causal) and count > 1
        share = query.shape[1] // key.shape[1]

        def computed(rows, heads=slice(0, query.shape[1])):
            groups = slice(heads.start // share, heads.stop // share)
            part = mask if mask is None or mask.shape[0] == 1 else mask[heads]
            return softmax_rows(
                query[0, heads], key[0, groups], part, scaling, causal, rows.to(query.device), scratch=self._scratch
            )

        self._keep(layer, local, computed, places, head_parts(query.shape[1], share, len(local) * keys))

    def _keep(self, layer: int, local: torch.Tensor, rows_of, places, parts: list[slice]) -> None:
        source, target = places
        wanted = self.wanted
        square = wanted.head_mean or (wanted.last_layer and layer == self.last_attention_layer)
        self.pages.set_heads(layer, parts[-1].stop)
        if not square:
            for heads in parts:
                for part, weights in rows_of(local, heads):
                    self.pages.put(layer, part, heads, target, weights if source is None else weights[..., source])
            return
        chosen = np.full(self.length, -1)
        chosen[local.numpy()] = np.arange(len(local))
        for part, weights in rows_of(torch.arange(self.length)):
            weights = weights if source is None else weights[..., source]
            first = self.seen + wanted.virtual + part.start
            if wanted.head_mean:
                self.mean.put(self.pages.index[layer], first, target, weights.mean(0))
            if wanted.last_layer and layer == self.last_attention_layer:
                for head in range(weights.shape[0]):
                    self.last.put(head, first, target, weights[head])
            kept = np.flatnonzero(chosen[part] >= 0)
            if len(kept):
                start = int(chosen[part][kept[0]])
                self.pages.put(layer, slice(start, start + len(kept)), slice(0, len(weights)), target, weights[:, kept])

    def _places(self, layer: int, count: int, keys: int):
        """Which of a layer's keys are kept (None: all) and at which positions of the trace they are."""
        virtual = self.wanted.virtual
        if self.decoder.kinds[layer] == "cross":
            cross = self.wanted.cross_keys
            if cross is None or len(cross) != keys:
                raise CaptureError(f"layer {layer} attends to {keys} cross keys, which the model's family did not place.")
            kept = np.flatnonzero(cross >= 0)
            return torch.from_numpy(kept), cross[kept]
        end = self.seen + self.length
        if keys > end:
            raise CaptureError(
                f"layer {layer} has {keys} keys for {end} positions: a static cache is padded to its full length. "
                "Use the default dynamic cache (no cache_implementation)."
            )
        if keys < count:
            raise CaptureError(f"layer {layer} has {keys} keys for {count} queries; this is not understood.")
        return None, slice(end - keys + virtual, end + virtual)

    def take_all(self, ids: list[int]) -> None:
        """The ids of an answer that is known before its pass."""
        self._known = ids

    def take_ids(self, ids: torch.Tensor) -> None:
        """Ids [n] of the pass that begins: they decide the step before."""
        for offset, token in enumerate(ids.tolist()):
            index = self.seen + offset - self.wanted.prompt_len
            if 0 <= index < len(self.answer_steps):
                self.answer_steps[index].choose(token)

    def take_logits(self, logits: torch.Tensor) -> None:
        """Logits [1, n, V] of a pass: positions from the prompt's last on predict the answer."""
        wanted = self.wanted
        end = self.seen
        first = max(wanted.prompt_len - 1, end - logits.shape[1])
        for position in range(first, end):
            logprobs = torch.log_softmax(logits[0, position - end].float(), -1)
            best = logprobs.topk(min(wanted.topk, len(logprobs)))
            step = Step(logprobs, (best.indices.cpu().numpy().astype(np.int32), best.values.cpu().numpy()))
            self.answer_steps.append(step)
            if len(self.answer_steps) <= len(self._known):
                step.choose(self._known[len(self.answer_steps) - 1])

    def answer_tensors(self, ids: list[int]) -> dict[str, np.ndarray]:
        """answer.* of the generated ids."""
        if len(self.answer_steps) < len(ids):
            raise CaptureError(f"the model gave logits for {len(self.answer_steps)} of {len(ids)} answer tokens.")
        steps = self.answer_steps[: len(ids)]
        for step, token in zip(steps, ids, strict=True):
            step.choose(token)
        return {
            "answer.ids": np.array(ids, np.int32),
            "answer.logprob": np.array([step.logprob for step in steps], np.float32),
            "answer.topk_ids": np.stack([step.topk[0] for step in steps]),
            "answer.topk_logprob": np.stack([step.topk[1] for step in steps]),
        }
