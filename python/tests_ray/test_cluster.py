"""`vlmscope.ray` on a cluster of two nodes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
import vlmscope
import vlmscope.ray
from conftest import STORE_BYTES, questions

#: Columns that two runs may have otherwise.
VARIES = ["seconds", "trace"]
HEAD_ORDER = [("sample", "ascending"), ("token", "ascending"), ("layer", "ascending"), ("head", "ascending")]


def read(path: Path) -> tuple[pa.Table, pa.Table]:
    """Heads and samples of a table, sorted, without what varies."""
    heads, samples = pq.read_table(path), pq.read_table(path.with_suffix(".samples.parquet"))
    return heads.sort_by(HEAD_ORDER), samples.drop_columns(VARIES).sort_by("sample")


def same(one: Path, other: Path) -> None:
    """Both tables are the same, bit for bit."""
    for mine, theirs in zip(read(one), read(other), strict=True):
        assert mine.schema.equals(theirs.schema), (mine.schema, theirs.schema)
        assert mine.num_rows == theirs.num_rows
        for name in mine.column_names:
            assert mine[name].combine_chunks().equals(theirs[name].combine_chunks()), name


def actors(kind: str = "Asker") -> list[psutil.Process]:
    """Processes of this cluster's actors."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if line.startswith("ray::") and kind in line:
            found.append(process)
    return found


def test_two_nodes_have_the_table_of_one_process(cluster, program, one_process, tmp_path):
    rows = questions(36)
    flags = {"verdict": True, "max_new_tokens": 12}
    whole = one_process(rows, "--verdict", "--max-new-tokens", "12")
    answers = vlmscope.ray.ask(ray.data.from_items(rows, override_num_blocks=4), num_cpus=0.5, batch_size=9, program=program, **flags)
    counts = vlmscope.ray.write_tables(answers, tmp_path / "two.parquet", program=program)
    assert counts == {"samples": 36, "heads": pq.read_metadata(whole).num_rows, "errors": 0}
    same(whole, tmp_path / "two.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.parquet", "two.samples.parquet"]
    # The file is what the program writes: groups are sorted so that one head is in few pages, and DuckDB reads it.
    assert pq.ParquetFile(tmp_path / "two.parquet").metadata.metadata[b"vlmscope.table"] == b"heads"
    [(mean,)] = duckdb.sql(f"SELECT avg(inside) FROM '{tmp_path}/two.parquet' WHERE layer = 2 AND head = 1").fetchall()
    assert 0.2 < mean <= 1


def test_both_nodes_answer(cluster, program):
    rows = ray.data.from_items(questions(8), override_num_blocks=4)
    answers = vlmscope.ray.ask(rows, num_cpus=1, batch_size=2, program=program)
    found = []
    runner = threading.Thread(target=lambda: found.append(answers.materialize()))
    runner.start()
    nodes = set()
    while runner.is_alive():
        # The parent of a worker is the process of its node.
        nodes |= {process.ppid() for process in actors()}
        time.sleep(0.1)
    assert found[0].count() == 8 and len(nodes) == 2


def test_rows_are_numbered_and_pictures_may_be_bytes(cluster, program, one_process, tmp_path):
    plain = [{name: row[name] for name in ("picture", "question", "expected")} for row in questions(10)]
    whole = one_process(plain)
    answers = vlmscope.ray.ask(ray.data.from_items(plain, override_num_blocks=3), num_cpus=0.5, batch_size=5, program=program)
    vlmscope.ray.write_tables(answers, tmp_path / "paths.parquet", program=program)
    same(whole, tmp_path / "paths.parquet")
    kinds = [lambda data, name: data, lambda data, name: {"bytes": data, "path": name}]
    for number, encoded in enumerate(kinds):
        given = [{**row, "picture": encoded(Path(row["picture"]).read_bytes(), Path(row["picture"]).name)} for row in plain]
        ids = [{**row, "id": f"n{at}"} for at, row in enumerate(given)]
        answers = vlmscope.ray.ask(ray.data.from_items(ids), num_cpus=0.5, batch_size=5, program=program)
        samples = vlmscope.ray.samples(answers).to_pandas().sort_values("index")
        assert list(samples.answer) == pq.read_table(whole.with_suffix(".samples.parquet"))["answer"].to_pylist()
        named = [f"picture-{at}" if number == 0 else Path(row["picture"]).name for at, row in enumerate(plain)]
        assert list(samples.picture) == named


def test_a_row_that_fails_is_a_row(cluster, program, tmp_path):
    rows = questions(6)
    rows[1]["picture"] = str(tmp_path / "none.png")
    rows[3]["question"] = ""
    rows[4]["id"] = "a/b"
    (tmp_path / "text.png").write_text("no picture")
    rows[5]["picture"] = str(tmp_path / "text.png")
    answers = vlmscope.ray.ask(ray.data.from_items(rows), num_cpus=0.5, batch_size=3, program=program).materialize()
    found = {row["index"]: row for row in answers.take_all()}
    assert sorted(found) == list(range(6))
    assert {index for index, row in found.items() if row["error"]} == {1, 3, 4, 5}
    for index, says in {1: "No such file", 3: "no question", 4: "must not name a folder", 5: "text.png"}.items():
        assert says in found[index]["error"], found[index]["error"]
        assert found[index]["answer"] is None and found[index]["picture"] == rows[index]["picture"]
    assert vlmscope.ray.samples(answers).count() == 2
    counts = vlmscope.ray.write_tables(answers, tmp_path / "parts")
    assert counts["samples"] == 2 and counts["errors"] == 4 and counts["heads"] == vlmscope.ray.heads(answers).count()
    [(count,)] = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/parts/part-??????.parquet'").fetchall()
    assert count == counts["heads"]
    lines = (tmp_path / "parts" / "errors.jsonl").read_text().splitlines()
    assert len(lines) == 4 and "none.png" in "".join(lines)
    with pytest.raises(vlmscope.VlmscopeError, match="is not empty"):
        vlmscope.ray.write_tables(answers, tmp_path / "parts")


