"""The engine of the vlmscope program, driven from Python by the protocol of docs/serve.md."""

from .engine import Engine, Stream, Token

__all__ = ["Engine", "Stream", "Token"]
