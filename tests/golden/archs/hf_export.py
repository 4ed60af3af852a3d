"""From Hugging Face's names, configs and layouts to GGUF's: what hf_models.py needs to write a file.

Which rows of q and k are permuted, what is fused in which order and which keys are left out follows what
public converters write.
"""

import re
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np

Tensors = Dict[str, np.ndarray]


class Family(NamedTuple):
    architecture: str
    names: Dict[str, str]  # Hugging Face's name without ".weight"; {i} is the layer; "=": the whole name, as it stands
    keys: Callable[[object], Dict[str, object]]
    change: Optional[Callable[[Tensors, object], None]] = None  # after renaming, in place
    norm_plus_one: bool = False  # Hugging Face stores norm weights around 0, GGUF around 1


# Names

LLAMA_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.{i}.input_layernorm": "attn_norm",
    "model.layers.{i}.post_attention_layernorm": "ffn_norm",
    "model.layers.{i}.self_attn.q_proj": "attn_q",
    "model.layers.{i}.self_attn.k_proj": "attn_k",
    "model.layers.{i}.self_attn.v_proj": "attn_v",
    "model.layers.{i}.self_attn.o_proj": "attn_output",
    "model.layers.{i}.mlp.gate_proj": "ffn_gate",
    "model.layers.{i}.mlp.up_proj": "ffn_up",
    "model.layers.{i}.mlp.down_proj": "ffn_down",
}
MIXTRAL_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.block_sparse_moe.gate": "ffn_gate_inp",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w1": "ffn_gate_exps",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w2": "ffn_down_exps",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w3": "ffn_up_exps",
}
QWEN2MOE_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.mlp.gate": "ffn_gate_inp",
    "model.layers.{i}.mlp.experts.{e}.gate_proj": "ffn_gate_exps",
    "model.layers.{i}.mlp.experts.{e}.up_proj": "ffn_up_exps",
    "model.layers.{i}.mlp.experts.{e}.down_proj": "ffn_down_exps",
    "model.layers.{i}.mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "model.layers.{i}.mlp.shared_expert.up_proj": "ffn_up_shexp",
    "model.layers.{i}.mlp.shared_expert.down_proj": "ffn_down_shexp",
    "model.layers.{i}.mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
