"""Families of vision-language models: where each puts its patches. One module a family, selected by the model's class."""

from __future__ import annotations

from ..errors import CaptureError
from .base import Family
from .layout import Layout, Mismatch, Request, Unplaced

__all__ = ["Family", "Layout", "Request", "Unplaced", "family_of", "layout_of", "registered"]


def registered() -> dict[str, Family]:
    """Every family by the names of its model classes."""
    from . import gemma, idefics3, llama, llava, llava_next, minicpm, molmo, qwen, resampler, tiles

    modules = (gemma, idefics3, llama, llava, llava_next, minicpm, molmo, qwen, resampler, tiles)
    found: dict[str, Family] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Family) and value.__module__ == module.__name__:
                for name in value.classes:
                    found[name] = value()
    return found


def family_of(model) -> Family:
    """The family of a model: by the name of its class or of one of its bases, else the general rule."""
    from .general import General

    known = registered()
    for base in type(model).__mro__:
        if base.__name__ in known:
            return known[base.__name__]
    return General()


def layout_of(family: Family, request: Request) -> Layout:
    """The layout of a prompt; where the family cannot place the pictures, one without views that says why."""
    pixels = ("pixel_values", "pixel_values_videos")
    if not len(request.positions(*family.image_token_ids(request.config))) and all(request.inputs.get(name) is None for name in pixels):
        return Layout(request)  # a question without a picture
    try:
        layout = family.layout(request)
    except Mismatch as reason:
        if request.is_recorded and request.pictures is not None:
            raise CaptureError(
                f"images= does not fit what the model received: {reason}. Give the pictures in the order of the prompt, and the "
                "processor's options as processor_options=."
            ) from reason
        return _unplaced(family, request, reason)
    except Unplaced as reason:
        return _unplaced(family, request, reason)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        also = " and give images= and videos= as they went to it" if request.is_recorded else ""
        raise CaptureError(
            f"the pictures of this prompt do not fit the layout of {family.name} ({type(error).__name__}: {error}). "
            f"Pass the inputs as the processor returned them{also}."
        ) from error
    layout.fill_pixels()
    return layout


def _unplaced(family: Family, request: Request, reason: Unplaced) -> Layout:
    places = request.positions(*family.image_token_ids(request.config))
    return Layout(request, image_positions=places, unplaced=str(reason))
