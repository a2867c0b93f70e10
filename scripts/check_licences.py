#!/usr/bin/env python3
"""Every dependency must be under a licence that an Apache-2.0 program may ship."""

from __future__ import annotations

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0",
    "MPL-2.0", "NCSA", "OFL-1.1", "Unicode-3.0", "Unlicense", "Zlib", "bzip2-1.0.6", "Ubuntu-font-1.0",
}  # fmt: skip


def allowed(expression: str) -> bool:
    """Evaluates an SPDX expression with the allowed licences as true."""
    tokens = re.findall(r"\(|\)|[\w.+-]+", expression.replace("/", " OR "))
    words, skip = [], False
    for token in tokens:
        if skip:  # the exception after WITH only widens what is permitted
            skip = False
        elif token == "WITH":
            skip = True
        elif token in {"(", ")"}:
            words.append(token)
        elif token in {"AND", "OR"}:
            words.append(token.lower())
        else:
            words.append(str(token in ALLOWED))
    return bool(eval(" ".join(words), {"__builtins__": {}}))  # noqa: S307 - only True, False, and, or, ( )


def main() -> int:
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["packages"]
    bad = [
        f"{package['name']} {package['version']}: {package['license'] or 'no licence named'}"
        for package in packages
        if not (package["license"] and allowed(package["license"]))
    ]
    print("\n".join(bad) if bad else f"licences: {len(packages)} packages are fine")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
