#!/usr/bin/env python3
"""Whether the exporter, the built-in model or the fixtures changed since scripts/test-exporter last passed.

    python3 scripts/fixtures_stamp.py             exit code 0: nothing changed; 1: run scripts/test --exporter
    python3 scripts/fixtures_stamp.py --write     writes tests/fixtures/STAMP; for scripts/test-exporter
"""

import sys

from stamp import Half

EXPORTER = Half(
    stamp="STAMP",
    folders=("onnx", "scripts/fixtures", "scripts/tests", "scripts/tiny", "tests/fixtures/bundles", "tests/fixtures/parity"),
    files=(
        "scripts/fixtures_stamp.py",
        "scripts/make_fixtures.py",
        "scripts/make_geometry_model.py",
        "scripts/requirements-train.txt",
        "scripts/test-exporter",
        "scripts/train_tiny.py",
    ),
    subject="The exporter, the built-in model and their fixtures",
    script="scripts/test-exporter",
    command="scripts/test --exporter",
    # Those of scripts/python_stamp.py.
    without=("onnx/tiny-qwen3-vl", "scripts/tiny/qwen"),
)

if __name__ == "__main__":
    sys.exit(EXPORTER.main(__doc__))
