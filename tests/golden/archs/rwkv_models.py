"""RWKV 6 and 7 in float64 NumPy, from the papers ("Eagle and Finch", Peng et al. 2024; "Goose", Peng et al. 2025).

llama.cpp's kernels want heads of 64, which makes large files; so it is asked about a larger model by the same code.
"""

import re
from typing import Dict, List, NamedTuple

import numpy as np
from tiny import N_VOCAB, Tiny, random_for

EPS = 2e-2
GROUP_EPS = 64e-5  # fixed by the reference implementation


class Row(NamedTuple):
    name: str
    about: str
    version: int
    head_dim: int
    n_heads: int = 2
    n_layers: int = 2
    ffn: int = 28
    rank: int = 4  # of the low-rank parts; each part has its own, from here upwards


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Rwkv:
    def __init__(self, row: Row, tensors: Dict[str, np.ndarray]):
        self.row = row
        self.t = {name: array.astype(np.float64) for name, array in tensors.items()}

    def norm(self, x, name, eps=EPS):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.t[name + ".weight"] + self.t[name + ".bias"]

    def group_norm(self, x, name):
        """x [n_tokens, n_heads, head_dim], each head by itself."""
        x = x - x.mean(-1, keepdims=True)
        x = (x / np.sqrt((x * x).mean(-1, keepdims=True) + GROUP_EPS)).reshape(len(x), -1)
        return x * self.t[name + ".weight"] + self.t[name + ".bias"]

    def heads(self, x):
        return x.reshape(len(x), self.row.n_heads, self.row.head_dim)

    def time_mix_6(self, x, delta, i):
        def w(name):
            return self.t[f"blk.{i}.time_mix_{name}.weight"]

        low = np.tanh((x + delta * w("lerp_x")) @ w("w1").T).reshape(len(x), 5, -1)
        shift = np.einsum("nkr,kcr->knc", low, w("w2")) + w("lerp_fused").reshape(5, 1, -1)
        xw, xk, xv, xr, xg = x + delta * shift
        r, k, v = (self.heads(a @ w(name).T) for a, name in ((xr, "receptance"), (xk, "key"), (xv, "value")))
        gate = xg @ w("gate").T
        gate = gate * sigmoid(gate)
        decay = self.heads(np.exp(-np.exp(np.tanh(xw @ w("decay_w1").T) @ w("decay_w2").T + w("decay"))))
        state = np.zeros((self.row.n_heads, self.row.head_dim, self.row.head_dim))  # [head, key, value]
        out = np.zeros_like(r)
        for n in range(len(x)):
            kv = k[n][:, :, None] * v[n][:, None, :]
            out[n] = np.einsum("hk,hkv->hv", r[n], state + w("first")[:, :, None] * kv)
            state = state * decay[n][:, :, None] + kv
        return (self.group_norm(out, f"blk.{i}.time_mix_ln") * gate) @ w("output").T

    def time_mix_7(self, x, delta, i):
        def w(name):
            return self.t[f"blk.{i}.time_mix_{name}.weight"]

        xr, xw, xk, xv, xa, xg = x + delta * w("lerp_fused").reshape(6, 1, -1)
        r, k, v = xr @ w("receptance").T, xk @ w("key").T, xv @ w("value").T
        decay = np.exp(-np.exp(-0.5) * sigmoid(np.tanh(xw @ w("w1").T) @ w("w2").T + w("w0")))
        if i == 0:
            self.first_value = v
        else:
            v = v + (self.first_value - v) * sigmoid(xv @ w("v1").T @ w("v2").T + w("v0"))
        gate = sigmoid(xg @ w("g1").T) @ w("g2").T
        rate = sigmoid(xa @ w("a1").T @ w("a2").T + w("a0"))  # of learning in context
        removed = self.heads(k * w("k_k"))
        removed = removed / np.maximum(np.linalg.norm(removed, axis=-1, keepdims=True), 1e-12)
        k = k * (1 + (rate - 1) * w("k_a"))
        r, k, v, decay, rate = map(self.heads, (r, k, v, decay, rate))
        state = np.zeros((self.row.n_heads, self.row.head_dim, self.row.head_dim))  # [head, value, key]
        out = np.zeros_like(r)
        for n in range(len(x)):
            old = np.einsum("hvk,hk->hv", state, removed[n])
            state = state * decay[n][:, None, :] - old[:, :, None] * (removed[n] * rate[n])[:, None, :]
            state = state + v[n][:, :, None] * k[n][:, None, :]
            out[n] = np.einsum("hvk,hk->hv", state, r[n])
        out = self.group_norm(out, f"blk.{i}.time_mix_ln")
        bonus = (r * k * w("r_k").reshape(self.row.n_heads, -1)).sum(-1, keepdims=True) * v
        return ((out + bonus.reshape(len(x), -1)) * gate) @ w("output").T

    def channel_mix(self, x, delta, i):
        def w(name):
            return self.t[f"blk.{i}.channel_mix_{name}.weight"]

        hidden = np.maximum((x + delta * w("lerp_k")) @ w("key").T, 0) ** 2 @ w("value").T
        return hidden * sigmoid((x + delta * w("lerp_r")) @ w("receptance").T) if self.row.version == 6 else hidden

    def __call__(self, ids) -> np.ndarray:
        """ids -> logits, float64 [n_tokens, n_vocab]."""
        mix = self.time_mix_6 if self.row.version == 6 else self.time_mix_7
        x = self.norm(self.t["token_embd.weight"][ids], "token_embd_norm")
        for i in range(self.row.n_layers):
            for part, norm in ((mix, "attn_norm"), (self.channel_mix, "attn_norm_2")):
                normed = self.norm(x, f"blk.{i}.{norm}")
                previous = np.concatenate([np.zeros_like(normed[:1]), normed[:-1]])
                x = x + part(normed, previous - normed, i)
            if self.row.version == 6 and (i + 1) % 2 == 0:
                x = x * 0.5  # rescale_every_n_layers; the file's weights are made for it
        return self.norm(x, "output_norm") @ self.t["output.weight"].T


