"""The vlmscope program in an actor: started once, it answers one file of rows after another with the same model."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import EngineError, EngineLostError

#: Last lines of standard error that an error shows.
_SHOWN_LINES = 12
_END_SECONDS = 5.0


class Program:
    """`vlmscope ask --batch -` with its flags. The process starts with the first file, and again after it died."""

    def __init__(self, words: Sequence[str]):
        self._words = list(words)
        self._child: subprocess.Popen | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
        self._reader: threading.Thread | None = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Ends the process."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.kill()
        child.wait()
        child.stdout.close()

    def answer(self, rows: Path) -> tuple[pa.Table, pa.Table, dict[int, str]]:
        """The heads table and the samples table of a file of rows, and why rows failed, by their index.

        Raises EngineLostError where the process died, EngineError where it cannot be started or the file cannot be used.
        """
        child = self._started()
        reasons: dict[int, str] = {}
        try:
            child.stdin.write(f"{rows}\n".encode())
            child.stdin.flush()
        except OSError:
            raise self._lost() from None
        for line in child.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                raise EngineError(f"{self._words[0]} printed a line that is no JSON: {line[:200]!r}") from None
            if "data" in said:
                break
            if "index" in said:
                reasons[int(said["index"])] = str(said["error"])
        else:
            raise self._lost()
        if said["table"] is None:
            raise EngineError(f"{self._words[0]} could not use the rows: {said['error']}")
        table = Path(said["table"])
        return pq.read_table(table), pq.read_table(table.with_suffix(".samples.parquet")), reasons

    def _started(self) -> subprocess.Popen:
        if self._child is None:
            try:
                self._child = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            except OSError as error:
                raise EngineError(f"cannot start {self._words[0]}: {error.strerror or error}") from error
            self._lines.clear()
            self._reader = threading.Thread(target=_keep_last, args=(self._child.stderr, self._lines), daemon=True)
            self._reader.start()
        return self._child

    def _lost(self) -> EngineError:
        """The error about a process that ended."""
        child = self._child
        try:
            code = child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        self._reader.join(_END_SECONDS)
        self.close()
        last = "\n".join(self._lines)
        if code == 2:
            # The flags or the model cannot be used; another start would end as this one.
            return EngineError(f"{self._words[0]} refused to start: {last}")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return EngineLostError(f"{os.path.basename(self._words[0])} {how}; it said last: {last}")


def _keep_last(stream, lines: collections.deque[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            text = line[:2000].decode(errors="replace").rstrip()
            if text:
                lines.append(text)
    stream.close()
