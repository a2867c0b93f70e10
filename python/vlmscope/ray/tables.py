"""Answers as rows of a Ray data set, and the two tables that they hold.

The numbers and their columns come from the vlmscope program, which writes both tables of a batch. Here a sample becomes one row: the columns
of the samples table, `head_rows` (a list with its rows of the heads table) and `error`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from ray.data import Dataset

HEADS, ERROR = "head_rows", "error"
#: Columns of the heads table that every one of a sample's rows repeats.
REPEATED = ("sample", "index")


def nested(heads: pa.Table, samples: pa.Table, errors: dict[int, dict]) -> pa.Table:
    """One row for each sample, [S] rows, and one for each row of the data set that failed.

    `errors` has, by the row's index, `sample`, `picture`, `question` and `error`.
    """
    heads, samples = heads.combine_chunks(), samples.combine_chunks()
    order = pc.sort_indices(heads, [("index", "ascending"), ("token", "ascending"), ("layer", "ascending"), ("head", "ascending")])
    heads = heads.take(order)
    samples = samples.take(pc.sort_indices(samples, [("index", "ascending")]))
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(heads["index"]).to_pylist()}
    offsets = [0]
    for index in samples["index"].to_pylist():
        offsets.append(offsets[-1] + counts.get(index, 0))
    kept = heads.drop_columns(list(REPEATED))
    items = pa.StructArray.from_arrays([_whole(column) for column in kept.columns], fields=list(kept.schema))
    columns = [_whole(column) for column in samples.columns]
    columns += [pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items), pa.nulls(len(samples), pa.string())]
    schema = nested_schema(heads.schema, samples.schema)
    answered = pa.table(columns, schema)
    failed = [{**row, "index": index} for index, row in sorted(errors.items())]
    return pa.concat_tables([answered, pa.Table.from_pylist(failed, schema)]) if failed else answered


def nested_schema(heads: pa.Schema, samples: pa.Schema) -> pa.Schema:
    """The columns of answers. All may be missing, because a row that failed has few."""
    item = pa.struct([field for field in heads if field.name not in REPEATED])
    fields = [field.with_nullable(True) for field in samples]
    return pa.schema([*fields, pa.field(HEADS, pa.list_(item)), pa.field(ERROR, pa.string())])


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def samples_of(answers: pa.Table) -> pa.Table:
    """The samples table of answers; its columns as docs/tables.md lists them."""
    return answers.filter(pc.is_null(answers[ERROR])).drop_columns([HEADS, ERROR])


def heads_of(answers: pa.Table) -> pa.Table:
    """The heads table of answers; its columns as docs/tables.md lists them."""
    answers = answers.filter(pc.is_null(answers[ERROR])).combine_chunks()
    lists = _whole(answers[HEADS])
    parents = pc.list_parent_indices(lists)
    items = pc.list_flatten(lists)
    names = [field.name for field in items.type]
    columns = [answers[name].take(parents) for name in REPEATED] + [items.field(name) for name in names]
    return pa.table(columns, [*REPEATED, *names])


def samples(answers: Dataset) -> Dataset:
    """The samples table of answers, as a data set of its own."""
    return answers.map_batches(samples_of, batch_format="pyarrow", zero_copy_batch=True)


def heads(answers: Dataset) -> Dataset:
    """The heads table of answers, as a data set of its own: a row for each sample, answer token, layer and head."""
    return answers.map_batches(heads_of, batch_format="pyarrow", zero_copy_batch=True)


def errors(answers: Dataset) -> Dataset:
    """The rows that failed: `sample`, `index`, `picture`, `question` and `error`."""
    return answers.map_batches(errors_of, batch_format="pyarrow", zero_copy_batch=True)


def errors_of(answers: pa.Table) -> pa.Table:
    """The rows that failed."""
    return answers.filter(pc.is_valid(answers[ERROR])).select(["sample", "index", "picture", "question", ERROR])
