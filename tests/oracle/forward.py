"""What the float64 forward passes share: weights out of a GGUF, the few operations of a decoder, a KV cache, greedy
decoding.

Everything is computed in float64 from weights that PyPI `gguf` dequantised, in the plainest form of the papers;
nothing here knows elver. Each family is a small class beside this file with `n_vocab`, `new_cache()` and
`forward(ids, cache)`; this file leaves their layers to them.
"""

import argparse
import sys

import gguf
import numpy as np


class Weights:
    """The metadata and tensors of one GGUF file; a tensor is [rows, columns] in float64, as y = w @ x wants it."""

    def __init__(self, path):
        self.path = path
        self.reader = gguf.GGUFReader(path)
        self.tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        self.architecture = self.key("general.architecture")

    def key(self, name, default=None):
        field = self.reader.fields.get(name)
        return default if field is None else field.contents()

    def arch(self, name, default=None):
        """A key of the file's own architecture; without a default it must be there."""
        value = self.key(f"{self.architecture}.{name}", default)
        if value is None:
            raise KeyError(f"{self.path}: key {self.architecture}.{name} is missing")
        return value

    def has(self, name):
        return name in self.tensors

    def load(self, name, dtype=np.float64):
        tensor = self.tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape(tuple(int(n) for n in reversed(tensor.shape))).astype(dtype)


class Cache:
    """Keys after RoPE, and values, of every layer: lists of [n, n_kv_heads, head_dim]."""

    def __init__(self, n_layers):
        self.keys = [None] * n_layers
        self.values = [None] * n_layers
        self.n_past = 0

    def extend(self, layer, k, v):
        if self.keys[layer] is not None:
            k = np.concatenate([self.keys[layer], k])
            v = np.concatenate([self.values[layer], v])
        self.keys[layer], self.values[layer] = k, v
        return k, v


def rms_norm(x, weight, eps):
    """Zhang and Sennrich 2019, eq. 4."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    """Hendrycks and Gimpel 2016, the tanh form."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def rope_frequencies(dims, base, divisors=None):
    """Su et al. 2021, eq. 15: one angle per position and pair; `divisors` is the tensor rope_freqs of Llama 3."""
    frequencies = float(base) ** (-np.arange(0, dims, 2) / dims)
    return frequencies if divisors is None else frequencies / divisors


def rope(x, positions, frequencies, halves):
    """Rotates the first 2 * len(frequencies) dims of x [n, heads, head_dim]: pairs (2i, 2i + 1), or (i, i + dims / 2)
    if halves."""
    dims = 2 * len(frequencies)
    angles = np.outer(positions, frequencies)[:, None, :]
    cos, sin = np.cos(angles), np.sin(angles)
    out = x.copy()
    a, b = (slice(0, dims // 2), slice(dims // 2, dims)) if halves else (slice(0, dims, 2), slice(1, dims, 2))
    out[..., a] = x[..., a] * cos - x[..., b] * sin
    out[..., b] = x[..., a] * sin + x[..., b] * cos
    return out


def attention(q, k, v, scale, window=0):
    """Causal grouped-query attention (Ainslie et al. 2023). The last len(q) of the keys are those of the queries.

    q [n, n_heads, head_dim]; k and v [n_past + n, n_kv_heads, head_dim]; window 0 for none, else own position included.
    """
    n, n_heads, head_dim = q.shape
    n_keys, n_kv_heads, _ = k.shape
    query_pos = np.arange(n_keys - n, n_keys)[:, None]
    key_pos = np.arange(n_keys)[None, :]
    hidden = key_pos > query_pos
    if window:
        hidden |= key_pos <= query_pos - window
    out = np.empty((n, n_heads, v.shape[2]))
    for head in range(n_heads):
        kv_head = head // (n_heads // n_kv_heads)
        scores = q[:, head] @ k[:, kv_head].T * scale
        out[:, head] = np.exp(log_softmax(np.where(hidden, -np.inf, scores))) @ v[:, kv_head]
    return out.reshape(n, -1)


def greedy(model, prompt, n_tokens):
    """The most likely continuation step by step: (ids, margins), a margin being the best logit less the second best."""
    cache = model.new_cache()
    logits = model.forward(prompt, cache)[-1]
    ids, margins = [], []
    for _ in range(n_tokens):
        second, best = np.argsort(logits)[-2:]
        ids.append(int(best))
        margins.append(float(logits[best] - logits[second]))
        if len(ids) < n_tokens:
            logits = model.forward([int(best)], cache)[-1]
    return ids, margins


def command(model_class):
    """The command line of a forward pass: MODEL --tokens 1,2,3 --output F.npy [--greedy N]."""
    parser = argparse.ArgumentParser(description=sys.modules[model_class.__module__].__doc__)
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--tokens", required=True, help="comma-separated ids")
    parser.add_argument("--output", help="write the logits here: .npy, float64 [n_tokens, n_vocab]")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="print N greedy ids and their margins")
    args = parser.parse_args()
    ids = [int(token) for token in args.tokens.split(",")]
    model = model_class(args.model)
    if args.output:
        np.save(args.output, model.forward(ids, model.new_cache()))
    if args.greedy:
        for token, margin in zip(*greedy(model, ids, args.greedy)):
            print(token, f"{margin:.4f}")
