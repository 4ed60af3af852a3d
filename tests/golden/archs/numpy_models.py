"""Tiny models whose numbers come from reference.py: families newer than transformers 4.44.2, or outside it. A row each.

A row gives the spec, the shapes and the keys in GGUF's words; `build` seeds the weights.
"""

import re
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from reference import Reference, Spec
from tiny import N_VOCAB, Tiny, random_for, rounded, stored_type

Shapes = Dict[str, tuple]


class Row(NamedTuple):
    name: str
    architecture: str
    about: str
    spec: Spec
    shapes: Shapes
    keys: Dict[str, object]
    tensors: Dict[str, np.ndarray] = {}  # given values
    dtype: str = "F32"
    tolerance: float = 1e-3
    peer: Optional[str] = None


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
    shared=0,
) -> Shapes:
    """`bias` names the linear layers that have one: letters of q k v o, and "ffn"; `norms` those of each layer."""
    q, kv = s.n_heads * s.head_dim, s.n_kv_heads * s.head_dim
    out: Shapes = {"token_embd.weight": (N_VOCAB, width), "output_norm.weight": (width,)}
    if not tied:
        out["output.weight"] = (N_VOCAB, width)
    for i in range(n_layers):
        b = f"blk.{i}."
        linear = (
            {"attn_qkv": (q + 2 * kv, width)}
            if fused_qkv
            else {"attn_q": (q, width), "attn_k": (kv, width), "attn_v": (kv, width)}
        )
        linear["attn_output"] = (width, q)
        if n_experts:
            linear["ffn_gate_inp"] = (n_experts, width)
            linear.update(
                {
                    "ffn_gate_exps": (n_experts, ffn, width),
                    "ffn_up_exps": (n_experts, ffn, width),
                    "ffn_down_exps": (n_experts, width, ffn),
                }
            )
            if shared:
                linear.update(
                    {
                        "ffn_gate_shexp": (shared, width),
                        "ffn_up_shexp": (shared, width),
                        "ffn_down_shexp": (width, shared),
                    }
                )
        else:
            linear.update({"ffn_up": (2 * ffn if fused_gate else ffn, width), "ffn_down": (width, ffn)})
            if gated and not fused_gate:
                linear["ffn_gate"] = (ffn, width)
        for name, shape in linear.items():
            out[f"{b}{name}.weight"] = shape
            letter = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_qkv": "v", "attn_output": "o"}.get(name, "ffn")
            if letter in bias.split():
                out[f"{b}{name}.bias"] = shape[:1] if len(shape) == 2 else shape[:2]
        for norm in norms.split():
            name = {"attn": "attn_norm", "ffn": "ffn_norm"}.get(norm, norm)
            out[f"{b}{name}.weight"] = (width,)
            if norm_bias:
                out[f"{b}{name}.bias"] = (width,)
        if s.qk_norm:
            out[f"{b}attn_q_norm.weight"] = (q if s.qk_norm == "whole" else s.head_dim,)
            out[f"{b}attn_k_norm.weight"] = (kv if s.qk_norm == "whole" else s.head_dim,)
    if norm_bias:
        out["output_norm.bias"] = (width,)
    return out


def keys(s: Spec, width=20, ffn=14, n_layers=2, **more) -> Dict[str, object]:
    """What most converters write; `more` has _ for . and is added (None takes away)."""
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
    for key, value in more.items():
        key = key.replace("__", ".")
        if value is None:
            out.pop(key)
        else:
            out[key] = value
    return out


def head_keys(s: Spec) -> Dict[str, object]:
    return {"attention__key_length": s.head_dim, "attention__value_length": s.head_dim}