PHI2_NAMES = {
    **LLAMA_NAMES,
    "model.final_layernorm": "output_norm",
    "model.layers.{i}.self_attn.dense": "attn_output",
    "model.layers.{i}.mlp.fc1": "ffn_up",
    "model.layers.{i}.mlp.fc2": "ffn_down",
}
PHI3_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.self_attn.qkv_proj": "attn_qkv",
    "model.layers.{i}.mlp.gate_up_proj": "ffn_up",
}
GEMMA2_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.post_attention_layernorm": "post_attention_norm",
    "model.layers.{i}.pre_feedforward_layernorm": "ffn_norm",
    "model.layers.{i}.post_feedforward_layernorm": "post_ffw_norm",
}
STARCODER2_NAMES = {**LLAMA_NAMES, "model.layers.{i}.mlp.c_fc": "ffn_up", "model.layers.{i}.mlp.c_proj": "ffn_down"}
STABLELM_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.self_attn.q_layernorm.norms.{e}": "attn_q_norm",
    "model.layers.{i}.self_attn.k_layernorm.norms.{e}": "attn_k_norm",
}
COHERE_NAMES = {
    **LLAMA_NAMES,
    "model.layers.{i}.self_attn.q_norm": "attn_q_norm",
    "model.layers.{i}.self_attn.k_norm": "attn_k_norm",
}
GPTNEOX_NAMES = {
    "gpt_neox.embed_in": "token_embd",
    "gpt_neox.final_layer_norm": "output_norm",
    "embed_out": "output",
    "gpt_neox.layers.{i}.input_layernorm": "attn_norm",
    "gpt_neox.layers.{i}.post_attention_layernorm": "ffn_norm",
    "gpt_neox.layers.{i}.attention.query_key_value": "attn_qkv",
    "gpt_neox.layers.{i}.attention.dense": "attn_output",
    "gpt_neox.layers.{i}.mlp.dense_h_to_4h": "ffn_up",
    "gpt_neox.layers.{i}.mlp.dense_4h_to_h": "ffn_down",
}
GPT2_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "transformer.h.{i}.ln_1": "attn_norm",
    "transformer.h.{i}.ln_2": "ffn_norm",
    "transformer.h.{i}.attn.c_attn": "attn_qkv",
    "transformer.h.{i}.attn.c_proj": "attn_output",
    "transformer.h.{i}.mlp.c_fc": "ffn_up",
    "transformer.h.{i}.mlp.c_proj": "ffn_down",
}
GPTJ_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "transformer.h.{i}.ln_1": "attn_norm",
    "transformer.h.{i}.attn.q_proj": "attn_q",
    "transformer.h.{i}.attn.k_proj": "attn_k",
    "transformer.h.{i}.attn.v_proj": "attn_v",
    "transformer.h.{i}.attn.out_proj": "attn_output",
    "transformer.h.{i}.mlp.fc_in": "ffn_up",
    "transformer.h.{i}.mlp.fc_out": "ffn_down",
}
BLOOM_NAMES = {
    "transformer.word_embeddings": "token_embd",
    "transformer.word_embeddings_layernorm": "token_embd_norm",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "transformer.h.{i}.input_layernorm": "attn_norm",
    "transformer.h.{i}.post_attention_layernorm": "ffn_norm",
    "transformer.h.{i}.ln_mlp": "attn_norm",  # falcon-40b: the MLP's norm is the one called attn_norm
    "transformer.h.{i}.ln_attn": "attn_norm_2",
    "transformer.h.{i}.self_attention.query_key_value": "attn_qkv",
    "transformer.h.{i}.self_attention.dense": "attn_output",
    "transformer.h.{i}.mlp.dense_h_to_4h": "ffn_up",
    "transformer.h.{i}.mlp.dense_4h_to_h": "ffn_down",
}
MPT_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.norm_f": "output_norm",
    "lm_head": "output",
    "transformer.blocks.{i}.norm_1": "attn_norm",
    "transformer.blocks.{i}.norm_2": "ffn_norm",
    "transformer.blocks.{i}.attn.Wqkv": "attn_qkv",
    "transformer.blocks.{i}.attn.out_proj": "attn_output",
    "transformer.blocks.{i}.ffn.up_proj": "ffn_up",
    "transformer.blocks.{i}.ffn.down_proj": "ffn_down",
}
DBRX_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.norm_f": "output_norm",
    "lm_head": "output",
    "transformer.blocks.{i}.norm_attn_norm.norm_1": "attn_norm",
    "transformer.blocks.{i}.norm_attn_norm.norm_2": "attn_output_norm",
    "transformer.blocks.{i}.norm_attn_norm.attn.Wqkv": "attn_qkv",
    "transformer.blocks.{i}.norm_attn_norm.attn.out_proj": "attn_output",
    "transformer.blocks.{i}.ffn.router.layer": "ffn_gate_inp",
    "=transformer.blocks.{i}.ffn.experts.mlp.w1": "ffn_gate_exps.weight",
    "=transformer.blocks.{i}.ffn.experts.mlp.v1": "ffn_up_exps.weight",
    "=transformer.blocks.{i}.ffn.experts.mlp.w2": "ffn_down_exps.weight",
}
MAMBA_NAMES = {
    "backbone.embeddings": "token_embd",
    "backbone.norm_f": "output_norm",
    "lm_head": "output",
    "backbone.layers.{i}.norm": "attn_norm",
    "backbone.layers.{i}.mixer.in_proj": "ssm_in",
    "backbone.layers.{i}.mixer.conv1d": "ssm_conv1d",
    "backbone.layers.{i}.mixer.x_proj": "ssm_x",
    "backbone.layers.{i}.mixer.dt_proj": "ssm_dt",
    "=backbone.layers.{i}.mixer.dt_bias": "ssm_dt.bias",
    "=backbone.layers.{i}.mixer.A_log": "ssm_a",
    "=backbone.layers.{i}.mixer.D": "ssm_d",
    "backbone.layers.{i}.mixer.norm": "ssm_norm",
    "backbone.layers.{i}.mixer.out_proj": "ssm_out",
}


