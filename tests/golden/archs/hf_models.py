"""Tiny models whose numbers come from Hugging Face transformers: a row each.

`build` seeds the weights, exports them and keeps the model as the oracle. How a model becomes a GGUF file is said in
hf_export.py.
"""

import re
from typing import List, NamedTuple, Optional

import hf_export as x
import numpy as np
import torch
import transformers as hf
from tiny import N_VOCAB, Tiny, random_for, rounded, stored_type


class LayerNorm(torch.nn.LayerNorm):
    """torch 1.13 does not know `bias=False`, which some models ask for."""

    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, dtype=None):
        super().__init__(normalized_shape, eps, elementwise_affine, device, dtype)
        if not bias:
            self.bias = None


torch.nn.LayerNorm = LayerNorm


class Row(NamedTuple):
    name: str
    family: x.Family
    about: str
    config: object
    dtype: str = "F32"
    tolerance: float = 1e-3
    peer: Optional[str] = None


EAGER = dict(vocab_size=N_VOCAB, bos_token_id=0, eos_token_id=0, attn_implementation="eager")
WIDE = dict(hidden_size=64, intermediate_size=96, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=1)
THREE_HEADS = dict(hidden_size=30, intermediate_size=22, num_attention_heads=3)
LINEAR = {"rope_type": "linear", "factor": 3.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0],
    "long_factor": [1.0, 1.5, 2.5, 4.0, 7.0],
}
CLIPPED_ALIBI = {"clip_qkv": 1.5, "alibi_bias_max": 8}
DBRX_ATTENTION = {"clip_qkv": 1.5, "kv_n_heads": 1, "rope_theta": 10000.0}
DBRX_FFN = {"ffn_hidden_size": 12, "moe_num_experts": 5, "moe_top_k": 2, "moe_normalize_expert_weights": 1}
GELU_TANH = 5e-3  # llama.cpp's GELU is a table of half-precision numbers


def llama(**more):
    """Most of the families; the large epsilon makes a wrong one visible."""
    given = dict(
        **EAGER,
        hidden_size=20,
        intermediate_size=14,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        rms_norm_eps=2e-2,
        rope_theta=10000.0,
        pad_token_id=None,
        tie_word_embeddings=False,
    )
    return {**given, **more}


def layer_norm(**more):
    given = llama(layer_norm_eps=2e-2, **more)
    del given["rms_norm_eps"]
    return given


def old(**more):
    """The names of GPT-2's time."""
    return {**EAGER, **dict(n_positions=64, n_embd=18, n_layer=2, n_head=3, layer_norm_epsilon=2e-2), **more}


def phi(**more):
    given = dict(intermediate_size=80, num_key_value_heads=2, hidden_act="gelu_new", partial_rotary_factor=0.4)
    return layer_norm(**{**given, **more})


def falcon(**more):
    return {**EAGER, **dict(num_hidden_layers=2, layer_norm_epsilon=2e-2, max_position_embeddings=64), **more}


def longrope(original: int, **more):
    return llama(
        sliding_window=None,
        original_max_position_embeddings=original,
        rope_scaling=LONGROPE,
        num_hidden_layers=1,
        **more,
    )


def experts(**more):
    return llama(**{**dict(intermediate_size=18, num_hidden_layers=1, sliding_window=None), **more})


def mamba(**more):
    given = dict(
        num_hidden_layers=2, conv_kernel=4, expand=2, layer_norm_epsilon=2e-2, rms_norm=True, use_mambapy=False
    )
    return {**EAGER, **given, **more}


def rows() -> List[Row]:
    return [*llamas(), *with_experts(), *microsofts(), *googles(), *older(), *others()]


