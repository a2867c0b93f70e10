"""Results of painting tests, kept in the user's cache folder so that later captures of the model name them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

#: Goes up when the painting test finds more than it did.
VERSION = 2


def folder() -> Path:
    """$XDG_CACHE_HOME/vlmscope/checks."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "vlmscope" / "checks"


def key_of(model, processor) -> str:
    """Changes with the test and with everything that places patches: classes, configuration, processor settings, version of transformers."""
    import transformers

    parts = {
        "test": VERSION,
        "model": type(model).__name__,
        "config": _placing(model.config.to_dict()),
        "processor": type(processor).__name__,
        "transformers": transformers.__version__,
    }
    for name in ("image_processor", "video_processor"):
        part = getattr(processor, name, None)
        if part is not None:
            parts[name] = part.to_dict()
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _placing(config: dict) -> dict:
    """A configuration without what says where it came from and which numbers are used."""
    other = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "quantization_config")
    kept = {name: value for name, value in config.items() if name not in other}
    return {name: _placing(value) if isinstance(value, dict) else value for name, value in kept.items()}


def save(model, processor, report) -> Path:
    """Stores a report; replaces an older one."""
    path = folder() / f"{key_of(model, processor)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.part")
    temporary.write_text(json.dumps(report.to_json(), indent=1) + "\n")
    temporary.replace(path)
    return path


def load(model, processor) -> dict | None:
    """The stored result, None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder() / f"{key_of(model, processor)}.json").read_text())
    return None