# Keys


def sizes(c, context: str = "max_position_embeddings", ffn: str = "intermediate_size") -> Dict[str, object]:
    keys = {
        "block_count": c.num_hidden_layers,
        "context_length": getattr(c, context),
        "embedding_length": c.hidden_size,
        "feed_forward_length": getattr(c, ffn) if getattr(c, ffn, None) else 4 * c.hidden_size,
        "attention.head_count": c.num_attention_heads,
        "general.file_type": 0,
    }
    return keys


def llama_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps,
        "rope.freq_base": float(c.rope_theta),
        "rope.dimension_count": getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads,
        "vocab_size": c.vocab_size,
    }
    if getattr(c, "head_dim", None):
        keys.update({"attention.key_length": c.head_dim, "attention.value_length": c.head_dim})
    if getattr(c, "num_local_experts", None):
        keys.update({"expert_count": c.num_local_experts, "expert_used_count": c.num_experts_per_tok})
    if (getattr(c, "rope_scaling", None) or {}).get(
        "rope_type", (getattr(c, "rope_scaling", None) or {}).get("type")
    ) == "linear":
        keys.update({"rope.scaling.type": "linear", "rope.scaling.factor": float(c.rope_scaling["factor"])})
    return keys


def mistral_keys(c) -> Dict[str, object]:
    return {**llama_keys(c), "attention.sliding_window": c.sliding_window}


def qwen2_keys(c) -> Dict[str, object]:
    keys = llama_keys(c)
    del keys["rope.dimension_count"], keys["vocab_size"]
    return keys


def qwen2moe_keys(c) -> Dict[str, object]:
    return {
        **qwen2_keys(c),
        "expert_count": c.num_experts,
        "expert_used_count": c.num_experts_per_tok,
        "expert_feed_forward_length": c.moe_intermediate_size,
        "expert_shared_feed_forward_length": c.shared_expert_intermediate_size,
    }


def phi2_keys(c) -> Dict[str, object]:
    return {
        **sizes(c),
        "feed_forward_length": 4 * c.hidden_size,
        "attention.head_count_kv": c.num_attention_heads,
        "attention.layer_norm_epsilon": c.layer_norm_eps,
        "rope.dimension_count": int(c.partial_rotary_factor * c.hidden_size) // c.num_attention_heads,
    }


def phi3_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c),
        "rope.scaling.original_context_length": c.original_max_position_embeddings,
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps,
        "rope.dimension_count": c.hidden_size // c.num_attention_heads,
        "rope.freq_base": float(c.rope_theta),
        "attention.sliding_window": 0,
    }
    if c.rope_scaling:
        scale = c.max_position_embeddings / c.original_max_position_embeddings
        keys["rope.scaling.attn_factor"] = float(
            np.sqrt(1 + np.log(scale) / np.log(c.original_max_position_embeddings))
        )
    return keys


def gemma_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": c.rms_norm_eps,
        "attention.key_length": c.head_dim,
        "attention.value_length": c.head_dim,
    }
    if hasattr(c, "attn_logit_softcapping"):
        keys.update(
            {
                "attn_logit_softcapping": c.attn_logit_softcapping,
                "final_logit_softcapping": c.final_logit_softcapping,
                "attention.sliding_window": c.sliding_window,
            }
        )
    return keys


