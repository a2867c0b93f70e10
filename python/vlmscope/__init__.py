"""vlmscope: attention of vision-language models, captured from transformers and read from traces.

`import vlmscope` needs numpy, safetensors and pillow; `Engine` needs the vlmscope program, which the wheel brings; `capture`, `recording`
and `check` also need torch and transformers (`pip install "vlmscope[capture]"`), and `vlmscope.ray` needs Ray (`pip install "vlmscope[ray]"`).
"""

from .capture import capture, recording
from .check import check
from .engine import Engine
from .errors import CaptureError, EngineError, EngineLostError, SelectionError, ShowError, TraceError, VlmscopeError
from .trace import Trace
from .trace import open_trace as open

__version__ = "0.1.0"

__all__ = [
    "CaptureError",
    "Engine",
    "EngineError",
    "EngineLostError",
    "SelectionError",
    "ShowError",
    "Trace",
    "TraceError",
    "VlmscopeError",
    "capture",
    "check",
    "open",
    "recording",
]
