"""Shapes of a decoder's tensors under their GGUF names, and the keys that most converters write."""

from typing import Dict

from reference import Spec
from tiny import N_VOCAB

Shapes = Dict[str, tuple]


def attention_shapes(s: Spec, width: int, fused: bool) -> Shapes:
    q, kv = s.n_heads * s.head_dim, s.n_kv_heads * s.head_dim
    if fused:
        return {"attn_qkv": (q + 2 * kv, width), "attn_output": (width, q)}
    return {"attn_q": (q, width), "attn_k": (kv, width), "attn_v": (kv, width), "attn_output": (width, q)}


def dense_shapes(width: int, ffn: int, gated=True, fused=False, suffix="") -> Shapes:
    out = {f"ffn_up{suffix}": (2 * ffn if fused else ffn, width), f"ffn_down{suffix}": (width, ffn)}
    return {**out, f"ffn_gate{suffix}": (ffn, width)} if gated and not fused else out


def expert_shapes(width: int, ffn: int, n_experts: int, shared: int) -> Shapes:
    out: Shapes = {"ffn_gate_inp": (n_experts, width), "ffn_down_exps": (n_experts, width, ffn)}
    out.update({f"ffn_{part}_exps": (n_experts, ffn, width) for part in ("gate", "up")})
    return {**out, **dense_shapes(width, shared, suffix="_shexp")} if shared else out


def shapes(
    s: Spec,
    width=20,
    ffn=14,
    n_layers=2,
    *,
    tied=False,
    fused_qkv=False,
    fused_gate=False,
    gated=True,
    bias="",
    norms="attn ffn",
    norm_bias=False,
    n_experts=0,
    expert_ffn=12,
    shared=0,
    n_dense=0,
    router_bias=False,
    sinks=False,
) -> Shapes:
    """`bias` names the linear layers that have one: letters of q k v o, and "ffn"; `norms` those of each layer;
    `n_dense` layers come before those with experts."""
    out: Shapes = {"token_embd.weight": (N_VOCAB, width), "output_norm.weight": (width,)}
    if not tied:
        out["output.weight"] = (N_VOCAB, width)
    if norm_bias:
        out["output_norm.bias"] = (width,)
    for i in range(n_layers):
        b = f"blk.{i}."
        sparse = n_experts > 0 and i >= n_dense
        linear = attention_shapes(s, width, fused_qkv)
        linear.update(
            expert_shapes(width, expert_ffn, n_experts, shared)
            if sparse
            else dense_shapes(width, ffn, gated, fused_gate)
        )
        for name, shape in linear.items():
            out[f"{b}{name}.weight"] = shape
            letter = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_qkv": "v", "attn_output": "o"}.get(name, "ffn")
            if letter in bias.split():
                out[f"{b}{name}.bias"] = shape[:-1] if len(shape) == 2 else shape[:2]
        for norm in norms.split():
            name = {"attn": "attn_norm", "ffn": "ffn_norm"}.get(norm, norm)
            out[f"{b}{name}.weight"] = (width,)
            if norm_bias:
                out[f"{b}{name}.bias"] = (width,)
        if s.qk_norm:
            whole = s.qk_norm == "whole"
            out[f"{b}attn_q_norm.weight"] = (s.n_heads * s.head_dim if whole else s.head_dim,)
            out[f"{b}attn_k_norm.weight"] = (s.n_kv_heads * s.head_dim if whole else s.head_dim,)
        if sparse and router_bias:
            out[f"{b}exp_probs_b.bias"] = (n_experts,)
        if sinks:
            out[f"{b}attn_sinks.weight"] = (s.n_heads,)
    return out


def keys(s: Spec, width=20, ffn=14, n_layers=2, **more) -> Dict[str, object]:
    """`more` is added, with __ for the dot."""
    out = {
        "block_count": n_layers,
        "context_length": 64,
        "embedding_length": width,
        "feed_forward_length": ffn,
        "attention.head_count": s.n_heads,
        "attention.head_count_kv": s.n_kv_heads,
        "rope.freq_base": s.rope_base,
        ("attention.layer_norm_rms_epsilon" if s.norm == "rms" else "attention.layer_norm_epsilon"): s.eps,
        "general.file_type": 0,
    }
    return {**out, **{key.replace("__", "."): value for key, value in more.items()}}


def head_keys(s: Spec) -> Dict[str, object]:
    return {"attention__key_length": s.head_dim, "attention__value_length": s.head_dim}


def expert_keys(s: Spec, n_experts: int, expert_ffn: int = 12) -> Dict[str, object]:
    return {"expert_count": n_experts, "expert_used_count": s.top_k, "expert_feed_forward_length": expert_ffn}
