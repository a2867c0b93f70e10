"""Writes answers as the two tables of docs/tables.md."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import Dataset
from ray.data.block import BlockAccessor
from ray.data.datasource import Datasink

from .. import __version__
from ..errors import EngineError, VlmscopeError
from ..trace.show import find_program
from .tables import errors_of, heads_of, samples_of

TABLE_VERSION = "1"
#: Bytes of answers in one part.
PART_BYTES = 64 << 20


def write_tables(answers: Dataset, out: str | os.PathLike, *, program: str | None = None) -> dict[str, int]:
    """Writes the heads table and the samples table of answers; runs the data set.

    `out`: a folder on storage that all nodes share. Each write task puts two files there, `part-000012.parquet` and
    `part-000012.samples.parquet`; `vlmscope table FOLDER/part-*.parquet --out answers.parquet` makes them one table. Or a name that ends in
    .parquet: the parts lie in NAME.parts, and this machine makes them one table at the end, as `vlmscope ask --batch --table` writes it.
    Rows that failed are in `errors.jsonl` in the folder, or in NAME.errors.jsonl. `program`: path of the vlmscope program here; None: as for
    `Engine`.

    Returns the numbers of `samples`, `heads` and `errors`. Raises VlmscopeError where `out` cannot be written or is not empty.
    """
    out = Path(out).absolute()
    is_file = out.suffix == ".parquet"
    folder = out.with_name(f"{out.name}.parts") if is_file else out
    found = program or (find_program() if is_file else None)
    _make(folder)
    answers.write_datasink(TableSink(folder))
    counts = {"samples": 0, "heads": 0, "errors": 0}
    parts = sorted(path for path in folder.glob("part-*.parquet") if not path.name.endswith(".samples.parquet"))
    for part in parts:
        counts["heads"] += pq.read_metadata(part).num_rows
        counts["samples"] += pq.read_metadata(part.with_suffix(".samples.parquet")).num_rows
    lines = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("part-*.errors.jsonl")))
    counts["errors"] = lines.count("\n")
    errors = out.with_suffix(".errors.jsonl") if is_file else folder / "errors.jsonl"
    with contextlib.suppress(FileNotFoundError):
        errors.unlink()
    if lines:
        _replace(errors, lambda path: path.write_text(lines, encoding="utf-8"))
    if is_file and parts:
        _merge(found, parts, out)
        shutil.rmtree(folder)
    return counts


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise VlmscopeError(f"{folder} is not empty: name a new folder, or remove what an earlier run left there")
    except OSError as error:
        raise VlmscopeError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def _merge(program: str, parts: list[Path], out: Path) -> None:
    done = subprocess.run([program, "table", *map(str, parts), "--out", str(out)], capture_output=True, text=True)
    if done.returncode:
        raise EngineError(f"the parts in {parts[0].parent} could not be made one table: {done.stderr.strip()}")


class TableSink(Datasink[None]):
    """A write task is one part: its files have the task's number, so that a task that runs again replaces them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def write(self, blocks: Iterable, ctx) -> None:
        """Writes the blocks of one task."""
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        tables = [table for table in tables if table.num_rows]
        if not tables:
            return
        stem = self.folder / f"part-{ctx.task_idx:06}"
        failed = [row for table in tables for row in errors_of(table).to_pylist()]
        if failed:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failed)
            _replace(Path(f"{stem}.errors.jsonl"), lambda path: path.write_text(text, encoding="utf-8"))
        heads = pa.concat_tables([heads_of(table) for table in tables])
        samples = pa.concat_tables([samples_of(table) for table in tables])
        if samples.num_rows:
            _write(heads, Path(f"{stem}.parquet"), "heads")
            _write(samples, Path(f"{stem}.samples.parquet"), "samples")

    @property
    def min_bytes_per_write(self) -> int:
        """So that small batches share a file."""
        return PART_BYTES


def _write(table: pa.Table, path: Path, kind: str) -> None:
    about = {"vlmscope.table": kind, "vlmscope.table_version": TABLE_VERSION, "vlmscope.version": __version__}
    _replace(path, lambda name: pq.write_table(table.replace_schema_metadata(about), name, compression="zstd"))


def _replace(path: Path, write) -> None:
    """Writes under a temporary name in the same folder and renames it."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
