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

from tiny.answering import Answerer


@dataclass
class Maps:
    """For one answer token: attention [L, H, N] and relevancy [N] over the image patches, rows first."""

    attention: np.ndarray
    relevancy: np.ndarray


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


def maps(answerer: Answerer, picture: Image.Image, question: str, answer: str, token: int) -> Maps:
    """Attention and relevancy of answer token `token` when `answer` is given; the model must be loaded with eager attention."""
    model, processor = answerer.model, answerer.processor
    prompt = answerer.prompt([question])
    inputs = processor(images=picture, text=prompt, return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    given = processor.tokenizer("<image> " + answer, add_special_tokens=False, return_tensors="pt").input_ids[:, 1:]
    ids = torch.cat([inputs["input_ids"], given], 1)
    with torch.enable_grad():
        out = model(input_ids=ids, pixel_values=inputs["pixel_values"], output_attentions=True)
        relevancy = relevancy_row(list(out.attentions), out.logits[0], ids[0], length, token)
    image = (ids[0] == model.config.image_token_id).nonzero().flatten()
    query = length - 1 + token
    attention = torch.stack([weights[0, :, query].detach()[:, image] for weights in out.attentions])
    return Maps(attention.numpy(), relevancy[image].numpy())
