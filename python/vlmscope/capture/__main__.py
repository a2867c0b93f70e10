"""`python -m vlmscope.capture`: asks a model about pictures and writes the trace of its answer."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..errors import VlmscopeError
from . import capture
from .load import add_model_arguments, load, processor_options, terminal_progress


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vlmscope.capture", description=__doc__)
    parser.add_argument("--model", required=True, help="a folder, or a repository on the Hugging Face Hub")
    add_model_arguments(parser)
    parser.add_argument("--image", action="append", default=[], help="a picture; may be given several times")
    parser.add_argument("--video", action="append", default=[], help="a video; may be given several times")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--question", help="is put into the model's chat template behind the pictures")
    asked.add_argument("--prompt", help="the whole prompt, with the model's own picture tokens")
    parser.add_argument("--answer", help="score this answer instead of generating one")
    parser.add_argument("--out", required=True, help="the trace to write, NAME.vlmtrace")
    parser.add_argument("--rows", choices=("text", "all"), default="text", help="query positions to keep (default text)")
    parser.add_argument("--vision", action="store_true", help="also keep the vision tower's attention")
    parser.add_argument("--head-mean", action="store_true", help="also keep the mean over heads of every row (slow)")
    parser.add_argument("--last-layer", action="store_true", help="also keep every row of the last layer (slow)")
    parser.add_argument("--relevancy", action="append", default=[], choices=("llm",), help="also compute relevancy (gradients)")
    parser.add_argument("--blank", action="store_true", help="replace every picture and frame by its mean colour")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (default) is greedy")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processor", action="append", default=[], metavar="KEY=VALUE", help="an option of the processor")
    parser.add_argument("--check", action="store_true", help="run the painting test first and store its result in the trace")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; 0 where the trace was written, else 1."""
    options = parser().parse_args(arguments)
    progress = terminal_progress()
    try:
        folder = Path(options.out).parent
        if not folder.is_dir():
            raise VlmscopeError(f"the folder {folder} does not exist; make it first.")
        given = processor_options(options.processor)
        print("loading the model …", file=sys.stderr, flush=True)
        model, processor = load(options.model, options)
        started = time.perf_counter()
        trace = capture(
            model,
            processor,
            images=options.image,
            videos=options.video,
            question=options.question,
            prompt=options.prompt,
            answer=options.answer,
            rows=options.rows,
            vision=options.vision,
            head_mean=options.head_mean,
            last_layer=options.last_layer,
            relevancy=options.relevancy,
            blank=options.blank,
            max_new_tokens=options.max_new_tokens,
            temperature=options.temperature,
            top_p=options.top_p,
            seed=options.seed,
            processor_options=given,
            check=True if options.check else None,
            progress=progress,
        )
        path = trace.save(options.out)
    except VlmscopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = path.stat().st_size / 1e6
    print(trace.answer)
    print(f"{path}: {len(trace.rows)} rows, {size:.1f} MB, {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
