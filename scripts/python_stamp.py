#!/usr/bin/env python3
"""Whether the Python package, the trace format or its fixtures changed since scripts/test-python last passed.

    python3 scripts/python_stamp.py             exit code 0: nothing changed; 1: run scripts/test --python
    python3 scripts/python_stamp.py --write     writes tests/fixtures/STAMP-python; for scripts/test-python

As fixtures_stamp.py, which is the exporter's: a SHA-256 over names and bytes.
"""

import argparse
import hashlib
import sys

from fixtures_stamp import FIXTURES, REPOSITORY, counts

STAMP = FIXTURES / "STAMP-python"
FOLDERS = ("python", "onnx/tiny", "tests/fixtures/traces2")
FILES = (
    "docs/trace-format.md",
    "onnx/requirements.txt",
    "scripts/make_trace_fixtures.py",
    "scripts/python_stamp.py",
    "scripts/test-python",
)


def stamp() -> str:
    """The hash as hexadecimal digits."""
    inside = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.is_file() and counts(path)]
    total = hashlib.sha256()
    for path in sorted([*inside, *(REPOSITORY / name for name in FILES)]):
        name = path.relative_to(REPOSITORY).as_posix()
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write tests/fixtures/STAMP-python")
    options = parser.parse_args()
    if options.write:
        STAMP.write_text(stamp() + "\n")
        return 0
    if STAMP.is_file() and STAMP.read_text().strip() == stamp():
        print("Nothing of the Python package or its format changed since scripts/test-python passed.")
        return 0
    print(
        "The Python package, the trace format or its fixtures changed since scripts/test-python passed: run `scripts/test --python`.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
