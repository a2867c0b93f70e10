"""The rule for models that no family knows: one unbroken run a picture whose grid follows from its length."""

from __future__ import annotations

import math

from .base import Family
from .layout import Layout, Request, Unplaced


class General(Family):
    """Square runs, or runs of `image_grid_thw`; anything else is not guessed."""

    name = "general"

    def layout(self, request: Request) -> Layout:
        """One run a picture."""
        tokens = self.image_token_ids(request.config)
        runs = request.runs(*tokens)
        layout = Layout(request, image_positions=request.positions(*tokens))
        if not len(layout.image_positions):
            return layout
        if request.pictures is None or len(runs) != len(request.pictures):
            known = "an unknown number of" if request.pictures is None else len(request.pictures)
            raise Unplaced(
                f"{type(request.model).__name__} is not known, and its {len(runs)} runs of image tokens do not match {known} pictures"
            )
        sides = [math.isqrt(length) for _, length in runs]
        if any(side * side != length for side, (_, length) in zip(sides, runs, strict=True)):
            raise Unplaced(f"{type(request.model).__name__} is not known, and its runs of image tokens are not square")
        for picture, (side, (first, _)) in enumerate(zip(sides, runs, strict=True)):
            canvas = layout.canvas(picture, request.need_size(picture), mode="unknown")
            layout.view(canvas, first, side, side)
        return layout.finish()
