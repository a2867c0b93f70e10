"""Pictures and videos as they are given: upright RGB, and encoded anew without metadata for the trace."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import CaptureError

JPEG_QUALITY = 92
LONGEST_EDGE = 4096


@dataclass
class Picture:
    """An upright RGB picture and the name of its file."""

    image: Image.Image
    name: str = ""
    lossy: bool = False

    def encoded(self) -> tuple[np.ndarray, tuple[int, int]]:
        """An encoded file without metadata (JPEG where it came from one, else PNG) as bytes [n], and its (width, height).

        A long edge over 4096 pixels is reduced.
        """
        image = self.image
        if max(image.size) > LONGEST_EDGE:
            image = image.copy()
            image.thumbnail((LONGEST_EDGE, LONGEST_EDGE), Image.Resampling.BICUBIC)
        out = io.BytesIO()
        if self.lossy:
            image.save(out, "JPEG", quality=JPEG_QUALITY)
        else:
            image.save(out, "PNG", compress_level=3)
        return np.frombuffer(out.getvalue(), np.uint8), image.size


@dataclass
class Video:
    """Frames of a video, upright RGB, with the seconds at which they stand (None: unknown)."""

    frames: list[Picture]
    seconds: list[float] | None = None
    name: str = ""
    #: what the processor gets
    source: object = None
    metadata: dict | None = field(default=None)


def load_picture(source) -> Picture:
    """A path, a PIL image, or an array [H, W, 3] u8."""
    if isinstance(source, Picture):
        return source
    if isinstance(source, (str, Path)):
        try:
            with Image.open(source) as file:
                lossy = file.format in ("JPEG", "WEBP", "MPO")
                image = ImageOps.exif_transpose(file).convert("RGB")
        except (OSError, ValueError) as error:
            raise CaptureError(f"cannot read the picture {source}: {error}") from error
        return Picture(image, Path(source).name, lossy)
    if isinstance(source, Image.Image):
        name = Path(getattr(source, "filename", "") or "").name
        return Picture(ImageOps.exif_transpose(source).convert("RGB"), name)
    if isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] == 3 and source.dtype == np.uint8:
        return Picture(Image.fromarray(source))
    raise CaptureError(f"a picture is a path, a PIL image or an array [H, W, 3] of uint8, not {type(source).__name__}.")


def load_video(source, fps: float | None = None) -> Video:
    """A path (read with torchvision or PyAV through transformers), a sequence of pictures, or an array [F, H, W, 3] u8."""
    if isinstance(source, Video):
        return source
    if isinstance(source, (str, Path)):
        return _read_video(Path(source))
    if isinstance(source, (Sequence, np.ndarray)) and len(source):
        frames = [load_picture(frame) for frame in source]
        rate = fps or 1.0
        seconds = [index / rate for index in range(len(frames))]
        array = np.stack([np.asarray(frame.image) for frame in frames])
        metadata = {"total_num_frames": len(frames), "fps": rate, "frames_indices": list(range(len(frames)))}
        return Video(frames, seconds, source=array, metadata=metadata)
    raise CaptureError("a video is a path, a list of pictures or an array [frames, H, W, 3] of uint8.")


def _read_video(path: Path) -> Video:
    from transformers.video_utils import load_video as read

    errors = []
    for backend in ("torchcodec", "pyav", "opencv", "decord", "torchvision"):
        try:
            array, metadata = read(str(path), backend=backend)
        except (ImportError, ValueError, OSError, RuntimeError, AttributeError, KeyError) as error:
            errors.append(f"{backend}: {error}")
            continue
        array = np.asarray(array)
        if array.shape[1] == 3 and array.shape[-1] != 3:
            array = array.transpose(0, 2, 3, 1)
        rate = float(getattr(metadata, "fps", None) or 1.0)
        frames = [Picture(Image.fromarray(frame), lossy=True) for frame in array]
        given = {"total_num_frames": len(frames), "fps": rate, "frames_indices": list(range(len(frames)))}
        return Video(frames, [index / rate for index in range(len(frames))], path.name, array, given)
    raise CaptureError(f"cannot read the video {path}; give its frames as pictures, or install PyAV. Tried {'; '.join(errors)}")
