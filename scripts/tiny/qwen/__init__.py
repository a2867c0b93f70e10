"""The second model: a tiny Qwen3-VL with a dynamic grid, M-RoPE, grouped queries and several pictures."""
