"""Paints a cell of a picture and looks which image token changes: needs no ground truth, only the model's tower.

A square of a strong colour in the middle of a cell must change that cell's token more than any other of its view. Attention in the
tower spreads the change over the picture, so it is damped meanwhile. A second picture that is painted over must change all of its own
tokens and none of the first picture's. The same holds for the frames of a video. Cells are painted on pictures that are alone in their
prompt and on two that share one, because some models prepare these in another way.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..capture.arguments import check_parts
from ..capture.ask import _inputs, _text
from ..capture.media import Picture, load_video
from ..capture.modules import find_decoder, tower_attention
from ..capture.refuse import check_inputs
from ..errors import CaptureError
from ..families import Layout, Request, family_of, layout_of
from ..trace.schema import Rect

SIZES = ((300, 200), (170, 410), (640, 480))
FRAMES = 4
FRAME_SIZE = (240, 160)
#: What the tower's attention output is multiplied by.
DAMPING = 0.02
#: Share of cells that must be hit.
NEEDED = 0.9
PAINT = (255, 0, 255)


@dataclass
class Report:
    """What came of it. `cells` were painted, `hits` changed the right token most."""

    model_class: str
    family: str
    cells: int = 0
    hits: int = 0
    #: those of `cells` and `hits` that are of two pictures in one prompt
    pair_cells: int = 0
    pair_hits: int = 0
    misses: list[str] = field(default_factory=list)
    #: whether painting over the second picture changed all of its tokens and no other (None: not tried)
    pictures_apart: bool | None = None
    frames_apart: bool | None = None
    reason: str | None = None
    created_unix: int = 0

    @property
    def status(self) -> str:
        """passed, failed, or unplaced."""
        if self.reason is not None:
            return "unplaced"
        apart = self.pictures_apart is not False and self.frames_apart is not False
        # Two pictures may be prepared in another way than one: the many cells of single pictures must not hide their misses.
        alone = self.hits - self.pair_hits >= NEEDED * (self.cells - self.pair_cells)
        found = self.cells and alone and self.pair_hits >= NEEDED * self.pair_cells
        return "passed" if found and apart else "failed"

    def to_json(self) -> dict:
        """For `provenance.position_check` of a trace."""
        return {**asdict(self), "misses": self.misses[:20], "status": self.status}

    def __str__(self) -> str:
        if self.reason is not None:
            return f"{self.model_class}: no positions to check: {self.reason}"
        words = {True: "yes", False: "NO", None: "not tried"}
        lines = [
            f"{self.model_class} (family {self.family}): {self.status}",
            f"  painted cells found at their place: {self.hits} of {self.cells}",
            f"  a second picture changes only its own tokens: {words[self.pictures_apart]}",
            f"  a frame changes only its own tokens: {words[self.frames_apart]}",
        ]
        return "\n".join(lines + [f"  missed: {miss}" for miss in self.misses[:5]])


class _Stop(Exception):
    """The decoder was reached: nothing after it is needed."""


def run(model, processor, *, sizes=SIZES, cells: int = 8, pictures: bool = True, video: bool | None = None, progress=None, **options) -> Report:
    """Runs the test. `options` go to the processor. `video` None: where the family places videos."""
    check_parts(model, processor)
    family = family_of(model)
    report = Report(type(model).__name__, family.name, created_unix=int(time.time()))
    tester = Tester(model, processor, family, options)
    rng = np.random.default_rng(0)
    with torch.no_grad(), damped(model):
        for number, size in enumerate(sizes):
            tester.cells(report, [noise(size, number)], cells, rng)
            if progress is not None:
                progress("pictures", number + 1, len(sizes))
            if report.reason is not None:
                return report
        if pictures:
            report.pictures_apart = tester.apart([noise(sizes[0], 10), noise(sizes[-1], 11)])
            if report.pictures_apart is not None:
                before = report.cells, report.hits
                longest = sorted(sizes, key=lambda size: min(size) / max(size))
                tester.cells(report, [noise(size, 12 + number) for number, size in enumerate(longest[:2])], cells, rng)
                report.pair_cells, report.pair_hits = report.cells - before[0], report.hits - before[1]
        if family.video if video is None else video:
            report.frames_apart = tester.frames(report, rng, cells)
    return report


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture of soft grey blotches."""
    rng = np.random.default_rng(seed)
    small = rng.integers(90, 170, (max(2, size[1] // 24), max(2, size[0] // 24), 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@contextlib.contextmanager
def damped(model):
    """While active, the attention of everything outside of the language model gives next to nothing."""

    def scale(_module, _inputs, output):
        if isinstance(output, tuple):
            return (output[0] * DAMPING, *output[1:])
        return output * DAMPING

    with contextlib.ExitStack() as stack:
        for module in tower_attention(model, find_decoder(model).module):
            stack.callback(module.register_forward_hook(scale).remove)
        yield


class Tester:
    """Runs prompts up to the language model."""

    def __init__(self, model, processor, family, options: dict):
        self.model, self.processor, self.family, self.options = model, processor, family, options
        self.decoder = find_decoder(model).module

    def tokens(self, pictures: list[Image.Image], frames: list[Image.Image] | None = None) -> tuple[np.ndarray, Layout]:
        """What the language model begins with at each position (at each virtual position for cross-attention) [P, D], and the layout."""
        given = [Picture(picture) for picture in pictures]
        videos = [load_video(frames)] if frames is not None else []
        _, text = _text(self.family, self.processor, "What?", None, None, given, videos)
        inputs = _inputs(self.model, self.processor, text, given, videos, self.options)
        check_inputs(inputs)
        ids = inputs["input_ids"][0].cpu().numpy()
        layout = layout_of(self.family, Request(self.model, self.processor, ids, inputs, given, videos, self.options))
        seen = {}

        def stop(_module, args, kwargs):
            seen.update(kwargs)
            raise _Stop

        hook = self.decoder.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model(**inputs)
        except _Stop:
            pass
        finally:
            hook.remove()
        if layout.cross_keys is not None and seen.get("cross_attention_states") is not None:
            states = seen["cross_attention_states"]
            states = states.reshape(-1, states.shape[-1]).float().cpu().numpy()
            return states[layout.cross_keys >= 0], layout
        if seen.get("inputs_embeds") is None:
            raise CaptureError("the language model did not get embeddings; this model cannot be checked.")
        return seen["inputs_embeds"][0].float().cpu().numpy(), layout

    def cells(self, report: Report, pictures: list[Image.Image], count: int, rng) -> None:
        """Paints `count` cells of each kind of view of each picture, one at a time."""
        before, layout = self.tokens(pictures)
        if layout.unplaced is not None:
            report.reason = layout.unplaced
            return
        for number, row, column in chosen_cells(layout, [picture.size for picture in pictures], count, rng):
            view = layout.views[number]
            owner = layout.canvases[view.canvas].picture
            rect = layout.canvases[view.canvas].original_from_preprocessed.apply_rect(view.cell(row, column))
            after, _ = self.tokens([painted(picture, rect) if index == owner else picture for index, picture in enumerate(pictures)])
            found = strongest(before, after, view)
            report.cells += 1
            report.hits += found == (row, column)
            if found != (row, column):
                among = f" (picture {owner + 1} of {len(pictures)})" if len(pictures) > 1 else ""
                report.misses.append(f"{pictures[owner].size}{among} {view.kind} {view.tile or ''}: ({row}, {column}) seen at {found}")

    def apart(self, pictures: list[Image.Image]) -> bool | None:
        """Whether painting over the second picture changes all of its tokens and none of the first's."""
        try:
            before, layout = self.tokens(pictures)
        except CaptureError:
            return None
        after, _ = self.tokens([pictures[0], Image.new("RGB", pictures[1].size, PAINT)])
        change = np.abs(after - before).max(1)
        keys = [np.concatenate([v.keys().ravel() for v in layout.views if layout.canvases[v.canvas].picture == p]) for p in (0, 1)]
        return bool(change[keys[0]].max() == 0 and change[keys[1]].min() > 0)

    def frames(self, report: Report, rng, count: int) -> bool:
        """Paints cells of frames; whether no other frame changed."""
        frames = [noise(FRAME_SIZE, 20 + number) for number in range(FRAMES)]
        before, layout = self.tokens([], frames)
        groups = len(layout.views)
        apart = True
        for _ in range(count):
            number = int(rng.integers(groups))
            view = layout.views[number]
            row, column = int(rng.integers(view.rows)), int(rng.integers(view.columns))
            rect = layout.canvases[view.canvas].original_from_preprocessed.apply_rect(view.cell(row, column))
            size = max(1, FRAMES // groups)
            changed = [painted(f, rect) if index // size == number else f for index, f in enumerate(frames)]
            after, _ = self.tokens([], changed)
            found = strongest(before, after, view)
            report.cells += 1
            report.hits += found == (row, column)
            if found != (row, column):
                report.misses.append(f"frame {number}: ({row}, {column}) seen at {found}")
            others = np.concatenate([v.keys().ravel() for n, v in enumerate(layout.views) if n != number] or [np.zeros(0, int)])
            apart &= not len(others) or float(np.abs(after - before)[others].max()) == 0
        return apart


def chosen_cells(layout: Layout, sizes: list[tuple[int, int]], count: int, rng) -> list[tuple[int, int, int]]:
    """(view, row, column) of cells that lie well inside their picture, `count` for each kind of view of each picture."""
    by_kind: dict[tuple[int, str], list] = {}
    for number, view in enumerate(layout.views):
        canvas = layout.canvases[view.canvas]
        affine = canvas.original_from_preprocessed
        for row in range(view.rows):
            for column in range(view.columns):
                rect = affine.apply_rect(view.cell(row, column))
                if inside_share(rect, sizes[canvas.picture]) > 0.7:
                    by_kind.setdefault((canvas.picture, view.kind), []).append((number, row, column))
    chosen = []
    for cells in by_kind.values():
        picks = rng.permutation(len(cells))[:count]
        chosen += [cells[pick] for pick in picks]
    return chosen


def inside_share(rect: Rect, size: tuple[int, int]) -> float:
    """Which share of a rectangle lies on a picture of this size."""
    width = min(rect.x + rect.width, size[0]) - max(rect.x, 0)
    height = min(rect.y + rect.height, size[1]) - max(rect.y, 0)
    return max(width, 0) * max(height, 0) / (rect.width * rect.height)


def painted(picture: Image.Image, rect: Rect) -> Image.Image:
    """The picture with a square in the middle half of the rectangle."""
    out = picture.copy()
    left, top = round(rect.x + rect.width / 4), round(rect.y + rect.height / 4)
    right = max(left + 1, round(rect.x + rect.width * 3 / 4))
    bottom = max(top + 1, round(rect.y + rect.height * 3 / 4))
    ImageDraw.Draw(out).rectangle((left, top, right - 1, bottom - 1), fill=PAINT)
    return out


def strongest(before: np.ndarray, after: np.ndarray, view) -> tuple[int, int]:
    """(row, column) of the view's token that changed most."""
    keys = view.keys()
    change = np.linalg.norm(after[keys] - before[keys], axis=-1)
    row, column = np.unravel_index(int(change.argmax()), change.shape)
    return int(row), int(column)
