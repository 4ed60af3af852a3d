#!/usr/bin/env python3
"""Makes nomic-bert, jina-bert-v2 and modern-bert (.gguf, .json) beside it: tiny random encoders, embeddings by a float64
forward in NumPy written from the papers (Nussbaum et al. 2024; Günther et al. 2023; Warner et al. 2024).

Needs NumPy and gguf. With ELVER_PEERS, llama.cpp gives a second opinion on the hidden states.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "archs"))

import second_opinion  # noqa: E402
from tiny import Tiny, random_for, write_gguf  # noqa: E402
from vocabulary import wordpiece  # noqa: E402

N_VOCAB, N_TOKENS, WIDTH, HEADS, FFN, EPS = 59, 23, 24, 2, 28, 1e-2
HEAD = WIDTH // HEADS


def layer_norm(x, t, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * t[name + ".weight"] + t.get(name + ".bias", 0)


def maybe_norm(x, t, name):
    return layer_norm(x, t, name) if name + ".weight" in t else x


def linear(x, t, name):
    return x @ t[name + ".weight"].T + t.get(name + ".bias", 0)


def rotate(x, base):
    """x [n_tokens, HEADS, HEAD], pairs are the halves."""
    angle = np.arange(len(x))[:, None, None] * base ** (-np.arange(0, HEAD, 2) / HEAD)
    first, second = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    return np.concatenate(
        [first * np.cos(angle) - second * np.sin(angle), second * np.cos(angle) + first * np.sin(angle)], -1
    )


def attention(x, t, blk, base, window, alibi):
    n = len(x)
    if blk + "attn_qkv.weight" in t:
        q, k, v = np.split(linear(x, t, blk + "attn_qkv"), 3, axis=1)
    else:
        q, k, v = (linear(x, t, blk + "attn_" + part) for part in "qkv")
    q, k = maybe_norm(q, t, blk + "attn_q_norm"), maybe_norm(k, t, blk + "attn_k_norm")
    q, k, v = (a.reshape(n, HEADS, HEAD) for a in (q, k, v))
    if base:
        q, k = rotate(q, base), rotate(k, base)
    distance = np.abs(np.arange(n)[:, None] - np.arange(n))
    out = np.zeros((n, HEADS, HEAD))
    for h in range(HEADS):
        scores = q[:, h] @ k[:, h].T / math.sqrt(HEAD) - distance * (2.0 ** (-alibi * (h + 1) / HEADS) if alibi else 0)
        scores[distance > (window // 2 if window else n)] = -np.inf
        weights = np.exp(scores - scores.max(1, keepdims=True))
        out[:, h] = weights / weights.sum(1, keepdims=True) @ v[:, h]
    return linear(out.reshape(n, -1), t, blk + "attn_output")


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def ffn(x, t, blk, activation):
    up = linear(x, t, blk + "ffn_up")
    gate, up = (linear(x, t, blk + "ffn_gate"), up) if blk + "ffn_gate.weight" in t else np.split(up, 2, axis=1)
    return linear(activation(gate) * up, t, blk + "ffn_down")


def forward(t, ids, n_layers, activation, layer):
    """layer(i): base of RoPE or None, window or 0, ALiBi's bias or 0."""
    x = t["token_embd.weight"][ids] + (t["token_types.weight"][0] if "token_types.weight" in t else 0)
    x = layer_norm(x, t, "token_embd_norm")
    for i in range(n_layers):
        blk = f"blk.{i}."
        x = x + attention(maybe_norm(x, t, blk + "attn_norm"), t, blk, *layer(i))
        x = maybe_norm(x, t, blk + "attn_output_norm")
        x = x + ffn(maybe_norm(x, t, blk + "ffn_norm"), t, blk, activation)
        x = maybe_norm(x, t, blk + "layer_output_norm")
    return maybe_norm(x, t, "output_norm")


def tensors(name, shapes):
    random, out = random_for(name), {}
    for key, shape in shapes.items():
        if key.endswith("norm.weight"):
            value = 1 + 0.3 * random.standard_normal(shape)
        elif key.endswith("bias"):
            value = 0.3 * random.standard_normal(shape)
        else:
            value = 1.4 * random.standard_normal(shape) / (1 if key.startswith("token") else np.sqrt(shape[-1]))
        out[key] = value.astype(np.float32)
    return out


def norms(*names):
    return {f"{name}.{part}": (WIDTH,) for name in names for part in ("weight", "bias")}


def keys(n_layers, **more):
    common = {
        "block_count": n_layers,
        "context_length": 64,
        "embedding_length": WIDTH,
        "feed_forward_length": FFN,
        "attention.head_count": HEADS,
        "attention.layer_norm_epsilon": EPS,
        "attention.causal": False,
        "general.file_type": 0,
    }
    return {**common, **{key.replace("__", "."): value for key, value in more.items()}}


