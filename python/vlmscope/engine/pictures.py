"""Pictures as the engine gets them: encoded files."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..capture.media import load_picture
from ..errors import CaptureError, EngineError

MOST_PICTURE = 512 << 20


@dataclass(frozen=True)
class File:
    """An encoded picture with its name and the SHA-256 of its bytes in hexadecimal."""

    name: str
    data: bytes
    sha256: str

    @classmethod
    def of(cls, source: Any) -> File:
        """A path, the bytes of a file, a PIL image, or an array [H, W, 3] of uint8. The last two are sent as PNG.

        Raises EngineError where the picture cannot be read, or is larger than 512 MiB.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            name, data = "picture", bytes(source)
        elif isinstance(source, (str, Path)):
            name, data = Path(source).name, _read(Path(source))
        else:
            name, data = "picture.png", _as_png(source)
        if len(data) > MOST_PICTURE:
            raise EngineError(f"the picture {name} has {len(data)} bytes; at most {MOST_PICTURE} can be sent")
        return cls(name, data, hashlib.sha256(data).hexdigest())


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() and path.exists():
            raise EngineError(f"the picture {path} is no file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot read the picture {path}: {getattr(error, 'strerror', None) or error}") from None


def _as_png(source: Any) -> bytes:
    try:
        image = load_picture(source).image
    except CaptureError as error:
        raise EngineError(str(error)) from None
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3)
    return out.getvalue()
