"""Layers that the graphs share: linear, norms, activations, attention's leaves.

Activations are two-dimensional ([positions, features], the batch folded in) and a linear's weight is stored as [in, out]:
the backward pass of a linear then reads the very same bytes with transB, so that forward and relevancy graphs can share one
data file. The language model's head is the exception, stored as [vocabulary, hidden]: the embedding uses that orientation
(tied models share it), and relevancy gathers single rows of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from . import ATTENTION_SCALE
from .errors import ExportError
from .graph import NUMPY_OF_DTYPE, Dim, Graph, WeightFile


def to_numpy(tensor: torch.Tensor, dtype: str, name: str) -> np.ndarray:
    """Converts a weight to the bundle's dtype, and refuses values that f16 cannot hold."""
    with np.errstate(over="ignore"):  # reported below, with the weight's name
        array = tensor.detach().float().cpu().numpy().astype(NUMPY_OF_DTYPE[dtype], copy=False)
    if dtype == "f16" and not np.isfinite(array).all():
        raise ExportError(f"The weight '{name}' has values that f16 cannot hold. Export with --dtype f32.")
    return array


@dataclass
class Weights:
    """Adds weights of one dtype to one file, under a prefix."""

    graph: Graph
    file: WeightFile
    prefix: str = ""

    def at(self, name: str) -> Weights:
        return Weights(self.graph, self.file, f"{self.prefix}{name}.")

    def tensor(self, name: str, tensor: torch.Tensor, transpose: bool = False, dtype: str | None = None) -> str:
        dtype, full = dtype or self.graph.dtype, self.prefix + name
        return self.graph.weight(self.file, full, lambda: to_numpy(tensor.T if transpose else tensor, dtype, full))

    def linear(self, name: str, x: str, module: nn.Linear) -> str:
        """x [positions, in] → [positions, out]."""
        weight = self.tensor(f"{name}.weight", module.weight, transpose=True)
        if module.bias is None:
            return self.graph.op("MatMul", x, weight)
        return self.graph.op("Gemm", x, weight, self.tensor(f"{name}.bias", module.bias))

    def layer_norm(self, name: str, x: str, module: nn.LayerNorm) -> str:
        scale = self.tensor(f"{name}.weight", module.weight)
        bias = self.tensor(f"{name}.bias", module.bias)
        return self.graph.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=float(module.eps))

    def rms_norm(self, name: str, x: str, module: nn.Module, eps: float, plus_one: bool) -> str:
        """RMSNorm in f32 whatever the model's dtype, as transformers computes it. Gemma's weight is stored as 1 + w."""
        g = self.graph
        weight = self.tensor(f"{name}.weight", module.weight.float() + 1 if plus_one else module.weight, dtype="f32")
        x = g.to_f32(x)
        mean_square = g.op("ReduceMean", g.op("Pow", x, g.const(2.0, "f32")), g.ints(-1), keepdims=1)
        norm = g.op("Sqrt", g.op("Add", mean_square, g.const(eps, "f32")))
        return g.to_model_dtype(g.op("Mul", g.op("Div", x, norm), weight))


def activation(g: Graph, kind: str, x: str) -> str:
    match kind:
        case "silu":
            return g.op("Mul", x, g.op("Sigmoid", x))
        case "quick_gelu":
            return g.op("Mul", x, g.op("Sigmoid", g.op("Mul", x, g.const(1.702, g.dtype))))
        case "gelu":
            return g.op("Gelu", x, approximate="none")
        case "gelu_tanh":
            return g.op("Gelu", x, approximate="tanh")
        case "relu":
            return g.op("Relu", x)
    raise ValueError(kind)


def merge_heads(g: Graph, x: str, features: int, rows: Dim) -> str:
    """[batch, heads, positions, head_dim] → [batch · positions, heads · head_dim]; `rows` names the first dimension."""
    return g.reshape(g.op("Transpose", x, perm=[0, 2, 1, 3]), -1, features, hint=[rows, features])


def scaled_f16(g: Graph, weights: str, out: str) -> None:
    """Attention weights in f32 → times the attention scale, as f16: a graph output."""
    g.cast(g.op("Mul", weights, g.const(float(ATTENTION_SCALE), "f32")), "f16", out=out)
