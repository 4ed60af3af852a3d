"""A decoder's forward pass in float64 NumPy, from the papers, for families newer than the transformers release at hand.

It reads tensors under their GGUF names; what a file's tensors do not say stands in `Spec`. No cache: whole
sequences only.
"""

from dataclasses import dataclass
from typing import Dict, Optional, Sequence

import numpy as np


@dataclass
class Spec:
    n_heads: int
    n_kv_heads: int
    head_dim: int
    eps: float = 2e-2
    norm: str = "rms"  # or "layer"
    pairing: Optional[str] = "halves"  # "adjacent", or None: no rotation
    rope_dims: int = 0  # 0: the whole head
    rope_base: float = 10000.0
    rope_divisor: float = 1.0  # positions are divided by it (linear scaling)
    yarn: Optional[dict] = None  # factor, original_context
    local_rope_base: float = 0.0  # of layers with a window, 0: the same as everywhere; no position scaling there
    windows: Sequence[int] = ()  # per layer, 0: none
    rope_layers: Sequence[bool] = ()  # per layer, empty: all
    qk_norm: str = (
        ""  # "head": over head_dim; "whole": over all heads together; "after": over head_dim, after the rotation
    )
    activation: str = "silu"
    parallel: bool = False  # FFN beside attention, both from attn_norm
    attention_scale: float = 0.0  # 0: 1 / sqrt(head_dim)
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0  # logits are multiplied by it
    logit_cap: float = 0.0
    alibi: float = 0.0  # the greatest bias's exponent, 8 in all known models
    ffn_norm: str = "ffn_norm"  # which tensor precedes the FFN
    top_k: int = 0
    router: str = "softmax"  # "softmax": then top-k; "top-k": softmax over those chosen; "sigmoid"; "near best"
    renormalise: bool = False
    expert_scale: float = 1.0
    weigh_input: bool = False  # an expert's weight is on its input
    experts_sum_scale: float = 1.0  # of chosen and shared experts together


ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
}


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def near_best(logits: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """SparseMixer-v2 at inference with a jitter of 0.01 (Liu et al. 2024): the share of each chosen expert in a softmax
    over those not yet chosen whose logits are near its own."""
    left, out = logits.copy(), []
    for best in chosen:
        far = (left[best] - logits) / np.maximum(np.abs(logits), left[best]) > 0.02
        out.append(softmax(np.where(far, -np.inf, left))[best])
        left[best] = -np.inf
    return np.array(out)


class Reference:
    def __init__(self, spec: Spec, tensors: Dict[str, np.ndarray], half_cache=False):
        """`half_cache`: keys and values pass through half precision, as in a cache of that type."""
        self.spec = spec
        self.half_cache = half_cache
        self.t = {name: array.astype(np.float64) for name, array in tensors.items()}
        self.n_layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blk."))

    def linear(self, x, name):
        """x [n_tokens, k] times the rows of `name`."""
        y = x @ self.t[name + ".weight"].T
        return y + self.t[name + ".bias"] if name + ".bias" in self.t else y

    def norm(self, x, name, axes=-1):
        s = self.spec
        if s.norm == "layer":
            x = x - x.mean(axes, keepdims=True)
        y = x / np.sqrt((x * x).mean(axes, keepdims=True) + s.eps) * self.t[name + ".weight"]
        return y + self.t[name + ".bias"] if name + ".bias" in self.t else y

    def maybe_norm(self, x, name):
        return self.norm(x, name) if name + ".weight" in self.t else x

    def frequencies(self, local: bool):
        """Angle per position of each pair, and the magnitude of the rotated vector (YaRN, Peng et al. 2023)."""
        s = self.spec
        dims = s.rope_dims or s.head_dim
        base = s.local_rope_base if local and s.local_rope_base else s.rope_base
        frequencies = base ** (-np.arange(0, dims, 2) / dims)
        if "rope_freqs.weight" in self.t:
            frequencies = frequencies / self.t["rope_freqs.weight"]
        if s.yarn:
            turns = [
                dims * np.log(s.yarn["original_context"] / (beta * 2 * np.pi)) / (2 * np.log(base)) for beta in (32, 1)
            ]
            low, high = max(np.floor(turns[0]), 0), min(np.ceil(turns[1]), dims - 1)
            ramp = np.clip((np.arange(dims // 2) - low) / max(high - low, 1e-3), 0, 1)
            return frequencies * (1 - ramp) + frequencies / s.yarn["factor"] * ramp, 1 + 0.1 * np.log(s.yarn["factor"])
        return (frequencies if local and s.local_rope_base else frequencies / s.rope_divisor), 1.0

    def rotate(self, x, local):
        """x [n_tokens, n_heads, head_dim]; RoFormer, Su et al. 2021, eq. 34."""
        s = self.spec
        dims = s.rope_dims or s.head_dim
        frequencies, magnitude = self.frequencies(local)
        angle = np.arange(len(x))[:, None, None] * frequencies
        cos, sin = np.cos(angle) * magnitude, np.sin(angle) * magnitude
        out = x.copy()
        first, second = (
            (slice(0, dims, 2), slice(1, dims, 2))
            if s.pairing == "adjacent"
            else (slice(0, dims // 2), slice(dims // 2, dims))
        )
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., second] * cos + x[..., first] * sin
        return out

    def attention(self, x, i):
        s, blk = self.spec, f"blk.{i}."
        n = len(x)
        if blk + "attn_qkv.weight" in self.t:
            q, k, v = np.split(
                self.linear(x, blk + "attn_qkv"), np.cumsum([s.n_heads, s.n_kv_heads]) * s.head_dim, axis=1
            )
        else:
            q, k, v = (self.linear(x, blk + "attn_" + part) for part in "qkv")
        if s.qk_norm == "whole":
            q, k = self.norm(q, blk + "attn_q_norm"), self.norm(k, blk + "attn_k_norm")
        q, k, v = q.reshape(n, s.n_heads, -1), k.reshape(n, s.n_kv_heads, -1), v.reshape(n, s.n_kv_heads, -1)
        if s.qk_norm in ("head", "heads"):  # one norm for all heads, or one for each
            q, k = self.norm(q, blk + "attn_q_norm"), self.norm(k, blk + "attn_k_norm")
        window = s.windows[i] if len(s.windows) else 0
        if s.pairing and (not len(s.rope_layers) or s.rope_layers[i]):
            q, k = self.rotate(q, window > 0), self.rotate(k, window > 0)
        if s.qk_norm == "after":
            q, k = self.norm(q, blk + "attn_q_norm"), self.norm(k, blk + "attn_k_norm")

        if self.half_cache:
            k, v = (a.astype(np.float32).astype(np.float16).astype(np.float64) for a in (k, v))
        distance = np.arange(n)[:, None] - np.arange(n)[None, :]
        seen = (distance >= 0) & ((distance < window) if window else True)
        out = np.zeros((n, s.n_heads, s.head_dim))
        for h in range(s.n_heads):
            kv = h // (s.n_heads // s.n_kv_heads)
            scores = q[:, h] @ k[:, kv].T * (s.attention_scale or s.head_dim**-0.5)
            if s.alibi:
                scores = scores - distance * self.alibi_slope(h)
            scores = np.where(seen, scores, -np.inf)
            if blk + "attn_sinks.weight" in self.t:  # a score with no value: it only takes a share
                sink = np.full((n, 1), self.t[blk + "attn_sinks.weight"][h])
                weights = softmax(np.concatenate([scores, sink], axis=1))[:, :-1]
            else:
                weights = softmax(scores)
            out[:, h] = weights @ v[:, kv]
        return self.linear(out.reshape(n, -1), blk + "attn_output")

    def alibi_slope(self, head: int) -> float:
        """Press et al. 2022; a head count that is no power of two is filled up from the next one, as in their code."""
        s = self.spec
        power = 2 ** int(np.floor(np.log2(s.n_heads)))
        return (
            2.0 ** (-s.alibi * (head + 1) / power)
            if head < power
            else 2.0 ** (-s.alibi / 2 * (2 * (head - power) + 1) / power)
        )

    def gate(self, gate, up):
        if self.spec.activation == "swiglu_clamped":  # gpt-oss
            gate, up = np.minimum(gate, 7.0), np.clip(up, -7.0, 7.0)
            return gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
        return ACTIVATIONS[self.spec.activation](gate) * up

    def dense(self, x, blk, suffix=""):
        up = self.linear(x, blk + "ffn_up" + suffix)
        if blk + f"ffn_gate{suffix}.weight" in self.t:
            hidden = self.gate(self.linear(x, blk + "ffn_gate" + suffix), up)
        elif up.shape[1] == 2 * self.t[blk + f"ffn_down{suffix}.weight"].shape[1]:
            hidden = self.gate(*np.split(up, 2, axis=1))
        else:
            hidden = ACTIVATIONS[self.spec.activation](up)
        return self.linear(hidden, blk + "ffn_down" + suffix)

    def experts(self, x, blk, router_input=None):
        s = self.spec
        logits = self.linear(x if router_input is None else router_input, blk + "ffn_gate_inp")
        score = {"softmax": softmax, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}
        share = score.get(s.router, lambda v: v)(logits)
        choice = share + self.t[blk + "exp_probs_b.bias"] if blk + "exp_probs_b.bias" in self.t else share
        kinds = [kind for kind in ("gate", "up", "down") if blk + f"ffn_{kind}_exps.weight" in self.t]
        out = np.zeros_like(x)
        for n, row in enumerate(x):
            chosen = np.argsort(-choice[n], kind="stable")[: s.top_k]
            after = {"top-k": lambda v, _: softmax(v[chosen]), "near best": near_best}
            weights = after.get(s.router, lambda v, _: v[chosen])(share[n], chosen)
            if s.renormalise:
                weights = weights / weights.sum()
            for e, weight in zip(chosen, weights * s.expert_scale):
                part = {kind: self.t[blk + f"ffn_{kind}_exps.weight"][e] for kind in kinds}
                bias = {
                    kind: self.t.get(blk + f"ffn_{kind}_exps.bias", np.zeros((len(logits[0]), 1)))[e] for kind in kinds
                }
                given, weight = (row * weight, 1.0) if s.weigh_input else (row, weight)
                hidden = part["up"] @ given + bias["up"]
                if "gate" in kinds:
                    hidden = self.gate(part["gate"] @ given + bias["gate"], hidden)
                else:
                    hidden = ACTIVATIONS[s.activation](hidden)
                out[n] += weight * (part["down"] @ hidden + bias["down"])
        if blk + "ffn_up_shexp.weight" in self.t:
            shared = self.dense(x, blk, "_shexp")
            if blk + "ffn_gate_inp_shexp.weight" in self.t:
                shared = shared / (1 + np.exp(-(x @ self.t[blk + "ffn_gate_inp_shexp.weight"])))[:, None]
            out = out + shared
        return out * s.experts_sum_scale

    def ffn(self, x, i):
        blk = f"blk.{i}."
        return self.experts(x, blk) if blk + "ffn_gate_inp.weight" in self.t else self.dense(x, blk)

    def __call__(self, ids) -> np.ndarray:
        """ids -> logits, float64 [n_tokens, n_vocab]."""
        s = self.spec
        x = self.t["token_embd.weight"][ids] * s.embedding_scale
        for i in range(self.n_layers):
            blk = f"blk.{i}."
            normed = self.maybe_norm(x, blk + "attn_norm")
            branch = self.attention(normed, i)
            if s.ffn_norm != "post_attention_norm":  # there, that tensor is the norm before the FFN
                branch = self.maybe_norm(branch, blk + "post_attention_norm")
            if s.parallel:
                x = x + branch * s.residual_scale + self.ffn(normed, i) * s.residual_scale
                continue
            x = x + branch * s.residual_scale
            branch = self.ffn(self.maybe_norm(x, blk + s.ffn_norm), i)
            x = x + self.maybe_norm(branch, blk + "post_ffw_norm") * s.residual_scale
        x = self.norm(x, "output_norm")
        head = "output" if "output.weight" in self.t else "token_embd"
        logits = self.linear(x, head) * s.logit_scale
        return s.logit_cap * np.tanh(logits / s.logit_cap) if s.logit_cap else logits
