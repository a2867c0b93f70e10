"""Molmo2: a low grid of the squashed picture, then a high grid from overlapping crops; every row may end with a column token."""

from __future__ import annotations

from ..trace.schema import Frame, Rect
from .base import Family
from .layout import Layout, Request
from .qwen import frame_seconds, frame_size


class Molmo2(Family):
    """Grids from `image_grids` [n, (low rows, low columns, high rows, high columns)]; pooling windows are centred."""

    classes = ("Molmo2ForConditionalGeneration",)
    name = "molmo2"
    video = True

    def image_token_ids(self, config) -> tuple[int, ...]:
        """The patches' token."""
        return (config.image_patch_id,) if hasattr(config, "image_patch_id") else super().image_token_ids(config)

    def layout(self, request: Request) -> Layout:
        """Image tokens attend to each other in both directions."""
        token = self.image_token_ids(request.config)[0]
        places = request.positions(token)
        layout = Layout(request, image_positions=places, image_attention="bidirectional")
        grids = request.array("image_grids")
        key = picture = 0
        for low_rows, low_columns, rows, columns in [] if grids is None else grids.tolist():
            for kind, grid in (("base", (low_rows, low_columns)), ("tiles", (rows, columns))):
                self._view(layout, picture, places[key : key + grid[0] * grid[1]], grid, kind)
                key += grid[0] * grid[1]
            picture += 1
        grids = request.array("video_grids")
        for video, (frames, rows, columns) in enumerate([] if grids is None else grids.tolist()):
            for index in range(frames):
                layout.frame_pictures[picture] = (video, index)
                moment = Frame(video, index, frame_seconds(request, video, index))
                self._view(layout, picture, places[key : key + rows * columns], (rows, columns), "frame", moment)
                key, picture = key + rows * columns, picture + 1
        return layout.finish()

    def _view(self, layout: Layout, picture: int, places, grid, kind: str, frame: Frame | None = None) -> None:
        request = layout.request
        if frame is None:
            processor, original = request.processor.image_processor, None
        else:
            processor, original = request.processor.video_processor, frame_size(request, frame.video)
        size, cell = self._size(request, picture, processor, kind)
        canvas = layout.canvas(picture, size, pixels=None, original_size=original)
        # A grid that is no multiple of the pooling window is padded on both sides: the outer cells stick out.
        extra = (grid[1] * cell[0] - size[0], grid[0] * cell[1] - size[1])
        patch = int(processor.patch_size)
        offset = tuple(-(over // patch // 2) * patch for over in extra)
        rect = Rect(*offset, grid[1] * cell[0], grid[0] * cell[1])
        stride = int(places[grid[1]] - places[0]) if grid[0] > 1 else grid[1]
        layout.view(canvas, places[0], *grid, kind=kind, stride=stride, rect=rect, frame=frame)

    def _size(self, request: Request, picture: int, processor, kind: str):
        """(width, height) of the pixels that a grid was made from, and (width, height) of a token's cell."""
        patch, pool = int(processor.patch_size), [int(side) for side in processor.pooling_size]
        cell = (pool[1] * patch, pool[0] * patch)
        crop = int(processor.size["height"])
        if kind != "tiles":
            return (crop, crop), cell
        from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

        width, height = request.need_size(picture)
        _, _, high, wide = compute_crop_geometry(
            height, width, request.setting("max_crops"), list(request.setting("overlap_margins")), crop, patch
        )
        return (wide, high), cell
