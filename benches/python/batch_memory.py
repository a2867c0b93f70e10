#!/usr/bin/env python3
"""Resident memory along a long batch: the last quarter of the run against the second one.

    python benches/python/batch_memory.py --program target/release/vlmscope --scenes FOLDER [--questions 10000] [--verdict]

FOLDER has q.jsonl and its pictures, as scripts/score_tables.py writes them; its questions are repeated under other names until there are
enough. The resident set is sampled every ten seconds; own memory (RssAnon) and mapped files are told apart.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

INTERVAL_S = 10.0


def write_questions(folder: Path, path: Path, count: int) -> None:
    rows = [json.loads(line) for line in (folder / "q.jsonl").read_text().splitlines()]
    with path.open("w") as out:
        for number, row in zip(range(count), itertools.cycle(rows), strict=False):
            row = row | {"id": f"{number:06d}", "picture": str(folder / row["picture"])}
            out.write(json.dumps(row) + "\n")


def memory_mb(process: int) -> dict[str, float]:
    status = Path(f"/proc/{process}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--verdict", action="store_true")
    args = parser.parse_args()
    samples = []
    with tempfile.TemporaryDirectory() as work:
        questions = Path(work) / "q.jsonl"
        write_questions(args.scenes.resolve(), questions, args.questions)
        command = [args.program.resolve(), "ask", "--batch", questions, "--table", "t.parquet", *(["--verdict"] if args.verdict else [])]
        started = time.monotonic()
        with (Path(work) / "log").open("w") as log:
            running = subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=log)
            while running.poll() is None:
                try:
                    samples.append(memory_mb(running.pid))
                except (OSError, KeyError):
                    break
                time.sleep(INTERVAL_S)
            code = running.wait()
        if code:
            raise SystemExit((Path(work) / "log").read_text()[-2000:])
        seconds = time.monotonic() - started
    quarter = len(samples) // 4
    parts = {"second": samples[quarter : 2 * quarter], "last": samples[3 * quarter :]}
    result = {
        name: {field: round(statistics.median(sample[field] for sample in part), 1) for field in ("VmRSS", "RssAnon")} for name, part in parts.items() if part
    }
    largest = max(sample["VmRSS"] for sample in samples)
    print(json.dumps({"questions": args.questions, "seconds": round(seconds), "samples": len(samples), "largest_mb": round(largest, 1), "quarters_mb": result}, indent=1))


if __name__ == "__main__":
    main()
