"""Rows of a Ray data set as a data set of the vlmscope program: a JSON Lines file in a temporary folder."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from PIL import Image
from ray.data import ActorPoolStrategy, Dataset

from ..errors import EngineError, VlmscopeError

INDEX = "index"
ROWS_FILE = "rows.jsonl"
#: Names that fields have in data sets, ours first (docs/tables.md). The program knows them; here they are for what Python itself reads.
ALIASES = {
    "id": ("id", "question_id"),
    "picture": ("picture", "image", "image_path", "img_path", "image_file", "file_name"),
    "question": ("question", "text", "query"),
    "turns": ("turns",),
    "answer": ("answer",),
}
MOST_ROWS = 2**32 - 1
#: So many rows that all fail for the same reason are not to blame for it.
ALIKE = 2


def numbered(rows: Dataset) -> Dataset:
    """The rows with a column `index`, from 0 in their order; as they are where they have one. Numbering runs the data set."""
    names = rows.columns()
    if names is None or INDEX in names:
        return rows
    options = ray.data.DataContext.get_current().execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        kept = rows.materialize()
        places = ray.data.range(kept.count(), override_num_blocks=max(1, kept.num_blocks())).rename_columns({"id": INDEX})
        return kept.zip(places).materialize()
    finally:
        options.preserve_order = before


def on_actors(rows: Dataset, actor: type, work: Any, concurrency: int | tuple[int, int], **options: Any) -> Dataset:
    """The numbered rows, batch by batch through `actor(work)`, on as many actors as `concurrency` says (a number, or least and most).
    `options`: of `Dataset.map_batches`."""
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    pool = ActorPoolStrategy(min_size=least, max_size=most)
    return numbered(rows).map_batches(actor, fn_constructor_args=(work,), batch_format="pyarrow", compute=pool, **options)


@dataclass
class Written:
    """A data set that was written for the program."""

    path: Path
    #: the rows by their index
    rows: dict[int, dict]
    #: the fields of the rows in the file, by their index; pictures are paths
    fields: dict[int, dict]
    #: the faults of rows that are not in the file
    faults: dict[int, str]
    #: names that pictures have in the data set, by the paths of their files
    names: dict[str, str]

    def renamed(self, samples: pa.Table) -> pa.Table:
        """The samples table with the names of pictures as the data set has them."""
        if not self.names:
            return samples
        at = samples.schema.get_field_index("picture")
        column = [self.names.get(name, name) for name in samples["picture"].to_pylist()]
        return samples.set_column(at, samples.schema.field(at), pa.array(column, samples.schema.field(at).type))


def write_rows(batch: pa.Table, folder: Path, faults: dict[int, str] | None = None, name: Callable[[int, dict], None] | None = None) -> Written:
    """Writes `rows.jsonl`, where the row with the index i is line i + 1; lines between are empty. Rows with `faults` are left out.

    Encoded pictures become files beside it. `name(index, fields)` may change the fields of a row. Raises VlmscopeError for an index that
    is no number, or there twice.
    """
    rows: dict[int, dict] = {}
    for row in batch.to_pylist():
        index = row.pop(INDEX, None)
        if not isinstance(index, int) or not 0 <= index < MOST_ROWS or index in rows:
            raise VlmscopeError(f"the column `index` has {index!r}: give each row a number of its own, from 0, or no such column")
        rows[index] = row
    written = Written(folder / ROWS_FILE, rows, {}, dict(faults or {}), {})
    at = 0
    with written.path.open("w", encoding="utf-8") as file:
        for index in sorted(rows.keys() - written.faults.keys()):
            try:
                found = {key: _field(key, value, index, folder, written.names) for key, value in rows[index].items()}
                fields = {key: value for key, value in found.items() if value is not None}
                if name is not None:
                    name(index, fields)
                line = json.dumps(fields, ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                written.faults[index] = f"the row cannot be written: {error}"
                continue
            written.fields[index] = fields
            file.write("\n" * (index - at) + line)
            at = index
        if not written.fields:
            file.write("{}")  # the program writes its tables, without rows
    return written


def _field(name: str, value: Any, index: int, folder: Path, names: dict[str, str]) -> Any:
    """A value as JSON; a picture as the path of its file."""
    if isinstance(value, dict) and set(value) == {"bytes", "path"}:
        # As Hugging Face `datasets` stores a picture.
        if value["bytes"] is None:
            return value["path"]
        return _store(value["bytes"], Path(value["path"] or f"{name}-{index}").name, index, folder, names)
    if isinstance(value, (bytes, bytearray)):
        return _store(bytes(value), f"{name}-{index}", index, folder, names)
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint8 and value.ndim == 3:
            out = io.BytesIO()
            Image.fromarray(value).save(out, "PNG", compress_level=1)
            return _store(out.getvalue(), f"{name}-{index}.png", index, folder, names)
        return value.tolist()
    if isinstance(value, float) and math.isnan(value):
        return None  # pandas writes this for what is missing
    return value.item() if isinstance(value, np.generic) else value


def _store(data: bytes, name: str, index: int, folder: Path, names: dict[str, str]) -> str:
    place = folder / str(index)
    place.mkdir(exist_ok=True)
    path = place / (name.replace("/", "_") or "picture")
    path.write_bytes(data)
    names[str(path)] = name
    return str(path)


def field_of(row: dict, ours: str, columns: Mapping[str, str]) -> Any:
    """The value of a field by our name, or None. A column that was named for one field stands for no other."""
    if ours in columns:
        return row.get(columns[ours])
    taken = set(columns.values())
    return next((row[name] for name in ALIASES[ours] if name not in taken and row.get(name) is not None), None)


def as_text(value: Any) -> str | None:
    """A field as text; None for a picture's bytes and what is missing."""
    if isinstance(value, dict):
        value = value.get("path")
    return None if value is None or isinstance(value, (bytes, bytearray, np.ndarray)) else str(value)


def failed_rows(missing: dict[int, dict], reasons: Mapping[int, str], columns: Mapping[str, str]) -> dict[int, dict]:
    """What answers say of rows that failed, by their index: `sample`, `picture`, `question` and `error`."""
    names = {"sample": "id", "picture": "picture", "question": "question"}
    return {
        index: {**{name: as_text(field_of(row, ours, columns)) for name, ours in names.items()}, "error": reasons.get(index) or "no reason was given"}
        for index, row in missing.items()
    }


def refuse_what_fails_alike(missing: dict[int, dict], reasons: Mapping[int, str]) -> None:
    """Raises EngineError where all rows fail for one reason: the model or the program cannot be used. For batches before the first answer."""
    # The program puts the name of the sample before its reason.
    said = {reason.partition(": ")[2] or reason for reason in reasons.values()}
    if len(missing) >= ALIKE and len(reasons) == len(missing) and len(said) == 1:
        raise EngineError(f"no row can be answered: {next(iter(reasons.values()))}")
