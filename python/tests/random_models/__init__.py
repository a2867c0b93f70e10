"""Random small models of every family, with the family's real processor classes and a synthetic tokenizer. Nothing is downloaded."""

from __future__ import annotations

from . import gemma_llama, llava, qwen, tiled

BUILDERS = {
    builder.__name__: builder
    for builder in (
        llava.llava,
        llava.llava_siglip,
        llava.vipllava,
        llava.pixtral,
        llava.mistral3,
        llava.llava_next,
        llava.llava_onevision,
        qwen.qwen2_vl,
        qwen.qwen2_5_vl,
        qwen.qwen3_vl,
        qwen.qwen3_vl_moe,
        qwen.qwen3_5,
        qwen.glm4v,
        tiled.internvl,
        tiled.cohere2_vision,
        tiled.aya_vision,
        tiled.idefics3,
        tiled.smolvlm,
        tiled.lfm2_vl,
        tiled.molmo2,
        tiled.minicpm,
        gemma_llama.gemma3,
        gemma_llama.gemma4,
        gemma_llama.paligemma,
        gemma_llama.paligemma2,
        gemma_llama.llama4,
        gemma_llama.mllama,
        gemma_llama.idefics2,
    )
}