def nomic():
    shapes = {"token_embd.weight": (N_VOCAB, WIDTH), "token_types.weight": (2, WIDTH), **norms("token_embd_norm")}
    for i in range(2):
        b = f"blk.{i}."
        shapes.update({b + "attn_qkv.weight": (3 * WIDTH, WIDTH), b + "attn_output.weight": (WIDTH, WIDTH)})
        shapes.update({b + "ffn_gate.weight": (FFN, WIDTH), b + "ffn_up.weight": (FFN, WIDTH)})
        shapes.update({b + "ffn_down.weight": (WIDTH, FFN), **norms(b + "attn_output_norm", b + "layer_output_norm")})
    t = tensors("nomic-bert", shapes)
    about = "RoPE, fused q, k, v without bias, SwiGLU, norms of the sums, mean pooling"
    k = keys(2, pooling_type=1, rope__freq_base=1000.0)
    return about, k, t, lambda ids: forward(t, ids, 2, silu, lambda i: (1000.0, 0, 0)), "mean"


def jina():
    shapes = {"token_embd.weight": (N_VOCAB, WIDTH), "token_types.weight": (2, WIDTH), **norms("token_embd_norm")}
    for i in range(2):
        b = f"blk.{i}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes.update({f"{b}{part}.weight": (WIDTH, WIDTH), f"{b}{part}.bias": (WIDTH,)})
        shapes.update(norms(b + "attn_q_norm", b + "attn_k_norm", b + "attn_output_norm", b + "layer_output_norm"))
        shapes.update({b + "ffn_gate.weight": (FFN, WIDTH), b + "ffn_up.weight": (FFN, WIDTH)})
        shapes.update({b + "ffn_down.weight": (WIDTH, FFN), b + "ffn_down.bias": (WIDTH,)})
    t = tensors("jina-bert-v2", shapes)
    about = "ALiBi to both sides, q and k normed over all heads, gated GELU by erf, norms of the sums, mean pooling"
    return about, keys(2, pooling_type=1), t, lambda ids: forward(t, ids, 2, gelu, lambda i: (None, 0, 8.0)), "mean"


def modern():
    shapes = {"token_embd.weight": (N_VOCAB, WIDTH), "token_embd_norm.weight": (WIDTH,), "output_norm.weight": (WIDTH,)}
    for i in range(4):
        b = f"blk.{i}."
        shapes.update({b + "attn_qkv.weight": (3 * WIDTH, WIDTH), b + "attn_output.weight": (WIDTH, WIDTH)})
        shapes.update({b + "ffn_up.weight": (2 * FFN, WIDTH), b + "ffn_down.weight": (WIDTH, FFN)})
        shapes.update({b + "ffn_norm.weight": (WIDTH,), **({b + "attn_norm.weight": (WIDTH,)} if i else {})})
    t = tensors("modern-bert", shapes)
    about = "a window to both sides on two layers of three, a RoPE base for each kind, gate and up fused, first token"
    k = keys(4, pooling_type=2, rope__freq_base=160000.0, rope__freq_base_swa=10000.0, attention__sliding_window=6)

    def layer(i):
        return (160000.0, 0, 0) if i % 3 == 0 else (10000.0, 6, 0)

    return about, k, t, lambda ids: forward(t, ids, 4, gelu, layer), "first"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the encoders whose numbers come from NumPy.")
    parser.add_argument("--output", type=Path, default=HERE)
    folder = parser.parse_args().output
    good = True
    for name, build in {"nomic-bert": nomic, "jina-bert-v2": jina, "modern-bert": modern}.items():
        about, k, t, run, pooling = build()
        oracle = f"float64 forward in NumPy {np.__version__}"
        write_gguf(Tiny(name, name, about, oracle, k, t, run, vocabulary=wordpiece), folder / f"{name}.gguf")
        ids = [int(i) for i in random_for("prompt of " + name).integers(5, N_VOCAB, N_TOKENS)]
        hidden = run(ids)
        vector = hidden.mean(0) if pooling == "mean" else hidden[0]
        record = {"name": name, "architecture": name, "about": about, "oracle": oracle, "width": WIDTH, "tokens": ids}
        record["embedding"] = np.round(vector / np.linalg.norm(vector), 9).tolist()
        try:
            theirs = second_opinion.hidden(folder / f"{name}.gguf", ids)
            difference = float(np.abs(theirs - hidden).max() / hidden.std())
            record["llama_cpp"] = {"version": second_opinion.version(), "max_over_std": float(f"{difference:.3g}")}
            good = good and difference < 1e-2  # its GELU is a table of half-precision numbers, and the tanh form
            print(name, record["llama_cpp"])
        except second_opinion.MissingPeer as missing:
            print(missing, file=sys.stderr)
        (folder / f"{name}.json").write_text(json.dumps(record) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
