"""Models whose image tokens are queries of a resampler or Q-Former: they have no place in the picture."""

from __future__ import annotations

from .base import Family
from .layout import Layout, Request, Unplaced


class Resampler(Family):
    """Captured without a map, with the reason."""

    classes = (
        "Idefics2ForConditionalGeneration",
        "Blip2ForConditionalGeneration",
        "InstructBlipForConditionalGeneration",
        "InstructBlipVideoForConditionalGeneration",
    )
    name = "resampler"

    def layout(self, request: Request) -> Layout:
        """Always unplaced."""
        raise Unplaced(
            f"the image tokens of {type(request.model).__name__} are latents of a resampler: each reads the whole picture, so they have "
            "no place on it"
        )
