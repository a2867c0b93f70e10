"""Where the model looks when it names a thing: attention and relevancy at the row that predicts the noun.

Relevancy is the `llama` mode of LVLM-Interpret (Chefer et al. 2021, arXiv 2103.15679, rules 5 and 6): for answer token i the
rows of the prompt take token 0's gradient, the row of each answer token its own token's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, PreTrainedConfig

from tiny.answering import Answerer


@dataclass
class Maps:
    """For one answer token: attention [L, H, N] and relevancy [N] over the image tokens of all pictures, rows first.

    `grids` has the rows and columns of each picture.
    """

    attention: np.ndarray
    relevancy: np.ndarray
    grids: list[tuple[int, int]]


def relevancy_row(attentions: list[Tensor], logits: Tensor, ids: Tensor, prompt: int, token: int) -> Tensor:
    """Last row of R, [T], for answer token `token` with T = prompt + token attention positions.

    `attentions` are L tensors [1, H, S, S] of one differentiable forward over prompt and answer, `logits` [S, V], `ids` [S].
    """
    query = prompt - 1 + token
    size = query + 1
    kept = [torch.zeros(size, size) for _ in attentions]
    for earlier in range(token + 1):
        row = prompt - 1 + earlier
        gradients = torch.autograd.grad(logits[row, ids[row + 1]], attentions, retain_graph=True)
        first = 0 if earlier == 0 else row
        for layer, (weights, gradient) in enumerate(zip(attentions, gradients, strict=True)):
            product = (weights[0] * gradient[0]).clamp(min=0).mean(0).detach()
            kept[layer][first : row + 1] = product[first : row + 1, :size]
    r = torch.zeros(size)
    r[query] = 1
    for layer in reversed(kept):
        r = r + r @ layer
    return r


def maps(answerer: Answerer, pictures: list[Image.Image], question: str, answer: str, token: int) -> Maps:
    """Attention and relevancy of answer token `token` when `answer` is given; the model must be loaded with eager attention."""
    model, tokenizer = answerer.model, answerer.processor.tokenizer
    prompt = answerer.prompt([question], len(pictures))
    inputs = answerer.processor(images=pictures, text=prompt, return_tensors="pt")
    prompt_ids = inputs.pop("input_ids")
    inputs.pop("attention_mask")
    length = prompt_ids.shape[1]
    # A word behind a special token is encoded as it is in the middle of a line.
    given = tokenizer(f"{tokenizer.eos_token} {answer}", add_special_tokens=False, return_tensors="pt").input_ids[:, 1:]
    ids = torch.cat([prompt_ids, given], 1)
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        inputs["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(given.shape)], 1)
    with torch.enable_grad():
        out = model(input_ids=ids, **inputs, output_attentions=True)
        relevancy = relevancy_row(list(out.attentions), out.logits[0], ids[0], length, token)
    image = (ids[0] == model.config.image_token_id).nonzero().flatten()
    query = length - 1 + token
    attention = torch.stack([weights[0, :, query].detach()[:, image] for weights in out.attentions])
    return Maps(attention.numpy(), relevancy[image].numpy(), _grids(model.config, inputs, len(image)))


def _grids(config: PreTrainedConfig, inputs: BatchFeature, tokens: int) -> list[tuple[int, int]]:
    if "image_grid_thw" not in inputs:
        side = round(tokens**0.5)
        return [(side, side)]
    merge = config.vision_config.spatial_merge_size
    return [(rows // merge, columns // merge) for _, rows, columns in inputs["image_grid_thw"].tolist()]
