"""What a family says about a prompt: where its patches lie in the sequence and in the pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import CaptureError
from ..trace.schema import Affine, Canvas, Frame, Rect, View

if TYPE_CHECKING:
    from ..capture.media import Picture


@dataclass
class Request:
    """A prompt as the model gets it.

    `ids` [P] are the prompt's ids, `inputs` all of the model's inputs by name (tensors), `pictures` and `videos` what they were
    made from (None: unknown, as in recordings of other code).
    """

    model: object
    processor: object
    ids: np.ndarray
    inputs: dict
    pictures: list | None = None
    videos: list | None = None
    #: options that the processor was called with
    options: dict = field(default_factory=dict)
    #: whether other code made the inputs, so that pictures and videos may be others than the model's
    is_recorded: bool = False

    def setting(self, name: str):
        """A setting of the image processor as it was in force: the call's option, the processor's default, the image processor's own."""
        defaults = getattr(self.processor, "images_kwargs", None) or {}
        for found in (self.options.get(name), defaults.get(name), getattr(self.processor.image_processor, name, None)):
            if found is not None:
                return found
        raise Unplaced(f"the image processor has no setting {name}, which is needed to place tiles")

    def is_on(self, name: str) -> bool:
        """Whether a switch of the image processor was on; one that it does not have is off."""
        try:
            return bool(self.setting(name))
        except Unplaced:
            return False

    @property
    def config(self):
        """The model's configuration."""
        return self.model.config

    def array(self, name: str) -> np.ndarray | None:
        """An input as an array, None where there is none."""
        value = self.inputs.get(name)
        if value is None:
            return None
        if hasattr(value, "detach"):
            value = value.detach().float().cpu() if value.is_floating_point() else value.detach().cpu()
            return value.numpy()
        return np.asarray(value)

    def need(self, name: str) -> np.ndarray:
        """An input that must be there."""
        value = self.array(name)
        if value is None:
            raise CaptureError(f"the model's inputs have no {name!r}; pass what the processor returned.")
        return value

    def size(self, picture: int) -> tuple[int, int] | None:
        """(width, height) of a picture, None where it is unknown."""
        if self.pictures is not None:
            if picture >= len(self.pictures):
                raise CaptureError(
                    f"images= holds {len(self.pictures)} pictures, but the model received more. Give all of them, in the order of the prompt."
                )
            return self.pictures[picture].image.size
        sizes = self.array("image_sizes")
        if sizes is not None:
            return int(sizes[picture][1]), int(sizes[picture][0])
        return None

    def need_size(self, picture: int) -> tuple[int, int]:
        """As `size`, for families that cannot place tiles without it."""
        size = self.size(picture)
        if size is None:
            raise Unplaced("the sizes of the pictures are needed to place their tiles: pass images= to recording(...)")
        return size

    def positions(self, *token_ids: int) -> np.ndarray:
        """Positions of the prompt that hold one of the ids."""
        return np.flatnonzero(np.isin(self.ids, [token for token in token_ids if token is not None]))

    def runs(self, *token_ids: int) -> list[tuple[int, int]]:
        """(first, length) of each unbroken run of the ids."""
        places = self.positions(*token_ids)
        if not len(places):
            return []
        parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        return [(int(part[0]), len(part)) for part in parts]


class Unplaced(CaptureError):
    """The tokens of a picture have no place in it, or it cannot be found; the trace says why instead of a map."""


class Mismatch(Unplaced):
    """The pictures, or the processor's settings, are not those that the inputs were made with."""


@dataclass
class VisionInput:
    """What the tower got at once: a rectangle of a canvas as rows × columns of its own patches.

    `order` is None where inputs are a batch; where they are packed behind each other it holds the raster index of each patch in the
    tower's order.
    """

    canvas: int
    rect: Rect
    rows: int
    columns: int
    order: np.ndarray | None = None


