"""Runs the Python blocks of docs/tables.md on a table of the built-in model, and checks tables with DuckDB and pandas.

    .venv-tables/bin/python scripts/table_examples.py PROGRAM FOLDER
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas
import pyarrow.parquet

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
#: Layers and heads of the built-in model that were trained to attend to the objects that it names (scripts/tiny/batches.py).
GUIDED = {(layer, head) for layer in (2, 3, 4) for head in range(4)}
QUESTIONS = ("Where is the balloon?", "What is this?", "Is there a fox?")


def columns_of_page(heading: str) -> list[str]:
    """The columns that a table of the page names, in order."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]


def main() -> None:
    program, folder = sys.argv[1:]
    os.chdir(folder)
    rows = [
        {"picture": f"sample:{number}", "question": question, "id": f"{number}-{at}", "expected": "yes" if at == 2 else "fox"}
        | {"category": "exists" if at == 2 else "names"}
        for number in range(1, 5)
        for at, question in enumerate(QUESTIONS)
    ]
    Path("q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    batch = [program, "ask", "--batch", "q.jsonl", "--table", "answers.parquet", "--verdict", "--out", "traces", "--no-overlay", "--json"]
    answers = [json.loads(line) for line in subprocess.run(batch, check=True, stdout=subprocess.PIPE).stdout.splitlines()]
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2, "the page has an example for DuckDB and one for pandas"
    for block in blocks:
        exec(compile(block, "docs/tables.md", "exec"), {})  # noqa: S102
    samples, heads = pandas.read_parquet("answers.samples.parquet"), pandas.read_parquet("answers.parquet")
    assert list(samples.columns) == columns_of_page("Columns of the samples table"), "docs/tables.md has other columns"
    assert list(heads.columns) == columns_of_page("Columns of the heads table"), "docs/tables.md has other columns"
    # What the program printed is what the table says.
    assert list(samples["sample"]) == [row["id"] for row in rows]
    assert list(samples.answer) == [answer["answer"] for answer in answers]
    assert list(samples.correct) == [answer["correct"] for answer in answers]
    for row in samples.itertuples():
        inspected = json.loads(subprocess.run([program, "inspect", row.trace, "--json"], check=True, stdout=subprocess.PIPE).stdout)
        assert abs(inspected["span_shares"][0] - row.image_share) < 1e-6, row
        mean = heads[heads["sample"] == row.sample].image_share.mean()
        assert abs(mean - row.image_share) < 1e-5, row
    # DuckDB counts the same, and the file's groups are sorted so that one head is in few pages.
    [(count,)] = duckdb.sql("SELECT count(*) FROM 'answers.parquet'").fetchall()
    assert count == len(heads) == (samples.tokens * samples.layers * samples.heads).sum()
    file = pyarrow.parquet.ParquetFile("answers.parquet")
    metadata = file.metadata.metadata
    assert metadata[b"vlmscope.table"] == b"heads" and metadata[b"vlmscope.table_version"] == b"1"
    assert heads[["layer", "head", "index", "token"]].apply(tuple, axis=1).is_monotonic_increasing
    assert file.metadata.row_group(0).column(4).statistics.has_min_max
    # The heads that were trained to look at objects come out first.
    ranked = heads.groupby(["layer", "head"]).inside.mean().sort_values(ascending=False)
    first = list(ranked.index[:6])
    assert set(first) <= GUIDED, f"the first heads by the attention inside the object are {first}"
    print(f"{count} rows of heads and {len(samples)} samples: DuckDB, pandas and vlmscope agree")


if __name__ == "__main__":
    main()