def llamas() -> List[Row]:
    mha = llama(
        **THREE_HEADS, num_key_value_heads=3, tie_word_embeddings=True, attention_bias=True, rope_scaling=LINEAR
    )
    return [
        Row("llama", x.LLAMA, "one KV head for three", hf.LlamaConfig(**llama(**THREE_HEADS))),
        Row(
            "llama-mha",
            x.LLAMA,
            "a KV head per head, tied head, biases, one layer, linear scaling of positions",
            hf.LlamaConfig(**{**mha, "num_hidden_layers": 1}),
        ),
        Row(
            "llama3",
            x.LLAMA3,
            "rope_freqs.weight divides the frequencies",
            hf.LlamaConfig(**llama(hidden_size=24, rope_theta=500.0, rope_scaling=LLAMA3)),
        ),
        Row("llama-q8_0", x.LLAMA, "Q8_0 weights", hf.LlamaConfig(**llama(**WIDE)), "Q8_0", 0.1),
        Row(
            "llama-q4_0",
            x.LLAMA,
            "Q4_0 weights, tied head",
            hf.LlamaConfig(**llama(**WIDE, tie_word_embeddings=True)),
            "Q4_0",
            0.2,
        ),
        Row("llama-f16", x.LLAMA, "F16 weights", hf.LlamaConfig(**llama()), "F16", 1e-2),
        Row("llama-bf16", x.LLAMA, "BF16 weights", hf.LlamaConfig(**llama()), "BF16", 0.1),
        Row(
            "mistral",
            x.MISTRAL,
            "a window of 7 positions, the prompt is longer; head_dim is not width / n_heads",
            hf.MistralConfig(**llama(sliding_window=7, head_dim=14)),
            peer="llama.cpp ignores the window of this architecture, so it must differ",
        ),
        Row(
            "qwen2",
            x.QWEN2,
            "biases on q, k, v only",
            hf.Qwen2Config(**llama(use_sliding_window=False, rope_theta=1000000.0)),
        ),
        Row(
            "qwen2-q4_0",
            x.QWEN2,
            "Q4_0 weights, tied head",
            hf.Qwen2Config(**llama(**WIDE, tie_word_embeddings=True, use_sliding_window=False)),
            "Q4_0",
            0.2,
        ),
        Row(
            "olmo",
            x.OLMO,
            "norms without weights, q, k and v clamped before RoPE",
            hf.OlmoConfig(**llama(clip_qkv=1.5)),
        ),
    ]


def with_experts() -> List[Row]:
    small = {**WIDE, "hidden_size": 32, "intermediate_size": 32}
    return [
        Row(
            "mixtral",
            x.MIXTRAL,
            "2 of 5 experts, weights made to sum to 1 again",
            hf.MixtralConfig(**experts(num_local_experts=5, num_experts_per_tok=2)),
        ),
        Row(
            "mixtral-1-expert",
            x.MIXTRAL,
            "1 of 1 expert",
            hf.MixtralConfig(**experts(num_local_experts=1, num_experts_per_tok=1)),
        ),
        Row(
            "mixtral-q8_0",
            x.MIXTRAL,
            "3-D experts in Q8_0, all experts used",
            hf.MixtralConfig(**experts(**small, num_local_experts=3, num_experts_per_tok=3)),
            "Q8_0",
            0.1,
        ),
        Row(
            "qwen2moe",
            x.QWEN2MOE,
            "3 of 5 experts, not made to sum to 1; a shared expert with its own gate",
            hf.Qwen2MoeConfig(
                **experts(
                    moe_intermediate_size=12,
                    shared_expert_intermediate_size=22,
                    num_experts=5,
                    num_experts_per_tok=3,
                    norm_topk_prob=False,
                    use_sliding_window=False,
                )
            ),
        ),
        Row(
            "dbrx",
            x.DBRX,
            "2 of 5 experts made to sum to 1; no biases; fused q, k, v clamped; attn_output_norm before the experts",
            hf.DbrxConfig(
                **EAGER,
                d_model=20,
                n_heads=2,
                n_layers=1,
                max_seq_len=64,
                tie_word_embeddings=False,
                attn_config=DBRX_ATTENTION,
                ffn_config=DBRX_FFN,
            ),
        ),
    ]


