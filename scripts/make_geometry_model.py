#!/usr/bin/env python3
"""Writes a random model of LLaVA-1.5's geometry as a bundle, for benches: about 0.5 GB, in minutes; not for git.

    python scripts/make_geometry_model.py --out out/geometry [--checkpoint out/geometry-torch]

32 layers × 32 heads, 576 patches, a vision tower of 24 × 16: the shapes of everything that vlmscope draws are LLaVA-1.5-7B's; the
layers are narrow, so that the file stays small. With --checkpoint the PyTorch model is saved too, for the baselines.
"""

import argparse
from pathlib import Path

from fixtures.models import CHECKPOINT, export_random, random_llava


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle; replaced if it exists")
    parser.add_argument("--checkpoint", type=Path, help="also save the PyTorch model and processor here")
    parser.add_argument("--tokenizer", type=Path, default=CHECKPOINT, help="folder of the processor to borrow")
    options = parser.parse_args()
    from transformers import CLIPVisionConfig, LlamaConfig

    text = LlamaConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
    )
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    model, processor = random_llava(text, vision, options.tokenizer, seed=15)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters")
    if options.checkpoint:
        model.save_pretrained(options.checkpoint)
        processor.save_pretrained(options.checkpoint)
    export_random(model, processor, options.out, "geometry of LLaVA-1.5", self_check=False)


if __name__ == "__main__":
    main()
