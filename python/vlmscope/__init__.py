"""vlmscope: attention of vision-language models, captured from transformers and read from traces.

`import vlmscope` needs numpy, safetensors and pillow; `capture`, `recording` and `check` also need torch and transformers
(`pip install "vlmscope[capture]"`).
"""

from .capture import capture, recording
from .check import check
from .errors import CaptureError, SelectionError, ShowError, TraceError, VlmscopeError
from .trace import Trace
from .trace import open_trace as open

__version__ = "0.1.0"

__all__ = [
    "CaptureError",
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
