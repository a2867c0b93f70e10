#!/usr/bin/env python3
"""CPU time and peak memory of all answer tokens' relevancy maps: the bundle's backward graphs against LVLM-Interpret's procedure in torch.

    python scripts/make_geometry_model.py --out out/geometry --checkpoint out/geometry-torch
    python benches/python/relevancy.py --bundle out/geometry --checkpoint out/geometry-torch > relevancy.json

torch: one forward with attentions, a backward per answer token on the retained graph, Ā, the R matrices. ONNX Runtime: relevancy.onnx for the first
token, relevancy_rows.onnx for all of them, the row recursion in numpy. One thread, a fresh process per measurement, ratios within this run.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from measure import in_fresh_process, measured, medians

NEW_TOKENS = 16


def inputs(hidden: int, prompt: int) -> np.ndarray:
    """Embeddings of prompt and answer, [1, P + G − 1, D]."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((1, prompt + NEW_TOKENS - 1, hidden)).astype(np.float32) * 0.5


def row_recursion(abar: np.ndarray, row: int) -> np.ndarray:
    """The row of R = Π (I + Ā_l) at `row`; abar [L, T, T]."""
    r = np.zeros(abar.shape[-1], np.float32)
    r[row] = 1
    for layer in abar[::-1]:
        r = r + r @ layer
    return r


def ort_maps(options) -> dict:
    from vlmscope_export.selfcheck import BundleRunner

    runner = BundleRunner(options.bundle, threads=1)
    text, prompt = runner.manifest["text"], options.positions
    embeds, layers = inputs(text["hidden"], prompt), range(text["layers"])
    one = np.ones(1, np.float32)
    none = np.zeros(0, np.int64)

    def forward() -> dict:
        out, _ = runner.decode(embeds[:, :prompt], rows=none, logit_rows=[prompt - 1])
        return {"first_id": int(out["logits"][0, -1].argmax())}

    def first_map(length: int = prompt) -> np.ndarray:
        out = runner.run(
            "relevancy", inputs_embeds=embeds[:, :length], pos=np.array([length - 1]), ids=np.array([3]), w=one
        )
        return np.stack([out[f"abar_{i}"] for i in layers])

    def further(cache: dict) -> np.ndarray:
        ids, w = np.full(NEW_TOKENS, 3), np.ones(NEW_TOKENS, np.float32)
        out = runner.run("relevancy_rows", inputs_embeds=embeds[:, prompt - 1 :], **cache, ids=ids, w=w)
        return np.stack([out[f"abar_{i}"] for i in layers])

    def all_maps() -> dict:
        total = prompt + NEW_TOKENS - 1
        abar = np.zeros((text["layers"], total, total), np.float32)
        abar[:, :prompt, :prompt] = first_map()
        abar[:, prompt - 1 :] = further(cache)
        maps = [row_recursion(abar, prompt - 1 + i) for i in range(NEW_TOKENS)]
        return {"checksum": float(np.sum(maps))}

    if options.kind == "forward":
        runner.decode(embeds[:, :8], rows=none)
        return measured(forward, options.repeats)
    first_map(8)
    if options.kind == "first map":
        return measured(lambda: {"checksum": float(first_map().sum())}, options.repeats)
    _, cache = runner.decode(embeds[:, : prompt - 1], rows=none, logit_rows=none)
    del runner._sessions["decoder"]
    further(cache)
    if options.kind == "rows":
        return measured(lambda: {"checksum": float(further(cache).sum())}, options.repeats)
    return measured(all_maps, options.repeats)


def torch_maps(options) -> dict:
    import torch
    from transformers import LlavaForConditionalGeneration

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    model = LlavaForConditionalGeneration.from_pretrained(
        options.checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    model.eval().requires_grad_(False)
    language_model, prompt = model.model.language_model, options.positions
    embeds = inputs(model.config.text_config.hidden_size, prompt)

    def maps(embeds: np.ndarray, tokens: int) -> dict:
        tensor = torch.from_numpy(embeds).requires_grad_(True)
        out = language_model(inputs_embeds=tensor, output_attentions=True, use_cache=False)
        first = embeds.shape[1] - tokens
        logits = model.lm_head(out.last_hidden_state[0, first:])
        abar = [torch.zeros(a.shape[2:]) for a in out.attentions]
        found = []
        for token in range(tokens):
            row = first + token
            gradients = torch.autograd.grad(logits[token, 3], out.attentions, retain_graph=True)
            # The prompt's rows come from the first token's score, each later row from its own.
            rows = slice(0, row + 1) if token == 0 else slice(row, row + 1)
            relevance = torch.eye(row + 1)
            for layer, (attention, gradient) in enumerate(zip(out.attentions, gradients, strict=True)):
                product = (attention[0, :, rows] * gradient[0, :, rows]).clamp(min=0).mean(0)
                abar[layer][rows] = product.detach()
                relevance += abar[layer][: row + 1, : row + 1] @ relevance
            found.append(float(relevance[-1].sum()))
        return {"checksum": sum(found)}

    maps(embeds[:, :8], 2)
    return measured(lambda: maps(embeds, NEW_TOKENS), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--positions", type=int, default=640, help="length of the prompt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="runs per process")
    parser.add_argument("--part", choices=("ort", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", default="all maps", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps({"ort": ort_maps, "torch": torch_maps}[options.part](options)))
        return
    parts = [("ort", kind) for kind in ("forward", "first map", "rows", "all maps")] + [("torch", "all maps")]
    runs = {part: [] for part in parts}
    for _ in range(options.rounds):
        for part, kind in parts:
            arguments = ["--bundle", str(options.bundle), "--checkpoint", str(options.checkpoint)]
            arguments += ["--positions", str(options.positions), "--repeats", str(options.repeats)]
            runs[part, kind].append(in_fresh_process(__file__, *arguments, "--part", part, "--kind", kind))
    results = {f"{part} {kind}": medians(rounds) for (part, kind), rounds in runs.items()}
    ours, theirs, forward = results["ort all maps"], results["torch all maps"], results["ort forward"]["cpu_s"]
    ratios = {
        "all maps, CPU, of torch": ours["cpu_s"] / theirs["cpu_s"],
        "all maps, memory, of torch": ours["peak_bytes"] / theirs["peak_bytes"],
        "first map, of a forward": results["ort first map"]["cpu_s"] / forward,
        "each further map, of a forward": results["ort rows"]["cpu_s"] / NEW_TOKENS / forward,
    }
    print(
        json.dumps(
            {"positions": options.positions, "tokens": NEW_TOKENS, "results": results, "ratios": ratios}, indent=1
        )
    )


if __name__ == "__main__":
    main()
