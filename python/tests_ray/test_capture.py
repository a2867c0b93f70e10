"""`vlmscope.ray.capture` on a cluster of two nodes. Needs torch and transformers beside Ray."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import pytest
import ray.data
import torch
import vlmscope
import vlmscope.ray
from conftest import SAMPLES, questions
from test_cluster import same
from vlmscope.capture.load import load
from vlmscope.ray.capture import conversation

CHECKPOINT = SAMPLES.parent / "checkpoint"
ONE_THREAD = {"env_vars": {"OMP_NUM_THREADS": "1"}}


def test_two_nodes_have_the_table_of_one_process(cluster, program, tmp_path):
    rows = questions(10)
    rows[3]["answer"] = "It is a fox."
    del rows[5]["id"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    torch.set_num_threads(1)
    model, processor = load(str(CHECKPOINT), argparse.Namespace(dtype="f32", device="cpu", load_in_4bit=False))
    (tmp_path / "traces").mkdir()
    for row in rows:
        trace = vlmscope.capture(model, processor, images=[row["picture"]], question=row["question"], answer=row.get("answer"))
        name = row.get("id") or f"{row['index'] + 1:04}-{Path(row['picture']).stem}"
        trace.save(tmp_path / "traces" / f"{name}.vlmtrace")
    table = [program, "table", "traces", "--data", "rows.jsonl", "--out", "one.parquet"]
    subprocess.run(table, cwd=tmp_path, check=True, capture_output=True)
    answers = vlmscope.ray.capture(
        ray.data.from_items(rows, override_num_blocks=2),
        model=CHECKPOINT,
        dtype="f32",
        device="cpu",
        num_cpus=0.5,
        batch_size=5,
        traces=tmp_path / "kept",
        program=program,
        runtime_env=ONE_THREAD,
    )
    counts = vlmscope.ray.write_tables(answers, tmp_path / "two.parquet", program=program)
    assert counts["samples"] == 10 and counts["errors"] == 0
    same(tmp_path / "one.parquet", tmp_path / "two.parquet")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == sorted(path.name for path in (tmp_path / "traces").iterdir())
    assert vlmscope.open(tmp_path / "kept" / "s0003.vlmtrace").answer == "It is a fox."


def test_a_row_that_fails_is_a_row_and_turns_are_kept(cluster, program, tmp_path):
    rows = [{key: row[key] for key in ("id", "picture", "question", "index")} for row in questions(5)]
    rows[0]["picture"] = str(tmp_path / "none.png")
    rows[1]["id"] = "a/b"
    rows[2]["question"] = ""
    rows[3]["turns"] = [["Is there a fox?", "Yes, there is a fox."]]
    answers = vlmscope.ray.capture(
        ray.data.from_items(rows), model=CHECKPOINT, device="cpu", concurrency=1, num_cpus=0.5, max_new_tokens=3, program=program, runtime_env=ONE_THREAD
    ).materialize()
    found = {row["index"]: row for row in answers.take_all()}
    assert sorted(found) == list(range(5))
    for index, says in {0: "none.png", 1: "must not name a folder", 2: "no question"}.items():
        assert says in found[index]["error"]
    assert found[3]["error"] is None and found[4]["error"] is None and found[4]["trace"] is None
    assert found[3]["patches"] == found[4]["patches"] and found[4]["tokens"] <= 3


def test_a_model_or_a_gpu_that_is_not_there_ends_the_job(cluster, program, tmp_path, monkeypatch):
    # Each attempt imports torch.
    monkeypatch.setattr(ray.data.DataContext.get_current(), "max_consecutive_actor_init_deaths", 0)
    answers = vlmscope.ray.capture(ray.data.from_items(questions(2)), model=tmp_path / "none", concurrency=1, num_cpus=0.5, program=program)
    with pytest.raises(Exception, match="cannot load .*none"):
        answers.materialize()
    answers = vlmscope.ray.capture(ray.data.from_items(questions(2)), model=CHECKPOINT, concurrency=1, num_cpus=0.5, num_gpus=1, program=program)
    with pytest.raises(Exception, match="cannot use the device cuda"):
        answers.materialize()


def test_earlier_turns_become_messages():
    messages = conversation([["What?", "A fox."]], "Where?")
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"][0] == {"type": "image"} and messages[2]["content"] == [{"type": "text", "text": "Where?"}]
