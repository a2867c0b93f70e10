"""`python -m vlmscope.check MODEL`: can the positions of this model's patches be trusted?"""

from __future__ import annotations

import argparse
import json
import sys

from ..capture.load import add_model_arguments, load, terminal_progress
from ..errors import VlmscopeError
from . import check


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; 0: passed, 1: failed, 2: the model could not be checked."""
    parser = argparse.ArgumentParser(prog="python -m vlmscope.check", description=__doc__)
    parser.add_argument("model", help="a folder, or a repository on the Hugging Face Hub")
    add_model_arguments(parser)
    parser.add_argument("--cells", type=int, default=8, help="cells to paint for each kind of view and picture (default 8)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        model, processor = load(options.model, options)
        report = check(model, processor, save=True, cells=options.cells, progress=terminal_progress())
    except VlmscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.to_json()) if options.json else report)
    return 0 if report.status == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
