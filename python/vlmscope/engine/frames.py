"""Frames of docs/serve.md: two lengths, a JSON header, a payload."""

from __future__ import annotations

import functools
import importlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..errors import EngineError

MOST_HEADER = 1 << 20
MOST_PAYLOAD = 64 << 20
#: of all frames of one message, and of all messages that are not complete
MOST_MESSAGE = 1 << 30
_MOST_OPEN = 256
_LENGTHS = struct.Struct("<II")
#: Bytes of a foreign program that an error shows.
_SHOWN = 200


@dataclass
class Message:
    """A message: the fields of its header, and the payloads of its frames put together."""

    header: dict[str, Any]
    payload: bytes | bytearray = b""

    @property
    def type(self) -> str:
        """The type of the message."""
        return str(self.header.get("type"))

    @property
    def id(self) -> int:
        """The request that it belongs to."""
        value = self.header.get("id")
        return value if isinstance(value, int) else -1


class FrameError(EngineError):
    """The other side sent something that is no frame."""


def zstd() -> Callable[[bytes], bytes] | None:
    """A function that decompresses a frame's payload, of Python 3.14 or the package `backports.zstd`; None where neither is there."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return functools.partial(_decompress, module)
    return None


def _decompress(module: ModuleType, payload: bytes) -> bytes:
    decompressor = module.ZstdDecompressor()
    try:
        out = decompressor.decompress(payload, MOST_PAYLOAD)
    except module.ZstdError as error:
        raise FrameError(f"the engine sent a damaged zstd payload: {error}") from None
    if not decompressor.eof:
        raise FrameError(f"the engine sent a zstd payload that is cut, or larger than {MOST_PAYLOAD} bytes")
    return out


def pack(header: dict[str, Any], payload: bytes | memoryview = b"") -> list[bytes | memoryview]:
    """The pieces of a message in the order in which they are written. Payloads over 64 MiB take several frames.

    Raises EngineError where a header or the payload is larger than a message may be.
    """
    payload = memoryview(payload).cast("B")
    if len(payload) > MOST_MESSAGE:
        raise EngineError(f"{header['type']} of {len(payload)} bytes is larger than a message may be, {MOST_MESSAGE} bytes")
    out: list[bytes | memoryview] = []
    parts = [payload[at : at + MOST_PAYLOAD] for at in range(0, len(payload), MOST_PAYLOAD)] or [payload]
    for index, part in enumerate(parts):
        fields = header if index == 0 else {"type": header["type"], "id": header["id"]}
        if index + 1 < len(parts):
            fields = {**fields, "more": True}
        try:
            encoded = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:
            raise EngineError(f"the request {header['type']!r} has a number that is not finite, or text that is not Unicode") from None
        if len(encoded) > MOST_HEADER:
            raise EngineError(f"the request has {len(encoded)} bytes of text; at most {MOST_HEADER} can be sent")
        out += [_LENGTHS.pack(len(encoded), len(part)) + encoded, part]
    return out


class FrameReader:
    """Reads messages. `read(buffer)` fills a part of a buffer and returns its length, 0 at the end; `rest()` gives what else is there."""

    def __init__(self, read: Callable[[memoryview], int], rest: Callable[[], bytes]):
        self._read, self._rest = read, rest
        self._decompress = zstd()
        self._open: dict[tuple[str, int], Message] = {}
        self._open_bytes = 0
        self._is_first = True

    @property
    def compression(self) -> list[str]:
        """The encodings that can be read."""
        return ["zstd"] if self._decompress else []

    def next(self) -> Message | None:
        """The next whole message; None at the end.

        Raises FrameError: bytes that are no frame, an end inside of one, or a message beyond its limits.
        """
        while True:
            frame = self._frame()
            if frame is None:
                return None
            key = (frame.type, frame.id)
            is_part = frame.header.get("more") is True
            if is_part or key in self._open:
                self._open_bytes += len(frame.payload)
                if self._open_bytes > MOST_MESSAGE or len(self._open) > _MOST_OPEN:
                    raise FrameError(f"the engine sent more than {MOST_MESSAGE} bytes, or {_MOST_OPEN} messages, without completing one")
            before = self._open.pop(key, None)
            if before is not None:
                before.payload += frame.payload
            if is_part:
                self._open[key] = before or Message(frame.header, bytearray(frame.payload))
                continue
            if before is not None:
                self._open_bytes -= len(before.payload)
            return before or frame

    def _frame(self) -> Message | None:
        lengths = self._exactly(_LENGTHS.size, at_start=True)
        if lengths is None:
            return None
        header_length, payload_length = _LENGTHS.unpack(lengths)
        if header_length > MOST_HEADER or payload_length > MOST_PAYLOAD or header_length < 2:
            raise self._foreign(lengths)
        encoded = self._exactly(header_length)
        try:
            header = json.loads(encoded)
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict) or "type" not in header:
            raise self._foreign(lengths + encoded)
        self._is_first = False
        payload = self._exactly(payload_length)
        encoding = header.get("encoding")
        if encoding is not None:
            payload = self._decompressed(encoding, payload)
        return Message(header, payload)

    def _decompressed(self, encoding: str, payload: bytes) -> bytes:
        if encoding != "zstd" or self._decompress is None:
            raise FrameError(f"the engine sent a payload with the encoding {encoding!r}, which was not asked for")
        return self._decompress(payload)

    def _foreign(self, bytes_: bytes) -> FrameError:
        shown = (bytes(bytes_) + self._rest())[:_SHOWN]
        if self._is_first:
            return FrameError(
                f"the first bytes are no frame of vlmscope: {shown!r}. A program or a shell profile printed them to standard output; "
                "it must print to standard error, or only in interactive shells."
            )
        return FrameError(f"the engine sent bytes that are no frame: {shown!r}")

    def _exactly(self, count: int, *, at_start: bool = False) -> bytes | None:
        buffer = bytearray(count)
        view, filled = memoryview(buffer), 0
        while filled < count:
            got = self._read(view[filled:])
            if not got:
                if at_start and not filled:
                    return None
                if self._is_first and filled:
                    raise self._foreign(bytes(buffer[:filled]))
                raise FrameError(f"the engine's output ended inside of a frame, {count - filled} bytes early")
            filled += got
        return bytes(buffer)
