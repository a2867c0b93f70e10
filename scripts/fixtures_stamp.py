#!/usr/bin/env python3
"""Whether the exporter, the fixture scripts or the built-in checkpoint changed since tests/fixtures was derived.

    python3 scripts/fixtures_stamp.py --check     exit code 0: the fixtures are up to date; 1: derive them again

Needs nothing but Python: the stamp is a SHA-256 over the names and bytes of the files that the fixtures depend on.
"""

import argparse
import hashlib
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests" / "fixtures"
STAMP = FIXTURES / "STAMP"
SOURCES = (
    "onnx/requirements.txt",
    "onnx/vlmscope_export/*.py",
    "onnx/tiny/checkpoint/*",
    "scripts/make_fixtures.py",
    "scripts/fixtures/*.py",
    "scripts/tiny/heldout.py",
    "scripts/tiny/questions.py",
    "scripts/tiny/scenes.py",
    "scripts/tiny/sprites.py",
    "scripts/tiny/sprites/*",
    "scripts/tiny/vocabulary.py",
)


def stamp() -> str:
    """The hash as hexadecimal digits."""
    total = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(p for p in REPOSITORY.glob(pattern) if p.is_file()):
            name = path.relative_to(REPOSITORY).as_posix()
            total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def write_stamp() -> None:
    STAMP.parent.mkdir(parents=True, exist_ok=True)
    STAMP.write_text(stamp() + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with tests/fixtures/STAMP")
    options = parser.parse_args()
    if not options.check:
        print(stamp())
        return 0
    if STAMP.is_file() and STAMP.read_text().strip() == stamp():
        print("The fixtures are up to date.")
        return 0
    print(
        "The exporter changed since the fixtures were derived: run `python scripts/make_fixtures.py`.", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