def rows() -> List[Row]:
    out: List[Row] = []

    def add(name, architecture, about, spec, shape_options=None, key_options=None, **row):
        common = {k: v for k, v in (shape_options or {}).items() if k in ("width", "ffn", "n_layers")}
        out.append(
            Row(
                name,
                architecture,
                about,
                spec,
                shapes(spec, **(shape_options or {})),
                keys(spec, **{**common, **(key_options or {})}),
                **row,
            )
        )

    plain, pairs = Spec(2, 1, 10), Spec(2, 1, 10, pairing="adjacent")

    s = Spec(2, 1, 14, qk_norm="head", rope_base=1000000.0)
    add(
        "qwen3",
        "qwen3",
        "q and k normed per head before RoPE; head_dim is not width / n_heads",
        s,
        {"tied": True},
        head_keys(s),
    )
    s = Spec(2, 1, 10, qk_norm="head", top_k=3, renormalise=True)
    add(
        "qwen3moe",
        "qwen3moe",
        "3 of 5 experts, made to sum to 1",
        s,
        dict(ffn=12, n_layers=1, n_experts=5),
        {
            **head_keys(s),
            "expert_count": 5,
            "expert_used_count": 3,
            "expert_feed_forward_length": 12,
            "feed_forward_length": 40,
        },
    )
    s = Spec(
        2,
        1,
        14,
        qk_norm="head",
        rope_base=1000000.0,
        local_rope_base=10000.0,
        windows=(7, 7, 7, 7, 7, 0, 7),
        activation="gelu_tanh",
        embedding_scale=20**0.5,
    )
    gemma = dict(width=20, ffn=10, n_layers=7, tied=True, norms="attn ffn post_attention_norm post_ffw_norm")
    add(
        "gemma3",
        "gemma3",
        "5 layers with a window to 1 without, a RoPE base for each kind",
        s,
        gemma,
        {**head_keys(s), "attention__sliding_window": 7},
        tolerance=5e-2,
    )
    s = Spec(
        2,
        1,
        14,
        qk_norm="head",
        rope_base=1000000.0,
        local_rope_base=10000.0,
        windows=(7, 7, 7, 7, 7, 0),
        activation="gelu_tanh",
        embedding_scale=20**0.5,
        rope_divisor=8.0,
    )
    add(
        "gemma3-linear",
        "gemma3",
        "linear scaling of positions, on layers without a window only",
        s,
        {**gemma, "n_layers": 6},
        {**head_keys(s), "attention__sliding_window": 7, "rope__scaling__type": "linear", "rope__scaling__factor": 8.0},
        tolerance=5e-3,
    )
    s = Spec(2, 1, 10, qk_norm="whole", rope_base=500000.0)
    add(
        "olmo2",
        "olmo2",
        "no norm before a branch, one after; q and k normed over all heads together",
        s,
        dict(norms="post_attention_norm post_ffw_norm"),
    )
    s = Spec(2, 2, 10, qk_norm="whole", windows=(7, 7, 7, 0), rope_base=500000.0)
    add(
        "olmo3-style",
        "olmo2",
        "olmo2 with a window on three layers of four",
        s,
        dict(ffn=14, n_layers=4, norms="post_attention_norm post_ffw_norm"),
        {
            **head_keys(s),
            "attention__sliding_window": 7,
            "attention__sliding_window_pattern": [True, True, True, False],
        },
    )
    s = Spec(2, 2, 10, qk_norm="whole", top_k=2)
    add(
        "olmoe",
        "olmoe",
        "2 of 5 experts, not made to sum to 1; q and k normed over all heads together",
        s,
        dict(ffn=12, n_layers=1, n_experts=5),
        {"expert_count": 5, "expert_used_count": 2},
    )
    s = Spec(
        2, 1, 10, pairing="adjacent", embedding_scale=3.0, residual_scale=0.4, attention_scale=0.2, logit_scale=1 / 2.5
    )
    granite = dict(
        embedding_scale=3.0,
        residual_scale=0.4,
        attention__scale=0.2,
        logit_scale=2.5,
        rope__dimension_count=10,
        vocab_size=N_VOCAB,
    )
    add(
        "granite",
        "granite",
        "scales on embedding, attention, residual; logits are divided by logit_scale",
        s,
        dict(tied=True),
        granite,
    )
    s = Spec(
        2,
        1,
        10,
        pairing="adjacent",
        embedding_scale=3.0,
        residual_scale=0.4,
        attention_scale=0.2,
        logit_scale=1 / 2.5,
        top_k=2,
        renormalise=True,
    )
    add(
        "granitemoe",
        "granitemoe",
        "granite with 2 of 5 experts",
        s,
        dict(ffn=12, n_layers=1, n_experts=5),
        {**granite, "expert_count": 5, "expert_used_count": 2},
    )
    s = Spec(2, 2, 10, pairing="adjacent", embedding_scale=12.0, residual_scale=1.4 / 2**0.5, logit_scale=1 / 1.5)
    add(
        "minicpm",
        "minicpm",
        "scales on embedding and residual; logits are divided by logit_scale",
        s,
        dict(tied=True),
        dict(embedding_scale=12.0, residual_scale=1.4 / 2**0.5, logit_scale=1.5, rope__dimension_count=10),
    )
    add("internlm2", "internlm2", "llama's parts under its own name", pairs)
    add(
        "baichuan",
        "baichuan",
        "llama's parts under its own name, no KV head shared; 13B, known by its 40 layers, has ALiBi instead",
        Spec(2, 2, 10, pairing="adjacent"),
        None,
        dict(rope__dimension_count=10),
        peer="llama.cpp turns q and k only where there are 32 layers; with 32 this model agrees to 1e-5",
    )
    add(
        "xverse",
        "xverse",
        "llama's parts under its own name, no KV head shared",
        Spec(2, 2, 10, pairing="adjacent"),
        None,
        dict(rope__dimension_count=10),
    )
    add("orion", "orion", "layer norms with SwiGLU", Spec(2, 1, 10, norm="layer"), dict(norm_bias=True))
    add(
        "exaone",
        "exaone",
        "half-split RoPE with frequency factors",
        plain,
        dict(tied=True),
        dict(rope__dimension_count=10),
        tensors={"rope_freqs.weight": np.array([1, 1.3, 2, 3.1, 4], dtype=np.float32)},
    )
    s = Spec(2, 1, 10, qk_norm="head")
    add(
        "exaone4",
        "exaone4",
        "no norm before a branch, one after; q and k normed per head",
        s,
        dict(norms="post_attention_norm post_ffw_norm"),
    )
    add(
        "codeshell",
        "codeshell",
        "layer norms and biases everywhere, GELU by tanh, half-split RoPE",
        Spec(2, 1, 10, norm="layer", activation="gelu_tanh"),
        dict(norm_bias=True, bias="q k v o ffn", gated=False),
        dict(rope__scaling__type="linear", rope__scaling__factor=1.0),
        tolerance=5e-3,
    )
    s = Spec(
        2,
        1,
        10,
        norm="layer",
        pairing="adjacent",
        parallel=True,
        windows=(7, 7, 7, 0),
        rope_layers=(True, True, True, False),
        logit_scale=0.25,
    )
    add(
        "cohere2",
        "cohere2",
        "parallel residual; three layers with window and RoPE, the fourth with neither",
        s,
        dict(ffn=16, n_layers=4, tied=True, norms="attn"),
        dict(
            attention__sliding_window=7,
            logit_scale=0.25,
            rope__dimension_count=10,
            rope__scaling__type="none",
            vocab_size=N_VOCAB,
        ),
    )
    s = Spec(2, 1, 10, pairing="adjacent", rope_layers=(True, True, True, False))
    add(
        "smollm3",
        "smollm3",
        "every fourth layer without RoPE",
        s,
        dict(ffn=14, n_layers=4, tied=True),
        dict(rope__dimension_count=10),
    )
    add(
        "arcee",
        "arcee",
        "squared ReLU without a gate",
        Spec(2, 1, 10, pairing="adjacent", activation="relu2"),
        dict(gated=False),
        dict(rope__dimension_count=10),
    )
    add("ernie4_5", "ernie4_5", "llama's parts under its own name", pairs, dict(tied=True), head_keys(pairs))
    s = Spec(2, 1, 14, ffn_norm="post_attention_norm")
    add(
        "seed_oss",
        "seed_oss",
        "post_attention_norm is the norm before the FFN; biases on q, k, v",
        s,
        dict(norms="attn post_attention_norm", bias="q k v"),
        head_keys(s),
    )
    s = Spec(2, 1, 14, qk_norm="after")
    add("hunyuan-dense", "hunyuan-dense", "q and k normed after RoPE", s, dict(tied=True), head_keys(s))
    s = Spec(2, 1, 10, pairing="adjacent", rope_dims=4)
    add(
        "glm4",
        "glm4",
        "norms before and after, gate and up fused, part of the head turned, biases on q, k, v",
        s,
        dict(fused_gate=True, bias="q k v", norms="attn ffn post_attention_norm post_ffw_norm"),
        dict(rope__dimension_count=4),
    )
    add(
        "chatglm",
        "chatglm",
        "q, k, v fused with bias, gate and up fused, part of the head turned",
        s,
        dict(fused_qkv=True, fused_gate=True, bias="v"),
        dict(rope__dimension_count=4),
    )
    s = Spec(2, 1, 10, parallel=True)
    add("plamo", "plamo", "parallel residual with RMS norm and SwiGLU", s, dict(norms="attn"))
    s = Spec(2, 1, 10, pairing=None, alibi=8.0)
    add("refact", "refact", "ALiBi with SwiGLU and RMS norm, no key says so", s)
    s = Spec(2, 1, 10, windows=(7, 7))
    add(
        "phi3-window",
        "phi3",
        "a window of 7 positions on every layer; q, k, v fused, gate and up fused",
        s,
        dict(fused_qkv=True, fused_gate=True),
        dict(attention__sliding_window=7, rope__dimension_count=10, rope__scaling__original_context_length=64),
        peer="llama.cpp ignores the window of this architecture, so it must differ",
    )
    s = Spec(2, 1, 10, pairing="adjacent", yarn={"factor": 4.0, "original_context": 16})
    add(
        "llama-yarn",
        "llama",
        "YaRN",
        s,
        None,
        dict(
            rope__dimension_count=10,
            rope__scaling__type="yarn",
            rope__scaling__factor=4.0,
            rope__scaling__original_context_length=16,
            vocab_size=N_VOCAB,
        ),
    )
    s = Spec(
        2,
        1,
        10,
        windows=(7, 0),
        activation="swiglu_clamped",
        ffn_norm="post_attention_norm",
        top_k=2,
        router="top-k",
        yarn={"factor": 4.0, "original_context": 16},
    )
    gpt_oss = shapes(s, 20, 12, n_experts=3, norms="attn post_attention_norm", bias="q k v o ffn")
    gpt_oss.update({f"blk.{i}.attn_sinks.weight": (2,) for i in range(2)})
    out.append(
        Row(
            "gpt-oss",
            "gpt-oss",
            "attention sinks, clamped SwiGLU with experts' biases, a window on even layers, YaRN",
            s,
            gpt_oss,
            keys(
                s,
                20,
                12,
                **head_keys(s),
                attention__sliding_window=7,
                expert_count=3,
                expert_used_count=2,
                expert_feed_forward_length=12,
                rope__scaling__type="yarn",
                rope__scaling__factor=4.0,
                rope__scaling__original_context_length=16,
                rope__dimension_count=10,
            ),
        )
    )
    return out


