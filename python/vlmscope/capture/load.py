"""Loads a model for the commands, and shows their progress."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys

from ..errors import CaptureError

DTYPES = {"auto": "auto", "bf16": "bfloat16", "f16": "float16", "f32": "float32"}


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--dtype, --device, --load-in-4bit, --processor."""
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="numbers of the model (default: the checkpoint's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default auto)")
    parser.add_argument("--load-in-4bit", action="store_true", help="quantise the weights while loading (needs bitsandbytes)")


def load(name: str, options: argparse.Namespace):
    """(model, processor) of a folder or repository. Code of the repository itself is never run."""
    try:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as error:
        raise CaptureError(f'{error.name} is missing: pip install "vlmscope[capture]".') from error
    arguments: dict = {"dtype": DTYPES[options.dtype] if options.dtype == "auto" else getattr(torch, DTYPES[options.dtype])}
    device = options.device
    if device == "auto" and not torch.cuda.is_available():
        device = "mps" if torch.backends.mps.is_available() else "cpu"
    if options.load_in_4bit:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise CaptureError("--load-in-4bit needs bitsandbytes: pip install bitsandbytes.")
        from transformers import BitsAndBytesConfig

        arguments["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
        arguments["device_map"] = "auto" if device == "auto" else {"": device}
    elif device == "auto":
        if importlib.util.find_spec("accelerate") is not None:
            arguments["device_map"] = "auto"
        else:
            device = "cuda"
    try:
        processor = AutoProcessor.from_pretrained(name)
        model = AutoModelForImageTextToText.from_pretrained(name, **arguments).eval()
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise CaptureError(f"cannot load {name}: {reason[0] if reason else type(error).__name__}") from error
    if "device_map" not in arguments:
        try:
            model = model.to(device)
        # A torch without CUDA fails by an assertion.
        except (RuntimeError, AssertionError) as error:
            raise CaptureError(f"cannot use the device {device}: {error}") from error
    return model, processor


#: Stages whose name alone does not say what runs.
STAGES = {"answer": "one forward pass over prompt and answer"}


def terminal_progress():
    """A progress line on stderr that is rewritten on a terminal; elsewhere a line a stage."""
    last = {"stage": ""}
    live = sys.stderr.isatty()

    def show(stage: str, done: int, total: int) -> None:
        name = STAGES.get(stage, stage)
        text = f"{name}: {done} of {total}" if total else f"{name}: {done}"
        if live:
            new = "" if last["stage"] in ("", stage) else "\n"
            print(f"{new}\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            if total and done >= total:
                print(file=sys.stderr)
                stage = ""
        elif stage != last["stage"] or (total and done >= total):
            print(text, file=sys.stderr, flush=True)
        last["stage"] = stage

    return show


def processor_options(pairs: list[str]) -> dict:
    """KEY=VALUE pairs whose values are JSON, or text where they are none."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CaptureError(f"--processor {pair}: write KEY=VALUE.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
