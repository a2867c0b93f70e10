"""Starts the vlmscope program on a file."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import ShowError

#: A program that ends with an error within this time did not open its window.
STARTUP_SECONDS = 2.0


PROGRAM_NAMES = ("vlmscope", "vlmscope.exe")


def find_program() -> str:
    """The program's path: VLMSCOPE_PROGRAM, else the one of the installed wheel, else `vlmscope` on the PATH."""
    named = os.environ.get("VLMSCOPE_PROGRAM")
    if named:
        if not (os.path.isfile(named) and os.access(named, os.X_OK)):
            raise ShowError(f"VLMSCOPE_PROGRAM names {named}, which is no program that can be run.")
        return named
    found = installed_program() or shutil.which("vlmscope")
    if not found:
        raise ShowError(
            "the vlmscope program was not found. Install the wheel that scripts/wheel builds in the vlmscope repository, or put the "
            "program on the PATH, or set VLMSCOPE_PROGRAM to its path."
        )
    return found


def installed_program() -> str | None:
    """The program that came with this package's wheel; its environment need not be active."""
    try:
        files = importlib.metadata.files("vlmscope") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if file.name in PROGRAM_NAMES and os.access(path, os.X_OK) and path.is_file():
            return str(path.resolve())
    return None


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
