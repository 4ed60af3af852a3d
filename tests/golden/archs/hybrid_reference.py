"""The forward pass of reference.py with other mixers than plain attention: latent attention (DeepSeek-V2, 2024), Mamba
(Gu and Dao 2023) and Mamba-2 (Dao and Gu 2024), gated delta nets (Yang et al. 2024), short convolutions, chunks."""

from dataclasses import dataclass, replace

import numpy as np
from reference import Reference, Spec, softmax


@dataclass
class Mixing(Spec):
    layers: str = ""  # a letter each: a attention, m mamba, 2 mamba2, b attention beside mamba2, c short convolution,
    # d delta net, l latent attention, p mamba2 whose B, C and dt are made of x, k attention to chunks, f nothing
    inner: int = 24  # channels of a recurrent mixer
    n_state: int = 6
    ssm_heads: int = 3
    groups: int = 1  # of ssm_heads; of a delta net: heads of keys
    taps: int = 4
    dt_rank: int = 5
    interleaved_keys: bool = False
    q_rank: int = 0
    kv_rank: int = 12
    rope_part: int = 4
    v_dim: int = 6
    absorbed: bool = False
    gate_in_q: bool = False
    fused: bool = False  # q, k and v in one tensor
    experts_input: str = "same"  # or "router first", "experts first"
    chunk: int = 0
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
        n, dim = len(x), s.inner // s.ssm_heads
        z, xbc, dt = np.split(self.linear(x, blk + "ssm_in"), [s.inner, 2 * s.inner + 2 * s.groups * s.n_state], axis=1)
        xbc = self.causal_conv(xbc, blk)
        x, b, c = np.split(xbc, [s.inner, s.inner + s.groups * s.n_state], axis=1)
        x = x.reshape(n, s.ssm_heads, dim)
        b, c = (v.reshape(n, s.groups, s.n_state) for v in (b, c))
        dt = softplus(dt + self.t[blk + "ssm_dt.bias"])
        out = self.scan(x, b, c, dt, blk)
        out = out.reshape(n, -1) * silu(z)
        if blk + "ssm_norm.weight" in self.t:
            grouped = out.reshape(n, s.groups, -1)
            out = grouped / np.sqrt((grouped**2).mean(-1, keepdims=True) + s.eps)
            out = out.reshape(n, -1) * self.t[blk + "ssm_norm.weight"].reshape(-1)
        return self.linear(out, blk + "ssm_out")

    def scan(self, x, b, c, dt, blk):
        """x [n, ssm_heads, dim], b and c [n, groups, n_state], dt [n, ssm_heads]."""
        s, out, per_group = self.spec, np.zeros_like(x), self.spec.ssm_heads // b.shape[1]
        for h in range(s.ssm_heads):
            state, a = np.zeros((x.shape[2], s.n_state)), self.t[blk + "ssm_a"].reshape(-1)[h]
            for t in range(len(x)):
                state = state * np.exp(dt[t, h] * a) + dt[t, h] * np.outer(x[t, h], b[t, h // per_group])
                out[t, h] = state @ c[t, h // per_group] + self.t[blk + "ssm_d"].reshape(-1)[h] * x[t, h]
        return out

    def mamba_from_x(self, x, blk):
        """PLaMo-2: ssm_in holds z and x head by head."""
        s, n = self.spec, len(x)
        zx = self.linear(x, blk + "ssm_in").reshape(n, s.ssm_heads, 2, -1)
        x = self.causal_conv(zx[:, :, 1].reshape(n, -1), blk)
        b, c, dt = np.split(self.linear(x, blk + "ssm_x"), [s.n_state, 2 * s.n_state], axis=1)
        dt, b, c = (self.rms(v, blk + f"ssm_{k}_norm.weight") for v, k in ((dt, "dt"), (b, "b"), (c, "c")))
        dt = softplus(self.linear(dt, blk + "ssm_dt"))
        out = self.scan(x.reshape(n, s.ssm_heads, -1), b[:, None], c[:, None], dt, blk)
        return self.linear((out * silu(zx[:, :, 0])).reshape(n, -1), blk + "ssm_out")

    def chunked_attention(self, x, i):
        """Llama 4: rotated layers see their own chunk of the text and normalise q and k; the others see everything and
        scale queries with the position."""
        s, blk, n = self.spec, f"blk.{i}.", len(x)
        q, k, v = (
            self.linear(x, f"{blk}attn_{part}").reshape(n, heads, -1)
            for part, heads in (("q", s.n_heads), ("k", s.n_kv_heads), ("v", s.n_kv_heads))
        )
        pos = np.arange(n)
        seen = pos[:, None] >= pos
        if s.rope_layers[i]:
            q, k = (self.rotate(part, False) for part in (q, k))
            q, k = (part / np.sqrt((part**2).mean(-1, keepdims=True) + s.eps) for part in (q, k))
            seen = seen & (pos[:, None] // s.chunk == pos // s.chunk)
        else:
            q = q * (1 + 0.1 * np.log((pos + 1) // s.chunk + 1))[:, None, None]
        if self.half_cache:
            k, v = half(k), half(v)
        k, v = (np.repeat(part, s.n_heads // s.n_kv_heads, axis=1) for part in (k, v))
        scores = np.where(seen, np.einsum("nhd,mhd->hnm", q, k) * s.head_dim**-0.5, -np.inf)
        return self.linear(np.einsum("hnm,mhd->nhd", softmax(scores), v).reshape(n, -1), blk + "attn_output")

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
            key = h % s.groups if s.interleaved_keys else h // per_key
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
        if kind == "k":
            return self.chunked_attention(x, i)
        mixers = {"p": self.mamba_from_x, "m": self.mamba, "2": self.mamba2, "c": self.short_conv, "d": self.delta_net}
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