def wait_for_actor(others: list[int], node: int | None = None) -> psutil.Process:
    """An actor whose model answers, not one of `others`; with `node`, one of this process of a node."""
    for _ in range(600):
        for process in actors():
            with contextlib.suppress(psutil.Error):
                if process.pid not in others and node in (None, process.ppid()) and process.children():
                    return process
        time.sleep(0.05)
    raise AssertionError("no actor came within 30 s")


class Killer(threading.Thread):
    """Does something while a job runs; `join` raises its errors."""

    def __init__(self, work):
        super().__init__()
        self.work, self.error, self.ended = work, None, 0.0

    def run(self) -> None:
        try:
            self.work()
            self.ended = time.monotonic()
        except BaseException as error:
            self.error = error

    def join(self, timeout=None) -> None:
        super().join(timeout)
        if self.error:
            raise self.error


def test_a_killed_actor_loses_and_repeats_nothing(cluster, program, one_process, tmp_path):
    rows = questions(60)
    whole = one_process(rows)
    killed: list[int] = []

    def kill() -> None:
        for _ in range(2):
            killed.append(wait_for_actor(killed).pid)
            os.kill(killed[-1], signal.SIGKILL)

    killer = Killer(kill)
    answers = vlmscope.ray.ask(ray.data.from_items(rows, override_num_blocks=15), num_cpus=0.5, batch_size=2, program=program)
    killer.start()
    counts = vlmscope.ray.write_tables(answers, tmp_path / "killed.parquet", program=program)
    ended = time.monotonic()
    killer.join()
    assert killer.ended < ended and len(killed) == 2
    assert counts["samples"] == 60 and counts["errors"] == 0
    same(whole, tmp_path / "killed.parquet")


def test_a_killed_node_loses_and_repeats_nothing(cluster, program, one_process, tmp_path):
    rows = questions(60)
    whole = one_process(rows)
    node = cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    cluster.wait_for_nodes()
    raylet = node.all_processes["raylet"][0].process.pid

    def kill() -> None:
        # An actor of this node is answering, and its first answers may lie in the node's store.
        wait_for_actor([], raylet)
        time.sleep(0.5)
        cluster.remove_node(node, allow_graceful=False)

    killer = Killer(kill)
    rows_of = ray.data.from_items(rows, override_num_blocks=15)
    answers = vlmscope.ray.ask(rows_of, concurrency=3, num_cpus=0.5, batch_size=2, program=program)
    killer.start()
    counts = vlmscope.ray.write_tables(answers, tmp_path / "node.parquet", program=program)
    ended = time.monotonic()
    killer.join()
    assert killer.ended < ended, "the node was removed after the end"
    assert counts["samples"] == 60 and counts["errors"] == 0
    same(whole, tmp_path / "node.parquet")


def test_a_model_that_is_not_there_ends_the_job(cluster, program, tmp_path):
    rows = ray.data.from_items(questions(4))
    answers = vlmscope.ray.ask(rows, bundle=tmp_path / "none", num_cpus=0.5, program=program)
    with pytest.raises(Exception, match="no row can be answered: .*none"):
        answers.materialize()


def test_an_actor_sees_its_gpu_and_fails_without_one(cluster, program, tmp_path):
    wrapper = tmp_path / "program"
    wrapper.write_text(f'#!/bin/sh\necho "GPU $CUDA_VISIBLE_DEVICES" >>{tmp_path}/seen\nexec {program} "$@"\n')
    wrapper.chmod(0o755)
    rows = ray.data.from_items(questions(4))
    answers = vlmscope.ray.ask(rows, concurrency=1, num_cpus=0.5, num_gpus=1, device="cpu", program=str(wrapper))
    assert answers.count() == 4 and (tmp_path / "seen").read_text() == "GPU 0\n"
    answers = vlmscope.ray.ask(rows, concurrency=1, num_cpus=0.5, num_gpus=1, program=str(wrapper))
    with pytest.raises(Exception, match="no row can be answered: .*CUDA"):
        answers.materialize()


def test_a_model_is_fetched_once_for_a_node(cluster, program, tmp_path, monkeypatch):
    from vlmscope.ray.bundles import local_folder

    monkeypatch.setenv("VLMSCOPE_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "manifest.json").write_text("{}")
    (model / "inner").mkdir()
    (model / "inner" / "weights.bin").write_bytes(b"x" * 1000)
    uri = model.as_uri()
    folder = Path(local_folder(uri))
    assert (folder / "inner" / "weights.bin").read_bytes() == b"x" * 1000 and folder.parent == tmp_path / "cache"
    (model / "manifest.json").write_text("changed")
    assert local_folder(uri) == str(folder) and (folder / "manifest.json").read_text() == "{}"
    assert local_folder(None) is None and local_folder("/shared/model") == "/shared/model"
    with pytest.raises(vlmscope.VlmscopeError, match="no folder of a model|cannot fetch"):
        local_folder((tmp_path / "none").as_uri())
