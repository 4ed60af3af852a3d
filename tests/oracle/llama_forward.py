#!/usr/bin/env python3
"""The llama family in float64 NumPy, straight from a GGUF: the reference for logits and greedy text of such files.

Touvron et al. 2023: pre-norm with RMSNorm, grouped-query attention with RoPE on adjacent pairs (as GGUF stores q and
k), SwiGLU, tied or own head. Dense models only; experts, biases and other families have oracles of their own.

    llama_forward.py MODEL --tokens 1,2,3 --output logits.npy
"""

import numpy as np

from forward import Cache, Weights, attention, command, rms_norm, rope, rope_frequencies, silu

LAYER_TENSORS = ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down")


class LlamaForward:
    def __init__(self, path):
        w = Weights(path)
        self.n_layers = w.arch("block_count")
        self.n_heads = w.arch("attention.head_count")
        self.n_kv_heads = w.arch("attention.head_count_kv", self.n_heads)
        self.head_dim = w.arch("attention.key_length", w.arch("embedding_length") // self.n_heads)
        self.eps = w.arch("attention.layer_norm_rms_epsilon")
        self.window = w.arch("attention.sliding_window", 0)
        divisors = w.load("rope_freqs.weight") if w.has("rope_freqs.weight") else None
        self.frequencies = rope_frequencies(
            w.arch("rope.dimension_count", self.head_dim), w.arch("rope.freq_base", 10000.0), divisors
        )
        self.embedding = w.load("token_embd.weight")
        self.head = w.load("output.weight") if w.has("output.weight") else self.embedding
        self.output_norm = w.load("output_norm.weight")
        self.layers = [{name: w.load(f"blk.{i}.{name}.weight") for name in LAYER_TENSORS} for i in range(self.n_layers)]
        self.n_vocab = len(self.head)

    def new_cache(self):
        return Cache(self.n_layers)

    def product(self, x, w):
        """x W^T; whoever rounds activations says so in a class of its own."""
        return x @ w.T

    def forward(self, ids, cache):
        """Logits [len(ids), n_vocab] of the next tokens after what `cache` holds; adds them to the cache."""
        return self.product(self.hidden(ids, cache), self.head)

    def hidden(self, ids, cache):
        """The hidden states [len(ids), width] after the last norm."""
        n = len(ids)
        positions = np.arange(cache.n_past, cache.n_past + n)
        x = self.embedding[ids]
        for i, w in enumerate(self.layers):
            h = rms_norm(x, w["attn_norm"], self.eps)
            q = self.product(h, w["attn_q"]).reshape(n, self.n_heads, self.head_dim)
            k = self.product(h, w["attn_k"]).reshape(n, self.n_kv_heads, self.head_dim)
            v = self.product(h, w["attn_v"]).reshape(n, self.n_kv_heads, self.head_dim)
            q = rope(q, positions, self.frequencies, halves=False)
            k, v = cache.extend(i, rope(k, positions, self.frequencies, halves=False), v)
            x = x + self.product(attention(q, k, v, self.head_dim**-0.5, self.window), w["attn_output"])
            h = rms_norm(x, w["ffn_norm"], self.eps)
            x = x + self.product(silu(self.product(h, w["ffn_gate"])) * self.product(h, w["ffn_up"]), w["ffn_down"])
        cache.n_past += n
        return rms_norm(x, self.output_norm, self.eps)


if __name__ == "__main__":
    command(LlamaForward)