def gptneox_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c),
        "rope.dimension_count": int(c.rotary_pct * (c.hidden_size // c.num_attention_heads)),
        "use_parallel_residual": c.use_parallel_residual,
        "attention.layer_norm_epsilon": c.layer_norm_eps,
    }
    del keys["general.file_type"]
    return keys


def stablelm_keys(c) -> Dict[str, object]:
    return {
        **sizes(c),
        "rope.dimension_count": int(c.partial_rotary_factor * (c.hidden_size // c.num_attention_heads)),
        "attention.head_count_kv": c.num_key_value_heads,
        "use_parallel_residual": c.use_parallel_residual,
        "attention.layer_norm_epsilon": c.layer_norm_eps,
    }


def gpt2_keys(c) -> Dict[str, object]:
    return {**sizes(c, "n_positions", ""), "attention.layer_norm_epsilon": c.layer_norm_epsilon}


def starcoder_keys(c) -> Dict[str, object]:
    return {**gpt2_keys(c), "attention.head_count_kv": 1}


def gptj_keys(c) -> Dict[str, object]:
    return {**gpt2_keys(c), "rope.dimension_count": c.rotary_dim}


def starcoder2_keys(c) -> Dict[str, object]:
    return {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_epsilon": c.norm_epsilon,
        "rope.freq_base": float(c.rope_theta),
    }


def falcon_keys(c) -> Dict[str, object]:
    return {
        **sizes(c, "max_position_embeddings", ""),
        "tensor_data_layout": "jploski",
        "attention.head_count_kv": c.num_kv_heads if c.new_decoder_architecture else 1,
        "attention.layer_norm_epsilon": c.layer_norm_epsilon,
    }


def bloom_keys(c) -> Dict[str, object]:
    return {
        **sizes(c, "seq_length", ""),
        "attention.head_count_kv": c.n_head,
        "attention.layer_norm_epsilon": c.layer_norm_epsilon,
    }


def mpt_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c, "max_seq_len", ""),
        "attention.layer_norm_epsilon": 1e-5,
        "attention.max_alibi_bias": float(c.attn_config.alibi_bias_max),
    }
    if c.attn_config.clip_qkv is not None:
        keys["attention.clamp_kqv"] = float(c.attn_config.clip_qkv)
    return keys


def olmo_keys(c) -> Dict[str, object]:
    keys = {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "rope.freq_base": float(c.rope_theta),
        "attention.layer_norm_epsilon": 1e-5,
    }
    if c.clip_qkv is not None:
        keys["attention.clamp_kqv"] = c.clip_qkv
    return keys


def cohere_keys(c) -> Dict[str, object]:
    return {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "rope.freq_base": float(c.rope_theta),
        "attention.layer_norm_epsilon": c.layer_norm_eps,
        "logit_scale": c.logit_scale,
        "rope.scaling.type": "none",
    }


def nemotron_keys(c) -> Dict[str, object]:
    return {
        **sizes(c),
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_epsilon": c.norm_eps,
        "vocab_size": c.vocab_size,
        "rope.dimension_count": int(c.partial_rotary_factor * c.hidden_size) // c.num_attention_heads,
        "rope.freq_base": float(c.rope_theta),
        "rope.scaling.type": "none",
        "attention.key_length": c.head_dim,
        "attention.value_length": c.head_dim,
    }


def dbrx_keys(c) -> Dict[str, object]:
    return {
        "block_count": c.n_layers,
        "context_length": c.max_seq_len,
        "embedding_length": c.d_model,
        "feed_forward_length": c.ffn_config.ffn_hidden_size,
        "attention.head_count": c.n_heads,
        "attention.head_count_kv": c.attn_config.kv_n_heads,
        "rope.freq_base": c.attn_config.rope_theta,
        "attention.clamp_kqv": c.attn_config.clip_qkv,
        "expert_count": c.ffn_config.moe_num_experts,
        "expert_used_count": c.ffn_config.moe_top_k,
        "attention.layer_norm_epsilon": 1e-5,
        "general.file_type": 0,
    }


def mamba_keys(c) -> Dict[str, object]:
    keys = {
        "context_length": 1 << 20,
        "embedding_length": c.hidden_size,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "block_count": c.num_hidden_layers,
        "ssm.conv_kernel": c.conv_kernel,
        "ssm.inner_size": c.expand * c.hidden_size,
        "ssm.state_size": c.state_size,
        "ssm.time_step_rank": c.time_step_rank if c.model_type == "mamba" else c.expand * c.hidden_size // c.head_dim,
        "attention.layer_norm_rms_epsilon": c.layer_norm_epsilon,
        "general.file_type": 0,
    }
    return {**keys, "ssm.dt_b_c_rms": False} if c.model_type == "mamba" else {**keys, "ssm.group_count": c.n_groups}


# Changes


def each(tensors: Tensors, pattern: str):
    return [name for name in list(tensors) if re.fullmatch(pattern, name)]


def permute_for_adjacent_rope(tensors: Tensors, c) -> None:
    """Rows of each head from [first halves | second halves] to pairs, weights and biases."""
    for name in each(tensors, r"blk\.\d+\.attn_[qk]\.(weight|bias)"):
        n_heads = c.num_attention_heads if ".attn_q." in name else c.num_key_value_heads
        w = tensors[name]
        tensors[name] = w.reshape(n_heads, 2, w.shape[0] // n_heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def split_heads_of_three(tensors: Tensors, c) -> None:
    """Fused rows [head, q k v, head_dim] to [all q | all k | all v]."""
    for name in each(tensors, r"blk\.\d+\.attn_qkv\.(weight|bias)"):
        w = tensors[name]
        parts = w.reshape(c.num_attention_heads, 3, -1, *w.shape[1:]).swapaxes(0, 1)
        tensors[name] = np.concatenate([part.reshape(-1, *w.shape[1:]) for part in parts])


def split_falcon_groups(tensors: Tensors, c) -> None:
    """Fused rows [kv group, its queries + k + v, head_dim] to [all q | all k | all v]."""
    n_kv_heads = c.num_kv_heads if c.new_decoder_architecture else 1
    head_dim = c.hidden_size // c.num_attention_heads
    for name in each(tensors, r"blk\.\d+\.attn_qkv\.weight"):
        w = tensors[name].reshape(n_kv_heads, c.num_attention_heads // n_kv_heads + 2, head_dim, c.hidden_size)
        tensors[name] = np.concatenate([part.reshape(-1, c.hidden_size) for part in (w[:, :-2], w[:, -2], w[:, -1])])


def transpose_conv1d(tensors: Tensors, c) -> None:
    for name in each(tensors, r"blk\.\d+\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight"):
        tensors[name] = tensors[name].T


def fuse_qkv(tensors: Tensors, c) -> None:
    for i in range(c.num_hidden_layers):
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"blk.{i}.attn_{part}.{kind}") for part in "qkv"]
            tensors[f"blk.{i}.attn_qkv.{kind}"] = np.concatenate(parts)


def add_llama3_factors(tensors: Tensors, c) -> None:
    """The divisors of the frequencies, as Llama 3.1 defines them."""
    permute_for_adjacent_rope(tensors, c)
    s, dim = c.rope_scaling, c.hidden_size // c.num_attention_heads
    wavelengths = 2 * np.pi * c.rope_theta ** (np.arange(0, dim, 2) / dim)
    low, high = (s["original_max_position_embeddings"] / s[k] for k in ("low_freq_factor", "high_freq_factor"))
    smooth = (s["original_max_position_embeddings"] / wavelengths - s["low_freq_factor"]) / (
        s["high_freq_factor"] - s["low_freq_factor"]
    )
    between = 1 / ((1 - smooth) / s["factor"] + smooth)
    factors = np.where(wavelengths < high, 1.0, np.where(wavelengths > low, s["factor"], between))
    assert len(set(np.sign(wavelengths - low) + np.sign(wavelengths - high))) == 3, "all three ranges should occur"
    tensors["rope_freqs.weight"] = factors.astype(np.float32)


def add_longrope_factors(tensors: Tensors, c) -> None:
    for which in ("long", "short"):
        tensors[f"rope_factors_{which}.weight"] = np.array(c.rope_scaling[f"{which}_factor"], dtype=np.float32)


def shape_dbrx_experts(tensors: Tensors, c) -> None:
    for name in each(tensors, r".*_exps\.weight"):
        w = tensors[name].reshape(c.ffn_config.moe_num_experts, c.ffn_config.ffn_hidden_size, c.d_model)
        tensors[name] = w.swapaxes(1, 2) if "down" in name else w


def finish_mamba(tensors: Tensors, c) -> None:
    """The state's decay rate instead of the logarithm of its negative; Mamba-2's per-head numbers as columns."""
    for name in each(tensors, r".*ssm_conv1d\.weight"):
        tensors[name] = tensors[name][:, 0]
    for name in each(tensors, r".*ssm_a"):
        tensors[name] = -np.exp(tensors[name])
    for name in each(tensors, r".*ssm_(a|d)"):
        if c.model_type == "mamba2":
            tensors[name] = tensors[name].reshape(-1, 1)
    for name in each(tensors, r".*ssm_norm\.weight"):
        tensors[name] = tensors[name].reshape(c.n_groups, -1)


# Tensors


def rename(name: str, names: Dict[str, str]):
    """GGUF's name, and the number of the expert or head where several tensors become one."""
    stem, kind = name.rsplit(".", 1)
    for pattern, target in names.items():
        whole = pattern.startswith("=")
        expression = re.escape(pattern.lstrip("=")).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{e\}", r"(?P<e>\d+)")
        match = re.fullmatch(expression, name if whole else stem)
        if match:
            groups = match.groupdict()
            full = target if whole else f"{target}.{kind}"
            return (f"blk.{groups['i']}.{full}" if "i" in groups else full), int(groups["e"]) if "e" in groups else None
    raise KeyError(f"no GGUF name for {name}")


def export(model, family: Family) -> Tensors:
    """All tensors of the file, by name, as float32."""
    tensors: Tensors = {}
    stacks: Dict[str, Dict[int, np.ndarray]] = {}
    for name, parameter in model.named_parameters():  # a tied head is not listed twice
        target, expert = rename(name, family.names)
        value = parameter.detach().numpy().copy()
        if family.norm_plus_one and "norm" in target and target.endswith("weight"):
            value = value + np.float32(1)
        if expert is None:
            assert target not in tensors, target
            tensors[target] = value
        else:
            stacks.setdefault(target, {})[expert] = value
    for target, parts in stacks.items():
        tensors[target] = np.stack([parts[e] for e in range(len(parts))])
    for name in each(tensors, r".*ffn_gate_inp_shexp\.weight"):
        tensors[name] = tensors[name].reshape(-1)
    if family.change:
        family.change(tensors, model.config)
    return tensors


# Families

LLAMA = Family("llama", LLAMA_NAMES, llama_keys, permute_for_adjacent_rope)
LLAMA3 = LLAMA._replace(change=add_llama3_factors)
MISTRAL = LLAMA._replace(keys=mistral_keys)
MIXTRAL = LLAMA._replace(names=MIXTRAL_NAMES)
QWEN2 = Family("qwen2", LLAMA_NAMES, qwen2_keys)
QWEN2MOE = Family("qwen2moe", QWEN2MOE_NAMES, qwen2moe_keys)
PHI2 = Family("phi2", PHI2_NAMES, phi2_keys)
PHI3 = Family("phi3", PHI3_NAMES, phi3_keys)
GEMMA = Family("gemma", LLAMA_NAMES, gemma_keys, norm_plus_one=True)
GEMMA2 = Family("gemma2", GEMMA2_NAMES, gemma_keys, norm_plus_one=True)
GPTNEOX = Family("gptneox", GPTNEOX_NAMES, gptneox_keys, split_heads_of_three)
GPTJ = Family("gptj", GPTJ_NAMES, gptj_keys)
GPT2 = Family("gpt2", GPT2_NAMES, gpt2_keys, transpose_conv1d)
STARCODER = Family("starcoder", GPT2_NAMES, starcoder_keys)
STARCODER2 = Family("starcoder2", STARCODER2_NAMES, starcoder2_keys)
STABLELM = Family("stablelm", STABLELM_NAMES, stablelm_keys)
FALCON = Family("falcon", BLOOM_NAMES, falcon_keys, split_falcon_groups)
BLOOM = Family("bloom", BLOOM_NAMES, bloom_keys, split_heads_of_three)
MPT = Family("mpt", MPT_NAMES, mpt_keys)
OLMO = Family("olmo", LLAMA_NAMES, olmo_keys, permute_for_adjacent_rope)
COMMAND_R = Family("command-r", COHERE_NAMES, cohere_keys)
NEMOTRON = Family("nemotron", LLAMA_NAMES, nemotron_keys, norm_plus_one=True)
DBRX = Family("dbrx", DBRX_NAMES, dbrx_keys, shape_dbrx_experts)
MAMBA = Family("mamba", MAMBA_NAMES, mamba_keys, finish_mamba)
MAMBA2 = Family("mamba2", MAMBA_NAMES, mamba_keys, finish_mamba)
