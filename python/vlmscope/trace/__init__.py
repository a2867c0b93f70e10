"""Traces: what one answered question left behind. The file format is described in docs/trace-format.md."""

from .document import Trace
from .file import open_trace
from .schema import Affine, Canvas, Frame, Meta, Model, Rect, Token, View

__all__ = ["Affine", "Canvas", "Frame", "Meta", "Model", "Rect", "Token", "Trace", "View", "open_trace"]