def microsofts() -> List[Row]:
    wide = {**WIDE, "hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2, "partial_rotary_factor": 0.5}
    return [
        Row(
            "phi2",
            x.PHI2,
            "q, k and v apart; GELU by tanh; parallel residual; 4 of 10 dimensions turned",
            hf.PhiConfig(**phi()),
            tolerance=GELU_TANH,
        ),
        Row(
            "phi2-fused",
            x.PHI2._replace(change=x.fuse_qkv),
            "q, k and v as one tensor",
            hf.PhiConfig(**phi(num_hidden_layers=1)),
            tolerance=GELU_TANH,
        ),
        Row("phi2-q8_0", x.PHI2, "Q8_0 weights", hf.PhiConfig(**phi(**wide)), "Q8_0", 0.1),
        Row(
            "phi3",
            x.PHI3,
            "fused q, k, v and fused gate, up",
            hf.Phi3Config(**llama(sliding_window=None, original_max_position_embeddings=64)),
        ),
        Row(
            "phi3-longrope-short",
            x.PHI3._replace(change=x.add_longrope_factors),
            "short and long factors, the context is within the original one: the short ones, and a magnitude",
            hf.Phi3Config(**longrope(512, max_position_embeddings=1024)),
        ),
        Row(
            "phi3-longrope-long",
            x.PHI3._replace(change=x.add_longrope_factors),
            "short and long factors, the prompt is longer than the original context: the long ones, and a magnitude",
            hf.Phi3Config(**longrope(16, max_position_embeddings=128)),
        ),
    ]


def googles() -> List[Row]:
    tanh = dict(head_dim=14, hidden_activation="gelu_pytorch_tanh", tie_word_embeddings=True)
    caps = dict(query_pre_attn_scalar=14, sliding_window=7, attn_logit_softcapping=5.0, final_logit_softcapping=8.0)
    return [
        Row(
            "gemma",
            x.GEMMA,
            "embeddings times sqrt(width), norm weights around 1 in the file, GELU by tanh, head_dim of its own",
            hf.GemmaConfig(**llama(**tanh)),
            tolerance=GELU_TANH,
        ),
        Row(
            "gemma2",
            x.GEMMA2,
            "soft caps, a window on even layers, norms before and after",
            hf.Gemma2Config(**llama(**tanh, **caps, num_hidden_layers=3)),
            tolerance=GELU_TANH,
        ),
    ]


def older() -> List[Row]:
    return [
        Row(
            "gptneox",
            x.GPTNEOX,
            "parallel residual, GELU by erf, part of the head turned",
            hf.GPTNeoXConfig(**layer_norm(rotary_pct=0.4, use_parallel_residual=True, hidden_act="gelu")),
            tolerance=GELU_TANH,
        ),
        Row(
            "gptneox-sequential",
            x.GPTNEOX,
            "no parallel residual, the whole head turned",
            hf.GPTNeoXConfig(**layer_norm(rotary_pct=1.0, use_parallel_residual=False, hidden_act="gelu")),
            tolerance=GELU_TANH,
        ),
        Row(
            "gptj",
            x.GPTJ,
            "adjacent RoPE on 4 of 6 dimensions, one norm for both branches, bias on the head",
            hf.GPTJConfig(**old(rotary_dim=4, activation_function="gelu_new", tie_word_embeddings=False)),
            peer="llama.cpp does not run this architecture",
        ),
        Row("gpt2", x.GPT2, "learned positions, tied head", hf.GPT2Config(**old()), tolerance=GELU_TANH),
        Row(
            "starcoder",
            x.STARCODER,
            "one KV head, learned positions",
            hf.GPTBigCodeConfig(**old(multi_query=True)),
            tolerance=GELU_TANH,
        ),
        Row(
            "falcon-7b-style",
            x.FALCON,
            "one KV head, one norm for both branches, GELU by erf",
            hf.FalconConfig(**falcon(hidden_size=18, num_attention_heads=3, multi_query=True)),
            tolerance=GELU_TANH,
        ),
        Row(
            "falcon-40b-style",
            x.FALCON,
            "2 KV heads for 4, a norm for each branch",
            hf.FalconConfig(
                **falcon(hidden_size=24, num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True)
            ),
            tolerance=GELU_TANH,
        ),
        Row(
            "bloom",
            x.BLOOM,
            "ALiBi with 3 heads, which is no power of two; a norm on the embedding",
            hf.BloomConfig(**EAGER, hidden_size=18, n_layer=2, n_head=3, layer_norm_epsilon=2e-2, seq_length=64),
            tolerance=GELU_TANH,
        ),
        Row(
            "mpt",
            x.MPT,
            "ALiBi with 3 heads, no biases, q, k and v clamped, GELU by erf",
            hf.MptConfig(**EAGER, d_model=18, n_layers=2, n_heads=3, max_seq_len=64, attn_config=CLIPPED_ALIBI),
            tolerance=GELU_TANH,
        ),
    ]


def others() -> List[Row]:
    return [
        Row(
            "starcoder2",
            x.STARCODER2,
            "biases everywhere, GELU by tanh",
            hf.Starcoder2Config(
                **layer_norm(norm_epsilon=2e-2, sliding_window=None, use_bias=True, tie_word_embeddings=True)
            ),
            tolerance=GELU_TANH,
        ),
        Row(
            "stablelm",
            x.STABLELM,
            "layer norms with SwiGLU, biases on q, k, v, 4 of 10 dimensions turned",
            hf.StableLmConfig(**layer_norm(partial_rotary_factor=0.4, use_qkv_bias=True)),
        ),
        Row(
            "stablelm-12b-style",
            x.STABLELM,
            "parallel residual without ffn_norm, layer norms per head on q and k",
            hf.StableLmConfig(**layer_norm(partial_rotary_factor=0.4, qk_layernorm=True, use_parallel_residual=True)),
        ),
        Row(
            "command-r",
            x.COMMAND_R,
            "parallel residual, logits times a scale, adjacent RoPE by nature",
            hf.CohereConfig(**layer_norm(logit_scale=0.25, tie_word_embeddings=True)),
        ),
        Row(
            "command-r-plus-style",
            x.COMMAND_R,
            "layer norms per head on q and k",
            hf.CohereConfig(**layer_norm(logit_scale=0.25, tie_word_embeddings=True, use_qk_norm=True)),
            peer="llama.cpp reads these norms only where there are 64 layers or more",
        ),
        Row(
            "nemotron",
            x.NEMOTRON,
            "squared ReLU, layer norms stored around 1 in the file, part of the head turned",
            hf.NemotronConfig(**llama(norm_eps=2e-2, partial_rotary_factor=0.4, intermediate_size=30)),
        ),
        Row(
            "mamba",
            x.MAMBA,
            "a recurrent mixer (selective state space), no attention",
            hf.MambaConfig(**mamba(hidden_size=12, state_size=6, time_step_rank=3)),
        ),
        Row(
            "mamba2",
            x.MAMBA2,
            "a recurrent mixer with scalar decay per head, no attention",
            # One chunk for the whole prompt: across chunks this release's plain path sums over the wrong axis.
            hf.Mamba2Config(
                **mamba(
                    hidden_size=12, state_size=6, head_dim=8, num_heads=3, n_groups=1, chunk_size=64, time_step_min=1e-9
                )
            ),
        ),
    ]


def seed_weights(model, row: Row) -> None:
    """Weights large enough for every part to show in the logits; rounded to what the file's type can hold."""
    random = random_for(row.name)
    plus_one = row.family.norm_plus_one
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        is_norm = (
            re.search(r"norm|\.ln_|layernorm", name) is not None and len(shape) == 1 or name.endswith("_norm.weight")
        )
        if name.endswith("bias"):
            value = 0.3 * random.standard_normal(shape)
        elif name.endswith("A_log"):
            value = np.log(random.uniform(0.3, 4.0, shape))
        elif is_norm or name.endswith(".D"):
            value = (0.0 if plus_one else 1.0) + 0.3 * random.standard_normal(shape)
        elif re.search(r"embed|wte|wpe", name) and "embed_out" not in name:
            value = random.standard_normal(shape) * (0.5 if plus_one else 0.4 if tied else 1.0)
        else:
            value = 1.4 * random.standard_normal(shape) / np.sqrt(shape[-1])
        value = value.astype(np.float32)
        if not is_norm and stored_type(x.rename(name, row.family.names)[0], value, row.dtype).name == row.dtype:
            value = rounded(value, row.dtype)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))


