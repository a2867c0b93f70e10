"""Rows of a data set for the program, without a cluster."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
import vlmscope
from conftest import questions
from PIL import Image
from vlmscope.ray.ask import Asker, Work
from vlmscope.ray.program import Program
from vlmscope.ray.rows import ALIASES, field_of, write_rows
from vlmscope.ray.tables import errors_of, heads_of, nested, samples_of

REPOSITORY = Path(__file__).resolve().parents[2]


def test_fields_have_the_names_that_the_program_knows():
    source = (REPOSITORY / "src" / "table" / "input" / "fields.rs").read_text()
    known = dict(re.findall(r'\("(\w+)", &\[([^\]]*)\]\)', source))
    for ours, names in ALIASES.items():
        assert re.findall(r'"(\w+)"', known[ours]) == list(names), ours
    row = {"image": "a.jpg", "text": "What?", "answer": "x", "prompt": "y"}
    assert field_of(row, "picture", {}) == "a.jpg" and field_of(row, "question", {"question": "prompt"}) == "y"
    assert field_of(row, "answer", {"expected": "answer"}) is None


def test_a_row_is_a_line_and_pictures_are_files(tmp_path):
    pixels = np.full((3, 4, 3), 7, np.uint8)
    rows = [
        {"index": 2, "picture": b"abc", "question": "A?", "expected": ["x", "y"]},
        {"index": 5, "picture": {"bytes": b"def", "path": "in/b.jpg"}, "question": "B?", "expected": None},
        {"index": 6, "picture": {"bytes": None, "path": "c.jpg"}, "question": "C?", "expected": ["ä"]},
    ]
    for given, names in [(rows[:1], ["picture-2"]), (rows[1:], ["b.jpg"])]:
        written = write_rows(pa.Table.from_pylist(given), tmp_path)
        assert list(written.names.values()) == names
    lines = written.path.read_text().split("\n")
    assert [bool(line) for line in lines] == [False] * 5 + [True, True]
    second, third = json.loads(lines[5]), json.loads(lines[6])
    assert Path(second["picture"]).read_bytes() == b"def" and "expected" not in second
    assert (third["picture"], third["expected"]) == ("c.jpg", ["ä"])
    from vlmscope.ray.rows import _field

    names: dict[str, str] = {}
    path = _field("image", pixels, 9, tmp_path, names)
    assert np.array_equal(np.asarray(Image.open(path)), pixels) and names[path] == "image-9.png"
    assert _field("x", float("nan"), 9, tmp_path, names) is None and _field("x", np.float32(0.5), 9, tmp_path, names) == 0.5
    assert _field("boxes", np.array([1, 2]), 9, tmp_path, names) == [1, 2]


def test_rows_that_cannot_be_written_are_faults(tmp_path):
    batch = pa.Table.from_pylist([{"index": 0, "picture": "a", "question": "?", "when": None}, {"index": 1, "picture": "b", "question": "?"}])
    import datetime

    batch = batch.set_column(3, "when", pa.array([datetime.datetime(2020, 1, 1), None]))
    written = write_rows(batch, tmp_path, {})
    assert list(written.fields) == [1] and "cannot be written" in written.faults[0]
    assert write_rows(batch, tmp_path, {1: "it kills"}).path.read_text() == "{}"
    for wrong in ([{"index": -1}], [{"index": None}], [{"index": 1}, {"index": 1}], [{"index": "a"}]):
        with pytest.raises(vlmscope.VlmscopeError, match="`index`"):
            write_rows(pa.Table.from_pylist(wrong), tmp_path)


def test_answers_come_apart_into_the_tables_that_they_were(tmp_path):
    heads = pa.table({
        "sample": ["b", "b", "a", "a", "a"], "index": pa.array([4, 4, 1, 1, 1], pa.uint32()), "token": pa.array([0, 1, 0, 0, 1], pa.uint32()),
        "layer": pa.array([0, 0, 1, 0, 0], pa.uint32()), "head": pa.array([0] * 5, pa.uint32()), "inside": [0.5, None, 0.25, 0.125, 1.0],
    })  # fmt: skip
    samples = pa.table({"sample": ["b", "a"], "index": pa.array([4, 1], pa.uint32()), "picture": ["p", "q"], "question": ["?", "!"], "heads": [1, 1]})
    failed = {2: {"sample": None, "picture": "r", "question": "x", "error": "no"}}
    answers = nested(heads, samples, failed)
    assert answers.num_rows == 3 and answers["error"].to_pylist() == [None, None, "no"]
    found = heads_of(answers)
    order = ["index", "token", "layer"]
    assert found.sort_by([(name, "ascending") for name in order]).equals(heads.sort_by([(name, "ascending") for name in order]))
    # Blocks may be cut anywhere.
    assert heads_of(answers.slice(1)).num_rows == 2 and heads_of(answers.slice(2)).num_rows == 0
    assert samples_of(answers).sort_by("index").equals(samples.sort_by("index"))
    assert errors_of(answers).to_pylist() == [{"sample": None, "index": 2, "picture": "r", "question": "x", "error": "no"}]
    assert errors_of(nested(heads.slice(0, 0), samples.slice(0, 0), failed)).num_rows == 1


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("echo 'no GPU' >&2; kill -9 $$", vlmscope.EngineLostError, r"(?s)was killed by signal 9; it said last: no GPU"),
        ("read line; echo out of memory >&2; exit 101", vlmscope.EngineLostError, "exit code 101; it said last: out of memory"),
        ("echo 'unknown flag' >&2; exit 2", vlmscope.EngineError, "refused to start: unknown flag"),
        ("read line; echo hello", vlmscope.EngineError, "no JSON"),
        ('read line; echo "{\\"data\\": \\"x\\", \\"table\\": null, \\"error\\": \\"full disk\\"}"', vlmscope.EngineError, "full disk"),
    ],
)
def test_a_program_that_fails_is_named(tmp_path, script, kind, says):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(vlmscope.EngineError, match=says) as caught:
        Program([str(program)]).answer(tmp_path / "rows.jsonl")
    assert type(caught.value) is kind
    with pytest.raises(vlmscope.EngineError, match="cannot start"):
        Program([str(tmp_path / "none")]).answer(tmp_path / "rows.jsonl")


def test_a_row_that_kills_the_program_is_a_row_that_failed(program, tmp_path):
    wrapper = tmp_path / "program"
    wrapper.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys\n"
        "for line in sys.stdin:\n"
        "    if 'POISON' in open(line.strip()).read():\n"
        "        os.kill(os.getpid(), 9)\n"
        f"    subprocess.run([{program!r}, *sys.argv[1:]], input=line.encode())\n"
    )
    wrapper.chmod(0o755)
    rows = questions(5)
    rows[3]["question"] = "POISON"
    work = Work(None, str(wrapper), ["--threads", "1"], {}, "/")
    answers = Asker(work)(pa.Table.from_pylist(rows))
    errors = {row["index"]: row["error"] for row in answers.to_pylist()}
    assert [errors[index] for index in (0, 1, 2, 4)] == [None] * 4 and "killed by signal 9" in errors[3]
    # One that every row kills ends the job.
    for row in rows:
        row["question"] = "POISON"
    with pytest.raises(vlmscope.EngineLostError, match="killed by signal 9"):
        Asker(work)(pa.Table.from_pylist(rows))


def test_without_ray_it_is_said_what_to_install():
    code = "import sys; sys.modules['ray'] = None\nimport vlmscope\nimport vlmscope.ray"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "vlmscope.ray needs Ray Data" in done.stderr and 'pip install "vlmscope[ray]"' in done.stderr


def test_a_program_ends_with_the_actor_that_started_it(program, tmp_path):
    """Also in the middle of its rows: the next actor needs the memory of the GPU."""
    written = write_rows(pa.Table.from_pylist(questions(400)), tmp_path)
    actor = subprocess.Popen([sys.executable, "-c", ACTOR, program, str(written.path)])
    try:
        (child,) = wait_for(lambda: psutil.Process(actor.pid).children())
        wait_for(lambda: list(tmp_path.glob("rows.answers.parquet*")))
    finally:
        actor.kill()
        actor.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert not (tmp_path / "rows.answers.parquet").exists(), "it answered all rows"


ACTOR = """
import sys
from pathlib import Path
from vlmscope.ray.program import Program
Program([sys.argv[1], "ask", "--batch", "-", "--json", "--threads", "1"]).answer(Path(sys.argv[2]))
"""


def wait_for(what):
    """The value of a function once it is true."""
    for _ in range(300):
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come within 15 s")
