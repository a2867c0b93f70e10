"""Muon for the hidden matrices, AdamW for the rest.

Not `torch.optim.Muon`: that one orthogonalises matrix by matrix in bfloat16, which a CPU without AMX runs slower than float32;
here all matrices of one shape go through one batched product.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

MUON_RATE, ADAMW_RATE, DECAY = 5e-3, 2e-3, 0.01


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Newton–Schulz iteration (Jordan et al. 2024) on [K, rows, columns]: singular values towards 1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.transpose(1, 2) if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if matrices.shape[1] > matrices.shape[2] else x


class Muon(Optimizer):
    """Momentum, orthogonalised, scaled to AdamW's root mean square (0.2·√max(rows, columns), Liu et al. 2025)."""

    def __init__(
        self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = DECAY
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            same_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    same_shape[weight.shape].append(weight)
            for shape, weights in same_shape.items():
                for weight in weights:
                    state = self.state[weight]
                    if not state:
                        state["momentum"] = torch.zeros_like(weight)
                    state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                nesterov = torch.stack([w.grad.lerp(self.state[w]["momentum"], group["momentum"]) for w in weights])
                updates = orthogonalise(nesterov)
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for weight, update in zip(weights, updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def build_optimisers(model: nn.Module, heads: nn.Module) -> list[Optimizer]:
    """Muon over the linear layers of towers and projector; AdamW over embeddings, norms, biases and heads."""
    hidden, rest = [], list(heads.parameters())
    for name, weight in model.named_parameters():
        matrix = weight.ndim == 2 and not any(part in name for part in ("embed", "lm_head"))
        (hidden if matrix else rest).append(weight)
    return [Muon(hidden, MUON_RATE), AdamW(rest, ADAMW_RATE, betas=(0.9, 0.95), weight_decay=DECAY)]
