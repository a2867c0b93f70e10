"""Stamps of the halves of the tests that need torch or Ray: a SHA-256 over the names and bytes of everything that such a half depends on.

fixtures_stamp.py, python_stamp.py and ray_stamp.py each name one half. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests" / "fixtures"


@dataclass
class Half:
    """One half of the tests and its sources."""

    #: name of the stamp file in tests/fixtures
    stamp: str
    #: folders with all files in them; prose does not count
    folders: tuple[str, ...]
    files: tuple[str, ...]
    #: the subject of "… changed"
    subject: str
    #: script that writes the stamp when it has passed
    script: str
    #: command that runs it
    command: str
    #: files and folders inside of `folders` that do not count
    without: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The stamp file."""
        return FIXTURES / self.stamp

    def sources(self) -> list[Path]:
        """The files that the stamp depends on, this one among them."""
        inside = [path for folder in self.folders for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
        left_out = [REPOSITORY / name for name in self.without]
        inside = [path for path in inside if not any(one == path or one in path.parents for one in left_out)]
        return sorted(
            [path for path in inside if counts(path)]
            + [REPOSITORY / name for name in ("scripts/stamp.py", *self.files)]
        )

    def compute(self) -> str:
        """The hash as hexadecimal digits."""
        total = hashlib.sha256()
        for path in self.sources():
            name = path.relative_to(REPOSITORY).as_posix()
            total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        return total.hexdigest()

    def main(self, description: str) -> int:
        """The command line: compares, or writes with --write. Returns the exit code."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--write", action="store_true", help=f"write {self.path.relative_to(REPOSITORY)}")
        if parser.parse_args().write:
            self.path.write_text(self.compute() + "\n")
            return 0
        if self.path.is_file() and self.path.read_text().strip() == self.compute():
            print(f"{self.subject} are unchanged since {self.script} passed.")
            return 0
        print(f"{self.subject} changed since {self.script} passed: run `{self.command}`.", file=sys.stderr)
        return 1


def counts(path: Path) -> bool:
    """Whether a file is neither prose nor left behind by a tool (pip leaves python/build and an .egg-info folder)."""
    parts = path.relative_to(REPOSITORY).parts
    left = (part.startswith((".", "__pycache__")) or part.endswith(".egg-info") or part == "build" for part in parts)
    return path.suffix != ".md" and not any(left)
