#!/usr/bin/env python3
"""Whether the Python package, the trace format or its fixtures changed since scripts/test-python last passed.

    python3 scripts/python_stamp.py             exit code 0: nothing changed; 1: run scripts/test --python
    python3 scripts/python_stamp.py --write     writes tests/fixtures/STAMP-python; for scripts/test-python
"""

import sys

from stamp import Half

PYTHON = Half(
    stamp="STAMP-python",
    folders=("python", "onnx/tiny", "onnx/tiny-qwen3-vl", "scripts/tiny", "tests/fixtures/traces2"),
    files=(
        "docs/trace-format.md",
        "onnx/requirements.txt",
        "scripts/make_trace_fixtures.py",
        "scripts/python_stamp.py",
        "scripts/test-python",
        "scripts/train_tiny_qwen.py",
    ),
    subject="The Python package, the trace format and its fixtures",
    script="scripts/test-python",
    command="scripts/test --python",
    # Those of scripts/ray_stamp.py.
    without=("python/vlmscope/engine", "python/vlmscope/ray", "python/tests_ray", "python/requirements-ray.txt"),
)

if __name__ == "__main__":
    sys.exit(PYTHON.main(__doc__))
