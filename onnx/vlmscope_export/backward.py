"""Layers that come with their backward pass, written out as nodes: each function returns its output and a function that turns the
gradient of the output into the gradient of the input.

Only gradients towards activations are needed, never towards weights, so a layer's backward costs about as much as its forward. Matrix
products run in the model's dtype; norms, softmax and activation derivatives in f32, as in the forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from .blocks import Weights, activation
from .graph import Graph

# Gradient of the score with respect to a layer's output → with respect to its input.
Backward = Callable[[str], str]


def linear(w: Weights, name: str, x: str, module: nn.Linear) -> tuple[str, Backward]:
    """y = x W + b; dx = dy Wᵀ, from the same bytes of W."""
    weight = f"{w.prefix}{name}.weight"
    return w.linear(name, x, module), lambda dy: w.graph.op("Gemm", dy, weight, transB=1)


def rms_norm(w: Weights, name: str, x: str, module: nn.Module, eps: float, plus_one: bool) -> tuple[str, Backward]:
    """y = g ⊙ x/n with n = √(mean x² + ε); dx = (t − x/n · mean(t ⊙ x/n)) / n with t = g ⊙ dy."""
    g = w.graph
    weight = w.tensor(f"{name}.weight", module.weight.float() + 1 if plus_one else module.weight, dtype="f32")
    x = g.to_f32(x)
    square = g.op("ReduceMean", g.op("Pow", x, g.const(2.0, "f32")), g.ints(-1), keepdims=1)
    norm = g.op("Sqrt", g.op("Add", square, g.const(eps, "f32")))
    unit = g.op("Div", x, norm)

    def back(dy: str) -> str:
        t = g.op("Mul", g.to_f32(dy), weight)
        along = g.op("ReduceMean", g.op("Mul", t, unit), g.ints(-1), keepdims=1)
        return g.to_model_dtype(g.op("Div", g.op("Sub", t, g.op("Mul", unit, along)), norm))

    return g.to_model_dtype(g.op("Mul", unit, weight)), back


def layer_norm(w: Weights, name: str, x: str, module: nn.LayerNorm) -> tuple[str, Backward]:
    """y = g ⊙ u + b with u = (x − mean x)/σ; dx = (t − mean t − u · mean(t ⊙ u)) / σ with t = g ⊙ dy."""
    g = w.graph
    scale, bias = (g.to_f32(w.tensor(f"{name}.{k}", getattr(module, k))) for k in ("weight", "bias"))
    x = g.to_f32(x)
    centred = g.op("Sub", x, g.op("ReduceMean", x, g.ints(-1), keepdims=1))
    square = g.op("ReduceMean", g.op("Mul", centred, centred), g.ints(-1), keepdims=1)
    sigma = g.op("Sqrt", g.op("Add", square, g.const(float(module.eps), "f32")))
    unit = g.op("Div", centred, sigma)

    def back(dy: str) -> str:
        t = g.op("Mul", g.to_f32(dy), scale)
        along = g.op("ReduceMean", g.op("Mul", t, unit), g.ints(-1), keepdims=1)
        t = g.op("Sub", t, g.op("ReduceMean", t, g.ints(-1), keepdims=1))
        return g.to_model_dtype(g.op("Div", g.op("Sub", t, g.op("Mul", unit, along)), sigma))

    return g.to_model_dtype(g.op("Add", g.op("Mul", unit, scale), bias)), back


def activated(g: Graph, kind: str, x: str) -> tuple[str, Backward]:
    """y = act(x); dx = dy ⊙ act′(x), the derivative in f32."""
    rate = {"silu": 1.0, "quick_gelu": 1.702}.get(kind)
    if rate is not None:
        return _sigmoid_gated(g, x, rate)
    slope = {"relu": _relu_slope, "gelu": _gelu_slope, "gelu_tanh": _gelu_tanh_slope}[kind]
    return activation(g, kind, x), lambda dy: g.op("Mul", dy, g.to_model_dtype(slope(g, g.to_f32(x))))


def _sigmoid_gated(g: Graph, x: str, rate: float) -> tuple[str, Backward]:
    """y = x σ(k x); y′ = σ + k y (1 − σ). Written in y and σ, so that x need not be kept for the backward pass."""
    s = g.op("Sigmoid", g.op("Mul", x, g.const(rate, g.dtype)) if rate != 1 else x)
    y = g.op("Mul", x, s)

    def back(dy: str) -> str:
        s32, one = g.to_f32(s), g.const(1.0, "f32")
        rest = g.op("Mul", g.to_f32(y), g.op("Sub", one, s32))
        rest = g.op("Mul", rest, g.const(rate, "f32")) if rate != 1 else rest
        return g.op("Mul", dy, g.to_model_dtype(g.op("Add", s32, rest)))

    return y, back


def _relu_slope(g: Graph, x: str) -> str:
    return g.cast(g.op("Greater", x, g.const(0.0, "f32")), "f32")


def _gelu_slope(g: Graph, x: str) -> str:
    """Φ(x) + x φ(x)."""
    half_erf = g.op("Mul", g.op("Erf", g.op("Mul", x, g.const(math.sqrt(0.5), "f32"))), g.const(0.5, "f32"))
    exponent = g.op("Mul", g.op("Mul", x, x), g.const(-0.5, "f32"))
    density = g.op("Mul", g.op("Exp", exponent), g.const(1 / math.sqrt(2 * math.pi), "f32"))
    return g.op("Add", g.op("Add", half_erf, g.const(0.5, "f32")), g.op("Mul", x, density))


def _gelu_tanh_slope(g: Graph, x: str) -> str:
    """½ (1 + t) + ½ x (1 − t²) u′ with t = tanh u and u = √(2/π) (x + 0.044715 x³)."""
    root, cubic, one = math.sqrt(2 / math.pi), 0.044715, g.const(1.0, "f32")
    square = g.op("Mul", x, x)
    u = g.op("Mul", x, g.op("Add", g.const(root, "f32"), g.op("Mul", square, g.const(root * cubic, "f32"))))
    t = g.op("Tanh", u)
    slope = g.op("Add", g.const(root, "f32"), g.op("Mul", square, g.const(3 * root * cubic, "f32")))
    rest = g.op("Mul", g.op("Mul", x, slope), g.op("Sub", one, g.op("Mul", t, t)))
    return g.op("Mul", g.op("Add", g.op("Add", one, t), rest), g.const(0.5, "f32"))


def softmax_backward(g: Graph, weights: str, d_weights: str, context: str, d_context: str) -> tuple[str, str]:
    """Returns (gradient ⊙ attention, gradient of the scores), both f32 [B, H, S, T].

    dS = A ⊙ (dA − r) with r = Σ_j A_j dA_j. Because dA = dc Vᵀ and c = A V, r is also the inner product of the context with its
    gradient: a sum over the head's features instead of over all keys.
    """
    product = g.op("Mul", g.to_f32(d_context), g.to_f32(context))
    row = g.op("ReduceSum", product, g.ints(-1), keepdims=1)
    d_weights = g.to_f32(d_weights)
    d_scores = g.op("Mul", weights, g.op("Sub", d_weights, row))
    return g.op("Mul", weights, d_weights), d_scores


def mean_positive(g: Graph, product: str, heads: int, rows: str | int, scale: float, out: str) -> None:
    """Ā = mean over heads of the positive part of gradient ⊙ attention, as the graph output [rows, T]; `scale` undoes the loss
    scale. The mean is one matrix product with a row of constants, the cheapest way to reduce over heads."""
    positive = g.op("Relu", product)
    each = g.const([[scale / heads] * heads], "f32")
    mean = g.op("MatMul", each, g.reshape(positive, heads, -1))
    g.reshape(mean, rows, -1, out=out)
