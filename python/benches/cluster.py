"""A cluster of two nodes on this machine against one process on the same questions, with the overhead broken down.

    VLMSCOPE_PROGRAM=target/vlmscope PYTHONPATH=python .venv-ray/bin/python python/benches/cluster.py [--questions 400]

Questions about the sample pictures to the built-in model, one thread each process, one actor a node. Seconds of wall clock; on a machine
that does other work, compare ratios of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests_ray")]

import ray  # noqa: E402
import vlmscope.ray  # noqa: E402
from conftest import STORE_BYTES, questions  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from vlmscope.ray.ask import Asker, Work  # noqa: E402
from vlmscope.ray.program import Program  # noqa: E402


def timed_asker(log: Path):
    """An actor that writes down when it is made, and when its batches begin and end."""

    class Timed(Asker):
        def __init__(self, work: Work):
            super().__init__(work)
            self._note("made")

        def __call__(self, batch):
            self._note("begin", rows=batch.num_rows)
            answers = super().__call__(batch)
            self._note("end", rows=batch.num_rows, seconds=sum(value or 0 for value in answers["seconds"].to_pylist()))
            return answers

        def _note(self, what: str, **more) -> None:
            with (log / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(json.dumps({"what": what, "at": time.time(), **more}) + "\n")

    return Timed


def load_seconds(program: str, folder: Path) -> float:
    """How much longer the first question of a process takes than a later one: its start and the loading of the model."""
    rows = folder / "rows.jsonl"
    one = Program([program, "ask", "--batch", "-", "--json", "--threads", "1"])
    took = []
    for at in range(4):
        row = questions(1)[0] | {"id": f"load{at}"}
        rows.write_text(json.dumps(row))
        for old in folder.glob("rows.answers*"):
            old.unlink()
        begun = time.perf_counter()
        one.answer(rows)
        took.append(time.perf_counter() - begun)
    one.close()
    return took[0] - min(took[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=25)
    options = parser.parse_args()
    program = os.environ["VLMSCOPE_PROGRAM"]
    rows = questions(options.questions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"model load (one process)": load_seconds(program, folder)}
        (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        begun = time.perf_counter()
        batch = [program, "ask", "--batch", "q.jsonl", "--table", "one.parquet", "--threads", "1"]
        subprocess.run(batch, cwd=folder, check=True, capture_output=True)
        found["one process"] = time.perf_counter() - begun

        begun = time.perf_counter()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False})
        cluster.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
        ray.init(address=cluster.address, log_to_driver=False)
        found["start of the cluster"] = time.perf_counter() - begun
        ray.data.DataContext.get_current().enable_progress_bars = False

        log = folder / "log"
        log.mkdir()
        sys.modules["vlmscope.ray.ask"].Asker = timed_asker(log)
        data = ray.data.from_items(rows, override_num_blocks=max(2, options.questions // options.batch_size))
        begun = time.time()
        answers = vlmscope.ray.ask(data, num_cpus=1, batch_size=options.batch_size, program=program)
        counts = vlmscope.ray.write_tables(answers, folder / "two.parquet", program=program)
        ended = time.time()
        notes = [[json.loads(line) for line in path.read_text().splitlines()] for path in log.iterdir()]
        made = [actor[0]["at"] for actor in notes]
        batches = [list(zip(actor[1::2], actor[2::2], strict=True)) for actor in notes]
        last = max(end["at"] for actor in batches for _, end in actor)
        found["two nodes, all"] = ended - begun
        found["  until the first actor is there"] = min(made) - begun
        found["  until the second is there"] = max(made) - begun
        for number, actor in enumerate(batches):
            found[f"  actor {number}: in batches"] = sum(end["at"] - begin["at"] for begin, end in actor)
            found[f"  actor {number}: answering (the program's own clock)"] = sum(end["seconds"] for _, end in actor)
            found[f"  actor {number}: rows"] = sum(end["rows"] for _, end in actor)
        found["  from the last answer to the end (writing, one table)"] = ended - last
        parts = folder / "again"
        begun = time.perf_counter()
        subprocess.run([program, "table", "two.parquet", "--out", str(parts.with_suffix(".parquet"))], cwd=folder, check=True, capture_output=True)
        found["    of it one table"] = time.perf_counter() - begun
        found["bytes of the tables"] = sum((folder / end).stat().st_size for end in ("two.parquet", "two.samples.parquet"))
        ray.shutdown()
        cluster.shutdown()
    print(f"{options.questions} questions, batches of {options.batch_size}: {counts}")
    for what, value in found.items():
        print(f"| {what} | {value:.2f} |" if isinstance(value, float) else f"| {what} | {value} |")
    print(f"| one process / two nodes | {found['one process'] / found['two nodes, all']:.2f} |")


if __name__ == "__main__":
    main()
