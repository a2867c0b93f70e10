"""`capture`: questions of a data set, answered by transformers models on the nodes of a cluster."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import Dataset

from ..errors import CaptureError, EngineError, VlmscopeError
from ..trace.show import find_program
from .bundles import local_folder
from .rows import failed_rows, field_of, on_actors, refuse_what_fails_alike, write_rows
from .tables import nested


def capture(
    rows: Dataset,
    *,
    model: str | os.PathLike,
    dtype: str = "auto",
    device: str = "auto",
    load_in_4bit: bool = False,
    concurrency: int | tuple[int, int] = 2,
    num_cpus: float = 1,
    num_gpus: float = 0,
    batch_size: int = 16,
    columns: Mapping[str, str] | None = None,
    rule: str | None = None,
    pictures: str | os.PathLike | None = None,
    traces: str | os.PathLike | None = None,
    program: str | None = None,
    resources: dict[str, float] | None = None,
    accelerator_type: str | None = None,
    runtime_env: dict[str, Any] | None = None,
    **options: Any,
) -> Dataset:
    """As `ask`, for a transformers model whose attention `vlmscope.capture` records; one row comes back for each row.

    `model`: a repository, a folder that all nodes see, or a URI that is fetched once for each node; `dtype`, `device` and `load_in_4bit` as for
    `python -m vlmscope.capture`, but an actor with one GPU uses it or ends the job. `options` go to `vlmscope.capture` (`max_new_tokens`, `temperature`, `relevancy`, …). `traces`: a
    folder that all nodes share, where the trace of each row stays; None: traces are dropped once their numbers are in the tables.
    The others, the columns of `rows` and those of the result are as for `ask`; `request` is empty.

    Raises when the result is used: CaptureError where the model cannot be loaded, EngineError where the program cannot be used.
    """
    kept = None if traces is None else os.path.abspath(traces)
    names = dict(columns or {})
    if device == "auto" and 0 < num_gpus <= 1:
        device = "cuda"
    load = argparse.Namespace(dtype=dtype, device=device, load_in_4bit=load_in_4bit)
    work = CaptureWork(os.fspath(model), load, program, names, rule, os.path.abspath(pictures or "."), kept, options)
    return on_actors(
        rows,
        Capturer,
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
class CaptureWork:
    """What the actors are told."""

    model: str
    load: argparse.Namespace
    program: str | None
    columns: dict[str, str]
    rule: str | None
    pictures: str
    traces: str | None
    options: dict[str, Any] = field(default_factory=dict)


class Capturer:
    """An actor: captures batches with the model of its node."""

    def __init__(self, work: CaptureWork):
        from ..capture.load import load

        self._work = work
        self._program = work.program or find_program()
        self._model, self._processor = load(local_folder(work.model), work.load)
        self._has_answered = False

    def __call__(self, batch: pa.Table) -> pa.Table:
        with tempfile.TemporaryDirectory(prefix="vlmscope-") as name:
            folder = Path(name)
            written = write_rows(batch, folder, name=self._name)
            place = Path(self._work.traces or folder / "traces")
            place.mkdir(parents=True, exist_ok=True)
            reasons, saved = dict(written.faults), []
            for index, fields in written.fields.items():
                try:
                    saved.append(self._capture(fields, place))
                except Exception as error:  # whatever a model or a processor raises is about this row
                    reasons[index] = f"{type(error).__name__}: {error}" if not isinstance(error, VlmscopeError) else str(error)
            heads, samples = self._tables(folder, written.path, saved)
            answered = set(samples["index"].to_pylist())
            missing = {index: row for index, row in written.rows.items() if index not in answered}
            if not answered and not self._has_answered:
                refuse_what_fails_alike(missing, reasons)
            self._has_answered |= bool(answered)
            return nested(heads, written.renamed(samples), failed_rows(missing, reasons, self._work.columns))

    def _name(self, index: int, fields: dict) -> None:
        """Gives a row the name that the program would give it: traces are named so."""
        if field_of(fields, "id", self._work.columns) is None:
            stem = Path(str(field_of(fields, "picture", self._work.columns) or "")).stem.replace(":", "-")
            fields[self._work.columns.get("id", "id")] = f"{index + 1:04}-{stem}"

    def _capture(self, fields: dict, place: Path) -> Path:
        from ..capture import capture as run

        picture, question, answer, turns, name = (
            field_of(fields, ours, self._work.columns) for ours in ("picture", "question", "answer", "turns", "id")
        )
        if picture is None or not question:
            raise CaptureError(f"the row has no {'picture' if picture is None else 'question'}: it has {', '.join(fields)}")
        if "/" in str(name) or "\\" in str(name):
            raise CaptureError(f"the id {name!r} must not name a folder")
        asked = {"messages": conversation(turns, str(question))} if turns else {"question": str(question)}
        images = [os.path.join(self._work.pictures, picture)]
        trace = run(self._model, self._processor, images=images, answer=answer, **asked, **self._work.options)
        return trace.save(place / f"{name}.vlmtrace")

    def _tables(self, folder: Path, rows: Path, saved: list[Path]) -> tuple[pa.Table, pa.Table]:
        """The heads table and the samples table of some traces, by the program."""
        out = folder / "answers.parquet"
        flags = [part for ours, theirs in self._work.columns.items() for part in ("--columns", f"{ours}={theirs}")]
        flags += ["--rule", self._work.rule] if self._work.rule else []
        if saved:
            words = [self._program, "table", *map(str, saved), "--data", str(rows), *flags, "--out", str(out)]
        else:
            # Tables without rows, for their columns.
            rows.write_text("{}\n")
            words = [self._program, "ask", "--batch", str(rows), "--table", str(out)]
        try:
            done = subprocess.run(words, capture_output=True, text=True)
        except OSError as error:
            raise EngineError(f"cannot start {self._program}: {error.strerror or error}") from error
        if done.returncode not in (0, 1) or not out.exists():
            raise EngineError(f"{self._program} ended with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
        samples = pq.read_table(out.with_suffix(".samples.parquet"))
        if self._work.traces is None:
            at = samples.schema.get_field_index("trace")
            samples = samples.set_column(at, samples.schema.field(at), pa.nulls(samples.num_rows, samples.schema.field(at).type))
        return pq.read_table(out), samples


def conversation(turns: list, question: str) -> list[dict]:
    """Messages of earlier [question, answer] pairs and a question; the picture belongs to the first."""
    messages = []
    for asked, answered in [*turns, (question, None)]:
        content = [{"type": "text", "text": asked}]
        messages.append({"role": "user", "content": content if messages else [{"type": "image"}, *content]})
        if answered is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answered}]})
    return messages
