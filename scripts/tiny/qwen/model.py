"""The tiny Qwen3-VL: its configuration, its first weights, and a packed forward pass over the same weights.

Pictures of one batch share a grid, and about nine question branches share a prefix of one or two pictures.
tests/test_tiny_qwen.py holds the pass to `Qwen3VLForConditionalGeneration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlavaForConditionalGeneration, Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
from transformers.vision_utils import get_vision_interpolation_indices_and_weights

from tiny.model import MLP_WIDTH, TEXT_LAYERS, WIDTH, Branches, Guides, attend, rms_norm, rotate, split_heads
from tiny.qwen.text import MERGE, PATCH_SIZE

VISION_LAYERS, VISION_HEADS, POSITION_SIDE = 4, 4, 12
HEADS, KEY_VALUE_HEADS, HEAD_WIDTH = 8, 4, 16
MROPE_SECTION = [2, 3, 3]  # of the 8 frequencies of a head: time, rows, columns; interleaved
QUERY_KEY_SCALE = 2.0


def build_model(processor: Qwen3VLProcessor, seed: int) -> Qwen3VLForConditionalGeneration:
    """A freshly initialised model for this processor's vocabulary. Without DeepStack: one more merger is 0.33 M weights."""
    tokenizer = processor.tokenizer
    id_of = tokenizer.convert_tokens_to_ids
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Qwen3VLConfig(
        vision_config={
            "depth": VISION_LAYERS,
            "hidden_size": WIDTH,
            "intermediate_size": MLP_WIDTH,
            "num_heads": VISION_HEADS,
            "patch_size": PATCH_SIZE,
            "spatial_merge_size": MERGE,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": POSITION_SIDE**2,
            "deepstack_visual_indexes": [],
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": MLP_WIDTH,
            "num_hidden_layers": TEXT_LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KEY_VALUE_HEADS,
            "head_dim": HEAD_WIDTH,
            "max_position_embeddings": 1024,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": MROPE_SECTION,
                "mrope_interleaved": True,
            },
            **special,
        },
        image_token_id=id_of(processor.image_token),
        video_token_id=id_of(processor.video_token),
        vision_start_token_id=id_of("<|vision_start|>"),
        vision_end_token_id=id_of("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).float()
    _initialise(model)
    generation = model.generation_config
    generation.bos_token_id, generation.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    generation.pad_token_id = tokenizer.pad_token_id
    generation.max_new_tokens, generation.do_sample = 32, False
    return model


@torch.no_grad()
def _initialise(model: Qwen3VLForConditionalGeneration) -> None:
    """Standard deviations of the first model: 0.7/√fan_in, less for what writes into the residual stream."""
    for name, weight in model.named_parameters():
        leaf = name.rsplit(".", 2)[-2:]
        if name.endswith("bias"):
            weight.zero_()
        elif leaf[0] in ("q_norm", "k_norm"):
            weight.fill_(QUERY_KEY_SCALE)
        elif "norm" in leaf[0]:
            weight.fill_(1.0)
        elif "embed_tokens" in name:
            weight.normal_(0, 0.5)
        elif "pos_embed" in name:
            weight.normal_(0, 0.3)
        elif "lm_head" in name:
            weight.normal_(0, 0.5 / math.sqrt(weight.shape[1]))
        elif "patch_embed" in name:
            weight.normal_(0, 1.0 / math.sqrt(weight[0, :, 0].numel()))  # two equal frames add up to 1.4
        else:
            scale = 0.7 / math.sqrt(weight.shape[1])
            writes = leaf[0] in ("proj", "o_proj", "linear_fc2", "down_proj")
            weight.normal_(0, scale * (0.4 if writes else 1.0))


@torch.no_grad()
def start_from_llava(
    model: Qwen3VLForConditionalGeneration,
    processor: Qwen3VLProcessor,
    llava: LlavaForConditionalGeneration,
    vocabulary: dict[str, int],
) -> None:
    """Copies what fits from the first model: the tower, the projector, the decoder, and the rows of words that both know.

    Each group of two query heads keeps the keys and values of the first one's head. Tower and decoder then turn queries and keys in another
    way, so this is only a better start than chance.
    """
    _start_vision(model, llava)
    ours, theirs = model.model.language_model, llava.model.language_model
    same = {token: index for token, index in processor.tokenizer.get_vocab().items() if token in vocabulary}
    rows, old = list(same.values()), [vocabulary[token] for token in same]
    ours.embed_tokens.weight[rows] = theirs.embed_tokens.weight[old]
    model.lm_head.weight[rows] = llava.lm_head.weight[old]
    ours.norm.weight.copy_(theirs.norm.weight)
    for mine, its in zip(ours.layers, theirs.layers, strict=True):
        mine.mlp.load_state_dict(its.mlp.state_dict())
        mine.input_layernorm.weight.copy_(its.input_layernorm.weight)
        mine.post_attention_layernorm.weight.copy_(its.post_attention_layernorm.weight)
        mine.self_attn.q_proj.weight.copy_(its.self_attn.q_proj.weight)
        mine.self_attn.o_proj.weight.copy_(its.self_attn.o_proj.weight)
        for name in ("k_proj", "v_proj"):
            heads = getattr(its.self_attn, name).weight.unflatten(0, (HEADS, HEAD_WIDTH))
            getattr(mine.self_attn, name).weight.copy_(heads[:: HEADS // KEY_VALUE_HEADS].flatten(0, 1))


def _start_vision(model: Qwen3VLForConditionalGeneration, llava: LlavaForConditionalGeneration) -> None:
    ours, theirs = model.model.visual, llava.model.vision_tower
    embeddings = theirs.embeddings
    # The first tower normalises behind the embedding; here its mean scale is part of the embedding.
    gain = 1.0 / embeddings.position_embedding.weight[1:].std()
    gain = gain * theirs.pre_layrnorm.weight
    patch = embeddings.patch_embedding.weight * gain[:, None, None, None]
    ours.patch_embed.proj.weight.copy_(patch[:, :, None].expand_as(ours.patch_embed.proj.weight) / 2)
    ours.patch_embed.proj.bias.copy_(theirs.pre_layrnorm.bias)
    ours.pos_embed.weight.copy_(embeddings.position_embedding.weight[1:] * gain)
    for mine, its in zip(ours.blocks, theirs.encoder.layers, strict=False):
        mine.norm1.load_state_dict(its.layer_norm1.state_dict())
        mine.norm2.load_state_dict(its.layer_norm2.state_dict())
        attention = its.self_attn
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        mine.attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
        mine.attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
        mine.attn.proj.load_state_dict(attention.out_proj.state_dict())
        mine.mlp.linear_fc1.load_state_dict(its.mlp.fc1.state_dict())
        mine.mlp.linear_fc2.load_state_dict(its.mlp.fc2.state_dict())
    _start_merger(ours.merger, llava.model.multi_modal_projector)


def _start_merger(merger: torch.nn.Module, projector: torch.nn.Module) -> None:
    """The first 128 hidden units project the mean of a cell's patches as the first model projects one patch."""
    first, second = projector.linear_1, projector.linear_2
    merger.linear_fc1.weight[:WIDTH] = first.weight.repeat(1, MERGE**2) / MERGE**2
    merger.linear_fc1.bias[:WIDTH] = first.bias
    merger.linear_fc2.weight[:, :WIDTH] = second.weight
    merger.linear_fc2.bias.copy_(second.bias)


@lru_cache(maxsize=256)
def _places(rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each patch, in raster order: the four nearest rows of the position table, their weights, and its row and column [N, 2]."""
    nearest, weights = get_vision_interpolation_indices_and_weights(
        torch.tensor([[1, rows, columns]]), POSITION_SIDE, "bilinear", True
    )
    at = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"), -1).flatten(0, 1)
    return nearest, weights, at


def vision_features(model: Qwen3VLForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Patch features [B, N, D] in raster order behind the last layer; `pixels` [B, 3, H, W] normalised."""
    tower = model.model.visual
    size = tower.patch_size
    kernel = tower.patch_embed.proj
    x = F.linear(F.unfold(pixels, size, stride=size).transpose(1, 2), kernel.weight.sum(2).flatten(1), kernel.bias)
    nearest, weights, at = _places(pixels.shape[2] // size, pixels.shape[3] // size)
    x = x + (tower.pos_embed(nearest) * weights[:, :, None]).sum(1)
    cos, sin = tower.rotary_pos_emb(x, at)
    for block in tower.blocks:
        y = block.attn.qkv(block.norm1(x))
        q, k, v = (split_heads(part, VISION_HEADS) for part in y.chunk(3, -1))
        x = x + block.attn.proj(attend(rotate(q, cos, sin), rotate(k, cos, sin), v, None))
        x = x + block.mlp(block.norm2(x))
    return x


def merged(model: Qwen3VLForConditionalGeneration, features: Tensor, rows: int, columns: int) -> Tensor:
    """Tokens of the text model [B, N / 4, D], in raster order of the cells, from patch features of a grid of `rows` × `columns`."""
    blocks = features.unflatten(1, (rows // MERGE, MERGE, columns // MERGE, MERGE)).transpose(2, 3)
    return model.model.visual.merger(blocks.flatten(1, 4)).unflatten(0, (len(features), -1))


@dataclass
class PackedGrids(Branches):
    """Branches behind one or two pictures, whose tokens stand at `image` [M]. `positions` [3, B, S]."""

    image: Tensor


def packed_text(
    model: Qwen3VLForConditionalGeneration, cells: Tensor, packed: PackedGrids, guides: tuple[Guides, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Final hidden states [B, S − prefix, D] of the branches, and the sum over `guides` of their mean loss a layer.

    `cells` [B, M, D] are the pictures' tokens. In the last layer only the branches ask: nothing reads the prefix's output there.
    """
    language = model.model.language_model
    x = language.embed_tokens(packed.ids).index_copy(1, packed.image, cells)
    cos, sin = (t[:, None] for t in language.rotary_emb(x, packed.positions))
    bias, guided = packed.bias(), torch.zeros(())
    for index, layer in enumerate(language.layers):
        attention = layer.self_attn
        first = packed.prefix if index == len(language.layers) - 1 else 0
        y = rms_norm(x, layer.input_layernorm)
        k, v = (
            split_heads(project(y), KEY_VALUE_HEADS).repeat_interleave(HEADS // KEY_VALUE_HEADS, 1)
            for project in (attention.k_proj, attention.v_proj)
        )
        k = rotate(rms_norm(k, attention.k_norm), cos, sin)
        q = rms_norm(split_heads(attention.q_proj(y[:, first:]), HEADS), attention.q_norm)
        q = rotate(q, cos[:, :, first:], sin[:, :, first:])
        for guide in guides:
            if index in guide.layers:
                guided = guided + guide.loss(q, k, bias, packed.image) / len(guide.layers)
        x = x[:, first:] + attention.o_proj(attend(q, k, v, bias[:, :, first:]))
        y = rms_norm(x, layer.post_attention_layernorm)
        x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
    return rms_norm(x, language.norm), guided
