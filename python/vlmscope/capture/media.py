"""Pictures and videos as they are given: upright RGB, and encoded anew without metadata for the trace."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import CaptureError

JPEG_QUALITY = 92
LONGEST_EDGE = 4096
#: frames a second of a video file where the model's video processor does not say how many it takes
DEFAULT_FPS = 2.0


@dataclass
class Picture:
    """An upright RGB picture and the name of its file."""

    image: Image.Image
    name: str = ""
    lossy: bool = False

    def blank(self) -> Picture:
        """A picture of the same size in the mean colour of this one."""
        pixels = np.asarray(self.image, np.float64).reshape(-1, 3)
        # Halves are rounded up, as by the window's own masks.
        colour = tuple(int(channel) for channel in np.floor(pixels.mean(0) + 0.5))
        return Picture(Image.new("RGB", self.image.size, colour), self.name)

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

    def blank(self) -> Video:
        """The same frames in time, each in its mean colour."""
        frames = [frame.blank() for frame in self.frames]
        return replace(self, frames=frames, source=np.stack([np.asarray(frame.image) for frame in frames]))


def load_picture(source) -> Picture:
    """A path, a PIL image, or an array [H, W, 3] u8."""
    found = _load_picture(source)
    if not min(found.image.size):
        raise CaptureError(f"a picture of {found.image.width} × {found.image.height} pixels holds nothing.")
    return found


def _load_picture(source) -> Picture:
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


def load_video(source, sample: Callable | None = None) -> Video:
    """A path (read through transformers), a sequence of pictures, or an array [F, H, W, 3] u8.

    `sample` chooses frames of a file: metadata → indices (see `frame_sampler`); without it all are read. Frames that are given
    are taken as they are, one a second.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, (str, Path)):
        return _read_video(Path(source), sample)
    if isinstance(source, (Sequence, np.ndarray)) and len(source):
        frames = [load_picture(frame) for frame in source]
        for number, frame in enumerate(frames):
            if frame.image.size != frames[0].image.size:
                raise CaptureError(
                    f"the frames of a video have one size, but frame {number + 1} is {frame.image.width} × {frame.image.height} and the "
                    f"first is {frames[0].image.width} × {frames[0].image.height}. Resize them, or give them as images=."
                )
        array = np.stack([np.asarray(frame.image) for frame in frames])
        return _video(frames, array, range(len(frames)), len(frames), 1.0)
    raise CaptureError("a video is a path, a list of pictures or an array [frames, H, W, 3] of uint8.")


def frame_sampler(processor, options: dict) -> Callable | None:
    """Which frames of a video file a processor takes: metadata → indices; None where the options ask for all frames.

    The processor's own rule, with those of the options that it knows (`fps`, `num_frames`).
    """
    own = getattr(processor, "video_processor", None)
    if options.get("do_sample_frames") is False or not hasattr(own, "sample_frames"):
        return None
    known = inspect.signature(own.sample_frames).parameters
    given = {name: value for name, value in options.items() if name in known and value is not None}
    limits = ("fps", "num_frames", "max_fps", "max_num_frames")
    if not given and all(getattr(own, name, None) is None for name in limits):
        given["fps"] = DEFAULT_FPS

    def sample(metadata, **_):
        found = own.sample_frames(metadata=metadata, **given)
        return np.unique(np.asarray(found).astype(np.int64))

    return sample


def _read_video(path: Path, sample: Callable | None) -> Video:
    from transformers.video_utils import load_video as read

    if not path.is_file():
        raise CaptureError(f"cannot read the video {path}: there is no such file.")
    errors = []
    for backend in ("torchcodec", "pyav", "opencv", "decord", "torchvision"):
        try:
            array, metadata = read(str(path), backend=backend, sample_indices_fn=sample)
        except ImportError:
            errors.append(f"{backend} is not installed")
            continue
        except Exception as error:  # decoders raise what they like
            errors.append(f"{backend}: {error}")
            continue
        array = np.asarray(array)
        if array.shape[1] == 3 and array.shape[-1] != 3:
            array = array.transpose(0, 2, 3, 1)
        rate = float(getattr(metadata, "fps", None) or 1.0)
        frames = [Picture(Image.fromarray(frame), lossy=True) for frame in array]
        indices = range(len(frames)) if sample is None else [int(index) for index in metadata.frames_indices]
        return _video(frames, array, indices[: len(frames)], metadata.total_num_frames or len(frames), rate, path.name)
    raise CaptureError(f"cannot read the video {path}; pip install av, or give its frames as pictures. Tried: {'; '.join(errors)}.")


def _video(frames: list[Picture], array: np.ndarray, indices: Sequence[int], total: int, rate: float, name: str = "") -> Video:
    """Frames with their indices among the `total` frames of a video that has `rate` a second."""
    seconds = [index / rate for index in indices]
    metadata = {"total_num_frames": total, "fps": rate, "frames_indices": list(indices)}
    return Video(frames, seconds, name, array, metadata)
