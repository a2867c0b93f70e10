"""A cluster of two nodes on this machine, and questions about the sample pictures.

scripts/test-ray names the program in VLMSCOPE_PROGRAM.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
# Workers have the niceness 15 otherwise, and hardly run beside other programs of this machine.
os.environ.setdefault("RAY_worker_niceness", "0")

import ray  # noqa: E402
import ray.data  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

SAMPLES = Path(__file__).resolve().parents[2] / "onnx" / "tiny" / "samples"
STORE_BYTES = 150 << 20


@pytest.fixture(scope="session")
def program() -> str:
    named = os.environ.get("VLMSCOPE_PROGRAM")
    assert named, "VLMSCOPE_PROGRAM must name the vlmscope program; scripts/test-ray sets it"
    return named


@pytest.fixture(scope="session")
def cluster():
    # Logical CPUs beyond those of the actors: reading and writing need one.
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False})
    # A GPU for Ray's accounts alone.
    found.add_node(num_cpus=2, num_gpus=1, object_store_memory=STORE_BYTES)
    ray.init(address=found.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield found
    ray.shutdown()
    found.shutdown()


def questions(count: int) -> list[dict]:
    """Rows of a data set: questions about the sample pictures with the expected answers, an object and its boxes."""
    samples = json.loads((SAMPLES / "samples.json").read_text())
    asked = [(sample, one) for sample in samples for one in sample["questions"]]
    rows = []
    for at in range(count):
        sample, one = asked[at % len(asked)]
        boxes = [{"noun": box["noun"], "box": box["box"]} for box in sample["boxes"]]
        row = {"id": f"s{at:04}", "picture": str(SAMPLES / sample["file"]), "question": one["text"], "index": at}
        rows.append({**row, "expected": one["answer"] if at % 3 else "no such answer", "category": f"kind {at % 3}", "boxes": boxes})
    return rows


@pytest.fixture(scope="session")
def one_process(program, tmp_path_factory):
    """The table of a list of rows by `vlmscope ask --batch --table`; returns its path."""

    def run(rows: list[dict], *flags: str) -> Path:
        folder = tmp_path_factory.mktemp("one")
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        words = [program, "ask", "--batch", "rows.jsonl", "--table", "one.parquet", "--threads", "1", *flags]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        return folder / "one.parquet"

    return run
