"""What the runtime needs to know beside the graphs: preprocessing, prompt, tokens, and every file's size and hash."""

from __future__ import annotations

import importlib.metadata
import re

from jinja2 import TemplateError

from . import ATTENTION_SCALE, EXPORTER_VERSION, FORMAT, FORMAT_VERSION, OPSET
from .errors import ExportError
from .spec import Source

# Vicuna's system prompt, as LVLM-Interpret uses it where a processor has no chat template.
FALLBACK_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
# A tag that only transformers' Jinja knows: it marks the assistant's words for training masks and renders as its content.
GENERATION_TAG = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
CAPABILITIES = [
    "attention",
    "vision_attention",
    "head_mean",
    "last_layer",
    "head_scale",
    "knockout",
    "relevancy",
    "patching",
    "steering",
]


def manifest(source: Source, name: str, dtype: str, graphs: dict, files: dict, image_feature_scale: float) -> dict:
    """The manifest as onnx/manifest.schema.json describes it."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "source": source.name,
        "exporter": {
            "version": EXPORTER_VERSION,
            **{package: importlib.metadata.version(package) for package in ("torch", "transformers", "onnx")},
            "opset": OPSET,
        },
        "dtype": dtype,
        "files": files,
        "graphs": graphs,
        "text": text_section(source),
        "vision": vision_section(source),
        "preprocess": preprocess_section(source),
        "prompt": prompt_section(source),
        "attention": {"scale": ATTENTION_SCALE, "dtype": "f16"},
        "embed": {"token_scale": source.text.embedding_scale, "image_feature_scale": image_feature_scale},
        "capabilities": CAPABILITIES,
    }


def text_section(source: Source) -> dict:
    spec, config = source.text, source.model.config.text_config
    tokenizer = source.processor.tokenizer
    generation = source.model.generation_config
    eos = first_set(generation.eos_token_id, config.eos_token_id, tokenizer.eos_token_id)
    return {
        "type": spec.type,
        "layers": spec.layers,
        "heads": spec.heads,
        "kv_heads": spec.kv_heads,
        "head_dim": spec.head_dim,
        "hidden": spec.hidden,
        "vocab": spec.vocab,
        "max_positions": spec.max_positions,
        "sliding_window": spec.sliding_window,
        "bos_id": first_set(tokenizer.bos_token_id, config.bos_token_id),
        "eos_ids": [] if eos is None else sorted({eos} if isinstance(eos, int) else set(eos)),
        "pad_id": first_set(tokenizer.pad_token_id, config.pad_token_id),
        "image_token_id": source.image_token_id,
    }


def vision_section(source: Source) -> dict:
    spec = source.vision
    return {
        "type": spec.type,
        "layers": spec.layers,
        "heads": spec.heads,
        "hidden": spec.hidden,
        "image_size": spec.image_size,
        "patch_size": spec.patch_size,
        "grid": list(spec.grid),
        "has_cls": spec.has_cls,
        "feature_layer": spec.feature_layer,
        "select": spec.select,
        "patches": spec.grid[0] * spec.grid[1],
        "features": spec.features,
        "layers_with_gradient": spec.layers_used,
    }


def preprocess_section(source: Source) -> dict:
    """The image processor's settings in one form, whatever its class calls them."""
    image = source.processor.image_processor
    size = dict(image.size)
    size = {key: int(value) for key, value in size.items() if value is not None}
    if "shortest_edge" in size and "longest_edge" not in size:
        resize = {"shortest_edge": size["shortest_edge"]}
    elif "height" in size and "width" in size:
        resize = {"height": size["height"], "width": size["width"]}
    else:
        raise ExportError(
            f"The image processor ({type(image).__name__}) resizes to {size}. Supported: shortest_edge, or height and width."
        )
    side = source.vision.image_size
    crops = bool(getattr(image, "do_center_crop", False))
    crop = dict(image.crop_size) if crops else {"height": side, "width": side}
    produced = [int(crop["height"]), int(crop["width"])] if crops else [resize.get("height"), resize.get("width")]
    if produced != [side, side]:
        raise ExportError(
            f"The image processor produces pictures of {produced} pixels but the vision tower takes {side} × {side}: the "
            "processor in the folder belongs to another model."
        )
    if getattr(image, "do_pad", False):
        raise ExportError(
            "The image processor pads pictures (do_pad); only resizing and centre cropping are supported."
        )
    return {
        "do_resize": bool(image.do_resize),
        "resize": resize,
        "resample": RESAMPLE[int(image.resample)],
        "do_center_crop": crops,
        "crop": [int(crop["height"]), int(crop["width"])],
        "do_rescale": bool(image.do_rescale),
        "rescale_factor": float(image.rescale_factor),
        "do_normalize": bool(image.do_normalize),
        "mean": [float(x) for x in image.image_mean],
        "std": [float(x) for x in image.image_std],
        "do_convert_rgb": bool(getattr(image, "do_convert_rgb", True)),
    }


def prompt_section(source: Source) -> dict:
    """The chat template and how its output becomes ids.

    transformers adds the special tokens of the tokenizer unless the rendered template already begins with the BOS token.
    `message_content` says what the template expects: a list of typed parts, or one string with the image token in it.
    """
    processor, tokenizer = source.processor, source.processor.tokenizer
    template = getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    image_token = getattr(processor, "image_token", "<image>")
    section = {
        "chat_template": template and plain_jinja(template),
        "message_content": "parts",
        "image_token": image_token,
        "add_special_tokens": True,
        "bos_token": tokenizer.bos_token,
        "eos_token": tokenizer.eos_token,
        "pad_token": tokenizer.pad_token,
        "unk_token": tokenizer.unk_token,
        "fallback_system": FALLBACK_SYSTEM,
    }
    if template is not None:
        section["message_content"], rendered = render_probe(processor, template, image_token)
        section["add_special_tokens"] = not (tokenizer.bos_token and rendered.startswith(tokenizer.bos_token))
    return section


def plain_jinja(template: str) -> str:
    """Replaces `{% generation %}` by a condition that is always true: the same text and the same white space."""
    return GENERATION_TAG.sub(lambda m: f"{{%{m[1]} {'endif' if m[2] else 'if true'} {m[3]}%}}", template)


def render_probe(processor, template: str, image_token: str) -> tuple[str, str]:
    """Renders one question with both kinds of message content; returns the kind that works and the text."""
    question = "What is this?"
    forms = {
        "parts": [{"type": "image"}, {"type": "text", "text": question}],
        "string": f"{image_token}\n{question}",
    }
    problem = "the image token or the question is missing from the result"
    for kind, content in forms.items():
        try:
            rendered = processor.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, TypeError, ValueError) as error:
            problem = str(error)
            continue
        if rendered.count(image_token) == 1 and question in rendered:
            return kind, rendered
    raise ExportError(
        f"The chat template cannot render one question about one picture ({problem}). Repair chat_template.jinja in the "
        "model's folder, or remove it: without a template the bundle uses LLaVA-1.5's prompt."
    )


def first_set(*values):
    return next((v for v in values if v is not None), None)
