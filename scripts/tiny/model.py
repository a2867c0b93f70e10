"""The tiny LLaVA: its configuration, its initial weights, and a packed forward pass over the same weights.

The forward pass is our own because transformers would encode the picture once for every question: here nine questions share one
picture. tests/test_tiny.py holds it to `LlavaForConditionalGeneration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

IMAGE_SIZE, PATCH_SIZE = 168, 14
WIDTH, MLP_WIDTH, VISION_LAYERS, TEXT_LAYERS = 128, 384, 5, 6


def build_model(processor: LlavaProcessor, seed: int) -> LlavaForConditionalGeneration:
    """A freshly initialised model for this processor's vocabulary."""
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_act="gelu_pytorch_tanh",
        projection_dim=WIDTH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_seq_length=(IMAGE_SIZE // PATCH_SIZE) ** 2,
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config).float()
    _initialise(model)
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.max_new_tokens = 32
    model.generation_config.do_sample = False
    return model


@torch.no_grad()
def _initialise(model: LlavaForConditionalGeneration) -> None:
    """Standard deviations that let a narrow model start fast: 0.7/√fan_in, less for what writes into the residual stream."""
    for name, weight in model.named_parameters():
        leaf = name.rsplit(".", 2)[-2:]
        if name.endswith("bias"):
            weight.zero_()
        elif "norm" in leaf[0] or "layrnorm" in leaf[0]:
            weight.fill_(1.0)
        elif "embed_tokens" in name:
            weight.normal_(0, 0.5)
        elif "lm_head" in name:
            weight.normal_(0, 0.5 / math.sqrt(weight.shape[1]))
        elif "position_embedding" in name or "class_embedding" in name:
            weight.normal_(0, 0.3)
        elif "patch_embedding" in name:
            weight.normal_(0, 1.4 / math.sqrt(weight[0].numel()))
        else:
            scale = 0.7 / math.sqrt(weight.shape[1])
            writes = leaf[0] in ("out_proj", "o_proj", "fc2", "down_proj")
            weight.normal_(0, scale * (0.4 if writes else 1.0))


@dataclass
class Branches:
    """Several question branches behind one prefix, for each row of a batch.

    `ids` [B, S]: prefix, then branches, then padding. `positions` [B, S] (or [3, B, S]: time, row, column): every branch starts
    again behind the prefix. `branch` [B, S]: −1 for the prefix, the branch's number, or −2 for padding.
    """

    ids: Tensor
    positions: Tensor
    branch: Tensor
    prefix: int

    def bias(self) -> Tensor:
        """Additive mask [B, 1, S, S]: causal, and no branch sees another one."""
        query, key = self.branch[:, :, None], self.branch[:, None, :]
        size = self.ids.shape[1]
        seen = torch.ones(size, size, dtype=torch.bool).tril() & ((key == -1) | (key == query))
        return torch.zeros(seen.shape).masked_fill_(~seen, -1e9)[:, None]


@dataclass
class Packed(Branches):
    """Branches behind one picture, whose patches start at position `image_start`."""

    image_start: int


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention over [B, H, S, d]; the mixed values [B, S, H·d]. Both towers scale by 1/√d. In float32: bfloat16 is slower on a CPU."""
    with torch.autocast("cpu", enabled=False):
        mixed = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def vision_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Patch features [B, N, D] of the layer that the projector reads; `pixels` [B, 3, H, W] normalised.

    The last layer is skipped: feature layer −2 never passes through it.
    """
    tower = model.model.vision_tower
    embeddings = tower.embeddings
    size = embeddings.patch_size
    patches = F.unfold(pixels, size, stride=size).transpose(1, 2)
    x = patches @ embeddings.patch_embedding.weight.flatten(1).t()
    x = torch.cat([embeddings.class_embedding.expand(len(x), 1, -1), x], 1) + embeddings.position_embedding.weight
    x = tower.pre_layrnorm(x)
    for layer in tower.encoder.layers[: model.config.vision_feature_layer + 1]:
        attention = layer.self_attn
        y = layer.layer_norm1(x)
        q, k, v = (
            split_heads(project(y), attention.num_heads)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        x = x + attention.out_proj(attend(q, k, v, None))
        x = x + layer.mlp(layer.layer_norm2(x))
    return x[:, 1:]


def rms_norm(x: Tensor, norm: nn.Module) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat((-right, left), -1) * sin


@dataclass
class Guides:
    """Rows whose attention should lie on an object, padded per picture: rows [B, M], patches [B, M, N] and counts [B, M] in 0/1."""

    layers: tuple[int, ...]
    heads: slice
    rows: Tensor
    patches: Tensor
    counts: Tensor

    def loss(self, q: Tensor, k: Tensor, bias: Tensor, image: slice | Tensor) -> Tensor:
        """Mean of −log of the attention mass on the guided patches; the weights are computed again for these rows alone."""
        heads = q[:, self.heads]
        at = self.rows[:, None, :, None].expand(-1, heads.shape[1], -1, heads.shape[3])
        scores = heads.gather(2, at) @ k[:, self.heads].transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores + bias.gather(2, self.rows[:, None, :, None].expand(-1, 1, -1, bias.shape[3]))
        mass = (scores.softmax(-1)[..., image] * self.patches[:, None]).sum(-1)
        return -((mass + 1e-4).log() * self.counts[:, None]).sum() / (self.counts.sum() * heads.shape[1]).clamp(min=1)


def packed_text(
    model: LlavaForConditionalGeneration, features: Tensor, packed: Packed, guides: tuple[Guides, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Final hidden states [B, S − prefix, D] of the branches, and the sum over `guides` of their mean loss a layer.

    In the last layer only the branches ask: nothing reads the prefix's output there.
    """
    language = model.model.language_model
    x = language.embed_tokens(packed.ids)
    projected = model.model.multi_modal_projector(features)
    start = packed.image_start
    image = slice(start, start + projected.shape[1])
    x = torch.cat([x[:, :start], projected, x[:, image.stop :]], 1)
    cos, sin = (t[:, None] for t in language.rotary_emb(x, packed.positions))
    bias, guided = packed.bias(), torch.zeros(())
    for index, layer in enumerate(language.layers):
        attention, heads = layer.self_attn, model.config.text_config.num_attention_heads
        first = packed.prefix if index == len(language.layers) - 1 else 0
        y = rms_norm(x, layer.input_layernorm)
        k = rotate(split_heads(attention.k_proj(y), heads), cos, sin)
        v = split_heads(attention.v_proj(y), heads)
        q = rotate(split_heads(attention.q_proj(y[:, first:]), heads), cos[:, :, first:], sin[:, :, first:])
        for guide in guides:
            if index in guide.layers:
                guided = guided + guide.loss(q, k, bias, image) / len(guide.layers)
        x = x[:, first:] + attention.o_proj(attend(q, k, v, bias[:, :, first:]))
        y = rms_norm(x, layer.post_attention_layernorm)
        x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
    return rms_norm(x, language.norm), guided