def shapes(row: Row) -> Dict[str, tuple]:
    width, f, r = row.head_dim * row.n_heads, row.ffn, row.rank
    out = {"token_embd.weight": (N_VOCAB, width), "output.weight": (N_VOCAB, width)}
    norms = ["token_embd_norm", "output_norm"]
    for i in range(row.n_layers):
        b = f"blk.{i}."
        norms += [b + "attn_norm", b + "attn_norm_2", b + "time_mix_ln"]
        mix = {name: (width, width) for name in ("key", "value", "receptance", "output")}
        channel = {"lerp_k": (width,), "key": (f, width), "value": (width, f)}
        if row.version == 6:
            mix.update(
                gate=(width, width), w1=(5 * r, width), w2=(5, width, r), lerp_x=(width,), lerp_fused=(5, 1, 1, width)
            )
            mix.update(
                first=(row.n_heads, row.head_dim), decay=(width,), decay_w1=(r + 1, width), decay_w2=(width, r + 1)
            )
            channel.update(lerp_r=(width,), receptance=(width, width))
        else:
            for n, part in enumerate("wavg"):  # in layer 0 v is there, unused, and has a's rank
                rank = r + (1 if part == "v" and i == 0 else n)
                mix.update({f"{part}0": (width,), f"{part}1": (rank, width), f"{part}2": (width, rank)})
            del mix["g0"]
            mix.update(lerp_fused=(6, 1, 1, width), k_k=(width,), k_a=(width,), r_k=(width,))
        out.update({f"{b}time_mix_{name}.weight": shape for name, shape in mix.items()})
        out.update({f"{b}channel_mix_{name}.weight": shape for name, shape in channel.items()})
    for norm in norms:
        out.update({norm + ".weight": (width,), norm + ".bias": (width,)})
    return out


def keys(row: Row) -> Dict[str, object]:
    out = {
        "context_length": 1 << 20,
        "embedding_length": row.head_dim * row.n_heads,
        "block_count": row.n_layers,
        "attention.layer_norm_epsilon": EPS,
        "wkv.head_size": row.head_dim,
        "feed_forward_length": row.ffn,
        "attention.head_count": 0,
        "general.file_type": 0,
    }
    if row.version == 6:
        ranks = {"time_mix_extra_dim": row.rank, "time_decay_extra_dim": row.rank + 1, "rescale_every_n_layers": 2}
    else:
        names = ("decay", "iclr", "value_residual_mix", "gate")
        ranks = {f"attention.{name}_lora_rank": row.rank + n for n, name in enumerate(names)}
    return {**out, **ranks}


def seed_weights(row: Row) -> Dict[str, np.ndarray]:
    random = random_for(f"{row.name} {row.head_dim}")
    tensors = {}
    for name, shape in shapes(row).items():
        if name.endswith(".bias"):
            value = 0.3 * random.standard_normal(shape)
        elif re.search(r"(norm|norm_2|_ln)\.weight$", name):
            value = 1 + 0.3 * random.standard_normal(shape)
        elif re.search(r"lerp|k_a|k_k", name):
            value = random.uniform(0, 1, shape)
        elif name.endswith("time_mix_decay.weight"):
            value = random.uniform(-3, 1, shape)
        elif len(shape) == 1 or name == "token_embd.weight":
            value = random.standard_normal(shape)
        else:
            value = 1.4 * random.standard_normal(shape) / np.sqrt(shape[-1])
        tensors[name] = value.astype(np.float32)
    return tensors


def rows() -> List[Row]:
    return [
        Row("rwkv6", "a recurrent mixer whose decay depends on the token; two shifted mixes", 6, 6, n_heads=3),
        Row(
            "rwkv7",
            "a recurrent mixer with the delta rule; the first layer's values are mixed into later ones",
            7,
            6,
            n_heads=3,
        ),
    ]


def build(row: Row, with_peer=True) -> Tiny:
    tensors = seed_weights(row)
    large = row._replace(head_dim=64, n_heads=2)
    return Tiny(
        name=row.name,
        architecture=row.name,
        about=row.about,
        oracle=f"rwkv_models.py, float64, NumPy {np.__version__}",
        keys=keys(row),
        tensors=tensors,
        forward=Rwkv(row, tensors),
        peer_model=build(large, with_peer=False) if with_peer else None,
    )
