"""Runs a bundle in ONNX Runtime and holds it against PyTorch: the exporter's own proof that the graphs are the model.

The reference is one full-sequence forward of transformers. The bundle prefills the first part and decodes the rest token by
token through its KV cache, so that both paths of the decoder are compared with numbers that know nothing of a cache.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from . import ATTENTION_SCALE
from .decoder import SITES
from .errors import ExportError
from .spec import Source

DECODE_STEPS = 3
TEXT_BEFORE, TEXT_AFTER = 3, 8
VOCABULARY_CHUNK = 1 << 15
# (absolute, relative to |reference|). f32: accumulated rounding, and f16's own 2⁻¹¹ for attention.
TOLERANCES = {
    "f32": {"state": (1e-4, 1e-4), "attention": (3e-6, 1e-3), "relevancy": (1e-4, 1e-4)},
    "f16": {"state": (5e-2, 5e-2), "attention": (2e-3, 5e-2), "relevancy": (1e-2, 1e-2)},
}


@dataclass(frozen=True)
class Comparison:
    """One row of the table. `excess` is the largest error as a share of what is allowed; above 1 it fails."""

    name: str
    max_abs: float
    excess: float

    @property
    def passed(self) -> bool:
        return self.excess <= 1.0


def session(path: Path, threads: int = 0) -> ort.InferenceSession:
    """A CPU session set up as the runtime does it: no arena, no memory pattern (lengths vary)."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class BundleRunner:
    """The graphs of a bundle with the KV cache passed along; only for checks and fixtures."""

    def __init__(self, folder: Path, threads: int = 0):
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.threads = threads
        self._sessions: dict[str, ort.InferenceSession] = {}

    def graph(self, name: str) -> ort.InferenceSession:
        if name not in self._sessions:
            self._sessions[name] = session(self.folder / self.manifest["graphs"][name]["file"], self.threads)
        return self._sessions[name]

    def run(self, name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        graph = self.graph(name)
        return dict(zip((o.name for o in graph.get_outputs()), graph.run(None, inputs), strict=True))

    def empty_cache(self, batch: int = 1) -> dict[str, np.ndarray]:
        text = self.manifest["text"]
        dtype = np.float16 if self.manifest["dtype"] == "f16" else np.float32
        empty = np.zeros((batch, text["kv_heads"], 0, text["head_dim"]), dtype)
        return {f"past_{kind}_{layer}": empty for layer in range(text["layers"]) for kind in "kv"}

    def decode(self, embeds: np.ndarray, cache: dict | None = None, rows=None, logit_rows=None, **extra):
        """One call of the decoder; rows default to all. Returns its outputs and the next cache."""
        everything = np.arange(embeds.shape[1])
        out = self.run(
            "decoder",
            inputs_embeds=embeds,
            **(cache or self.empty_cache(embeds.shape[0])),
            rows=everything if rows is None else np.asarray(rows, np.int64),
            logit_rows=everything if logit_rows is None else np.asarray(logit_rows, np.int64),
            **extra,
        )
        return out, {k.replace("present", "past"): v for k, v in out.items() if k.startswith("present")}

    def embed(self, ids: np.ndarray, features: np.ndarray) -> np.ndarray:
        return self.run("embed", input_ids=ids, image_features=features)["inputs_embeds"]

    def attention(self, out: dict, prefix: str = "attn") -> np.ndarray:
        """The stacked per-layer attention outputs [L, B, H, rows, T] as f32."""
        layers = self.manifest["text"]["layers"]
        return np.stack([out[f"{prefix}_{layer}"] for layer in range(layers)]).astype(np.float32) / ATTENTION_SCALE


@contextmanager
def scaled_heads(source: Source, scale: np.ndarray):
    """Multiplies each head's output before o_proj by scale [L, H]."""
    with ExitStack() as stack:
        for layer, module in enumerate(source.language_model.layers):
            factors = torch.from_numpy(scale[layer]).repeat_interleave(source.text.head_dim)

            def hook(_module, args, factors=factors):
                return (args[0] * factors.to(args[0].dtype), *args[1:])

            stack.callback(module.self_attn.o_proj.register_forward_pre_hook(hook).remove)
        yield


@contextmanager
def knocked_out(source: Source, layers: np.ndarray, query: np.ndarray, key: np.ndarray):
    """Adds −∞ to the masks of the layers for pairs (query, key), the diagonal spared."""
    pairs = torch.from_numpy(np.outer(query, key)) > 0
    pairs.fill_diagonal_(False)

    def hook(_module, args, kwargs):
        mask = kwargs["attention_mask"]
        return args, kwargs | {"attention_mask": mask.masked_fill(pairs, torch.finfo(mask.dtype).min)}

    with ExitStack() as stack:
        for layer, module in zip(layers, source.language_model.layers, strict=True):
            if layer:
                stack.callback(module.self_attn.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def overwritten(source: Source, patches: list[tuple[str, int, tuple, np.ndarray]]):
    """Overwrites activations: (site, layer, index, values), the index into what the site's module reads or returns, [B, S, features]."""

    def replaced(value, index, values):
        value = value.clone()
        value[index] = torch.from_numpy(values).to(value.dtype)
        return value

    with ExitStack() as stack:
        for site, layer, index, values in patches:
            module = source.language_model.layers[layer]
            if site == "mlp":
                handle = module.mlp.register_forward_hook(lambda _m, _a, out, i=index, v=values: replaced(out, i, v))
            else:
                target = module if site == "residual" else module.self_attn.o_proj
                handle = target.register_forward_pre_hook(
                    lambda _m, a, i=index, v=values: (replaced(a[0], i, v), *a[1:])
                )
            stack.callback(handle.remove)
        yield


@contextmanager
def biased(source: Source, bias: np.ndarray, query: np.ndarray):
    """Adds bias [L, H, keys] to the scores of the queries marked 1."""

    with ExitStack() as stack:
        for layer, module in enumerate(source.language_model.layers):
            added = torch.from_numpy(bias[layer][None, :, None, :] * query[None, None, :, None])

            def hook(_module, args, kwargs, added=added):
                mask = kwargs["attention_mask"]
                return args, kwargs | {"attention_mask": mask + added.to(mask.dtype)}

            stack.callback(module.self_attn.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


@contextmanager
def activations(source: Source, found: dict):
    """Keeps what enters each layer ("residual", l) and each output projection ("heads", l), and what each MLP returns ("mlp", l)."""
    with ExitStack() as stack:
        for layer, module in enumerate(source.language_model.layers):
            reads = {"residual": module, "heads": module.self_attn.o_proj}
            for site, target in reads.items():
                handle = target.register_forward_pre_hook(lambda _m, a, key=(site, layer): found.update({key: a[0]}))
                stack.callback(handle.remove)
            handle = module.mlp.register_forward_hook(lambda _m, _a, out, key=("mlp", layer): found.update({key: out}))
            stack.callback(handle.remove)
        yield


class SelfCheck:
    """Collects the comparisons of one bundle."""

    def __init__(self, folder: Path, source: Source):
        self.source, self.runner = source, BundleRunner(folder)
        self.tolerances = TOLERANCES[self.runner.manifest["dtype"]]
        self.results: list[Comparison] = []
        self.rng = np.random.default_rng(0)

    def compare(self, name: str, got: np.ndarray, want: torch.Tensor | np.ndarray, kind: str = "state") -> None:
        want = np.asarray(want, np.float32)
        if got.shape != want.shape:
            raise ExportError(f"Self-check of {name}: the bundle gives shape {got.shape}, PyTorch {want.shape}.")
        absolute, relative = self.tolerances[kind]
        error = np.abs(got.astype(np.float32) - want)
        excess = error / (absolute + relative * np.abs(want))
        worst = float(excess.max()) if excess.size else 0.0
        self.results.append(
            Comparison(name, float(error.max()) if error.size else 0.0, worst if worst == worst else np.inf)
        )

    def identical(self, name: str, got: dict, want: dict) -> None:
        """Neutral inputs must not change one bit of any output."""
        same = all(np.array_equal(got[k].view(np.uint8), want[k].view(np.uint8)) for k in want)
        self.results.append(Comparison(name, 0.0 if same else np.inf, 0.0 if same else np.inf))

    def run(self) -> list[Comparison]:
        with torch.no_grad():
            self._vision()
            self._embed()
            self._decoder()
            self._interventions()
            self._steering()
            self._batch()
            self._patching()
        self._text_relevancy()
        self._attribution()
        self._vision_relevancy()
        return self.results

    def _vision(self) -> None:
        source, spec = self.source, self.source.vision
        shape = (2, 3, spec.image_size, spec.image_size)
        pixels = self.rng.standard_normal(shape).astype(np.float32)
        tensor = torch.from_numpy(pixels).to(source.model.dtype)
        reference = source.model.get_image_features(pixel_values=tensor, output_attentions=True)
        features = torch.stack(list(reference.pooler_output))
        plain = self.runner.run("vision", pixel_values=pixels)
        attending = self.runner.run("vision_attention", pixel_values=pixels)
        self.compare("vision: image features", plain["image_features"], features)
        self.compare("vision_attention: image features", attending["image_features"], features)
        got = np.stack([attending[f"vision_attn_{i}"] for i in range(spec.layers)]).astype(np.float32) / ATTENTION_SCALE
        self.compare("vision_attention: attention", got, torch.stack(reference.attentions), "attention")
        self.features = plain["image_features"][0]

    def _embed(self) -> None:
        source, spec = self.source, self.source.text
        before, after = (self._words(n) for n in (TEXT_BEFORE, TEXT_AFTER + DECODE_STEPS))
        image = np.full(source.vision.features, source.image_token_id)
        self.ids = np.concatenate([before, image, after])[None]
        self.embeds = self.runner.embed(self.ids, self.features)
        table = source.model.get_input_embeddings()
        ids = torch.from_numpy(np.where(self.ids == source.image_token_id, 0, self.ids))
        want = table(ids).float().numpy()
        scale = self.runner.manifest["embed"]["image_feature_scale"]
        want[self.ids == source.image_token_id] = self.features * scale
        self.compare("embed: inputs_embeds", self.embeds, want)
        words = np.setdiff1d(np.arange(table.weight.shape[0]), [source.image_token_id])
        none = np.zeros((0, spec.hidden), np.float32)
        for start in range(0, len(words), VOCABULARY_CHUNK):
            text = words[None, start : start + VOCABULARY_CHUNK]
            self.compare(f"embed: tokens from {start}", self.runner.embed(text, none), table(torch.from_numpy(text)))

    def _words(self, count: int) -> np.ndarray:
        ids = self.rng.integers(
            0, min(self.source.text.vocab, self.source.language_model.embed_tokens.weight.shape[0]), count
        )
        return np.where(ids == self.source.image_token_id, 0, ids)

    def _reference(self, embeds: np.ndarray):
        tensor = torch.from_numpy(embeds).to(self.source.model.dtype)
        hidden = self.source.language_model(inputs_embeds=tensor, output_attentions=True, use_cache=True)
        return self.source.model.lm_head(hidden.last_hidden_state), hidden

    def _decoder(self) -> None:
        runner, steps = self.runner, DECODE_STEPS
        logits, hidden = self._reference(self.embeds)
        attentions = torch.stack(hidden.attentions)
        total = self.embeds.shape[1]
        prompt = total - steps
        everything = np.arange(prompt)
        out, cache = runner.decode(self.embeds[:, :prompt], mean_rows=everything, last_rows=everything)
        want = attentions[..., :prompt, :prompt]
        self.compare("prefill: logits", out["logits"], logits[:, :prompt])
        self.compare("prefill: attention", runner.attention(out), want, "attention")
        self.compare("prefill: head_mean", runner.attention(out, "head_mean"), want.mean(2), "attention")
        self.compare(
            "prefill: last_layer", out["last_layer"].astype(np.float32) / ATTENTION_SCALE, want[-1], "attention"
        )
        rows = [prompt - 1, 0, TEXT_BEFORE]
        picked, _ = runner.decode(self.embeds[:, :prompt], rows=rows, logit_rows=[prompt - 1], mean_rows=np.array([2]))
        self.compare("prefill: chosen rows", runner.attention(picked), want[..., rows, :], "attention")
        self.compare("prefill: one logit row", picked["logits"], logits[:, prompt - 1 : prompt])
        bare, _ = runner.decode(self.embeds[:, :prompt], rows=[], logit_rows=[prompt - 1])
        self.compare("prefill: no attention rows", bare["logits"], logits[:, prompt - 1 : prompt])
        for step in range(steps):
            at = prompt + step
            out, cache = runner.decode(self.embeds[:, at : at + 1], cache)
            self.compare(f"decode {step}: logits", out["logits"], logits[:, at : at + 1])
            self.compare(
                f"decode {step}: attention", runner.attention(out), attentions[..., at : at + 1, : at + 1], "attention"
            )
        for layer, states in enumerate(zip(hidden.past_key_values.layers, strict=True)):
            keys, values = states[0].keys, states[0].values
            if keys.shape[2] != total:
                continue  # transformers keeps only the window of a sliding layer
            if layer in (0, self.source.text.layers - 1):
                self.compare(f"keys of layer {layer}", cache[f"past_k_{layer}"], keys)
                self.compare(f"values of layer {layer}", cache[f"past_v_{layer}"], values)

    def _interventions(self) -> None:
        spec, runner, total = self.source.text, self.runner, self.embeds.shape[1]
        scale = self.rng.uniform(0, 1.5, (spec.layers, spec.heads)).astype(np.float32)
        scale[spec.layers // 2, 0] = 0
        with scaled_heads(self.source, scale):
            want, hidden = self._reference(self.embeds)
        out, _ = runner.decode(self.embeds, head_scale=scale)
        self.compare("head_scale: logits", out["logits"], want)
        self.compare("head_scale: attention", runner.attention(out), torch.stack(hidden.attentions), "attention")

        layers = (np.arange(spec.layers) % 2 == 0).astype(np.float32)
        query = np.zeros(total, np.float32)
        query[total - TEXT_AFTER :] = 1
        key = (self.ids[0] == self.source.image_token_id).astype(np.float32)
        key[-1] = 1
        with knocked_out(self.source, layers, query, key):
            want, hidden = self._reference(self.embeds)
        out, _ = runner.decode(self.embeds, knock_layers=layers, knock_query=query, knock_key=key)
        self.compare("knockout: logits", out["logits"], want)
        self.compare("knockout: attention", runner.attention(out), torch.stack(hidden.attentions), "attention")

        absent, _ = runner.decode(self.embeds)
        neutral, _ = runner.decode(
            self.embeds,
            head_scale=np.ones((spec.layers, spec.heads), np.float32),
            knock_layers=np.zeros(spec.layers, np.float32),
            knock_query=np.zeros(total, np.float32),
            knock_key=np.zeros(total, np.float32),
            mean_rows=np.zeros(0, np.int64),
            last_rows=np.zeros(0, np.int64),
            attention_bias=np.zeros((spec.layers, spec.heads, total), np.float32),
            bias_query=np.ones(total, np.float32),
            state_rows=np.zeros(0, np.int64),
            **{f"patch_{site}_counts": np.zeros(spec.layers, np.int64) for site in SITES},
        )
        self.identical("neutral inputs are bit-identical", neutral, absent)

    def _steering(self) -> None:
        spec, total = self.source.text, self.embeds.shape[1]
        bias = self.rng.uniform(-2, 2, (spec.layers, spec.heads, total)).astype(np.float32)
        bias[:, 0] = 0
        query = np.zeros(total, np.float32)
        query[total - TEXT_AFTER :] = 1
        with biased(self.source, bias, query):
            want, hidden = self._reference(self.embeds)
        out, _ = self.runner.decode(self.embeds, attention_bias=bias, bias_query=query)
        self.compare("attention_bias: logits", out["logits"], want)
        self.compare(
            "attention_bias: attention", self.runner.attention(out), torch.stack(hidden.attentions), "attention"
        )

    def _patching(self) -> None:
        """Reads the activations of one sequence and writes them into a batch of another one, each member at another site."""
        spec, total = self.source.text, self.embeds.shape[1]
        batch = np.roll(self.embeds, 3, axis=1).repeat(len(SITES), axis=0)
        rows, layer = np.array([1, total // 2, total - 2]), spec.layers // 2
        found = {}
        with activations(self.source, found):
            self._reference(self.embeds)
        out, _ = self.runner.decode(self.embeds, state_rows=rows)
        for site in SITES:
            for at in range(spec.layers):
                self.compare(f"{site} of layer {at}", out[f"{site}_{at}"], found[site, at][0, rows].float())

        inputs, patches = {}, []
        for member, site in enumerate(SITES):
            places, values, index = member * total + rows[:, None], out[f"{site}_{layer}"], (member, rows)
            if site == "heads":
                head = slice((spec.heads - 1) * spec.head_dim, spec.heads * spec.head_dim)
                places = np.array([[member, spec.heads - 1, row] for row in rows])
                values, index = values[:, head], (member, rows, head)
            inputs[f"patch_{site}_counts"] = np.eye(spec.layers, dtype=np.int64)[layer] * len(rows)
            inputs[f"patch_{site}_at"], inputs[f"patch_{site}"] = places, values
            patches.append((site, layer, index, values))
        with overwritten(self.source, patches):
            want, _ = self._reference(batch)
        out, _ = self.runner.decode(batch, rows=[], **inputs)
        self.compare("patched activations: logits", out["logits"], want)

    def _attribution(self) -> None:
        """Gradients of a log-probability with respect to activations, against autograd."""
        source, layers = self.source, self.source.text.layers
        embeds = torch.from_numpy(self.embeds).to(source.model.dtype).requires_grad_(True)
        found = {}
        with activations(source, found):
            out = source.language_model(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
        logits = source.model.lm_head(out.last_hidden_state)[0].float()
        pos, w = np.array([logits.shape[0] - 2]), np.ones(1, np.float32)
        ids = logits[pos].argmin(-1).numpy()
        score = logits[pos].log_softmax(-1)[0, ids[0]]
        points = [found[site, layer] for site in SITES for layer in range(layers)]
        want = [g[0].float() for g in torch.autograd.grad(score, points)]
        got = self.runner.run("attribution", inputs_embeds=self.embeds, pos=pos, ids=ids, w=w)
        names = [
            *(f"d_residual_{layer}" for layer in range(layers)),
            *(f"d_heads_{layer}" for layer in range(layers)),
            *(f"d_residual_{layer + 1}" for layer in range(layers)),
        ]
        self.compare("attribution: logits", got["logits"], logits[pos].detach())
        for site, first in zip(SITES, range(0, len(names), layers), strict=True):
            part = slice(first, first + layers)
            self._relevancy_errors(f"attribution: {site}", [got[name] for name in names[part]], want[part])

    def _batch(self) -> None:
        other = np.roll(self.embeds, 3, axis=1)
        both, _ = self.runner.decode(np.concatenate([self.embeds, other]))
        logits, hidden = self._reference(other)
        self.compare("batch of two: logits", both["logits"][1:], logits)
        got = self.runner.attention(both)[:, 1:]
        self.compare("batch of two: attention", got, torch.stack(hidden.attentions), "attention")

    def _gradients(self, attentions, score: torch.Tensor, *more) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """gradient ⊙ attention per layer [H, S, T], and the gradients towards `more`."""
        gradients = torch.autograd.grad(score, [*attentions, *more], retain_graph=True)
        products = [(a * d)[0].detach() for a, d in zip(attentions, gradients, strict=False)]
        return products, list(gradients[len(attentions) :])

    def _relevancy_errors(self, name: str, got: list[np.ndarray], want: list[torch.Tensor]) -> None:
        """Relative to the largest entry of all layers: relevancies are compared by their sums, not entry by entry."""
        scale = float(max(w.abs().max() for w in want)) or 1.0
        self.compare(name, np.stack(got) / scale, torch.stack(want) / scale, "relevancy")

    def _text_relevancy(self) -> None:
        """Both graphs of the language model against autograd, the last DECODE_STEPS + 1 positions as the answer's rows."""
        source, layers = self.source, range(self.source.text.layers)
        embeds = torch.from_numpy(self.embeds).to(source.model.dtype).requires_grad_(True)
        out = source.language_model(inputs_embeds=embeds, output_attentions=True, use_cache=False)
        logits = source.model.lm_head(out.last_hidden_state)[0].float()
        total = logits.shape[0]
        first = total - DECODE_STEPS - 1
        pos, w = np.arange(first, total), self.rng.uniform(0.5, 2, DECODE_STEPS + 1).astype(np.float32)
        ids = logits[first:].argmax(-1).numpy()

        score = (logits[pos, ids] * torch.from_numpy(w)).sum()
        want, (d_inputs,) = self._gradients(out.attentions, score, embeds)
        got = self.runner.run("relevancy", inputs_embeds=self.embeds, pos=pos, ids=ids, w=w)
        self._relevancy_errors(
            "relevancy: abar", [got[f"abar_{i}"] for i in layers], [p.clamp(min=0).mean(0) for p in want]
        )
        self._relevancy_errors("relevancy: gradient at the inputs", [got["d_inputs"]], [d_inputs])
        self.d_features = d_inputs[0][torch.from_numpy(self.ids[0]) == source.image_token_id].float().numpy()

        _, cache = self.runner.decode(self.embeds[:, :first])
        got = self.runner.run("relevancy_rows", inputs_embeds=self.embeds[:, first:], **cache, ids=ids, w=w)
        self.compare("relevancy_rows: logits", got["logits"], logits[first:].detach())
        rows = []
        for i, row in enumerate(pos):
            products, _ = self._gradients(out.attentions, logits[row, ids[i]] * float(w[i]))
            rows.append(torch.stack(products)[:, :, row])
        want = torch.stack(rows, dim=2)
        self._relevancy_errors(
            "relevancy_rows: gradient x attention", [got[f"grad_attn_{i}"] for i in layers], list(want)
        )
        self._relevancy_errors(
            "relevancy_rows: abar", [got[f"abar_{i}"] for i in layers], list(want.clamp(min=0).mean(1))
        )

    def _vision_relevancy(self) -> None:
        source, spec = self.source, self.source.vision
        if not spec.layers_used:
            return
        shape = (1, 3, spec.image_size, spec.image_size)
        pixels = self.rng.standard_normal(shape).astype(np.float32)
        tensor = torch.from_numpy(pixels).to(source.model.dtype).requires_grad_(True)
        out = source.model.get_image_features(pixel_values=tensor, output_attentions=True)
        features = torch.stack(list(out.pooler_output))[0]
        scale = self.runner.manifest["embed"]["image_feature_scale"]
        score = (features * torch.from_numpy(self.d_features).to(features.dtype)).sum() * scale
        want, _ = self._gradients(out.attentions[: spec.layers_used], score)
        got = self.runner.run("relevancy_vision", pixel_values=pixels, d_image_features=self.d_features)
        abar = [got[f"vision_abar_{i}"] for i in range(spec.layers_used)]
        self._relevancy_errors("relevancy_vision: abar", abar, [p.clamp(min=0).mean(0) for p in want])


def table(results: list[Comparison]) -> str:
    """The errors as text: the largest absolute error, and as a share of the tolerance."""
    width = max(len(r.name) for r in results)
    lines = [f"{'':<{width}}  max |error|  of tolerance"]
    for r in results:
        lines.append(f"{r.name:<{width}}  {r.max_abs:11.2e}  {r.excess:11.1%}{'' if r.passed else '  FAILED'}")
    return "\n".join(lines)


def check_graphs_load(folder: Path) -> None:
    """Opens every graph, which validates types and shapes even when the numbers are not compared."""
    runner = BundleRunner(folder)
    for name in runner.manifest["graphs"]:
        try:
            runner.graph(name)
        except Exception as error:  # ONNX Runtime's exception classes share no public base
            raise ExportError(f"ONNX Runtime {ort.__version__} cannot open {name}.onnx: {error}") from error
