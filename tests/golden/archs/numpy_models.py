"""Tiny models whose numbers come from reference.py: families newer than transformers 4.44.2, or outside it. A row each.

A row gives the spec, the shapes and the keys in GGUF's words; `build` seeds the weights.
"""

import re
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from reference import Reference, Spec
from shapes import Shapes, expert_keys, head_keys, keys, shapes
from tiny import N_VOCAB, Tiny, random_for


class Row(NamedTuple):
    name: str
    architecture: str
    about: str
    spec: Spec
    shapes: Shapes
    keys: Dict[str, object]
    tensors: Dict[str, np.ndarray] = {}  # given values
    tolerance: float = 1e-3
    peer: Optional[str] = None


def row(name, architecture, about, spec, shape_options=None, key_options=None, **more) -> Row:
    """The size options of the shapes go into the keys too."""
    shape_options = shape_options or {}
    common = {k: v for k, v in shape_options.items() if k in ("width", "ffn", "n_layers")}
    return Row(
        name,
        architecture,
        about,
        spec,
        shapes(spec, **shape_options),
        keys(spec, **common, **(key_options or {})),
        **more,
    )


ONE = dict(n_layers=1)
TURNED = dict(rope__dimension_count=10)
YARN = dict(rope__scaling__type="yarn", rope__scaling__factor=4.0, rope__scaling__original_context_length=96)
AROUND = "attn ffn post_attention_norm post_ffw_norm"
AFTER = "post_attention_norm post_ffw_norm"
GELU_TANH = 5e-3  # llama.cpp's GELU is a table of half-precision numbers


def rows() -> List[Row]:
    return [
        *head_norms(),
        *windows(),
        *scales(),
        *plain(),
        *biases(),
        *placements(),
        *rotations(),
        *experts(),
        *shared_experts(),
    ]


def head_norms() -> List[Row]:
    qwen3 = Spec(2, 1, 14, qk_norm="head", rope_base=1000000.0)
    after = Spec(2, 1, 14, qk_norm="after")
    olmo2 = Spec(2, 1, 10, qk_norm="whole", rope_base=500000.0)
    exaone4 = Spec(2, 1, 10, qk_norm="head")
    return [
        row(
            "qwen3",
            "qwen3",
            "q and k normed per head before RoPE; head_dim is not width / n_heads",
            qwen3,
            dict(tied=True),
            head_keys(qwen3),
        ),
        row("hunyuan-dense", "hunyuan-dense", "q and k normed after RoPE", after, dict(tied=True), head_keys(after)),
        row(
            "olmo2",
            "olmo2",
            "no norm before a branch, one after; q and k normed over all heads together",
            olmo2,
            dict(norms=AFTER),
        ),
        row(
            "exaone4",
            "exaone4",
            "no norm before a branch, one after; q and k normed per head",
            exaone4,
            dict(norms=AFTER),
        ),
    ]


