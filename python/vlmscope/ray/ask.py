"""`ask`: questions of a data set, answered by engines on the nodes of a cluster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from ray.data import Dataset

from ..errors import EngineLostError
from ..trace.show import find_program
from .bundles import local_folder
from .program import Program
from .rows import INDEX, failed_rows, on_actors, refuse_what_fails_alike, write_rows
from .tables import nested

#: Reads the names of data sets from standard input, and keeps its model.
ASK = ("ask", "--batch", "-", "--json")
#: So many rows one after another that each kill the program are not to blame for it.
MOST_DEATHS = 3


def ask(
    rows: Dataset,
    *,
    bundle: str | os.PathLike | None = None,
    concurrency: int | tuple[int, int] = 2,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch_size: int = 64,
    columns: Mapping[str, str] | None = None,
    rule: str | None = None,
    pictures: str | os.PathLike | None = None,
    verdict: bool = False,
    relevancy: Sequence[str] = (),
    temperature: float = 0.0,
    top_p: float = 1.0,
    max_new_tokens: int = 32,
    seed: int = 0,
    preprocess: str = "default",
    device: str | None = None,
    threads: int | None = None,
    runtime: str | os.PathLike | None = None,
    program: str | None = None,
    resources: dict[str, float] | None = None,
    accelerator_type: str | None = None,
    runtime_env: dict[str, Any] | None = None,
) -> Dataset:
    """Answers the questions of a data set; one row comes back for each row.

    `rows` has the columns of docs/tables.md: `picture` (a path that all nodes see, bytes, a struct {bytes, path}, or an array
    [H, W, 3] of uint8), `question`, and where known `id`, `expected`, `rule`, `answer`, `turns`, `category`, `object`, `boxes`, and `index`, the
    row's place in the data set; without it, rows are numbered first, which runs the data set. `columns` names columns that are
    called otherwise, `pictures` is the folder of relative paths.

    `bundle`: a folder that all nodes see, a URI that is fetched once for each node, or None for the built-in model. `concurrency`: number of
    actors, or (fewest, most). `num_cpus`, `num_gpus`: of each actor; leave at least one logical CPU of a node free for reading and
    writing. `device`: auto, cpu or cuda; None: cuda where `num_gpus` is given, so that a node where it does not work ends the job, else cpu.
    `threads`: threads of one operator; None: `num_cpus` where there is no GPU. `runtime`: ONNX Runtime's library on the nodes. `program`: path of the vlmscope program on the nodes;
    None: the wheel's. `batch_size`: rows that an actor is given at once, and that are answered again where it dies. `resources`, `accelerator_type`
    and `runtime_env` go to Ray. The others are flags of `vlmscope ask`.

    Rows of the result: the columns of the samples table, `head_rows` (a list with the sample's rows of the heads table) and `error`, which is
    text where the row failed and else missing. `samples`, `heads`, `errors` and `write_tables` take them apart.

    An actor or a node that dies is replaced and its rows are answered again. Raises when the result is used: EngineError where the model or the
    program cannot be used at all.
    """
    flags: list[str] = []
    for name, value in {"--rule": rule, "--preprocess": preprocess, "--max-new-tokens": max_new_tokens, "--seed": seed}.items():
        if value is not None:
            flags += [name, str(value)]
    flags += ["--temperature", repr(float(temperature)), "--top-p", repr(float(top_p))]
    flags += ["--verdict"] * verdict + [part for name in relevancy for part in ("--relevancy", name)]
    flags += [part for ours, theirs in (columns or {}).items() for part in ("--columns", f"{ours}={theirs}")]
    if threads is None and not num_gpus:
        threads = max(1, int(num_cpus))
    flags += [] if threads is None else ["--threads", str(threads)]
    flags += ["--device", device or ("cuda" if num_gpus else "cpu")]
    flags += [] if runtime is None else ["--ort-lib", os.fspath(runtime)]
    work = Work(bundle, program, flags, dict(columns or {}), os.path.abspath(pictures or "."))
    return on_actors(
        rows,
        Asker,
        work,
        concurrency,
        batch_size=batch_size,
        num_cpus=num_cpus,
        num_gpus=num_gpus or None,
        resources=resources,
        accelerator_type=accelerator_type,
        runtime_env=runtime_env,
    )


@dataclass
class Work:
    """What the actors are told."""

    bundle: str | os.PathLike | None
    program: str | None
    flags: list[str]
    columns: dict[str, str]
    pictures: str


class Asker:
    """An actor: answers batches with the model of its node."""

    def __init__(self, work: Work):
        self._work = work
        bundle = local_folder(work.bundle)
        model = [] if bundle is None else ["--model", bundle]
        self._program = Program([work.program or find_program(), *ASK, "--pictures", work.pictures, *model, *work.flags])
        #: rows that killed the program since it last answered one
        self._deaths = 0
        self._has_answered = False

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.concat_tables(self._answer(batch))

    def _answer(self, batch: pa.Table) -> list[pa.Table]:
        """Answers of a batch. Where the program dies, half of the rows are tried, until the row that kills it is alone."""
        try:
            return [self._run(batch)]
        except EngineLostError as error:
            if batch.num_rows == 1:
                self._deaths += 1
                if self._deaths >= MOST_DEATHS:
                    raise
                (row,) = batch.to_pylist()
                return [self._run(batch, {row[INDEX]: str(error)})]
            half = batch.num_rows // 2
            return self._answer(batch.slice(0, half)) + self._answer(batch.slice(half))

    def _run(self, batch: pa.Table, faults: dict[int, str] | None = None) -> pa.Table:
        """Runs the program on the rows of a batch but those with `faults`."""
        with tempfile.TemporaryDirectory(prefix="vlmscope-") as name:
            folder = Path(name)
            written = write_rows(batch, folder, faults)
            heads, samples, reasons = self._program.answer(written.path)
            answered = set(samples[INDEX].to_pylist())
            missing = {index: row for index, row in written.rows.items() if index not in answered}
            reasons |= written.faults
            if not answered and not self._has_answered:
                refuse_what_fails_alike(missing, reasons)
            if answered:
                self._has_answered, self._deaths = True, 0
            return nested(heads, written.renamed(samples), failed_rows(missing, reasons, self._work.columns))
