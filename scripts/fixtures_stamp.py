#!/usr/bin/env python3
"""Whether anything that needs torch to be tested changed since scripts/test-exporter last passed.

    python3 scripts/fixtures_stamp.py             exit code 0: nothing changed; 1: run scripts/test --exporter
    python3 scripts/fixtures_stamp.py --write     writes tests/fixtures/STAMP; for scripts/test-exporter

Needs nothing but Python: the stamp is a SHA-256 over the names and bytes of the exporter, the built-in model with its bundle, their tests,
the scripts that derive the fixtures, and the fixtures that were derived.
"""

import argparse
import hashlib
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "tests" / "fixtures"
STAMP = FIXTURES / "STAMP"
# Folders with everything in them; prose does not count.
FOLDERS = ("onnx", "scripts/fixtures", "scripts/tests", "scripts/tiny", "tests/fixtures/bundles", "tests/fixtures/parity")
FILES = (
    "scripts/fixtures_stamp.py",
    "scripts/make_fixtures.py",
    "scripts/make_geometry_model.py",
    "scripts/requirements-train.txt",
    "scripts/test-exporter",
    "scripts/train_tiny.py",
)


def sources() -> list[Path]:
    """What the stamp depends on."""
    inside = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    return sorted([path for path in inside if counts(path)] + [REPOSITORY / name for name in FILES])


def counts(path: Path) -> bool:
    """Neither prose nor anything that a tool left behind."""
    hidden = (part.startswith((".", "__pycache__")) for part in path.relative_to(REPOSITORY).parts)
    return path.suffix != ".md" and not any(hidden)


def stamp() -> str:
    """The hash as hexadecimal digits."""
    total = hashlib.sha256()
    for path in sources():
        name = path.relative_to(REPOSITORY).as_posix()
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write tests/fixtures/STAMP")
    options = parser.parse_args()
    if options.write:
        STAMP.write_text(stamp() + "\n")
        return 0
    if STAMP.is_file() and STAMP.read_text().strip() == stamp():
        print("Nothing of the exporter or its fixtures changed since scripts/test-exporter passed.")
        return 0
    print(
        "The exporter, the built-in model or their fixtures changed since scripts/test-exporter passed: "
        "run `scripts/test --exporter`.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
