"""The training loop: a vision-only warm-up on patch labels, then pictures and questions together.

Everything is scheduled by steps, never by the clock, so a seed gives the same run on a slow and on a fast machine. Two
processes of one thread each share a batch and average their gradients once a step: threads would meet several hundred times a
step, which crawls as soon as anything else wants one of the cores.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoProcessor, LlavaForConditionalGeneration

from tiny.batches import HEADS, IGNORE, Batch, Batches
from tiny.model import IMAGE_SIZE, PATCH_SIZE, WIDTH, build_model, packed_text, vision_features
from tiny.optimiser import build_optimisers
from tiny.text import build_processor
from tiny.training import (
    LARGE_HEAP,
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

FINAL_RATE = 0.03
HORIZON_STEPS, COOL_SHARE = 5_500, 0.24  # the cosine's length; the share of the run that cools down to the final rate


@dataclass(frozen=True)
class Plan:
    """How long and on what. Batch sizes are pictures over all workers."""

    warm_steps: int = 700
    joint_steps: int = 2800
    warm_batch: int = 32
    joint_batch: int = 16
    workers: int = 2
    seed: int = 2026
    checkpoint_every: int = 250
    snapshot_every: int = 500

    @property
    def total(self) -> int:
        return self.warm_steps + self.joint_steps

    def rate(self, step: int) -> float:
        """Factor of the learning rates: a ramp at the start of each stage, a slow cosine, and a linear cool-down."""
        since = step if step < self.warm_steps else step - self.warm_steps
        cool = self.total * COOL_SHARE
        cosine = 0.5 * (1 + math.cos(math.pi * min(step, self.total - cool) / HORIZON_STEPS))
        left = min(1.0, (self.total - step) / cool)
        return min(1.0, (since + 1) / RAMP_STEPS) * (FINAL_RATE + (1 - FINAL_RATE) * cosine * left)

    def guidance(self, step: int) -> float:
        """Weight of the guidance loss; 0 for the last third of the joint steps."""
        return guidance((step - self.warm_steps) / self.joint_steps)


class PatchHeads(nn.ModuleDict):
    """Linear read-outs of every patch feature. They only shape the vision tower and are thrown away."""

    def __init__(self) -> None:
        super().__init__({name: nn.Linear(WIDTH, classes) for name, classes in HEADS.items()})

    def loss(self, features: Tensor, labels: dict[str, Tensor]) -> Tensor:
        flat = features.flatten(0, 1)
        losses = [
            F.cross_entropy(head(flat), labels[name].flatten(), ignore_index=IGNORE) for name, head in self.items()
        ]
        return torch.stack([loss for loss in losses if not loss.isnan()]).sum()


@dataclass
class Losses:
    total: Tensor
    parts: dict[str, float]


def losses(model: LlavaForConditionalGeneration, heads: PatchHeads, batch: Batch, guide_weight: float) -> Losses:
    """All losses of one batch; which ones depends on what the batch holds."""
    features = vision_features(model, batch.pixels.float() / 127.5 - 1)
    patch = heads.loss(features, batch.patch_labels)
    if batch.packed is None:
        return Losses(patch, {"patch": patch.item()})
    guided = guide_weight > 0
    hidden, guide = packed_text(model, features, batch.packed, batch.guides if guided else ())
    answer, token = answer_loss(model, hidden, batch.labels)
    parts = {"answer": answer.item(), "token": token, "patch": patch.item()}
    total = answer + PATCH_WEIGHT * patch
    if guided:
        parts["guide"] = guide.item()
        total = total + guide_weight * guide
    return Losses(total, parts)


class Trainer:
    """Model, heads, optimisers and the step that they have reached; the same in every worker, of which number 0 writes."""

    def __init__(self, out: Path, plan: Plan, resume: bool, worker: int = 0) -> None:
        self.out, self.plan, self.worker, self.step = out, plan, worker, 0
        out.mkdir(parents=True, exist_ok=True)
        self.processor = build_processor(IMAGE_SIZE, PATCH_SIZE)
        self.model = build_model(self.processor, plan.seed)
        self.heads = PatchHeads()
        self.optimisers = build_optimisers(self.model, self.heads)
        if resume:
            self._restore()

    def _restore(self) -> None:
        state = load_state(self.out, asdict(self.plan), self.model, self.heads, self.optimisers)
        self.step = state["step"]

    def checkpoint(self) -> None:
        """Model, optimisers and step. Batches draw their chance from the step."""
        save_state(self.out, asdict(self.plan), self.model, self.heads, self.optimisers, step=self.step)

    def _one(self, batch: Batch) -> dict[str, float]:
        found = losses(self.model, self.heads, batch, self.plan.guidance(self.step))
        descend(self.optimisers, self.plan.rate(self.step), found.total, self._average)
        return found.parts

    def _average(self, gradients: list[Tensor]) -> None:
        if self.plan.workers == 1:
            return
        flat = nn.utils.parameters_to_vector(gradients)
        dist.all_reduce(flat)
        nn.utils.vector_to_parameters(flat / self.plan.workers, gradients)

    def _stage(self, number: int, last: int, size: int) -> None:
        plan = self.plan
        batches = Batches(self.processor.tokenizer, plan.seed, number, self.worker, size // plan.workers)
        began, first, mean = time.monotonic(), self.step, {}
        while self.step < last:
            parts = self._one(batches[self.step])
            self.step += 1
            if self.worker:
                continue
            mean = {name: mean.get(name, value) * 0.97 + value * 0.03 for name, value in parts.items()}
            if self.step % 25 == 0 or self.step == last:
                pace = (time.monotonic() - began) / (self.step - first)
                shown = "  ".join(f"{name} {value:.3f}" for name, value in mean.items())
                stage = ("patches", "questions")[number]
                print(
                    f"{stage} {self.step}/{plan.total}  {shown}  {pace:.2f} s/step, stage done in {(last - self.step) * pace / 60:.0f} min",
                    flush=True,
                )
            self._keep()

    def _keep(self) -> None:
        if self.step % self.plan.checkpoint_every == 0:
            self.checkpoint()
        if self.step % self.plan.snapshot_every == 0:
            save_snapshot(self.model, self.processor, self.out, self.step)

    def run(self) -> None:
        """Train from wherever we are to the end, then write the last checkpoint and snapshot."""
        if self.step < self.plan.warm_steps:
            self._stage(0, self.plan.warm_steps, self.plan.warm_batch)
        if self.step < self.plan.total:
            self._stage(1, self.plan.total, self.plan.joint_batch)
        if self.worker == 0:
            self.checkpoint()
            save_snapshot(self.model, self.processor, self.out, self.step)


def work(worker: int, out: Path, plan: Plan, resume: bool, rendezvous: str) -> None:
    """One worker's whole training; `rendezvous` is a file that does not exist yet."""
    torch.set_num_threads(1)
    if plan.workers > 1:
        dist.init_process_group("gloo", f"file://{rendezvous}", rank=worker, world_size=plan.workers)
    Trainer(out, plan, resume, worker).run()
    if plan.workers > 1:
        dist.destroy_process_group()


def train(out: Path, plan: Plan, resume: bool) -> None:
    """Run all workers to the end; the result is `out/snapshot`."""
    os.environ |= LARGE_HEAP | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = (out.resolve(), plan, resume, f"{folder}/rendezvous")
        torch.multiprocessing.spawn(work, arguments, nprocs=plan.workers)


def write_checkpoint(snapshot: Path, folder: Path) -> None:
    """The model that is kept: float16 safetensors, processor and tokenizer, complete or not there at all."""

    def save(part: Path) -> None:
        LlavaForConditionalGeneration.from_pretrained(snapshot, dtype=torch.float16).save_pretrained(part)
        AutoProcessor.from_pretrained(snapshot).save_pretrained(part)

    keep(folder, save)