@dataclass
class Layout:
    """Views, canvases and positions of a prompt; grown by a family."""

    request: Request
    canvases: list[Canvas] = field(default_factory=list)
    #: pixels [H, W, 3] u8 a canvas
    pixels: list[np.ndarray | None] = field(default_factory=list)
    views: list[View] = field(default_factory=list)
    #: positions that the model fills with patches or their separators instead of words
    image_positions: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    separators: set[int] = field(default_factory=set)
    unplaced: str | None = None
    image_attention: str = "causal"
    #: number of virtual positions before the prompt, and the keys of cross layers that they are (−1: none)
    virtual_len: int = 0
    cross_keys: np.ndarray | None = None
    #: (canvas, rectangle) of each picture that the tower got, in its order, where these are a batch
    tower_inputs: list[tuple[int, Rect]] = field(default_factory=list)
    #: pictures of the trace that are frames of a video: picture → (video, frame)
    frame_pictures: dict[int, tuple[int, int]] = field(default_factory=dict)

    def canvas(
        self,
        picture: int,
        size: tuple[int, int],
        original_from_canvas: Affine | None = None,
        mode: str = "resize",
        pixels: np.ndarray | None = None,
        original_size: tuple[int, int] | None = None,
        tiles: tuple[int, int] = (1, 1),
    ) -> int:
        """Adds a canvas of `size` (width, height); without a map it is the whole picture, squashed.

        The tower gets it in `tiles` (rows, columns), row by row.
        """
        is_frame, source = picture in self.frame_pictures, self.source(picture)
        if is_frame:
            given = original_size or (source.image.size if source else size)
        else:
            given = original_size or self.request.size(picture) or size
        affine = original_from_canvas or Affine.scale_offset((given[0] / size[0], given[1] / size[1]))
        name = ""
        if source is not None:
            name = self.request.videos[self.frame_pictures[picture][0]].name if is_frame else source.name
        self.canvases.append(Canvas(picture, mode, tuple(given), tuple(size), affine, name))
        self.pixels.append(pixels)
        width, height = size[0] / tiles[1], size[1] / tiles[0]
        for row in range(tiles[0]):
            for column in range(tiles[1]):
                self.tower_inputs.append((len(self.canvases) - 1, Rect(column * width, row * height, width, height)))
        return len(self.canvases) - 1

    def view(
        self,
        canvas: int,
        first: int,
        rows: int,
        columns: int,
        *,
        kind: str = "whole",
        stride: int | None = None,
        rect: Rect | None = None,
        tile: tuple[int, int] | None = None,
        frame: Frame | None = None,
    ) -> View:
        """Adds a view; without a rectangle it covers its canvas."""
        width, height = self.canvases[canvas].preprocessed_size
        stride = stride or columns
        view = View(canvas, kind, int(first), int(rows), int(columns), int(stride), rect or Rect(0, 0, width, height), tile, frame)
        self.views.append(view)
        return view

    def source(self, picture: int) -> Picture | None:
        """The picture or frame that a picture of the trace was made from, None where it was not given."""
        request = self.request
        if picture in self.frame_pictures:
            video, frame = self.frame_pictures[picture]
            frames = request.videos[video].frames if request.videos is not None and video < len(request.videos) else []
            return frames[min(frame, len(frames) - 1)] if frames else None
        given = request.pictures or []
        return given[picture] if picture < len(given) else None

    def inside(self, canvas: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the part of a canvas that lies on its picture, in the canvas's pixels; at least one pixel."""
        left, top, right, bottom = covered(self.canvases[canvas], self.canvases[canvas].original_size)[1]
        width, height = self.canvases[canvas].preprocessed_size
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)

    def finish(self) -> Layout:
        """Finds the separators: image positions that are no patch, and positions between the patches of one picture or video."""
        patches = set()
        spread: dict[tuple, list[int]] = {}
        for view in self.views:
            keys = view.keys().ravel().tolist()
            patches.update(keys)
            owner = ("v", view.frame.video) if view.frame else ("p", self.canvases[view.canvas].picture)
            spread.setdefault(owner, []).extend((view.first, view.last))
        if self.views:
            self.separators.update(int(p) for p in self.image_positions if int(p) not in patches)
            for ends in spread.values():
                self.separators.update(p for p in range(min(ends), max(ends)) if p not in patches)
        return self

    def fill_pixels(self) -> None:
        """Canvases whose pixels the family did not give are resampled from the picture."""
        for index, canvas in enumerate(self.canvases):
            source = self.source(canvas.picture)
            if self.pixels[index] is None and source is not None:
                self.pixels[index] = resample(source.image, canvas)


def covered(canvas: Canvas, size: tuple[int, int]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """(left, top, right, bottom) of what a canvas shows of a picture of (width, height): in the picture's pixels, and in the canvas's."""
    affine, (width, height) = canvas.original_from_preprocessed, canvas.preprocessed_size
    left, top = affine.apply(0, 0)
    right, bottom = affine.apply(width, height)
    inside = (max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1]))
    x0, y0 = round((inside[0] - left) / affine.xx), round((inside[1] - top) / affine.yy)
    x1, y1 = round((inside[2] - left) / affine.xx), round((inside[3] - top) / affine.yy)
    return inside, (x0, y0, x1, y1)


def resample(image: Image.Image, canvas: Canvas) -> np.ndarray:
    """The canvas's pixels [H, W, 3] u8 from the original, black where the canvas sticks out of it."""
    inside, (x0, y0, x1, y1) = covered(canvas, image.size)
    out = Image.new("RGB", canvas.preprocessed_size)
    if x1 > x0 and y1 > y0:
        out.paste(image.resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC, box=inside), (x0, y0))
    return np.asarray(out)


def unnormalised(tensor: np.ndarray, image_processor) -> np.ndarray:
    """Pixels [H, W, 3] u8 from what a tower gets [3, H, W], by the processor's own mean and deviation."""
    values = np.asarray(tensor, np.float32)
    if getattr(image_processor, "do_normalize", True):
        mean = np.array(image_processor.image_mean, np.float32)[:, None, None]
        std = np.array(image_processor.image_std, np.float32)[:, None, None]
        values = values * std + mean
    factor = getattr(image_processor, "rescale_factor", None) if getattr(image_processor, "do_rescale", True) else 1.0
    values = values / (factor or 1 / 255)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
