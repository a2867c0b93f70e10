"""Whether the pictures that were given to `recording` are those that the model received."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..errors import CaptureError
from ..families import Layout
from ..families.layout import resample

#: Side of the small pictures that are compared.
SIDE = 16
#: Mean difference in grey levels above which two small pictures differ; resampling in another way gives 1 to 3.
LEVELS = 10.0
#: Correlation above which they are the same picture in other colours (another mean and deviation of the processor).
ALIKE = 0.9


def check_given(layout: Layout) -> None:
    """Refuses pictures and videos of another number, size, order or content than the model's inputs. Without a map nothing is compared."""
    request = layout.request
    if layout.unplaced is not None:
        return
    received = {canvas.picture for canvas in layout.canvases if canvas.picture not in layout.frame_pictures}
    if request.pictures is not None and len(request.pictures) != len(received):
        raise CaptureError(
            f"images= holds {len(request.pictures)} pictures, but the model received {len(received)}. Give all of them, in the order of the prompt."
        )
    videos = {video for video, _ in layout.frame_pictures.values()}
    if request.videos is not None and len(request.videos) != len(videos):
        raise CaptureError(f"videos= holds {len(request.videos)} videos, but the model received {len(videos)}. Give all of them, in order.")
    compared = set()
    for index, canvas in enumerate(layout.canvases):
        source, pixels = layout.source(canvas.picture), layout.pixels[index]
        if source is None or pixels is None or canvas.picture in compared:
            continue
        compared.add(canvas.picture)
        if tuple(canvas.original_size) != source.image.size:
            width, height = source.image.size
            raise CaptureError(
                f"{_name(layout, canvas.picture)} is {width} × {height} pixels, but the model received one of "
                f"{canvas.original_size[0]} × {canvas.original_size[1]}. Give the pictures in the order of the prompt."
            )
        if _differ(pixels, resample(source.image, canvas), layout.inside(index)):
            raise CaptureError(
                f"{_name(layout, canvas.picture)} is not what the model received. Give what the processor got, in the order of the "
                "prompt, and the processor's options as processor_options=."
            )


def _name(layout: Layout, picture: int) -> str:
    if picture in layout.frame_pictures:
        video, frame = layout.frame_pictures[picture]
        return f"frame {frame + 1} of video {video + 1} of videos="
    return f"picture {picture + 1} of images="


def _differ(seen: np.ndarray, given: np.ndarray, inside: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = inside
    small = [
        np.asarray(Image.fromarray(pixels[top:bottom, left:right]).resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
        for pixels in (seen, given)
    ]
    if np.abs(small[0] - small[1]).mean() <= LEVELS:
        return False
    first, second = (pixels.ravel() - pixels.mean() for pixels in small)
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return not norm or (first * second).sum() / norm < ALIKE
