"""The painting test: whether the patches of a model lie where its family says."""

from __future__ import annotations


def check(model, processor, **options):
    """Paints cells of test pictures and looks which image token changes most; returns a report."""
    from .painting import run

    return run(model, processor, **options)
