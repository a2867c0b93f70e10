"""The painting test: whether the patches of a model lie where its family says."""

from __future__ import annotations


def check(model, processor, *, save: bool = False, **options):
    """Paints cells of test pictures, looks which image token changes most, and returns a `Report` (print it).

    `cells` cells of each kind of view are painted on pictures of the `sizes` (width, height); `pictures` and `video` turn the tests
    with a second picture and with a video on and off. Other options go to the processor. With `save`, later captures of this model
    store the result in their trace.
    """
    from ..capture import _need_torch

    _need_torch()
    from . import store
    from .painting import run

    report = run(model, processor, **options)
    if save:
        store.save(model, processor, report)
    return report
