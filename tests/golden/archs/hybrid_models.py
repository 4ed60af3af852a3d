"""Tiny models whose layers mix in other ways than by plain attention: latent attention, Mamba beside or between
attention layers, short convolutions, delta nets; and experts that are chosen or placed in other ways. Float64, from the
papers: Dao and Gu 2024 (Mamba-2), Gu and Dao 2023 (Mamba), Yang et al. 2024 (gated delta nets), DeepSeek-V2 2024, Liu et
al. 2024 (SparseMixer-v2).
"""

import re
from dataclasses import dataclass, replace
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from reference import Reference, Spec, softmax
from shapes import dense_shapes, expert_keys, expert_shapes, head_keys, keys
from tiny import N_VOCAB, Tiny, random_for, rounded, stored_type

WIDTH = 20


@dataclass
class Mixing(Spec):
    layers: str = ""  # a letter each: a attention, m mamba, 2 mamba2, b attention beside mamba2, c short convolution,
    # d delta net, l latent attention, f nothing
    inner: int = 24  # channels of a recurrent mixer
    n_state: int = 6
    ssm_heads: int = 3
    groups: int = 1  # of ssm_heads; of a delta net: heads of keys
    taps: int = 4
    dt_rank: int = 5
    keys_in_turn: bool = False
    q_rank: int = 0
    kv_rank: int = 12
    rope_part: int = 4
    v_dim: int = 6
    absorbed: bool = False
    gate_in_q: bool = False
    fused: bool = False  # q, k and v in one tensor
    experts_input: str = "same"  # or "router first", "experts first"
    unturned: bool = False  # nothing is rotated


def silu(x):
    return x / (1 + np.exp(-x))


def half(x):
    return x.astype(np.float32).astype(np.float16).astype(np.float64)


def softplus(x):
    return np.logaddexp(0, x)


