"""The vlmscope program works with the trace of every family: numbers, every view, rollout, a tour and its film.

scripts/test-python names the program in VLMSCOPE_PROGRAM.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import vlmscope
from conftest import picture
from random_models import BUILDERS

VIEWS = ("overlay", "heads", "wall", "layer-head", "token-matrix")


@pytest.fixture(scope="module")
def program() -> str:
    named = os.environ.get("VLMSCOPE_PROGRAM")
    assert named, "VLMSCOPE_PROGRAM must name the vlmscope program; scripts/test-python sets it"
    return named


@pytest.mark.parametrize("name", BUILDERS)
def test_the_trace_of_every_family_works_in_the_program(make, name, program, tmp_path):
    model, processor = make(name)
    images = [picture((168, 112), 1), picture((90, 150), 2)]
    trace = vlmscope.capture(model, processor, images=images, question="Is it a fox?", max_new_tokens=3, head_mean=True, last_layer=True)
    trace.save(tmp_path / "a.vlmtrace")

    def run(*arguments: str, fails_with: str = "") -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=tmp_path)
        if fails_with:
            assert done.returncode == 2 and fails_with in done.stderr, (arguments, done.stderr)
        else:
            assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    inspected = json.loads(run("inspect", "a.vlmtrace", "--json"))
    assert inspected["positions"] == trace.meta.positions
    assert inspected["model"]["layer_kinds"] == trace.meta.model.layer_kinds
    draw = ("render", "a.vlmtrace", "--size", "320x180", "--token", "1")
    placed = trace.meta.unplaced is None
    for view in VIEWS:
        on_picture = view in ("overlay", "heads", "wall")
        run(*draw, "--view", view, "--out", f"{view}.png", fails_with="" if placed or not on_picture else "resampler")
    if placed:
        run("relevancy", "a.vlmtrace", "--methods", "rollout,heads")
        run(*draw, "--view", "relevancy", "--map", "map.rollout", "--out", "relevancy.png")
        run(*draw, "--view", "diff", "--second-token", "0", "--out", "diff.png")
        figures = {(tmp_path / f"{view}.png").read_bytes() for view in (*VIEWS, "relevancy", "diff")}
        assert len(figures) == len(VIEWS) + 2, "two views are the same figure"
    run("walkthrough", "new", "a.vlmtrace", "--out", "tour.toml")
    run("record", "tour.toml", "--size", "160x90", "--fps", "1", "--out", "film")
    assert len(list((tmp_path / "film").glob("*.png"))) > 5