def seed_weights(row: Row) -> Dict[str, np.ndarray]:
    """Weights large enough for every part to show in the logits; rounded to what the file's type can hold."""
    random = random_for(row.name)
    tied = "output.weight" not in row.shapes
    tensors = {}
    for name, shape in row.shapes.items():
        if name.endswith(".bias") or "sinks" in name:
            value = 0.3 * random.standard_normal(shape)
        elif re.search(r"_norm\.weight$", name):
            value = 1 + 0.3 * random.standard_normal(shape)
        elif name == "token_embd.weight":
            value = random.standard_normal(shape) * (0.4 if tied else 1.0)
        else:
            value = 1.4 * random.standard_normal(shape) / np.sqrt(shape[-1])
        value = value.astype(np.float32)
        tensors[name] = rounded(value, row.dtype) if stored_type(name, value, row.dtype).name == row.dtype else value
    return {**tensors, **row.tensors}


def build(row: Row) -> Tiny:
    tensors = seed_weights(row)
    oracle = f"reference.py, float64, NumPy {np.__version__}"
    return Tiny(
        row.name,
        row.architecture,
        row.about,
        oracle,
        row.keys,
        tensors,
        Reference(row.spec, tensors),
        row.dtype,
        row.tolerance,
        row.peer,
    )
