"""Tiny models whose layers mix in other ways than by plain attention, or whose experts are chosen or placed in other ways:
a row each. Their oracle is hybrid_reference.py.
"""

import re
from typing import Dict, List, NamedTuple, Optional

import numpy as np
from hybrid_reference import Hybrid, Mixing
from shapes import dense_shapes, expert_keys, expert_shapes, head_keys, keys
from tiny import N_VOCAB, Tiny, random_for, rounded, stored_type

WIDTH = 20


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
    if s.qk_norm == "heads":
        attention.update(
            {"attn_q_norm.weight": (s.n_heads, s.head_dim), "attn_k_norm.weight": (s.n_kv_heads, s.head_dim)}
        )
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
    from_x = {
        **{name: shape for name, shape in mamba.items() if name != "ssm_conv1d.bias"},
        "ssm_dt.weight": (s.ssm_heads, s.dt_rank),
        **{name: (s.ssm_heads,) for name in ("ssm_dt.bias", "ssm_a", "ssm_d")},
    }
    short = {
        "shortconv.in_proj.weight": (3 * width, width),
        "shortconv.conv.weight": (width, s.taps),
        "shortconv.out_proj.weight": (width, width),
    }
    rates = (
        {"ssm_beta.weight": (s.ssm_heads, width), "ssm_alpha.weight": (s.ssm_heads, width)}
        if s.interleaved_keys
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
        "k": attention,
        "p": from_x,
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
    fused_gate: bool = False
    bare: str = ""  # names of tensors, separated by spaces, whose .weight the file leaves out
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
            else dense_shapes(row.width, row.ffn, fused=row.fused_gate)
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
    groups = 0 if "p" in s.layers else s.groups
    return {
        "ssm__inner_size": s.inner,
        "ssm__state_size": s.n_state,
        "ssm__conv_kernel": s.taps,
        "ssm__time_step_rank": rank,
        "ssm__group_count": groups,
    }


def all_keys(row: Row) -> Dict[str, object]:
    s = row.spec
    more = dict(row.keys)
    if set(s.layers) & set("mp2bd"):
        more.update(ssm_keys(s))
    if "s" in row.ffns:
        more.update(expert_keys(s, row.n_experts, row.expert_ffn))
    if not s.unturned and "l" not in s.layers:
        more.setdefault("rope__dimension_count", s.head_dim)
    if "l" not in s.layers:
        more.update(head_keys(s))
    out = keys(s, width=row.width, ffn=row.ffn, n_layers=len(s.layers), **more)
    if set(s.layers) & set("mp2cf"):  # heads for each layer, none where it does not attend
        out["attention.head_count_kv"] = [s.n_kv_heads if kind in "ablk" else 0 for kind in s.layers]
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
        llama4(7),
    ]


def llama4(chunk: int) -> Row:
    spec = Mixing(2, 1, 10, layers="kkkk", pairing="adjacent", top_k=1, router="sigmoid", weigh_input=True, chunk=chunk,
                  rope_layers=(True, True, True, False))  # fmt: skip
    return Row(
        "llama4",
        "llama4",
        "chunks of 7 on rotated layers, whose q and k are normalised without weights; the weight is "
        "on an expert's input",
        spec,
        "dsds",
        dict(attention__sliding_window=chunk, interleave_moe_layer_step=2, vocab_size=N_VOCAB),
        n_experts=3,
        shared=12,
    )


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
    plamo = Mixing(**heads, layers="pa", fused=True, qk_norm="heads", dt_rank=64)
    qwen35 = Mixing(**delta, layers="da", interleaved_keys=True)
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
        Row("falcon-h1", "falcon-h1", "attention beside mamba2 in every layer", falcon, "dd", bare="ffn_norm"),
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
        Row(
            "plamo2",
            "plamo2",
            "mamba2 whose B, C and dt are made of x, and attention with norms of every head; norms behind a branch",
            plamo,
            "dd",
            fused_gate=True,
            extra={"blk.*.post_attention_norm.weight": (WIDTH,), "blk.*.post_ffw_norm.weight": (WIDTH,)},
            bare="post_attention_norm post_ffw_norm ssm_dt_norm ssm_b_norm ssm_c_norm",
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
    for bare in row.bare.split():
        tensors = {name.replace(f".{bare}.weight", f".{bare}"): array for name, array in tensors.items()}
    numbers = all_keys(row)
    if row.architecture == "phimoe":
        numbers.pop("attention.layer_norm_epsilon")
    return Tiny(
        name=row.name,
        architecture=row.architecture,
        about=row.about,
        oracle=f"hybrid_reference.py, float64, NumPy {np.__version__}",
        keys=numbers,
        tensors=tensors,
        forward=Hybrid(row.spec, known),
        forward_half_cache=Hybrid(row.spec, known, half_cache=True),
        tolerance=row.tolerance,
        peer_model=build(llama4(8192)) if row.spec.chunk == 7 else None,  # llama.cpp knows no other chunks
        dtype=row.dtype,
        peer=row.peer,
    )
