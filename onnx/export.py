#!/usr/bin/env python3
"""Exports a LLaVA-style model as a vlmscope bundle.

python onnx/export.py --model llava-hf/llava-1.5-7b-hf --out bundles/llava-1.5-7b --dtype f16
python onnx/export.py --model runs/my-tiny-llava --out bundles/my-tiny-llava
"""

import argparse
import sys
import time
from pathlib import Path


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", required=True, help="a folder written by save_pretrained (model and processor), or a hub id"
    )
    parser.add_argument(
        "--out", required=True, type=Path, help="the bundle's folder; it appears only when it is complete"
    )
    parser.add_argument(
        "--dtype", choices=("f32", "f16"), default="f32", help="type of weights and KV cache (default f32)"
    )
    parser.add_argument("--name", help="the name that vlmscope shows (default: the model's)")
    parser.add_argument("--force", action="store_true", help="replace an existing bundle")
    parser.add_argument(
        "--image-feature-scale",
        type=float,
        default=1.0,
        help="factor on the picture's features before they enter the language model (default 1, as transformers 5)",
    )
    parser.add_argument(
        "--skip-self-check",
        action="store_true",
        help="do not compare the bundle with PyTorch; with --dtype f16 this also halves the memory needed",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    from vlmscope_export.errors import ExportError

    try:
        export(options)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cancelled: nothing was written", file=sys.stderr)
        return 1
    return 0


def export(options: argparse.Namespace) -> None:
    """Loads, writes, checks, and moves the bundle into place."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", file=sys.stderr, flush=True)

    say("Loading PyTorch and transformers")
    import torch

    from vlmscope_export import selfcheck, spec
    from vlmscope_export.bundle import Bundle, replacing
    from vlmscope_export.errors import ExportError

    with replacing(options.out.absolute(), options.force) as folder:
        # The check wants full-precision reference numbers; without it there is no reason to hold more than is written.
        half = options.dtype == "f16" and options.skip_self_check
        say(f"Loading {options.model}")
        source = spec.load(options.model, torch.float16 if half else torch.float32)
        say(
            f"Writing {source.text.type} with {source.text.layers} layers × {source.text.heads} heads as {options.dtype}"
        )
        Bundle(source, folder, options.name or source.name, options.dtype, options.image_feature_scale).write()
        if options.skip_self_check:
            selfcheck.check_graphs_load(folder)
            say("Self-check skipped: the graphs load, their numbers were not compared")
        else:
            say("Comparing the bundle in ONNX Runtime with PyTorch")
            results = selfcheck.SelfCheck(folder, source).run()
            print(selfcheck.table(results))
            failed = [r.name for r in results if not r.passed]
            if failed:
                raise ExportError(
                    f"The bundle disagrees with PyTorch in {len(failed)} of {len(results)} comparisons ({', '.join(failed)}), "
                    "so it was not kept. Please report the model and the table above; --skip-self-check keeps it regardless."
                )
    say(f"Done: {options.out}")


if __name__ == "__main__":
    sys.exit(main())
