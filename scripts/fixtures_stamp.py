#!/usr/bin/env python3
"""Whether anything that needs torch to be tested changed since its tests last passed.

    python3 scripts/fixtures_stamp.py HALF             exit code 0: nothing changed; 1: run its tests again
    python3 scripts/fixtures_stamp.py HALF --write     writes the stamp; for the script that runs the tests

HALF is `exporter` (onnx/, the built-in model and the fixtures derived from both; scripts/test-exporter) or `python` (the package in
python/, its format and its fixtures; scripts/test-python). Needs nothing but Python: a stamp is a SHA-256 over names and bytes.
"""

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests" / "fixtures"


@dataclass(frozen=True)
class Half:
    """What a stamp depends on: folders with everything in them (prose does not count) and single files."""

    what: str
    test: str
    stamp: str
    folders: tuple[str, ...]
    files: tuple[str, ...]


HALVES = {
    "exporter": Half(
        "the exporter, the built-in model or their fixtures",
        "scripts/test --exporter",
        "tests/fixtures/STAMP",
        ("onnx", "scripts/fixtures", "scripts/tests", "scripts/tiny", "tests/fixtures/bundles", "tests/fixtures/parity"),
        (
            "scripts/fixtures_stamp.py",
            "scripts/make_fixtures.py",
            "scripts/make_geometry_model.py",
            "scripts/requirements-train.txt",
            "scripts/test-exporter",
            "scripts/train_tiny.py",
        ),
    ),
    "python": Half(
        "the Python package, the trace format or its fixtures",
        "scripts/test --python",
        "tests/fixtures/STAMP-python",
        ("python", "onnx/tiny", "tests/fixtures/traces2"),
        (
            "docs/trace-format.md",
            "onnx/requirements.txt",
            "scripts/fixtures_stamp.py",
            "scripts/make_trace_fixtures.py",
            "scripts/test-python",
        ),
    ),
}


def sources(half: Half) -> list[Path]:
    """What the stamp depends on."""
    inside = [path for folder in half.folders for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    return sorted([path for path in inside if counts(path)] + [REPOSITORY / name for name in half.files])


def counts(path: Path) -> bool:
    """Neither prose nor anything that a tool left behind."""
    hidden = (part.startswith((".", "__pycache__")) for part in path.relative_to(REPOSITORY).parts)
    return path.suffix != ".md" and not any(hidden)


def stamp(half: Half) -> str:
    """The hash as hexadecimal digits."""
    total = hashlib.sha256()
    for path in sources(half):
        name = path.relative_to(REPOSITORY).as_posix()
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=HALVES, metavar="HALF")
    parser.add_argument("--write", action="store_true", help="write the stamp")
    options = parser.parse_args()
    half = HALVES[options.half]
    path = REPOSITORY / half.stamp
    if options.write:
        path.write_text(stamp(half) + "\n")
        return 0
    if path.is_file() and path.read_text().strip() == stamp(half):
        print(f"Nothing of {half.what} changed since `{half.test}` passed.")
        return 0
    print(f"Something of {half.what} changed since its tests passed: run `{half.test}`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