def windows() -> List[Row]:
    gemma = dict(
        qk_norm="head", rope_base=1000000.0, local_rope_base=10000.0, activation="gelu_tanh", embedding_scale=20**0.5
    )
    gemma3 = Spec(2, 1, 14, windows=(7, 7, 7, 7, 7, 0, 7), **gemma)
    scaled = Spec(2, 1, 14, windows=(7, 7, 7, 7, 7, 0), rope_divisor=8.0, **gemma)
    olmo3 = Spec(2, 2, 10, qk_norm="whole", windows=(7, 7, 7, 0), rope_base=500000.0)
    cohere2 = Spec(
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
    return [
        row(
            "gemma3",
            "gemma3",
            "5 layers with a window to 1 without, a RoPE base for each kind",
            gemma3,
            dict(ffn=10, n_layers=7, tied=True, norms=AROUND),
            dict(**head_keys(gemma3), attention__sliding_window=7),
            tolerance=5e-2,
        ),
        row(
            "gemma3-linear",
            "gemma3",
            "linear scaling of positions, on layers without a window only",
            scaled,
            dict(ffn=10, n_layers=6, tied=True, norms=AROUND),
            dict(
                **head_keys(scaled),
                attention__sliding_window=7,
                rope__scaling__type="linear",
                rope__scaling__factor=8.0,
            ),
            tolerance=GELU_TANH,
        ),
        row(
            "olmo3-style",
            "olmo2",
            "olmo2 with a window on three layers of four",
            olmo3,
            dict(n_layers=4, norms=AFTER),
            dict(attention__sliding_window=7, attention__sliding_window_pattern=[True, True, True, False]),
        ),
        row(
            "cohere2",
            "cohere2",
            "parallel residual; three layers with window and RoPE, the fourth with neither",
            cohere2,
            dict(n_layers=4, tied=True, norms="attn"),
            dict(
                **TURNED, attention__sliding_window=7, logit_scale=0.25, rope__scaling__type="none", vocab_size=N_VOCAB
            ),
        ),
        row(
            "phi3-window",
            "phi3",
            "a window of 7 positions on every layer; q, k, v fused, gate and up fused",
            Spec(2, 1, 10, windows=(7, 7)),
            dict(fused_qkv=True, fused_gate=True),
            dict(**TURNED, attention__sliding_window=7, rope__scaling__original_context_length=64),
            peer="llama.cpp ignores the window of this architecture, so it must differ",
        ),
    ]


def scales() -> List[Row]:
    granite = Spec(
        2, 1, 10, pairing="adjacent", embedding_scale=3.0, residual_scale=0.4, attention_scale=0.2, logit_scale=1 / 2.5
    )
    minicpm = Spec(2, 2, 10, pairing="adjacent", embedding_scale=12.0, residual_scale=1.4 / 2**0.5, logit_scale=1 / 1.5)
    return [
        row(
            "granite",
            "granite",
            "scales on embedding, attention, residual; logits are divided by logit_scale",
            granite,
            dict(tied=True),
            dict(
                **TURNED,
                embedding_scale=3.0,
                residual_scale=0.4,
                attention__scale=0.2,
                logit_scale=2.5,
                vocab_size=N_VOCAB,
            ),
        ),
        row(
            "minicpm",
            "minicpm",
            "scales on embedding and residual; logits are divided by logit_scale",
            minicpm,
            dict(tied=True),
            dict(**TURNED, embedding_scale=12.0, residual_scale=1.4 / 2**0.5, logit_scale=1.5),
        ),
    ]


def plain() -> List[Row]:
    pairs, own_heads = Spec(2, 1, 10, pairing="adjacent"), Spec(2, 2, 10, pairing="adjacent")
    return [
        row("internlm2", "internlm2", "llama's parts under its own name", pairs, ONE),
        row("xverse", "xverse", "llama's parts under its own name, no KV head shared", own_heads, ONE, TURNED),
        row(
            "ernie4_5",
            "ernie4_5",
            "llama's parts under its own name",
            pairs,
            dict(n_layers=1, tied=True),
            head_keys(pairs),
        ),
        row(
            "baichuan",
            "baichuan",
            "llama's parts under its own name, no KV head shared",
            own_heads,
            ONE,
            TURNED,
            peer="llama.cpp turns q and k only where there are 32 layers; with 32 this model agrees to 1e-5",
        ),
        row(
            "baichuan-13b-style",
            "baichuan",
            "40 layers, by which the 13B is known: ALiBi instead of rotation",
            Spec(2, 2, 4, pairing=None, alibi=8.0),
            dict(width=8, ffn=8, n_layers=40),
        ),
        row(
            "arcee",
            "arcee",
            "squared ReLU without a gate",
            Spec(2, 1, 10, pairing="adjacent", activation="relu2"),
            dict(n_layers=1, gated=False),
            TURNED,
        ),
        row(
            "plamo",
            "plamo",
            "parallel residual with RMS norm and SwiGLU",
            Spec(2, 1, 10, parallel=True),
            dict(n_layers=1, norms="attn"),
        ),
        row(
            "refact",
            "refact",
            "ALiBi with SwiGLU and RMS norm, no key says so",
            Spec(2, 1, 10, pairing=None, alibi=8.0),
            ONE,
        ),
    ]


def biases() -> List[Row]:
    part = Spec(2, 1, 10, pairing="adjacent", rope_dims=4)
    qwen = Spec(2, 2, 10)
    jais2 = Spec(2, 1, 10, norm="layer", activation="relu2")
    return [
        row("orion", "orion", "layer norms with SwiGLU", Spec(2, 1, 10, norm="layer"), dict(norm_bias=True)),
        row(
            "codeshell",
            "codeshell",
            "layer norms and biases everywhere, GELU by tanh, half-split RoPE",
            Spec(2, 1, 10, norm="layer", activation="gelu_tanh"),
            dict(norm_bias=True, bias="q k v o ffn", gated=False),
            dict(rope__scaling__type="linear", rope__scaling__factor=1.0),
            tolerance=GELU_TANH,
        ),
        row(
            "jais2",
            "jais2",
            "layer norms and biases everywhere, squared ReLU",
            jais2,
            dict(norm_bias=True, bias="q k v o ffn", gated=False),
            head_keys(jais2),
        ),
        row(
            "chatglm",
            "chatglm",
            "q, k, v fused with bias, gate and up fused, part of the head turned",
            part,
            dict(fused_qkv=True, fused_gate=True, bias="v"),
            dict(rope__dimension_count=4),
        ),
        row(
            "qwen",
            "qwen",
            "q, k, v fused with bias; feed_forward_length is twice the FFN's width",
            qwen,
            dict(fused_qkv=True, bias="v"),
            dict(**TURNED),
        )._replace(keys=keys(qwen, ffn=28, **TURNED)),
    ]


def placements() -> List[Row]:
    glm4 = Spec(2, 1, 10, pairing="adjacent", rope_dims=4)
    seed = Spec(2, 1, 14, ffn_norm="post_attention_norm")
    return [
        row(
            "glm4",
            "glm4",
            "norms before and after, gate and up fused, part of the head turned, biases on q, k, v",
            glm4,
            dict(fused_gate=True, bias="q k v", norms=AROUND),
            dict(rope__dimension_count=4),
        ),
        row(
            "seed_oss",
            "seed_oss",
            "post_attention_norm is the norm before the FFN; biases on q, k, v",
            seed,
            dict(norms="attn post_attention_norm", bias="q k v"),
            head_keys(seed),
        ),
    ]


def rotations() -> List[Row]:
    factors = {"rope_freqs.weight": np.array([1, 1.3, 2, 3.1, 4], dtype=np.float32)}
    smollm3 = Spec(2, 1, 10, pairing="adjacent", rope_layers=(True, True, True, False))
    yarn = Spec(2, 1, 10, pairing="adjacent", rope_base=100.0, yarn={"factor": 4.0, "original_context": 96})
    return [
        row(
            "exaone",
            "exaone",
            "half-split RoPE with frequency factors",
            Spec(2, 1, 10),
            dict(tied=True),
            TURNED,
            tensors=factors,
        ),
        row("smollm3", "smollm3", "every fourth layer without RoPE", smollm3, dict(n_layers=4, tied=True), TURNED),
        row("llama-yarn", "llama", "YaRN", yarn, None, dict(**TURNED, **YARN, vocab_size=N_VOCAB)),
    ]


def experts() -> List[Row]:
    qwen3 = Spec(2, 1, 10, qk_norm="head", top_k=3, renormalise=True)
    olmoe = Spec(2, 2, 10, qk_norm="whole", top_k=2)
    granite = Spec(
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
    gpt_oss = Spec(
        2,
        1,
        10,
        windows=(7, 0),
        rope_base=100.0,
        activation="swiglu_clamped",
        ffn_norm="post_attention_norm",
        top_k=2,
        router="top-k",
        yarn={"factor": 4.0, "original_context": 96},
    )
    return [
        row(
            "qwen3moe",
            "qwen3moe",
            "3 of 5 experts, made to sum to 1",
            qwen3,
            dict(n_layers=1, n_experts=5),
            dict(**head_keys(qwen3), **expert_keys(qwen3, 5)),
        ),
        row(
            "olmoe",
            "olmoe",
            "2 of 5 experts, not made to sum to 1; q and k normed over all heads together",
            olmoe,
            dict(ffn=12, n_layers=1, n_experts=5),
            dict(expert_count=5, expert_used_count=2),
        ),
        row(
            "granitemoe",
            "granitemoe",
            "granite with 2 of 5 experts",
            granite,
            dict(ffn=12, n_layers=1, n_experts=5),
            dict(
                **TURNED,
                embedding_scale=3.0,
                residual_scale=0.4,
                attention__scale=0.2,
                logit_scale=2.5,
                vocab_size=N_VOCAB,
                expert_count=5,
                expert_used_count=2,
            ),
        ),
        row(
            "gpt-oss",
            "gpt-oss",
            "attention sinks, clamped SwiGLU with experts' biases, a window on even layers, YaRN",
            gpt_oss,
            dict(n_experts=3, norms="attn post_attention_norm", bias="q k v o ffn", sinks=True),
            dict(**head_keys(gpt_oss), **TURNED, **YARN, **expert_keys(gpt_oss, 3), attention__sliding_window=7),
        ),
    ]


def shared_experts() -> List[Row]:
    deepseek = Spec(2, 2, 10, pairing="adjacent", top_k=2, expert_scale=1.5)
    bailing = Spec(2, 1, 10, pairing="adjacent", top_k=2, renormalise=True)
    hunyuan = Spec(2, 1, 10, qk_norm="after", top_k=2, renormalise=True)
    sigmoid = dict(top_k=2, router="sigmoid", renormalise=True, expert_scale=2.5)
    sigmoid_keys = dict(
        expert_shared_count=1,
        expert_weights_norm=True,
        expert_weights_scale=2.5,
        expert_gating_func=2,
        leading_dense_block_count=1,
    )
    dots1 = Spec(2, 2, 10, qk_norm="head", **sigmoid)
    glm4 = Spec(2, 1, 10, rope_dims=4, ffn_norm="post_attention_norm", **sigmoid)
    return [
        row(
            "deepseek",
            "deepseek",
            "a dense layer, then one with 2 of 5 experts not made to sum to 1 but scaled, and 2 shared ones",
            deepseek,
            dict(n_experts=5, shared=24, n_dense=1),
            dict(
                **TURNED,
                **expert_keys(deepseek, 5),
                expert_shared_count=2,
                expert_weights_scale=1.5,
                leading_dense_block_count=1,
            ),
        ),
        row(
            "bailingmoe",
            "bailingmoe",
            "2 of 5 experts made to sum to 1 because a key says so, and a shared one",
            bailing,
            dict(n_layers=1, n_experts=5, shared=12),
            dict(
                **TURNED,
                **expert_keys(bailing, 5),
                expert_shared_count=1,
                expert_weights_scale=1.0,
                expert_weights_norm=True,
            ),
        ),
        row(
            "hunyuan-moe",
            "hunyuan-moe",
            "2 of 5 experts made to sum to 1, and a shared one; q and k normed after RoPE",
            hunyuan,
            dict(ffn=12, n_layers=1, n_experts=5, shared=16),
            dict(**TURNED, **expert_keys(hunyuan, 5), expert_shared_feed_forward_length=16),
        ),
        row(
            "dots1",
            "dots1",
            "a sigmoid router with a bias for the choice only, shares made to sum to 1, then scaled",
            dots1,
            dict(n_experts=5, shared=12, n_dense=1, router_bias=True),
            dict(**expert_keys(dots1, 5), **sigmoid_keys),
        ),
        row(
            "glm4moe",
            "glm4moe",
            "a sigmoid router; half-split RoPE on part of the head; post_attention_norm precedes the FFN",
            glm4,
            dict(n_experts=5, shared=12, n_dense=1, router_bias=True, bias="q k v", norms="attn post_attention_norm"),
            dict(**expert_keys(glm4, 5), **sigmoid_keys, rope__dimension_count=4),
        ),
    ]


def seed_weights(row: Row) -> Dict[str, np.ndarray]:
    """Weights large enough for every part to show in the logits."""
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
        tensors[name] = value.astype(np.float32)
    return {**tensors, **row.tensors}


def build(row: Row) -> Tiny:
    tensors = seed_weights(row)
    return Tiny(
        name=row.name,
        architecture=row.architecture,
        about=row.about,
        oracle=f"reference.py, float64, NumPy {np.__version__}",
        keys=row.keys,
        tensors=tensors,
        forward=Reference(row.spec, tensors),
        forward_half_cache=Reference(row.spec, tensors, half_cache=True),
        tolerance=row.tolerance,
        peer=row.peer,
    )
