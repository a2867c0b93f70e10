"""What capturing costs: CPU time and memory beside plain sdpa, and beside eager attention that returns its weights.

    .venv-exporter/bin/python python/benches/capture_cost.py [--runs 3]

A random LLaVA of 16 layers × 16 heads (hidden 512), about 1500 positions, 32 tokens, float32, one thread. Times are CPU seconds of this
process, the minimum of several runs that take turns, so that other programs on the machine change little; memory is the peak of
a process of its own, less what it held before the answer began.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

import torch  # noqa: E402
import transformers as t  # noqa: E402
import vlmscope  # noqa: E402
from conftest import picture  # noqa: E402
from random_models.common import text_options  # noqa: E402
from random_models.llava import llava  # noqa: E402
from reference import inputs_of  # noqa: E402

QUESTION = "What is on the left of the picture, and what is it that stands behind it? " * 2
TOKENS = 32
MODES = ("sdpa", "capture", "eager")


def build():
    """The model, its processor and the inputs."""

    def text(tokenizer):
        sizes = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 16, "num_attention_heads": 16}
        return t.LlamaConfig(**text_options(tokenizer, **sizes, num_key_value_heads=16))

    model, processor = llava(text, image_size=504)
    return model, processor, picture((640, 640))


def answer(mode: str, model, processor, image) -> dict:
    """One answer; CPU seconds in all and of the prompt, and bytes of attention that were kept."""
    inputs = inputs_of(model, processor, [image], question=QUESTION)
    options = {"max_new_tokens": TOKENS, "do_sample": False}
    kept, marks = 0, []
    hook = model.register_forward_hook(lambda *_: marks.append(time.process_time()))
    started = time.process_time()
    with torch.no_grad():
        if mode == "capture":
            with vlmscope.recording(model, processor, images=[image]) as rec:
                model.generate(**inputs, **options)
            kept = sum(part.nbytes for part in rec.trace.tensors["attention.weights"].parts)
        elif mode == "sdpa":
            model.generate(**inputs, **options)
        else:
            model.set_attn_implementation("eager")
            out = model.generate(**inputs, **options, output_attentions=True, return_dict_in_generate=True)
            kept = sum(layer.nbytes for step in out.attentions for layer in step)
            model.set_attn_implementation("sdpa")
    total = time.process_time() - started
    hook.remove()
    return {"total": total, "prefill": marks[0] - started, "kept": kept, "positions": inputs["input_ids"].shape[1] + TOKENS - 1}


def memory(mode: str) -> int:
    """Peak bytes of one answer beside the loaded model."""
    model, processor, image = build()
    inputs_of(model, processor, [image], question=QUESTION)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    answer(mode, model, processor, image)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-of", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print(json.dumps(memory(options.memory_of)))
        return
    model, processor, image = build()
    found: dict[str, list[dict]] = {mode: [] for mode in MODES}
    for _ in range(options.runs):
        for mode in MODES:
            found[mode].append(answer(mode, model, processor, image))
    peaks = {}
    for mode in MODES:
        command = [sys.executable, "-W", "ignore", __file__, "--memory-of", mode]
        peaks[mode] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    best = {mode: {part: min(run[part] for run in runs) for part in ("total", "prefill")} for mode, runs in found.items()}
    print(f"{found['sdpa'][0]['positions']} positions, {TOKENS} tokens, minimum of {options.runs} runs")
    print("| | CPU s | × sdpa | prefill CPU s | × sdpa | kept MB | extra peak MB beside sdpa |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for mode in MODES:
        total, prefill = best[mode]["total"], best[mode]["prefill"]
        kept = found[mode][0]["kept"] / 1e6
        ratios = total / best["sdpa"]["total"], prefill / best["sdpa"]["prefill"]
        extra = (peaks[mode] - peaks["sdpa"]) / 1e6
        print(f"| {mode} | {total:.2f} | {ratios[0]:.2f} | {prefill:.2f} | {ratios[1]:.2f} | {kept:.0f} | {extra:.0f} |")


if __name__ == "__main__":
    main()
