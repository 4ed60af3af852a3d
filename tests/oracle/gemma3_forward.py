#!/usr/bin/env python3
"""Gemma 3 (text) in float64 NumPy, straight from a GGUF: the reference for logits and greedy text of such files.

Gemma 3 Technical Report, 2025: norms before and after each branch, q/k norms, five local layers with a sliding window
to each global one, each kind with its own RoPE base, GELU-gated FFN, embeddings scaled by sqrt(width), tied head.
GGUF stores norm weights with the 1 added.

    gemma3_forward.py MODEL --tokens 2,1,3 --output logits.npy
"""

import numpy as np

from forward import Cache, Weights, attention, command, gelu_tanh, rms_norm, rope, rope_frequencies

LAYER_TENSORS = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_q_norm",
    "attn_k_norm",
    "attn_output",
    "post_attention_norm",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
    "post_ffw_norm",
)


class Gemma3Forward:
    def __init__(self, path):
        w = Weights(path)
        self.n_layers = w.arch("block_count")
        self.width = w.arch("embedding_length")
        self.n_heads = w.arch("attention.head_count")
        self.n_kv_heads = w.arch("attention.head_count_kv", self.n_heads)
        self.head_dim = w.arch("attention.key_length")
        self.eps = w.arch("attention.layer_norm_rms_epsilon")
        self.window = w.arch("attention.sliding_window")
        # Linear scaling is for the global layers only, and divides their positions: the same as dividing frequencies.
        factor = w.arch("rope.scaling.factor", 1.0) if w.arch("rope.scaling.type", "none") == "linear" else 1.0
        self.global_frequencies = rope_frequencies(self.head_dim, w.arch("rope.freq_base", 10000.0)) / factor
        self.local_frequencies = rope_frequencies(self.head_dim, w.arch("rope.freq_base_swa", 10000.0))
        self.embedding = w.load("token_embd.weight")
        self.head = w.load("output.weight") if w.has("output.weight") else self.embedding
        self.output_norm = w.load("output_norm.weight")
        self.layers = [{name: w.load(f"blk.{i}.{name}.weight") for name in LAYER_TENSORS} for i in range(self.n_layers)]
        self.n_vocab = len(self.head)

    def new_cache(self):
        return Cache(self.n_layers)

    def forward(self, ids, cache):
        """Logits [len(ids), n_vocab] of the next tokens after what `cache` holds; adds them to the cache."""
        n = len(ids)
        positions = np.arange(cache.n_past, cache.n_past + n)
        x = self.embedding[ids] * np.sqrt(self.width)
        for i, w in enumerate(self.layers):
            is_global = (i + 1) % 6 == 0
            frequencies = self.global_frequencies if is_global else self.local_frequencies
            h = rms_norm(x, w["attn_norm"], self.eps)
            q = (h @ w["attn_q"].T).reshape(n, self.n_heads, self.head_dim)
            k = (h @ w["attn_k"].T).reshape(n, self.n_kv_heads, self.head_dim)
            v = (h @ w["attn_v"].T).reshape(n, self.n_kv_heads, self.head_dim)
            q = rope(rms_norm(q, w["attn_q_norm"], self.eps), positions, frequencies, halves=True)
            k = rope(rms_norm(k, w["attn_k_norm"], self.eps), positions, frequencies, halves=True)
            k, v = cache.extend(i, k, v)
            h = attention(q, k, v, self.head_dim**-0.5, 0 if is_global else self.window) @ w["attn_output"].T
            x = x + rms_norm(h, w["post_attention_norm"], self.eps)
            h = rms_norm(x, w["ffn_norm"], self.eps)
            h = (gelu_tanh(h @ w["ffn_gate"].T) * (h @ w["ffn_up"].T)) @ w["ffn_down"].T
            x = x + rms_norm(h, w["post_ffw_norm"], self.eps)
        cache.n_past += n
        return rms_norm(x, self.output_norm, self.eps) @ self.head.T


if __name__ == "__main__":
    command(Gemma3Forward)