class HalfCache:
    """While it is entered, the second factor of every batched product passes through half precision.

    In these models those are keys and values and nothing else, so it is what a cache of that type does.
    """

    places = (
        (torch, "matmul"),
        (torch.Tensor, "__matmul__"),
        (torch, "bmm"),
        (torch, "baddbmm"),
        (torch.Tensor, "baddbmm"),
    )

    def __enter__(self):
        self.kept = [getattr(*place) for place in self.places]
        for (owner, name), function in zip(self.places, self.kept):
            setattr(owner, name, self.rounding(function, 2 if name == "baddbmm" else 1))

    def __exit__(self, *_):
        for (owner, name), function in zip(self.places, self.kept):
            setattr(owner, name, function)

    @staticmethod
    def rounding(function, which):
        def call(*arguments, **named):
            arguments = list(arguments)
            if "batch2" in named:
                named["batch2"] = named["batch2"].half().float()
            if len(arguments) > which and arguments[which].ndim >= 3:
                arguments[which] = arguments[which].half().float()
            return function(*arguments, **named)

        return call


def build(row: Row) -> Tiny:
    model = hf.AutoModelForCausalLM.from_config(row.config)
    model.eval()
    seed_weights(model, row)

    def forward(ids: List[int]) -> np.ndarray:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()

    def forward_half_cache(ids: List[int]) -> np.ndarray:
        with HalfCache():
            return forward(ids)

    keys = {k: (float(v) if isinstance(v, np.floating) else v) for k, v in row.family.keys(model.config).items()}
    return Tiny(
        name=row.name,
        architecture=row.family.architecture,
        about=row.about,
        oracle=f"transformers {hf.__version__}, torch {torch.__version__}, float32",
        keys=keys,
        tensors=x.export(model, row.family),
        forward=forward,
        forward_half_cache=None if row.name.startswith("mamba") else forward_half_cache,
        dtype=row.dtype,
        tolerance=row.tolerance,
        peer=row.peer,
    )
