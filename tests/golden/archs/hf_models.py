"""Tiny models whose numbers come from Hugging Face transformers: a row each, with its names and keys in GGUF's words.

A row gives the config, the table of names and the keys; `build` seeds the weights, exports them and keeps the model as the oracle.
Which rows of q and k are permuted, what is fused in which order and which keys are left out follows what public converters write.
"""

import re
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
import torch
import transformers as hf
from tiny import N_VOCAB, Tiny, random_for, rounded, stored_type

Tensors = Dict[str, np.ndarray]


class LayerNorm(torch.nn.LayerNorm):
    """torch 1.13 does not know `bias=False`, which StableLM's norms per head ask for."""

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None):
        super().__init__(normalized_shape, eps, elementwise_affine, device, dtype)
        if not bias:
            self.bias = None


torch.nn.LayerNorm = LayerNorm


class Row(NamedTuple):
    name: str
    architecture: str
    about: str
    config: object
    names: Dict[str, str]  # Hugging Face's name without ".weight"; {i} is the layer
    keys: Callable[[object], Dict[str, object]]
    change: Optional[Callable[[Tensors, object], None]] = None  # after renaming, in place
    norm_plus_one: bool = False  # Hugging Face stores norm weights around 0, GGUF around 1
    dtype: str = "F32"
    tolerance: float = 1e-3
    peer: Optional[str] = None


# Names