class Hybrid(Reference):
    def rms(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.spec.eps) * self.t[name].reshape(x.shape[-1])

    def convolve(self, x, taps):
        """x [n, width], taps [width, n_taps]: each column's last n_taps values."""
        n_taps = taps.shape[1]
        before = np.concatenate([np.zeros((n_taps - 1, x.shape[1])), x])
        return sum(before[k : k + len(x)] * taps[:, k] for k in range(n_taps))

    def causal_conv(self, x, blk):
        y = self.convolve(x, self.t[blk + "ssm_conv1d.weight"])
        return silu(y + self.t.get(blk + "ssm_conv1d.bias", 0))

    def mamba(self, x, blk):
        s = self.spec
        x, z = np.split(self.linear(x, blk + "ssm_in"), 2, axis=1)
        x = self.causal_conv(x, blk)
        dt, b, c = np.split(self.linear(x, blk + "ssm_x"), [s.dt_rank, s.dt_rank + s.n_state], axis=1)
        if blk + "ssm_dt_norm.weight" in self.t:
            dt, b, c = (self.rms(v, blk + f"ssm_{k}_norm.weight") for v, k in ((dt, "dt"), (b, "b"), (c, "c")))
        dt = softplus(self.linear(dt, blk + "ssm_dt"))
        state, out = np.zeros((s.inner, s.n_state)), np.zeros_like(x)
        for n in range(len(x)):
            state = state * np.exp(dt[n][:, None] * self.t[blk + "ssm_a"]) + (dt[n] * x[n])[:, None] * b[n]
            out[n] = state @ c[n] + self.t[blk + "ssm_d"] * x[n]
        return self.linear(out * silu(z), blk + "ssm_out")

    def mamba2(self, x, blk):
        s = self.spec
        n, dim, per_group = len(x), s.inner // s.ssm_heads, s.ssm_heads // s.groups
        z, xbc, dt = np.split(self.linear(x, blk + "ssm_in"), [s.inner, 2 * s.inner + 2 * s.groups * s.n_state], axis=1)
        xbc = self.causal_conv(xbc, blk)
        x, b, c = np.split(xbc, [s.inner, s.inner + s.groups * s.n_state], axis=1)
        x = x.reshape(n, s.ssm_heads, dim)
        b, c = (v.reshape(n, s.groups, s.n_state) for v in (b, c))
        dt = softplus(dt + self.t[blk + "ssm_dt.bias"])
        out = np.zeros_like(x)
        for h in range(s.ssm_heads):
            state, a = np.zeros((dim, s.n_state)), self.t[blk + "ssm_a"].reshape(-1)[h]
            for t in range(n):
                state = state * np.exp(dt[t, h] * a) + dt[t, h] * np.outer(x[t, h], b[t, h // per_group])
                out[t, h] = state @ c[t, h // per_group] + self.t[blk + "ssm_d"].reshape(-1)[h] * x[t, h]
        out = out.reshape(n, -1) * silu(z)
        if blk + "ssm_norm.weight" in self.t:
            grouped = out.reshape(n, s.groups, -1)
            out = grouped / np.sqrt((grouped**2).mean(-1, keepdims=True) + s.eps)
            out = out.reshape(n, -1) * self.t[blk + "ssm_norm.weight"].reshape(-1)
        return self.linear(out, blk + "ssm_out")

    def short_conv(self, x, blk):
        b, c, x = np.split(self.linear(x, blk + "shortconv.in_proj"), 3, axis=1)
        return self.linear(c * self.convolve(b * x, self.t[blk + "shortconv.conv.weight"]), blk + "shortconv.out_proj")

    def delta_net(self, x, blk):
        s, n = self.spec, len(x)
        per_key, v_dim = s.ssm_heads // s.groups, s.inner // s.ssm_heads
        z = self.linear(x, blk + "attn_gate").reshape(n, s.ssm_heads, v_dim)
        if blk + "ssm_ba.weight" in self.t:  # for each key head, its betas and then its alphas
            rates = self.linear(x, blk + "ssm_ba").reshape(n, s.groups, 2, per_key)
            beta, alpha = rates[:, :, 0].reshape(n, -1), rates[:, :, 1].reshape(n, -1)
        else:
            beta, alpha = self.linear(x, blk + "ssm_beta"), self.linear(x, blk + "ssm_alpha")
        y = self.causal_conv(self.linear(x, blk + "attn_qkv"), blk)
        q, k, v = np.split(y, [s.groups * s.n_state, 2 * s.groups * s.n_state], axis=1)
        q, k = (part.reshape(n, s.groups, s.n_state) for part in (q, k))
        q, k = (part / np.sqrt((part**2).sum(-1, keepdims=True) + s.eps) for part in (q, k))
        v = v.reshape(n, s.ssm_heads, v_dim)
        out = np.zeros_like(v)
        for h in range(s.ssm_heads):
            key = h % s.groups if s.keys_in_turn else h // per_key
            state = np.zeros((v_dim, s.n_state))
            for t in range(n):
                decay = np.exp(self.t[blk + "ssm_a"][h] * softplus(alpha[t, h] + self.t[blk + "ssm_dt.bias"][h]))
                state = state * decay
                add = (v[t, h] - state @ k[t, key]) / (1 + np.exp(-beta[t, h]))
                state = state + np.outer(add, k[t, key])
                out[t, h] = state @ q[t, key] / np.sqrt(s.n_state)
        out = self.rms(out, blk + "ssm_norm.weight") * silu(z)
        return self.linear(out.reshape(n, -1), blk + "ssm_out")

    def latent(self, x, i):
        """Keys and values made of a short row for each token, with the rotated part of the key apart."""
        s, blk, n = self.spec, f"blk.{i}.", len(x)
        nope = s.head_dim - s.rope_part
        q = (
            self.linear(self.norm(self.linear(x, blk + "attn_q_a"), blk + "attn_q_a_norm"), blk + "attn_q_b")
            if (s.q_rank)
            else self.linear(x, blk + "attn_q")
        )
        row = self.linear(x, blk + "attn_kv_a_mqa")
        short, turned = self.norm(row[:, : s.kv_rank], blk + "attn_kv_a_norm"), row[:, s.kv_rank :]
        if self.half_cache and s.absorbed:
            short = half(short)
        if s.absorbed:  # key = k_b' short, value = v_b short
            k = np.einsum("hrd,nr->nhd", self.t[blk + "attn_k_b.weight"], short)
            v = np.einsum("hdr,nr->nhd", self.t[blk + "attn_v_b.weight"], short)
        else:
            both = self.linear(short, blk + "attn_kv_b").reshape(n, s.n_heads, nope + s.v_dim)
            k, v = both[..., :nope], both[..., nope:]
        rotating = Reference(replace(s, rope_dims=s.rope_part), {"blk.0.x": np.zeros(1), **self.factors()})
        q = q.reshape(n, s.n_heads, s.head_dim)
        q = np.concatenate([q[..., :nope], rotating.rotate(q[..., nope:], False)], axis=-1)
        turned = np.repeat(rotating.rotate(turned[:, None], False), s.n_heads, axis=1)
        k = np.concatenate([k, turned], axis=-1)
        if self.half_cache:
            k, v = (k, v) if s.absorbed else (half(k), half(v))
            k[..., nope:] = half(k[..., nope:])
        scores = np.einsum("nhd,mhd->hnm", q, k) * (s.attention_scale or s.head_dim**-0.5)
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        return self.linear(np.einsum("hnm,mhd->nhd", softmax(scores), v).reshape(n, -1), blk + "attn_output")

    def factors(self):
        return {k: v for k, v in self.t.items() if k == "rope_freqs.weight"}

    def gated_attention(self, x, i):
        """attn_q holds, head by head, a query and a gate."""
        s, blk, n = self.spec, f"blk.{i}.", len(x)
        both = self.linear(x, blk + "attn_q").reshape(n, s.n_heads, 2, s.head_dim)
        inner = Reference(s, self.t, self.half_cache)
        inner.linear_of_q = both[:, :, 0].reshape(n, -1)
        plain = inner.linear

        def linear(y, name):
            if name == blk + "attn_q":
                return inner.linear_of_q
            if name == blk + "attn_output":
                y = y / (1 + np.exp(-both[:, :, 1].reshape(n, -1)))
            return plain(y, name)

        inner.linear = linear
        return inner.attention(x, i)

    def attention(self, x, i):
        s, blk = self.spec, f"blk.{i}."
        kind = s.layers[i]
        if kind == "a":
            return self.gated_attention(x, i) if s.gate_in_q else super().attention(x, i)
        if kind == "b":
            return super().attention(x, i) + self.mamba2(x, blk)
        if kind == "l":
            return self.latent(x, i)
        mixers = {"m": self.mamba, "2": self.mamba2, "c": self.short_conv, "d": self.delta_net}
        return mixers[kind](x, blk) if kind in mixers else np.zeros_like(x)

    def maybe_norm(self, x, name):
        if name.endswith("attn_norm"):
            self.raw = x  # a layer's input
        return super().maybe_norm(x, name)

    def ffn(self, x, i):
        s, blk = self.spec, f"blk.{i}."
        sparse, dense = blk + "ffn_gate_inp.weight" in self.t, blk + "ffn_up.weight" in self.t
        if s.experts_input == "experts first":
            return self.dense(x, blk) + self.experts(self.norm(self.raw, blk + "ffn_norm_exps"), blk)
        if sparse:
            return self.experts(x, blk, self.raw if s.experts_input == "router first" else None)
        return self.dense(x, blk) if dense else np.zeros_like(x)


def mixer_shapes(s: Mixing, kind: str, width: int) -> Dict[str, tuple]:
    q, kv = s.n_heads * s.head_dim, s.n_kv_heads * s.head_dim
    attention = {
        "attn_q.weight": ((2 if s.gate_in_q else 1) * q, width),
        "attn_k.weight": (kv, width),
        "attn_v.weight": (kv, width),
        "attn_output.weight": (width, q),
    }
    if s.fused:
        attention = {"attn_qkv.weight": (q + 2 * kv, width), "attn_output.weight": (width, q)}
    if s.qk_norm == "head":
        attention.update({"attn_q_norm.weight": (s.head_dim,), "attn_k_norm.weight": (s.head_dim,)})
    conv = s.inner + 2 * s.groups * s.n_state
    mamba2 = {
        "ssm_in.weight": (s.inner + conv + s.ssm_heads, width),
        "ssm_conv1d.weight": (conv, s.taps),
        "ssm_conv1d.bias": (conv,),
        "ssm_dt.bias": (s.ssm_heads,),
        "ssm_a": (s.ssm_heads, 1),
        "ssm_d": (s.ssm_heads, 1),
        "ssm_norm.weight": (s.groups, s.inner // s.groups),
        "ssm_out.weight": (width, s.inner),
    }
    mamba = {
        "ssm_in.weight": (2 * s.inner, width),
        "ssm_conv1d.weight": (s.inner, s.taps),
        "ssm_conv1d.bias": (s.inner,),
        "ssm_x.weight": (s.dt_rank + 2 * s.n_state, s.inner),
        "ssm_dt.weight": (s.inner, s.dt_rank),
        "ssm_dt.bias": (s.inner,),
        "ssm_a": (s.inner, s.n_state),
        "ssm_d": (s.inner,),
        "ssm_dt_norm.weight": (s.dt_rank,),
        "ssm_b_norm.weight": (s.n_state,),
        "ssm_c_norm.weight": (s.n_state,),
        "ssm_out.weight": (width, s.inner),
    }
    short = {
        "shortconv.in_proj.weight": (3 * width, width),
        "shortconv.conv.weight": (width, s.taps),
        "shortconv.out_proj.weight": (width, width),
    }
    rates = (
        {"ssm_beta.weight": (s.ssm_heads, width), "ssm_alpha.weight": (s.ssm_heads, width)}
        if s.keys_in_turn
        else {"ssm_ba.weight": (2 * s.ssm_heads, width)}
    )
    delta = {
        "attn_qkv.weight": (conv, width),
        "attn_gate.weight": (s.inner, width),
        **rates,
        "ssm_conv1d.weight": (conv, s.taps),
        "ssm_dt.bias": (s.ssm_heads,),
        "ssm_a": (s.ssm_heads,),
        "ssm_norm.weight": (s.inner // s.ssm_heads,),
        "ssm_out.weight": (width, s.inner),
    }
    nope = s.head_dim - s.rope_part
    latent = {
        **(
            {
                "attn_q_a.weight": (s.q_rank, width),
                "attn_q_a_norm.weight": (s.q_rank,),
                "attn_q_b.weight": (q, s.q_rank),
            }
            if s.q_rank
            else {"attn_q.weight": (q, width)}
        ),
        "attn_kv_a_mqa.weight": (s.kv_rank + s.rope_part, width),
        "attn_kv_a_norm.weight": (s.kv_rank,),
        **(
            {
                "attn_k_b.weight": (s.n_heads, s.kv_rank, nope),
                "attn_v_b.weight": (s.n_heads, s.v_dim, s.kv_rank),
            }
            if s.absorbed
            else {"attn_kv_b.weight": (s.n_heads * (nope + s.v_dim), s.kv_rank)}
        ),
        "attn_output.weight": (width, s.n_heads * s.v_dim),
    }
    return {
        "a": attention,
        "b": {**attention, **mamba2},
        "m": mamba,
        "2": mamba2,
        "c": short,
        "d": delta,
        "l": latent,
        "f": {},
    }[kind]


class Row(NamedTuple):
    name: str
    architecture: str
    about: str
    spec: Mixing
    ffns: str  # a letter for each layer: d dense, s sparse, - none
    keys: Dict[str, object] = {}
    gated: bool = True
    width: int = WIDTH
    ffn: int = 14
    expert_ffn: int = 12
    dtype: str = "F32"
    n_experts: int = 5
    shared: int = 0
    norm_bias: bool = False
    extra: Dict[str, tuple] = {}  # shapes of further tensors; * stands for each layer
    output_norm: str = "output_norm"
    peer: Optional[str] = None
    tolerance: float = 1e-3


def shapes(row: Row) -> Dict[str, tuple]:
    s = row.spec
    out = {
        "token_embd.weight": (N_VOCAB, row.width),
        row.output_norm + ".weight": (row.width,),
        "output.weight": (N_VOCAB, row.width),
    }
    for i, (kind, ffn) in enumerate(zip(s.layers, row.ffns)):
        b = f"blk.{i}."
        out[b + "attn_norm.weight"] = (row.width,)
        out.update({b + name: shape for name, shape in mixer_shapes(s, kind, row.width).items()})
        if ffn == "-":
            continue
        if s.ffn_norm != "attn_norm":
            out[b + s.ffn_norm + ".weight"] = (row.width,)
        parts = (
            expert_shapes(row.width, row.expert_ffn, row.n_experts, row.shared)
            if ffn == "s"
            else dense_shapes(row.width, row.ffn)
        )
        if s.experts_input == "experts first":
            parts.update(dense_shapes(row.width, row.width))
        for name, shape in parts.items():
            if row.gated or not name.startswith("ffn_gate") or name == "ffn_gate_inp":
                out[f"{b}{name}.weight"] = shape
    for name, shape in row.extra.items():
        for i in range(len(s.layers)) if "*" in name else [0]:
            out[name.replace("*", str(i))] = shape
    if row.norm_bias:
        out.update({name[:-6] + "bias": shape for name, shape in list(out.items()) if name.endswith("_norm.weight")})
    return out


def seed_weights(row: Row) -> Dict[str, np.ndarray]:
    random, tensors = random_for(row.name), {}
    for name, shape in shapes(row).items():
        if name.endswith("ssm_a"):
            value = -random.uniform(0.2, 2.0, shape)
        elif name.endswith("bias"):
            value = 0.3 * random.standard_normal(shape)
        elif re.search(r"_norm(_exps)?\.weight$|ssm_d$|rope_freqs", name):
            value = 1 + 0.3 * random.uniform(-1, 1, shape)
        elif name == "token_embd.weight":
            value = random.standard_normal(shape)
        else:
            value = 1.4 * random.standard_normal(shape) / np.sqrt(shape[-1])
        kind = stored_type(name, value, row.dtype).name
        tensors[name] = rounded(value, kind)
    return tensors


def ssm_keys(s: Mixing) -> Dict[str, object]:
    rank = s.dt_rank if "m" in s.layers else s.ssm_heads
    return {
        "ssm__inner_size": s.inner,
        "ssm__state_size": s.n_state,
        "ssm__conv_kernel": s.taps,
        "ssm__time_step_rank": rank,
        "ssm__group_count": s.groups,
    }


def all_keys(row: Row) -> Dict[str, object]:
    s = row.spec
    more = dict(row.keys)
    if set(s.layers) & set("m2bd"):
        more.update(ssm_keys(s))
    if "s" in row.ffns:
        more.update(expert_keys(s, row.n_experts, row.expert_ffn))
    if not s.unturned and "l" not in s.layers:
        more.setdefault("rope__dimension_count", s.head_dim)
    if "l" not in s.layers:
        more.update(head_keys(s))
    out = keys(s, width=row.width, ffn=row.ffn, n_layers=len(s.layers), **more)
    if set(s.layers) & set("m2cf"):  # heads for each layer, none where it does not attend
        out["attention.head_count_kv"] = [s.n_kv_heads if kind in "abl" else 0 for kind in s.layers]
    if "-" in row.ffns:
        out["feed_forward_length"] = [0 if ffn == "-" else row.ffn for ffn in row.ffns]
    return out


def rows() -> List[Row]:
    return [*sparse(), *latents(), *hybrids(), *quantised()]


def sparse() -> List[Row]:
    attend = dict(n_heads=2, n_kv_heads=1, head_dim=10, layers="aa", top_k=2)
    biases = {f"blk.*.attn_{part}.bias": (n,) for part, n in (("q", 20), ("k", 10), ("v", 10), ("output", WIDTH))}
    phimoe = Mixing(**attend, norm="layer", router="near best")
    ernie = Mixing(**attend, pairing="adjacent", renormalise=True)
    arctic = Mixing(**attend, pairing="adjacent", renormalise=True, experts_input="experts first")
    thinker = Mixing(
        **{**attend, "layers": "aaaaa"},
        router="sigmoid",
        renormalise=True,
        activation="relu",
        experts_input="router first",
        windows=(0, 4096, 4096, 4096, 0),
        rope_layers=(False, True, True, True, False),
    )
    shared_bias = {"blk.1.exp_probs_b.bias": (5,)}
    bailing = Mixing(**attend, fused=True, qk_norm="head", router="sigmoid", renormalise=True, expert_scale=2.5)
    return [
        Row(
            "phimoe",
            "phimoe",
            "layer norms; a softmax over the experts near the best, for each choice anew",
            phimoe,
            "ss",
            dict(attention__layer_norm_rms_epsilon=phimoe.eps),
            norm_bias=True,
            ffn=12,
            n_experts=6,
            extra={**biases, "output.bias": (N_VOCAB,)},
            peer="llama.cpp takes RMS norms and a softmax over all experts for this architecture",
        ),
        Row(
            "ernie4_5-moe",
            "ernie4_5-moe",
            "a dense layer, then one with a bias for the choice and a shared expert",
            ernie,
            "ds",
            dict(leading_dense_block_count=1, interleave_moe_layer_step=1, expert_shared_feed_forward_length=16),
            shared=16,
            extra=shared_bias,
        ),
        Row(
            "bailingmoe2",
            "bailingmoe2",
            "a sigmoid router and norms of q and k",
            bailing,
            "ds",
            dict(
                leading_dense_block_count=1,
                expert_shared_count=1,
                expert_weights_scale=2.5,
                expert_weights_norm=True,
                expert_gating_func=2,
            ),
            shared=12,
            extra=shared_bias,
        ),
        Row(
            "arctic",
            "arctic",
            "a dense FFN, and experts that read the layer's input",
            arctic,
            "ss",
            ffn=12,
            extra={"blk.*.ffn_norm_exps.weight": (WIDTH,)},
        ),
        Row(
            "smallthinker",
            "smallthinker",
            "the router reads the layer's input; ReLU; the first of four layers is not rotated",
            thinker,
            "sssss",
            dict(
                attention__sliding_window=4096,
                expert_gating_func=2,
                attention__sliding_window_pattern=[False, True, True, True, False],
            ),
            n_experts=3,
        ),
    ]


def latents() -> List[Row]:
    mla = dict(n_heads=2, n_kv_heads=2, head_dim=10, pairing="adjacent", top_k=2)
    moe = dict(
        leading_dense_block_count=1,
        expert_shared_count=1,
        expert_weights_scale=2.5,
        expert_weights_norm=True,
        expert_gating_func=2,
        vocab_size=N_VOCAB,
    )
    absorbed = Mixing(**mla, layers="ll", q_rank=7, absorbed=True, router="sigmoid", renormalise=True, expert_scale=2.5)
    direct = Mixing(**mla, layers="l")
    small = Mixing(
        **{**mla, "pairing": "halves"},
        layers="ll",
        q_rank=7,
        embedding_scale=12.0,
        residual_scale=1.4 / 2**0.5,
        logit_scale=256 / WIDTH,
    )
    own = lambda s: dict(
        attention__kv_lora_rank=s.kv_rank,
        rope__dimension_count=s.rope_part,
        **({"attention__q_lora_rank": s.q_rank} if s.q_rank else {}),
    )  # noqa: E731
    return [
        Row(
            "deepseek2",
            "deepseek2",
            "latent attention with a matrix for each head, absorbed; a dense layer, then experts",
            absorbed,
            "ds",
            dict(
                **own(absorbed),
                **moe,
                attention__head_count_kv=1,
                attention__key_length=16,
                attention__value_length=12,
                attention__key_length_mla=10,
                attention__value_length_mla=6,
            ),
            shared=12,
            extra={"blk.1.exp_probs_b.bias": (5,)},
        ),
        Row(
            "deepseek2-lite-style",
            "deepseek2",
            "latent attention with one matrix for all heads; q made of x",
            direct,
            "d",
            dict(**own(direct), vocab_size=N_VOCAB, attention__key_length=10, attention__value_length=6),
            peer="llama.cpp knows models without q_lora_rank by their 26 or 27 layers",
        ),
        Row(
            "minicpm3",
            "minicpm3",
            "latent attention with scales on embedding, residual and logits",
            small,
            "dd",
            dict(**own(small), attention__key_length=10, attention__value_length=6),
        ),
    ]


def hybrids() -> List[Row]:
    heads = dict(n_heads=2, n_kv_heads=1, head_dim=10)
    scales = dict(embedding_scale=3.0, residual_scale=0.4, attention_scale=0.2, logit_scale=1 / 2.5)
    scale_keys = dict(embedding_scale=3.0, residual_scale=0.4, attention__scale=0.2, logit_scale=2.5)
    granite = Mixing(
        **heads, layers="2a", inner=40, ssm_heads=4, pairing=None, unturned=True, top_k=2, renormalise=True, **scales
    )
    jamba = Mixing(**heads, layers="ma", inner=40, pairing=None, unturned=True, top_k=2)
    falcon = Mixing(**heads, layers="bb", groups=3)
    nemotron = Mixing(
        **heads, layers="2af2", pairing=None, unturned=True, groups=3, ffn_norm="attn_norm", activation="relu2"
    )
    lfm2 = Mixing(**heads, layers="cac", qk_norm="head", taps=3)
    lfm2moe = Mixing(**heads, layers="ca", qk_norm="head", taps=3, top_k=2, router="sigmoid", renormalise=True)
    delta = dict(
        **heads,
        qk_norm="head",
        gate_in_q=True,
        inner=24,
        n_state=6,
        ssm_heads=4,
        groups=2,
        taps=4,
        ffn_norm="post_attention_norm",
        rope_dims=4,
    )
    next_ = Mixing(**delta, layers="da", top_k=2, renormalise=True)
    qwen35 = Mixing(**delta, layers="da", keys_in_turn=True)
    return [
        Row(
            "granitehybrid",
            "granitehybrid",
            "mamba2 and attention without rotation, experts and a shared one; scales",
            granite,
            "ss",
            dict(
                **scale_keys, rope__scaling__finetuned=False, expert_shared_feed_forward_length=16, vocab_size=N_VOCAB
            ),
            shared=16,
            ffn=12,
        ),
        Row(
            "jamba",
            "jamba",
            "mamba with norms of dt, B and C, and attention without rotation; dense and sparse FFNs",
            jamba,
            "ds",
            ffn=12,
        ),
        Row("falcon-h1", "falcon-h1", "attention beside mamba2 in every layer", falcon, "dd"),
        Row(
            "nemotron_h",
            "nemotron_h",
            "each layer is mamba2, attention or an FFN; squared ReLU",
            nemotron,
            "--d-",
            dict(attention__layer_norm_epsilon=nemotron.eps),
            gated=False,
        ),
        Row(
            "lfm2",
            "lfm2",
            "gated short convolutions between attention layers",
            lfm2,
            "ddd",
            dict(shortconv__l_cache=3),
            output_norm="token_embd_norm",
        ),
        Row(
            "lfm2moe",
            "lfm2moe",
            "short convolutions with experts",
            lfm2moe,
            "ds",
            dict(shortconv__l_cache=3, leading_dense_block_count=1, expert_gating_func=2),
            output_norm="token_embd_norm",
            extra={"blk.1.exp_probs_b.bias": (5,)},
        ),
        Row(
            "qwen3next",
            "qwen3next",
            "delta nets and attention with a gate behind each query; a gated shared expert",
            next_,
            "ss",
            dict(rope__dimension_count=4, full_attention_interval=2, expert_shared_feed_forward_length=12),
            shared=12,
            extra={"blk.*.ffn_gate_inp_shexp.weight": (WIDTH,)},
        ),
        Row(
            "qwen35",
            "qwen35",
            "delta nets whose heads take the keys in turn",
            qwen35,
            "dd",
            dict(rope__dimension_count=4, full_attention_interval=2, rope__dimension_sections=[1, 1, 0, 0]),
        ),
    ]


def quantised() -> List[Row]:
    """The mixers again in sizes that blocks of 32 fit."""
    heads = dict(n_heads=2, n_kv_heads=1, head_dim=16)
    sizes = dict(width=32, ffn=32, expert_ffn=32, dtype="Q8_0", tolerance=0.2)
    granite = Mixing(
        **heads,
        layers="2a",
        pairing=None,
        unturned=True,
        top_k=2,
        renormalise=True,
        inner=64,
        n_state=16,
        ssm_heads=4,
        embedding_scale=3.0,
        residual_scale=0.4,
        attention_scale=0.2,
        logit_scale=1 / 2.5,
    )
    jamba = Mixing(**heads, layers="ma", pairing=None, unturned=True, inner=64, n_state=16, dt_rank=32)
    lfm2 = Mixing(**heads, layers="ca", qk_norm="head", taps=3)
    next_ = Mixing(
        **heads,
        layers="da",
        qk_norm="head",
        gate_in_q=True,
        inner=64,
        n_state=16,
        ssm_heads=4,
        groups=2,
        ffn_norm="post_attention_norm",
        rope_dims=4,
        top_k=2,
        renormalise=True,
    )
    deepseek = Mixing(
        n_heads=2,
        n_kv_heads=2,
        head_dim=36,
        pairing="adjacent",
        top_k=2,
        layers="ll",
        q_rank=32,
        kv_rank=32,
        v_dim=16,
        absorbed=True,
        router="sigmoid",
        renormalise=True,
        expert_scale=2.5,
    )
    return [
        Row(
            "granitehybrid-q8_0",
            "granitehybrid",
            "mamba2, attention and experts, quantised",
            granite,
            "ss",
            dict(
                embedding_scale=3.0,
                residual_scale=0.4,
                attention__scale=0.2,
                logit_scale=2.5,
                rope__scaling__finetuned=False,
                expert_shared_feed_forward_length=32,
                vocab_size=N_VOCAB,
            ),
            shared=32,
            **sizes,
        ),
        Row("jamba-q8_0", "jamba", "mamba and attention, quantised", jamba, "dd", **sizes),
        Row(
            "lfm2-q4_0",
            "lfm2",
            "short convolutions and attention, quantised",
            lfm2,
            "dd",
            dict(shortconv__l_cache=3),
            output_norm="token_embd_norm",
            **{**sizes, "dtype": "Q4_0", "tolerance": 0.2},
        ),
        Row(
            "qwen3next-q8_0",
            "qwen3next",
            "delta nets, attention and experts, quantised",
            next_,
            "ss",
            dict(rope__dimension_count=4, full_attention_interval=2, expert_shared_feed_forward_length=32),
            shared=32,
            extra={"blk.*.ffn_gate_inp_shexp.weight": (32,)},
            **sizes,
        ),
        Row(
            "deepseek2-q8_0",
            "deepseek2",
            "latent attention and experts, quantised",
            deepseek,
            "ds",
            dict(
                attention__kv_lora_rank=32,
                attention__q_lora_rank=32,
                rope__dimension_count=4,
                attention__head_count_kv=1,
                leading_dense_block_count=1,
                expert_shared_count=1,
                expert_weights_scale=2.5,
                expert_weights_norm=True,
                expert_gating_func=2,
                vocab_size=N_VOCAB,
                attention__key_length=36,
                attention__value_length=32,
                attention__key_length_mla=36,
                attention__value_length_mla=16,
            ),
            shared=32,
            extra={"blk.1.exp_probs_b.bias": (5,)},
            **sizes,
        ),
    ]


def build(row: Row) -> Tiny:
    tensors = seed_weights(row)
    known = {**tensors}
    if row.output_norm != "output_norm":
        known["output_norm.weight"] = known.pop(row.output_norm + ".weight")
    if row.architecture == "falcon-h1":  # its converter leaves .weight out
        tensors = {name.replace("ffn_norm.weight", "ffn_norm"): array for name, array in tensors.items()}
    numbers = all_keys(row)
    if row.architecture == "phimoe":
        numbers.pop("attention.layer_norm_epsilon")
    return Tiny(
        name=row.name,
        architecture=row.architecture,
        about=row.about,
        oracle=f"hybrid_models.py, float64, NumPy {np.__version__}",
        keys=numbers,
        tensors=tensors,
        forward=Hybrid(row.spec, known),
        forward_half_cache=Hybrid(row.spec, known, half_cache=True),
        tolerance=row.tolerance,
        dtype=row.dtype,
        peer=row.peer,
    )
