"""Errors of the package. Each says what is wrong, where, and what to do."""


class VlmscopeError(Exception):
    """Base of all errors of this package."""


class TraceError(VlmscopeError):
    """A trace file cannot be read or written, or its parts do not fit together."""


class SelectionError(VlmscopeError, ValueError):
    """A token, layer, head, view or picture that a trace does not have; the message says which ones it has."""


class CaptureError(VlmscopeError):
    """A model or a call cannot be captured; the message names the reason and the fix."""


class ShowError(VlmscopeError):
    """The vlmscope program is missing or ended at once."""


class EngineError(VlmscopeError):
    """The engine refused a request or could not carry it out. `kind` is the engine's own word for the reason (docs/serve.md), or ""."""

    def __init__(self, message: str, kind: str = ""):
        super().__init__(message)
        self.kind = kind


class EngineLostError(EngineError):
    """The engine's process or its connection ended; the message has its last lines. The next request starts a new one."""