LLAMA = {
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
MIXTRAL = {
    **LLAMA,
    "model.layers.{i}.block_sparse_moe.gate": "ffn_gate_inp",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w1": "ffn_gate_exps",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w2": "ffn_down_exps",
    "model.layers.{i}.block_sparse_moe.experts.{e}.w3": "ffn_up_exps",
}
QWEN2MOE = {
    **LLAMA,
    "model.layers.{i}.mlp.gate": "ffn_gate_inp",
    "model.layers.{i}.mlp.experts.{e}.gate_proj": "ffn_gate_exps",
    "model.layers.{i}.mlp.experts.{e}.up_proj": "ffn_up_exps",
    "model.layers.{i}.mlp.experts.{e}.down_proj": "ffn_down_exps",
    "model.layers.{i}.mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "model.layers.{i}.mlp.shared_expert.up_proj": "ffn_up_shexp",
    "model.layers.{i}.mlp.shared_expert.down_proj": "ffn_down_shexp",
    "model.layers.{i}.mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
PHI2 = {
    **LLAMA,
    "model.final_layernorm": "output_norm",
    "model.layers.{i}.self_attn.dense": "attn_output",
    "model.layers.{i}.mlp.fc1": "ffn_up",
    "model.layers.{i}.mlp.fc2": "ffn_down",
}
PHI3 = {**LLAMA, "model.layers.{i}.self_attn.qkv_proj": "attn_qkv", "model.layers.{i}.mlp.gate_up_proj": "ffn_up"}
GEMMA2 = {
    **LLAMA,
    "model.layers.{i}.post_attention_layernorm": "post_attention_norm",
    "model.layers.{i}.pre_feedforward_layernorm": "ffn_norm",
    "model.layers.{i}.post_feedforward_layernorm": "post_ffw_norm",
}
STARCODER2 = {**LLAMA, "model.layers.{i}.mlp.c_fc": "ffn_up", "model.layers.{i}.mlp.c_proj": "ffn_down"}
STABLELM = {
    **LLAMA,
    "model.layers.{i}.self_attn.q_layernorm.norms.{e}": "attn_q_norm",
    "model.layers.{i}.self_attn.k_layernorm.norms.{e}": "attn_k_norm",
}
COHERE = {**LLAMA, "model.layers.{i}.self_attn.q_norm": "attn_q_norm", "model.layers.{i}.self_attn.k_norm": "attn_k_norm"}
GPTNEOX = {
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
GPT2 = {
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
GPTJ = {
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
BLOOM = {
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
MPT = {
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
    if (getattr(c, "rope_scaling", None) or {}).get("rope_type", (getattr(c, "rope_scaling", None) or {}).get("type")) == "linear":
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
        keys["rope.scaling.attn_factor"] = float(np.sqrt(1 + np.log(scale) / np.log(c.original_max_position_embeddings)))
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
        keys.update({
            "attn_logit_softcapping": c.attn_logit_softcapping,
            "final_logit_softcapping": c.final_logit_softcapping,
            "attention.sliding_window": c.sliding_window,
        })
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
    smooth = (s["original_max_position_embeddings"] / wavelengths - s["low_freq_factor"]) / (s["high_freq_factor"] - s["low_freq_factor"])
    between = 1 / ((1 - smooth) / s["factor"] + smooth)
    factors = np.where(wavelengths < high, 1.0, np.where(wavelengths > low, s["factor"], between))
    assert len(set(np.sign(wavelengths - low) + np.sign(wavelengths - high))) == 3, "all three ranges should occur"
    tensors["rope_freqs.weight"] = factors.astype(np.float32)


def add_longrope_factors(tensors: Tensors, c) -> None:
    for which in ("long", "short"):
        tensors[f"rope_factors_{which}.weight"] = np.array(c.rope_scaling[f"{which}_factor"], dtype=np.float32)


# Rows

def llama(**more):
    given = dict(
        vocab_size=N_VOCAB, hidden_size=30, intermediate_size=22, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
        max_position_embeddings=64, rms_norm_eps=2e-2, rope_theta=10000.0, pad_token_id=None, bos_token_id=0, eos_token_id=0,
        tie_word_embeddings=False, attn_implementation="eager",
    )  # fmt: skip
    return {**given, **more}


def layer_norm(**more):
    given = llama(layer_norm_eps=2e-2, **more)
    del given["rms_norm_eps"]
    return given


def old(**more):
    """The names of GPT-2's time."""
    given = dict(vocab_size=N_VOCAB, n_positions=64, n_embd=18, n_layer=2, n_head=3, layer_norm_epsilon=2e-2, bos_token_id=0,
                 eos_token_id=0, attn_implementation="eager")  # fmt: skip
    return {**given, **more}


WIDE = dict(hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1)  # rows of whole blocks
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0], "long_factor": [1.0, 1.5, 2.5, 4.0, 7.0]}


def rows() -> List[Row]:
    return [
        Row("llama", "llama", "one KV head for three", hf.LlamaConfig(**llama()), LLAMA, llama_keys, permute_for_adjacent_rope),
        Row("llama-mha", "llama", "a KV head per head, tied head, biases, one layer, linear position scaling",
            hf.LlamaConfig(**llama(num_key_value_heads=3, num_hidden_layers=1, tie_word_embeddings=True, attention_bias=True,
                                   rope_scaling={"rope_type": "linear", "factor": 3.0})), LLAMA, llama_keys, permute_for_adjacent_rope),
        Row("llama3", "llama", "rope_freqs.weight divides the frequencies",
            hf.LlamaConfig(**llama(hidden_size=36, num_attention_heads=3, rope_theta=500.0, rope_scaling=LLAMA3)), LLAMA, llama_keys,
            add_llama3_factors),
        Row("llama-q8_0", "llama", "Q8_0 weights, rows of whole blocks", hf.LlamaConfig(**llama(**WIDE)), LLAMA, llama_keys,
            permute_for_adjacent_rope, dtype="Q8_0", tolerance=0.1),
        Row("llama-q4_0", "llama", "Q4_0 weights, tied head", hf.LlamaConfig(**llama(**WIDE, tie_word_embeddings=True)), LLAMA, llama_keys,
            permute_for_adjacent_rope, dtype="Q4_0", tolerance=0.2),
        Row("llama-f16", "llama", "F16 weights", hf.LlamaConfig(**llama()), LLAMA, llama_keys, permute_for_adjacent_rope, dtype="F16",
            tolerance=1e-2),
        Row("mistral", "llama", "a window of 7 positions, the prompt is longer; head_dim is not width / n_heads",
            hf.MistralConfig(**llama(sliding_window=7, head_dim=14, num_key_value_heads=1)), LLAMA, mistral_keys, permute_for_adjacent_rope,
            peer="llama.cpp ignores the window of this architecture, so it must differ"),
        Row("mixtral", "llama", "2 of 5 experts, weights made to sum to 1 again",
            hf.MixtralConfig(**llama(hidden_size=20, num_attention_heads=2, intermediate_size=18, num_local_experts=5, num_experts_per_tok=2,
                                     sliding_window=None)), MIXTRAL, llama_keys, permute_for_adjacent_rope),
        Row("mixtral-1-expert", "llama", "1 of 1 expert",
            hf.MixtralConfig(**llama(hidden_size=20, num_attention_heads=2, intermediate_size=18, num_local_experts=1, num_experts_per_tok=1,
                                     sliding_window=None)), MIXTRAL, llama_keys, permute_for_adjacent_rope),
        Row("mixtral-q8_0", "llama", "3-D experts in Q8_0, all experts used",
            hf.MixtralConfig(**llama(**{**WIDE, "hidden_size": 32, "intermediate_size": 32}, num_local_experts=3, num_experts_per_tok=3,
                                     sliding_window=None)), MIXTRAL, llama_keys, permute_for_adjacent_rope, dtype="Q8_0", tolerance=0.1),
        Row("qwen2", "qwen2", "biases on q, k, v only", hf.Qwen2Config(**llama(use_sliding_window=False, rope_theta=1000000.0)), LLAMA,
            qwen2_keys),
        Row("qwen2-q4_0", "qwen2", "Q4_0 weights, tied head",
            hf.Qwen2Config(**llama(**WIDE, tie_word_embeddings=True, use_sliding_window=False)), LLAMA, qwen2_keys, dtype="Q4_0",
            tolerance=0.2),
        Row("qwen2moe", "qwen2moe", "3 of 5 experts, not made to sum to 1; a shared expert with its own gate",
            hf.Qwen2MoeConfig(**llama(hidden_size=20, num_attention_heads=2, moe_intermediate_size=12, shared_expert_intermediate_size=22,
                                      num_experts=5, num_experts_per_tok=3, decoder_sparse_step=1, norm_topk_prob=False,
                                      use_sliding_window=False)), QWEN2MOE, qwen2moe_keys),
        Row("phi2", "phi2", "q, k and v apart; GELU by tanh; parallel residual; 4 of 10 dimensions turned",
            hf.PhiConfig(**layer_norm(hidden_size=20, num_attention_heads=2, intermediate_size=80, num_key_value_heads=2, hidden_act="gelu_new",
                                      partial_rotary_factor=0.4)), PHI2, phi2_keys, tolerance=5e-3),
        Row("phi2-fused", "phi2", "q, k and v as one tensor",
            hf.PhiConfig(**layer_norm(hidden_size=20, num_attention_heads=2, intermediate_size=80, num_key_value_heads=2, hidden_act="gelu_new",
                                      partial_rotary_factor=0.4, num_hidden_layers=1)), PHI2, phi2_keys, fuse_qkv, tolerance=5e-3),
        Row("phi2-q8_0", "phi2", "Q8_0 weights",
            hf.PhiConfig(**layer_norm(**{**WIDE, "intermediate_size": 256, "num_key_value_heads": 4}, hidden_act="gelu_new",
                                      partial_rotary_factor=0.5)), PHI2, phi2_keys, dtype="Q8_0", tolerance=0.1),
        Row("phi3", "phi3", "fused q, k, v and fused gate, up", hf.Phi3Config(**llama(sliding_window=None, original_max_position_embeddings=64)),
            PHI3, phi3_keys),
        Row("phi3-longrope-short", "phi3", "short and long factors, the context is within the original one: the short ones, and a magnitude",
            hf.Phi3Config(**llama(sliding_window=None, max_position_embeddings=1024, original_max_position_embeddings=512, num_hidden_layers=1,
                                  rope_scaling=LONGROPE)), PHI3, phi3_keys, add_longrope_factors),
        Row("phi3-longrope-long", "phi3", "short and long factors, prompt longer than the original context: the long ones, and a magnitude",
            hf.Phi3Config(**llama(sliding_window=None, max_position_embeddings=128, original_max_position_embeddings=16, num_hidden_layers=1,
                                  rope_scaling=LONGROPE)), PHI3, phi3_keys, add_longrope_factors),
        Row("gemma", "gemma", "embeddings times sqrt(width), norm weights around 1 in the file, GELU by tanh, head_dim of its own",
            hf.GemmaConfig(**llama(head_dim=14, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True)), LLAMA, gemma_keys,
            norm_plus_one=True, tolerance=5e-3),
        Row("gemma2", "gemma2", "soft caps, a window on even layers, norms before and after",
            hf.Gemma2Config(**llama(head_dim=14, query_pre_attn_scalar=14, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True,
                                    sliding_window=7, attn_logit_softcapping=5.0, final_logit_softcapping=8.0, num_hidden_layers=3)),
            GEMMA2, gemma_keys, norm_plus_one=True, tolerance=5e-3),
        Row("gptneox", "gptneox", "parallel residual, GELU by erf, part of the head turned",
            hf.GPTNeoXConfig(**layer_norm(rotary_pct=0.4, use_parallel_residual=True, hidden_act="gelu", num_key_value_heads=3)), GPTNEOX,
            gptneox_keys, split_heads_of_three, tolerance=1e-2),
        Row("gptneox-sequential", "gptneox", "no parallel residual, the whole head turned",
            hf.GPTNeoXConfig(**layer_norm(rotary_pct=1.0, use_parallel_residual=False, hidden_act="gelu", num_key_value_heads=3)), GPTNEOX,
            gptneox_keys, split_heads_of_three, tolerance=1e-2),
        Row("gptj", "gptj", "adjacent RoPE on 4 of 6 dimensions, one norm for both branches, bias on the head",
            hf.GPTJConfig(**old(rotary_dim=4, activation_function="gelu_new", tie_word_embeddings=False)), GPTJ, gptj_keys,
            peer="llama.cpp does not run this architecture"),
        Row("gpt2", "gpt2", "learned positions, tied head", hf.GPT2Config(**old()), GPT2, gpt2_keys, transpose_conv1d, tolerance=5e-3),
        Row("starcoder", "starcoder", "one KV head, learned positions", hf.GPTBigCodeConfig(**old(multi_query=True)), GPT2, starcoder_keys,
            tolerance=5e-3),
        Row("starcoder2", "starcoder2", "biases everywhere, GELU by tanh",
            hf.Starcoder2Config(**{**layer_norm(), "norm_epsilon": 2e-2, "sliding_window": None, "use_bias": True, "tie_word_embeddings": True}),
            STARCODER2, starcoder2_keys, tolerance=5e-3),
        Row("stablelm", "stablelm", "layer norms with SwiGLU, biases on q, k, v, 4 of 10 dimensions turned",
            hf.StableLmConfig(**layer_norm(partial_rotary_factor=0.4, use_qkv_bias=True)), STABLELM, stablelm_keys),
        Row("stablelm-12b-style", "stablelm", "parallel residual without ffn_norm, layer norms per head on q and k",
            hf.StableLmConfig(**layer_norm(partial_rotary_factor=0.4, qk_layernorm=True, use_parallel_residual=True)), STABLELM, stablelm_keys),
        Row("falcon-7b-style", "falcon", "one KV head, one norm for both branches, GELU by erf",
            hf.FalconConfig(vocab_size=N_VOCAB, hidden_size=30, num_hidden_layers=1, num_attention_heads=3, layer_norm_epsilon=2e-2,
                            multi_query=True, new_decoder_architecture=False, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
                            attn_implementation="eager"), BLOOM, falcon_keys, split_falcon_groups, tolerance=1e-2),
        Row("falcon-40b-style", "falcon", "2 KV heads, a norm for each branch",
            hf.FalconConfig(vocab_size=N_VOCAB, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_kv_heads=2,
                            layer_norm_epsilon=2e-2, new_decoder_architecture=True, max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
                            attn_implementation="eager"), BLOOM, falcon_keys, split_falcon_groups, tolerance=1e-2),
        Row("bloom", "bloom", "ALiBi with 3 heads, which is no power of two; a norm on the embedding",
            hf.BloomConfig(vocab_size=N_VOCAB, hidden_size=18, n_layer=2, n_head=3, layer_norm_epsilon=2e-2, seq_length=64, bos_token_id=0,
                           eos_token_id=0), BLOOM, bloom_keys, split_heads_of_three, tolerance=5e-3),
        Row("mpt", "mpt", "ALiBi with 3 heads, no biases, q, k and v clamped, GELU by erf",
            hf.MptConfig(vocab_size=N_VOCAB, d_model=18, n_layers=2, n_heads=3, max_seq_len=64, bos_token_id=0, eos_token_id=0,
                         attn_config={"clip_qkv": 1.5, "alibi_bias_max": 8}), MPT, mpt_keys, tolerance=1e-2),
        Row("olmo", "olmo", "norms without weights, q, k and v clamped before RoPE",
            hf.OlmoConfig(**{**llama(clip_qkv=1.5), "num_key_value_heads": 1}), LLAMA, olmo_keys, permute_for_adjacent_rope),
        Row("command-r", "command-r", "parallel residual, logits times a scale, adjacent RoPE by nature",
            hf.CohereConfig(**layer_norm(logit_scale=0.25, tie_word_embeddings=True)), COHERE, cohere_keys),
        Row("command-r-plus-style", "command-r", "layer norms per head on q and k",
            hf.CohereConfig(**layer_norm(logit_scale=0.25, tie_word_embeddings=True, use_qk_norm=True)), COHERE, cohere_keys,
            peer="llama.cpp reads these norms only where there are 64 layers or more"),
        Row("nemotron", "nemotron", "squared ReLU, layer norms stored around 1 in the file, part of the head turned",
            hf.NemotronConfig(**llama(norm_eps=2e-2, partial_rotary_factor=0.4, intermediate_size=34)), LLAMA, nemotron_keys,
            norm_plus_one=True),
    ]  # fmt: skip


# Building

def seed_weights(model, row: Row) -> None:
    """Weights large enough for every part to show in the logits; rounded to what the file's type can hold."""
    random = random_for(row.name)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        is_norm = re.search(r"norm|\.ln_|layernorm", name) is not None
        if name.endswith("bias"):
            value = 0.3 * random.standard_normal(shape)
        elif is_norm:
            value = (0.0 if row.norm_plus_one else 1.0) + 0.3 * random.standard_normal(shape)
        elif re.search(r"embed|wte|wpe", name) and "embed_out" not in name:
            value = random.standard_normal(shape) * (0.4 if tied else 1.0)
        else:
            value = 1.4 * random.standard_normal(shape) / np.sqrt(shape[-1])
        value = value.astype(np.float32)
        if not is_norm and stored_type(rename(name, row.names)[0], value, row.dtype).name == row.dtype:
            value = rounded(value, row.dtype)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


def rename(name: str, names: Dict[str, str]):
    """GGUF's name, and the number of the expert or head where several tensors become one."""
    stem, kind = name.rsplit(".", 1)
    for pattern, target in names.items():
        match = re.fullmatch(re.escape(pattern).replace(r"\{i\}", r"(?P<i>\d+)").replace(r"\{e\}", r"(?P<e>\d+)"), stem)
        if match:
            groups = match.groupdict()
            prefix = f"blk.{groups['i']}." if "i" in groups else ""
            return f"{prefix}{target}.{kind}", int(groups["e"]) if "e" in groups else None
    raise KeyError(f"no GGUF name for {name}")


def export(model, row: Row) -> Tensors:
    tensors: Tensors = {}
    stacks: Dict[str, Dict[int, np.ndarray]] = {}
    for name, parameter in model.named_parameters():  # a tied head is not listed twice
        target, expert = rename(name, row.names)
        value = parameter.detach().numpy().copy()
        if row.norm_plus_one and "norm" in target and target.endswith("weight"):
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
    if row.change:
        row.change(tensors, model.config)
    return tensors


def build(row: Row) -> Tiny:
    model = hf.AutoModelForCausalLM.from_config(row.config)
    model.eval()
    seed_weights(model, row)

    def forward(ids: List[int]) -> np.ndarray:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()

    oracle = f"transformers {hf.__version__}, torch {torch.__version__}, float32"
    keys = {key: (float(v) if isinstance(v, np.floating) else v) for key, v in row.keys(model.config).items()}
    return Tiny(row.name, row.architecture, row.about, oracle, keys, export(model, row), forward, row.dtype, row.tolerance, row.peer)
