"""Parts that the trainings of both models share: losses, a step of the optimisers, checkpoints, and the model that is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel, ProcessorMixin

from tiny.batches import IGNORE

PATCH_WEIGHT, GUIDE_WEIGHT = 0.3, 0.1
RAMP_STEPS = 60
GUIDE_FADE, GUIDE_END = 0.58, 2 / 3  # of the questions: guidance fades to nothing and stays off
# Large tensors stay in the heap: giving them back to the system and faulting them in again costs more than using them. The C
# library reads these when a process starts.
LARGE_HEAP = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}


def guidance(done: float) -> float:
    """Weight of the guidance loss after a share of the questions; 0 for the last third."""
    return GUIDE_WEIGHT * min(1.0, max(0.0, (GUIDE_END - done) / (GUIDE_END - GUIDE_FADE)))


def answer_loss(model: PreTrainedModel, hidden: Tensor, labels: Tensor) -> tuple[Tensor, float]:
    """Cross entropy of the labelled positions of `hidden` [..., width], and the share of them whose largest logit is right."""
    wanted = labels != IGNORE
    logits, targets = model.lm_head(hidden[wanted]), labels[wanted]
    return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean().item()


def descend(
    optimisers: list[Optimizer], factor: float, loss: Tensor, average: Callable[[list[Tensor]], None] | None = None
) -> None:
    """One step down the loss with learning rates times `factor`; `average` may change the gradients before they are clipped."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group.setdefault("base_lr", group["lr"]) * factor
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    weights = [w for o in optimisers for g in o.param_groups for w in g["params"] if w.grad is not None]
    if average is not None:
        average([w.grad for w in weights])
    nn.utils.clip_grad_norm_(weights, 1.0)
    for optimiser in optimisers:
        optimiser.step()


def save_state(
    out: Path, plan: dict[str, Any], model: nn.Module, heads: nn.Module, optimisers: list[Optimizer], **progress: float
) -> None:
    """Everything that a training needs to go on, written to a temporary name and renamed to `out`/checkpoint.pt."""
    state = {
        "plan": plan,
        "model": model.state_dict(),
        "heads": heads.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        **progress,
    }
    part = out / "checkpoint.pt.part"
    torch.save(state, part)
    os.replace(part, out / "checkpoint.pt")


def load_state(
    out: Path, plan: dict[str, Any], model: nn.Module, heads: nn.Module, optimisers: list[Optimizer]
) -> dict[str, Any]:
    """Goes back to the state of :func:`save_state`; returns it for its progress."""
    path = out / "checkpoint.pt"
    if not path.is_file():
        raise SystemExit(f"{path}: no checkpoint to resume from; run once without --resume")
    state = torch.load(path, weights_only=True)
    if state["plan"] != plan:
        raise SystemExit(
            f"{path}: was written with another plan ({state['plan']}); use the same options or another --out"
        )
    model.load_state_dict(state["model"])
    heads.load_state_dict(state["heads"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return state


def save_snapshot(model: PreTrainedModel, processor: ProcessorMixin, out: Path, step: int) -> None:
    """`out/snapshot` → a folder written by `save_pretrained`; the link changes only when the folder is complete."""
    folder = out / f"snapshot-{step:05d}"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    link = out / "snapshot.part"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    os.replace(link, out / "snapshot")
    for old in sorted(out.glob("snapshot-*"))[:-3]:
        shutil.rmtree(old)


def keep(folder: Path, save: Callable[[Path], None]) -> None:
    """The folder that `save` fills, complete or not there at all."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    save(part)
    for file in part.iterdir():
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)
