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
    """y = act(x); dx = dy ⊙ act′(x)."""
    return activation(g, kind, x), lambda dy: g.op("Mul", dy, g.to_model_dtype(derivative(g, kind, g.to_f32(x))))


def derivative(g: Graph, kind: str, x: str) -> str:
    """act′(x) in f32."""

    def c(value: float) -> str:
        return g.const(value, "f32")

    def sigmoid_times_x(k: float) -> str:
        """d/dx x σ(kx) = σ (1 + kx (1 − σ))."""
        scaled = g.op("Mul", x, c(k)) if k != 1 else x
        s = g.op("Sigmoid", scaled)
        return g.op("Mul", s, g.op("Add", c(1), g.op("Mul", scaled, g.op("Sub", c(1), s))))

    match kind:
        case "silu":
            return sigmoid_times_x(1.0)
        case "quick_gelu":
            return sigmoid_times_x(1.702)
        case "relu":
            return g.cast(g.op("Greater", x, c(0)), "f32")
        case "gelu":  # Φ(x) + x φ(x)
            half_erf = g.op("Mul", g.op("Erf", g.op("Mul", x, c(math.sqrt(0.5)))), c(0.5))
            square = g.op("Mul", x, x)
            density = g.op("Mul", g.op("Exp", g.op("Mul", square, c(-0.5))), c(1 / math.sqrt(2 * math.pi)))
            return g.op("Add", g.op("Add", half_erf, c(0.5)), g.op("Mul", x, density))
        case "gelu_tanh":  # ½ (1 + t) + ½ x (1 − t²) u′ with t = tanh u, u = √(2/π) (x + 0.044715 x³)
            root, cubic = math.sqrt(2 / math.pi), 0.044715
            square = g.op("Mul", x, x)
            inner = g.op("Mul", x, g.op("Add", c(root), g.op("Mul", square, c(root * cubic))))
            t = g.op("Tanh", inner)
            slope = g.op("Add", c(root), g.op("Mul", square, c(3 * root * cubic)))
            rest = g.op("Mul", g.op("Mul", x, slope), g.op("Sub", c(1), g.op("Mul", t, t)))
            return g.op("Mul", g.op("Add", g.op("Add", c(1), t), rest), c(0.5))
    raise ValueError(kind)


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
