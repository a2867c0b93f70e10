"""The training loop of the tiny Qwen3-VL: patch labels alone, then pictures and questions together, scheduled by the clock.

The clock, not the step, drives the learning rate: a run ends when it should on a machine that others use too, and is not
repeatable to the bit. One thread; a checkpoint every few minutes, from which `--resume` goes on.
"""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast, Qwen3VLForConditionalGeneration

from tiny.optimiser import build_optimisers
from tiny.qwen.batches import Batch, Batches, PromptEncoder
from tiny.qwen.model import build_model, merged, packed_text, start_from_llava, vision_features
from tiny.qwen.text import build_processor
from tiny.train import PatchHeads
from tiny.training import (
    PATCH_WEIGHT,
    RAMP_STEPS,
    answer_loss,
    descend,
    guidance,
    keep,
    load_state,
    save_snapshot,
    save_state,
)

FINAL_RATE = 0.02
FIRST_MODEL = Path(__file__).resolve().parents[3] / "onnx" / "tiny" / "checkpoint"


@dataclass(frozen=True)
class Plan:
    """How long and on what. `batch` counts pictures of a step that asks about one picture; pairs take two thirds of it."""

    minutes: float = 62.0
    warm_minutes: float = 2.0
    batch: int = 16
    seed: int = 2027
    save_minutes: float = 5.0

    def rate(self, minutes: float, since: int) -> float:
        """Factor of the learning rates: a ramp over the first steps of each stage, a cosine over the whole run."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, minutes / self.minutes)))
        return min(1.0, (since + 1) / RAMP_STEPS) * (FINAL_RATE + (1 - FINAL_RATE) * cosine)

    def guidance(self, minutes: float) -> float:
        """Weight of the guidance loss; 0 for the last third of the questions."""
        done = (minutes - self.warm_minutes) / (self.minutes - self.warm_minutes)
        return guidance(done)


def losses(
    model: Qwen3VLForConditionalGeneration, heads: PatchHeads, batch: Batch, guide_weight: float
) -> tuple[Tensor, dict[str, float]]:
    """The weighted sum of all losses of one batch, and its parts."""
    patch, cells = torch.zeros(()), []
    for pixels, labels in zip(batch.pixels, batch.patch_labels, strict=True):
        features = vision_features(model, pixels.float() / 127.5 - 1)
        patch = patch + heads.loss(features, labels) / len(batch.pixels)
        if batch.packed is not None:
            size = model.config.vision_config.patch_size
            cells.append(merged(model, features, pixels.shape[2] // size, pixels.shape[3] // size))
    if batch.packed is None:
        return patch, {"patch": patch.item()}
    guides = batch.guides if guide_weight > 0 else ()
    hidden, guide = packed_text(model, torch.cat(cells, 1), batch.packed, guides)
    answer, token = answer_loss(model, hidden, batch.labels)
    number = "two" if len(cells) > 1 else "one"
    parts = {f"answer {number}": answer.item(), f"token {number}": token, "patch": patch.item()}
    if guides:
        parts["guide"] = guide.item()
    return answer + PATCH_WEIGHT * patch + guide_weight * guide, parts


class Trainer:
    """Model, heads, optimisers, and the step and the minutes that they have reached."""

    def __init__(self, out: Path, plan: Plan, resume: bool, first_model: Path | None = FIRST_MODEL) -> None:
        self.out, self.plan, self.step, self.spent = out, plan, 0, 0.0
        out.mkdir(parents=True, exist_ok=True)
        self.processor = build_processor()
        self.model = build_model(self.processor, plan.seed)
        torch.manual_seed(plan.seed)
        self.heads = PatchHeads()
        if first_model is not None:
            llava = LlavaForConditionalGeneration.from_pretrained(first_model, dtype=torch.float32)
            vocabulary = PreTrainedTokenizerFast.from_pretrained(first_model).get_vocab()
            start_from_llava(self.model, self.processor, llava, vocabulary)
        self.optimisers = build_optimisers(self.model, self.heads)
        self.batches = Batches(PromptEncoder(self.processor, self.model), plan.seed, plan.batch)
        if resume:
            self._restore()

    def _restore(self) -> None:
        state = load_state(self.out, asdict(self.plan), self.model, self.heads, self.optimisers)
        self.step, self.spent = state["step"], state["spent"]

    def checkpoint(self) -> None:
        """Model, optimisers, step and minutes; and a snapshot that transformers loads."""
        save_state(
            self.out, asdict(self.plan), self.model, self.heads, self.optimisers, step=self.step, spent=self.spent
        )
        save_snapshot(self.model, self.processor, self.out, self.step)

    def one(self, stage: int, since: int) -> dict[str, float]:
        """One step; returns the parts of its loss."""
        batch = self.batches.batch(self.step, stage)
        with torch.autocast("cpu", torch.bfloat16):
            total, parts = losses(self.model, self.heads, batch, self.plan.guidance(self.spent))
        descend(self.optimisers, self.plan.rate(self.spent, since), total)
        return parts

    def run(self) -> None:
        """Train until the time is over, then write the last checkpoint and snapshot."""
        plan, before, began = self.plan, self.spent, time.monotonic()
        saved, stage, since, mean = self.spent, -1, 0, {}
        while self.spent < plan.minutes:
            now = int(self.spent >= plan.warm_minutes)
            if now != stage:
                stage, since = now, 0
            parts = self.one(stage, since)
            self.step, since = self.step + 1, since + 1
            self.spent = before + (time.monotonic() - began) / 60
            mean |= {name: mean.get(name, value) * 0.95 + value * 0.05 for name, value in parts.items()}
            if self.step % 25 == 0:
                shown = "  ".join(f"{name} {value:.3f}" for name, value in mean.items())
                print(f"step {self.step}  {self.spent:.1f} of {plan.minutes:g} minutes  {shown}", flush=True)
            if self.spent - saved >= plan.save_minutes:
                self.checkpoint()
                saved = self.spent
        self.checkpoint()


def write_checkpoint(snapshot: Path, folder: Path) -> None:
    """The model that is kept: float16 safetensors, processor and tokenizer, complete or not there at all."""

    def save(part: Path) -> None:
        shutil.copytree(snapshot, part, ignore=shutil.ignore_patterns("*.safetensors"))
        Qwen3VLForConditionalGeneration.from_pretrained(snapshot, dtype=torch.float16).save_pretrained(part)

    keep(folder, save)
