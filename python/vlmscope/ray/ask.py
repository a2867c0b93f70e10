"""`ask`: questions of a data set, answered by engines on the nodes of a cluster."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import ActorPoolStrategy, Dataset

from ..errors import EngineError, EngineLostError
from ..trace.show import find_program
from .bundles import local_folder
from .rows import INDEX, ROWS_FILE, as_text, numbered, write_rows
from .tables import nested

#: Exit codes of `vlmscope ask --batch`: all rows answered, some failed.
ENDED = (0, 1)
#: The program dies so often without an answer that no row is to blame.
MOST_DEATHS = 8
#: So many rows that all fail for the same reason are not to blame for it.
ALIKE = 2


def ask(
    rows: Dataset,
    *,
    bundle: str | os.PathLike | None = None,
    concurrency: int | tuple[int, int] = 2,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch_size: int = 256,
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
    threads: int | None = None,
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
    writing. `threads`: threads of one operator; None: `num_cpus` where there is no GPU. `program`: path of the vlmscope program on the nodes;
    None: the wheel's. `batch_size`: rows for which an actor starts the program once. `resources`, `accelerator_type`
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
    work = Work(bundle, program, flags, dict(columns or {}), os.path.abspath(pictures or "."))
    least, most = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    return numbered(rows).map_batches(
        Asker,
        fn_constructor_args=(work,),
        batch_size=batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=least, max_size=most),
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
        self._program = work.program or find_program()
        bundle = local_folder(work.bundle)
        self._model = [] if bundle is None else ["--model", bundle]
        #: times that the program died since it last answered
        self._deaths = 0
        self._has_answered = False

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.concat_tables(self._answer(batch))

    def _answer(self, batch: pa.Table) -> list[pa.Table]:
        """Answers of a batch. Where the program dies, half of the rows are tried, until the row that kills it is alone."""
        try:
            answers = [self._run(batch)]
        except EngineLostError as error:
            self._deaths += 1
            if self._deaths >= MOST_DEATHS:
                raise
            if batch.num_rows == 1:
                (row,) = batch.to_pylist()
                return [self._run(batch, {row[INDEX]: str(error)})]
            half = batch.num_rows // 2
            return self._answer(batch.slice(0, half)) + self._answer(batch.slice(half))
        self._deaths = 0
        return answers

    def _run(self, batch: pa.Table, faults: dict[int, str] | None = None) -> pa.Table:
        """Runs the program on the rows of a batch but those with `faults`."""
        with tempfile.TemporaryDirectory(prefix="vlmscope-") as name:
            folder = Path(name)
            written = write_rows(batch, folder, faults)
            table = folder / "answers.parquet"
            said = self._program_on(written.path, table)
            heads, samples = pq.read_table(table), pq.read_table(table.with_suffix(".samples.parquet"))
            answered = set(samples[INDEX].to_pylist())
            missing = {index: row for index, row in written.rows.items() if index not in answered}
            reasons = written.faults | reasons_of(said, missing, self._work.columns.get("id", "id"))
            if not answered and not self._has_answered:
                self._refuse_what_fails_alike(missing, reasons)
            self._has_answered |= bool(answered)
            errors = {index: self._failed(row, reasons.get(index, said[-1] if said else "")) for index, row in missing.items()}
            return nested(heads, written.renamed(samples), errors)

    def _program_on(self, rows: Path, table: Path) -> list[str]:
        """Runs the program; returns its lines on standard error."""
        place = ["--batch", str(rows), "--table", str(table), "--pictures", self._work.pictures]
        words = [self._program, "ask", *place, *self._model, *self._work.flags]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except OSError as error:
            raise EngineError(f"cannot start {self._program}: {error.strerror or error}") from error
        said = done.stderr.decode(errors="replace").splitlines()
        last = "\n".join(said[-12:])
        if done.returncode < 0:
            raise EngineLostError(f"{self._program} was killed by signal {-done.returncode}: {last}")
        if done.returncode not in ENDED or not table.exists():
            raise EngineError(f"{self._program} ended with exit code {done.returncode}: {last}")
        return said

    def _refuse_what_fails_alike(self, missing: dict[int, dict], reasons: dict[int, str]) -> None:
        """Raises EngineError where no row was ever answered and all fail for one reason: the model or the program cannot be used."""
        if len(missing) >= ALIKE and len(reasons) == len(missing) and len(set(reasons.values())) == 1:
            raise EngineError(f"no row can be answered: {next(iter(reasons.values()))}")

    def _failed(self, row: dict, reason: str) -> dict[str, Any]:
        columns = {"sample": "id", "picture": "picture", "question": "question"}
        known = {name: as_text(row.get(self._work.columns.get(ours, ours))) for name, ours in columns.items()}
        return {**known, "error": reason or "the program gave no reason"}


def reasons_of(said: list[str], missing: dict[int, dict], id_column: str) -> dict[int, str]:
    """Why rows failed, by index, from the program's lines: "ID: reason", or "rows.jsonl line 4 reason"."""
    starts = {}
    for index, row in missing.items():
        starts[f"{ROWS_FILE} line {index + 1}"] = index
        if row.get(id_column) is not None:
            starts[f"{row[id_column]}: "] = index
        starts[f"{index + 1:04}-"] = index
    found: dict[int, str] = {}
    current = None
    for line in said:
        start = next((start for start in starts if line.startswith(start)), None)
        if start is not None:
            current = starts[start]
            rest = line.partition(": ")[2] if start.endswith("-") else line[len(start) :]
            found[current] = rest.lstrip(" :")
        elif current is not None and line.startswith(" "):
            found[current] += f"\n{line}"
        else:
            current = None
    return found
