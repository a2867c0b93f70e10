"""Starts the vlmscope program on a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import ShowError

#: A program that ends with an error within this time did not open its window.
STARTUP_SECONDS = 2.0


def find_program() -> str:
    """The program's path: VLMSCOPE_PROGRAM, else `vlmscope` on the PATH."""
    named = os.environ.get("VLMSCOPE_PROGRAM")
    if named:
        if not (os.path.isfile(named) and os.access(named, os.X_OK)):
            raise ShowError(f"VLMSCOPE_PROGRAM names {named}, which is no program that can be run.")
        return named
    found = shutil.which("vlmscope")
    if not found:
        raise ShowError(
            "the vlmscope program was not found. Build it (scripts/run in the vlmscope repository) and put it on the PATH, "
            "or set VLMSCOPE_PROGRAM to its path. The trace can be saved with trace.save(PATH) and opened elsewhere."
        )
    return found


def start_program(path: Path) -> subprocess.Popen:
    """Opens a window on `path`; returns the process, which outlives this one."""
    program = find_program()
    with tempfile.TemporaryFile() as errors:  # not a pipe: nobody would empty it
        process = subprocess.Popen(
            [program, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            code = process.wait(STARTUP_SECONDS)
        except subprocess.TimeoutExpired:
            return process
        if code:
            errors.seek(0)
            message = errors.read().decode(errors="replace").strip()
            raise ShowError(f"{program} could not open {path} (exit code {code}):\n{message}")
    return process
