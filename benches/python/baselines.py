#!/usr/bin/env python3
"""CPU time and peak memory of attention outputs, against ONNX Runtime without them and against transformers' eager attention.

    python scripts/make_geometry_model.py --out out/geometry --checkpoint out/geometry-torch
    python benches/python/baselines.py --bundle out/geometry --checkpoint out/geometry-torch > baselines.json

One thread, one fresh process per measurement, rounds interleaved so that a busy machine hits all alike. Times are process CPU seconds of one
prefill (or of one generate), medians over the rounds; memory is the peak resident set above that of the loaded, warmed-up model.
Ratios are within this run.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from measure import in_fresh_process, measured, medians

PROMPT = "USER: <image>\nWhat is on the left of the picture, and what is on its right? ASSISTANT:"
NEW_TOKENS = 16


def ort_prefill(options) -> dict:
    """One prefill of `--positions` positions; --kind says which attention is asked for."""
    import numpy as np
    from vlmscope_export.selfcheck import BundleRunner

    runner = BundleRunner(options.bundle, threads=1)
    decoder = runner.graph("decoder")
    text, patches = runner.manifest["text"], runner.manifest["vision"]["features"]
    length = options.positions
    image_end = patches + 5
    rng = np.random.default_rng(1)
    embeds = rng.standard_normal((1, length, text["hidden"])).astype(np.float32) * 0.5
    everything, text_rows = np.arange(length), np.arange(image_end, length)
    nothing = np.zeros(0, np.int64)
    rows, extra = {
        "none": (nothing, {}),
        "text": (text_rows, {}),
        "text+head_mean": (text_rows, {"mean_rows": everything}),
        "text+head_mean+last_layer": (text_rows, {"mean_rows": everything, "last_rows": everything}),
        "all": (everything, {}),
        "interventions": (
            nothing,
            {
                "head_scale": np.full((text["layers"], text["heads"]), 0.5, np.float32),
                "knock_layers": np.ones(text["layers"], np.float32),
                "knock_query": (everything >= image_end).astype(np.float32),
                "knock_key": (everything < image_end).astype(np.float32),
            },
        ),
    }[options.kind]
    names = [o.name for o in decoder.get_outputs()]

    def prefill(inputs: np.ndarray, rows: np.ndarray, extra: dict) -> dict:
        last = np.array([inputs.shape[1] - 1])
        out = decoder.run(
            names, {"inputs_embeds": inputs, "rows": rows, "logit_rows": last, **runner.empty_cache(), **extra}
        )
        kept = {
            n: a.nbytes for n, a in zip(names, out, strict=True) if n.startswith(("attn", "head_mean", "last_layer"))
        }
        return {"kept_bytes": sum(kept.values())}

    prefill(embeds[:, :8], nothing, {})
    return measured(lambda: prefill(embeds, rows, extra), options.repeats)


def torch_generate(options) -> dict:
    """transformers' eager generate with all attentions returned, as LVLM-Interpret runs it."""
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    processor = AutoProcessor.from_pretrained(options.checkpoint)
    model = LlavaForConditionalGeneration.from_pretrained(
        options.checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    model.eval()
    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (336, 336, 3), dtype=np.uint8)
    inputs = processor(images=Image.fromarray(pixels), text=PROMPT, return_tensors="pt")
    short = {"input_ids": torch.tensor([[1, 5, 6, 7]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}

    def generate(inputs, attentions: bool) -> dict:
        with torch.no_grad():
            out = model.generate(
                **inputs,
                max_new_tokens=NEW_TOKENS,
                min_new_tokens=NEW_TOKENS,
                do_sample=False,
                return_dict_in_generate=True,
                output_attentions=attentions,
            )
        kept = [a for step in (out.attentions or ()) for a in step]
        return {
            "positions": int(inputs["input_ids"].shape[1]),
            "kept_bytes": sum(a.numel() * a.element_size() for a in kept),
            "out": out,
        }

    generate(short, True)
    model.model.get_image_features(pixel_values=inputs["pixel_values"])
    with_attention = options.kind == "eager"
    result = measured(lambda: generate(inputs, with_attention), 1)
    out = result.pop("out")
    if with_attention:
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            torch.save(out.attentions, Path(folder) / "attentions.pt")
            result["torch_save_cpu_s"] = time.process_time() - started
    return result


def child(options, part: str, kind: str) -> dict:
    arguments = ["--part", part, "--kind", kind, "--positions", str(options.positions), "--bundle", str(options.bundle)]
    arguments += ["--repeats", str(options.repeats)]
    arguments += ["--checkpoint", str(options.checkpoint)] if options.checkpoint else []
    # vlmscope sets the allocator so when it loads ONNX Runtime (src/model/session/runtime.rs).
    allocator = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(512 << 20)} if part == "ort" else {}
    return in_fresh_process(__file__, *arguments, **allocator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="the PyTorch model of the same geometry; without it only ONNX Runtime is measured",
    )
    parser.add_argument("--positions", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2, help="runs per process")
    parser.add_argument("--part", choices=("ort", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", help="measure one kind only")
    options = parser.parse_args()
    if options.part:
        print(json.dumps({"ort": ort_prefill, "torch": torch_generate}[options.part](options)))
        return
    ort_kinds = ["none", "text", "text+head_mean", "text+head_mean+last_layer", "all", "interventions"]
    parts = [("ort", kind) for kind in ([options.kind] if options.kind else ort_kinds)]
    if options.checkpoint and not options.kind:
        parts += [("torch", "eager"), ("torch", "eager_without_output")]
    runs = {part: [] for part in parts}
    for _ in range(options.rounds):
        for part in parts:
            runs[part].append(child(options, *part))
    results = {f"{part} {kind}": medians(rounds) for (part, kind), rounds in runs.items()}
    base = results.get("ort none")
    for name, result in results.items():
        if base and name.startswith("ort "):
            result["cpu_ratio"] = result["cpu_s"] / base["cpu_s"]
            result["extra_bytes_per_kept"] = (result["peak_bytes"] - base["peak_bytes"]) / max(result["kept_bytes"], 1)
    print(json.dumps({"positions": options.positions, "results": results}, indent=1))


if __name__ == "__main__":
    main()
