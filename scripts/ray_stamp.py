#!/usr/bin/env python3
"""Whether the engine that Python drives, its protocol, or the cluster part of the package changed since scripts/test-ray last passed.

    python3 scripts/ray_stamp.py             exit code 0: nothing changed; 1: run scripts/test --ray
    python3 scripts/ray_stamp.py --write     writes tests/fixtures/STAMP-ray; for scripts/test-ray
"""

import sys

from stamp import Half

RAY = Half(
    stamp="STAMP-ray",
    folders=("python/vlmscope/engine", "python/vlmscope/ray", "python/tests_ray", "src/model/remote"),
    files=(
        "docs/serve.md",
        "python/pyproject.toml",
        "python/requirements-ray.txt",
        "scripts/ray_stamp.py",
        "scripts/test-ray",
        "src/cli/ask/batch.rs",
        "src/cli/serve.rs",
        "src/cli/table.rs",
    ),
    subject="The engine that Python drives, its protocol and the cluster part of the package",
    script="scripts/test-ray",
    command="scripts/test --ray",
)

if __name__ == "__main__":
    sys.exit(RAY.main(__doc__))
