"""Reading and writing NAME.vlmtrace: a safetensors file whose `__metadata__["vlmtrace"]` is JSON."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..errors import TraceError
from . import checks, schema, tensors, v1

META_KEY = "vlmtrace"
SUPPORTED = "2.0"
_NAMES = {"float16": "F16", "float32": "F32", "int32": "I32", "uint8": "U8"}


def open_trace(path):
    """Opens a trace of format 1.0 or 2.0. Tensors are read when they are asked for.

    Raises TraceError: a file that is missing, cut, of a newer format, or whose parts do not fit together.
    """
    path = Path(path)
    try:
        handle = safe_open(path, "np")
        text = (handle.metadata() or {}).get(META_KEY)
        names = list(handle.keys())
        found = {name: tensors.FileTensor(handle, name) for name in names}
    except (OSError, SafetensorError, KeyError) as error:
        raise TraceError(f"cannot read the trace {path}: {error}. Check that it is a complete .vlmtrace file.") from error
    if text is None:
        raise TraceError(f"{path} is a safetensors file without the `{META_KEY}` metadata, not a trace.")
    try:
        return _checked(path, text, found)
    except (TypeError, ValueError, OverflowError, MemoryError, AttributeError, KeyError, IndexError, RecursionError) as error:
        raise TraceError(f"{path} is no valid trace: {type(error).__name__}: {error}. Write it again.") from error


def _checked(path: Path, text: str, found: dict):
    from .document import Trace

    meta = _read_meta(path, text)
    if meta.format_version.startswith("1."):
        found = {_v2_name(name): tensor for name, tensor in found.items()}
        if meta.vision and "attention.vision" in found:
            found["vision.0.attention"] = found.pop("attention.vision")
    reason = checks.problem(meta, found)
    if reason:
        raise TraceError(f"{path} is no valid trace: {reason}. Write it again.")
    return Trace(meta, found, path)


def _read_meta(path: Path, text: str) -> schema.Meta:
    try:
        data = json.loads(text)
        version = data["format_version"]
        major = int(version.split(".")[0])
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise TraceError(f"{path} is no valid trace: its metadata has no format version ({error}).") from error
    if major > int(SUPPORTED.split(".")[0]):
        raise TraceError(f"{path} has trace format {version}; this reader knows {SUPPORTED}. Update vlmscope.")
    try:
        return v1.from_json_v1(data) if major == 1 else schema.from_json(data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise TraceError(f"{path} is no valid trace: its metadata does not fit format {version} ({reason}).") from error


def _v2_name(name: str) -> str:
    parts = name.split(".")
    return f"canvas.{parts[1]}.pixels" if parts[0] == "picture" and parts[-1] == "preprocessed" else name


def _v1_name(name: str) -> str:
    parts = name.split(".")
    return f"picture.{parts[1]}.preprocessed" if parts[0] == "canvas" else name


def write_trace(trace, path) -> str:
    """Writes to a temporary file in the same folder and renames it; returns the format version that was written.

    The file's permissions follow the umask. Raises TraceError; an old file of that name is then untouched.
    """
    path = Path(path)
    reason = checks.problem(trace.meta, trace.tensors)
    if reason:
        raise TraceError(f"the trace is inconsistent and was not written: {reason}")
    if v1.needs_v2(trace.meta):
        version, meta, named = "2.0", schema.to_json(trace.meta), dict(trace.tensors)
    else:
        version, meta = "1.0", v1.to_json_v1(trace.meta)
        named = {_v1_name(name): tensor for name, tensor in trace.tensors.items()}
        if v1.is_vision_attention(trace.meta, named):
            named["attention.vision"] = named.pop("vision.0.attention")
        _require_v1(named)
    # Widest elements first, so that every tensor is aligned to its element size.
    order = sorted(named, key=lambda name: (-named[name].dtype.itemsize, name))
    header = _header(meta, [(name, named[name]) for name in order])
    try:
        _write_and_rename(path, header, [named[name] for name in order])
    except OSError as error:
        raise TraceError(f"cannot write the trace {path}: {error}. Nothing was left behind.") from error
    return version


def _require_v1(named: dict) -> None:
    for name in ("attention.stats", "answer.logprob"):
        if name not in named:
            raise TraceError(f"format 1.0 needs the tensor `{name}`; it was not written")


def _header(meta: dict, order: list) -> bytes:
    header, offset = {"__metadata__": {META_KEY: json.dumps(meta, ensure_ascii=False, allow_nan=False)}}, 0
    for name, tensor in order:
        size = tensor.dtype.itemsize
        for axis in tensor.shape:
            size *= axis
        dtype = _NAMES.get(tensor.dtype.name)
        if dtype is None:
            raise TraceError(f"the tensor `{name}` has type {tensor.dtype}, which a trace cannot hold")
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header, ensure_ascii=False).encode()
    return encoded + b" " * (-len(encoded) % 8)


def _write_and_rename(path: Path, header: bytes, named: list) -> None:
    temporary = path.parent / f".vlmtrace-{secrets.token_hex(8)}.part"
    # os.open applies the umask, which tempfile's 0600 would not.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for tensor in named:
                for chunk in tensors.chunks(tensor):
                    file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
