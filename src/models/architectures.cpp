#include "models/architectures.hpp"

namespace elver {

namespace {

constexpr auto layer = NormKind::layer;
constexpr auto adjacent = RopePairing::adjacent;
// What no file of the families that say so has, and what other programs do not read there.
constexpr auto biases = "rope_freqs attn_output.bias ffn_gate.bias ffn_up.bias ffn_down.bias";
constexpr auto gelu = Activation::gelu;
constexpr auto gelu_tanh = Activation::gelu_tanh;

// clang-format off
constexpr Architecture table[] = {
    {.name = "llama", .pairing = adjacent, .renormalises = true},  // Mistral and Mixtral too
    {.name = "qwen2"},
    {.name = "qwen3", .ignored = "cls."},
    {.name = "phi2", .norm = layer, .activation = gelu_tanh, .gated = false, .parallel_residual = true},
    {.name = "phi3"},
    {.name = "gemma", .activation = gelu_tanh, .embedding_times_sqrt_width = true},
    {.name = "gemma2", .activation = gelu_tanh, .reads = reads_soft_caps, .embedding_times_sqrt_width = true, .window_period = 2, .window_global = 1},
    {.name = "gemma3", .activation = gelu_tanh, .reads = reads_soft_caps, .embedding_times_sqrt_width = true, .local_rope_base = 10000.0, .window_period = 6, .window_global = 5},
    {.name = "stablelm", .norm = layer, .reads = reads_parallel_residual},
    {.name = "starcoder2", .norm = layer, .activation = gelu_tanh, .gated = false},
    {.name = "gptneox", .norm = layer, .activation = gelu, .gated = false, .reads = reads_parallel_residual},
    {.name = "gptj", .norm = layer, .pairing = adjacent, .activation = gelu_tanh, .gated = false, .parallel_residual = true},
    {.name = "falcon", .norm = layer, .activation = gelu, .gated = false, .parallel_residual = true},
    {.name = "gpt2", .norm = layer, .rope = false, .activation = gelu_tanh, .gated = false},
    {.name = "starcoder", .norm = layer, .rope = false, .activation = gelu_tanh, .gated = false},
    {.name = "bloom", .norm = layer, .rope = false, .activation = gelu_tanh, .gated = false, .alibi_max_bias = 8.0},
    {.name = "mpt", .norm = layer, .rope = false, .activation = gelu, .gated = false, .reads = reads_alibi | reads_qkv_clamp, .alibi_max_bias = 8.0},
    {.name = "olmo", .norm = layer, .pairing = adjacent, .norms_without_weights = true, .reads = reads_qkv_clamp},
    {.name = "command-r", .norm = layer, .pairing = adjacent, .parallel_residual = true},
    {.name = "internlm2", .pairing = adjacent},
    {.name = "granite", .pairing = adjacent, .reads = reads_scales, .divides_by_logit_scale = true},
    {.name = "minicpm", .pairing = adjacent, .reads = reads_scales, .divides_by_logit_scale = true, .embedding_scale = 12.0, .depth_scale = 1.4, .logit_width = 256.0},
    {.name = "exaone"},
    {.name = "orion", .norm = layer},
    {.name = "xverse", .pairing = adjacent},
    {.name = "baichuan", .pairing = adjacent},
    {.name = "codeshell", .norm = layer, .activation = gelu_tanh, .gated = false},
    {.name = "nemotron", .norm = layer, .activation = Activation::relu2, .gated = false},
    {.name = "arcee", .pairing = adjacent, .activation = Activation::relu2, .gated = false},
    {.name = "ernie4_5", .pairing = adjacent},
    {.name = "plamo", .parallel_residual = true},
    {.name = "refact", .rope = false, .alibi_max_bias = 8.0, .ignored = biases},
    {.name = "chatglm", .pairing = adjacent},
    {.name = "glm4", .pairing = adjacent, .reads = reads_sections},
    {.name = "qwen", .ffn_width_factor = 0.5},
    {.name = "olmo2"},
    {.name = "exaone4", .window_period = 4, .window_global = 3, .turns_local_only = true},
    {.name = "hunyuan-dense", .qk_norm_after_rope = true},
    {.name = "seed_oss", .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "smollm3", .pairing = adjacent, .unturned_period = 4},
    {.name = "cohere2", .norm = layer, .pairing = adjacent, .parallel_residual = true, .window_period = 4, .window_global = 3, .turns_local_only = true},
    {.name = "maincoder", .pairing = adjacent, .qk_norm_after_rope = true},
    {.name = "pangu-embedded", .ignored = "rope_freqs"},
    {.name = "nanbeige", .pairing = adjacent},
    {.name = "deci", .pairing = adjacent},
    {.name = "mistral3", .pairing = adjacent},
    {.name = "openelm"},
    {.name = "qwen2vl", .ignored = "output.bias"},
    {.name = "qwen3vl", .ignored = "cls."},
    {.name = "hunyuan_vl", .qk_norm_after_rope = true},
    {.name = "cogvlm", .ignored = "vis_ rope_freqs"},
    {.name = "plamo3", .window_period = 8, .window_global = 7},
    {.name = "spark2_5", .activation = gelu_tanh},
    {.name = "muse-glimmer", .pairing = adjacent, .embedding_normalised = true, .reads = reads_soft_caps, .post_norm_eps = 1e-8, .window_period = 4, .window_global = 3, .turns_local_only = true},
    {.name = "llada", .pairing = adjacent, .causal = false, .ignored = biases},
    {.name = "dream", .causal = false, .ignored = "output.bias"},
    {.name = "jais", .norm = layer, .rope = false, .reads = reads_alibi, .alibi_max_bias = 8.0, .attention_power = 1.0},
    {.name = "bert", .norm = layer, .rope = false, .activation = gelu, .gated = false, .causal = false, .has_head = false, .ignored = "cls"},
    {.name = "nomic-bert", .norm = layer, .causal = false, .has_head = false},
    {.name = "jina-bert-v2", .norm = layer, .rope = false, .activation = gelu, .causal = false, .has_head = false, .alibi_max_bias = 8.0, .ignored = "cls", .renames = {{"attn_norm_2", nullptr}}},
    {.name = "modern-bert", .norm = layer, .activation = gelu, .causal = false, .has_head = false, .local_rope_base = 10000.0, .window_period = 3, .window_global = 0, .ignored = "cls"},
    {.name = "jais2", .norm = layer, .activation = Activation::relu2, .gated = false},
    {.name = "qwen2moe"},
    {.name = "qwen3moe", .renormalises = true},
    {.name = "olmoe"},
    {.name = "granitemoe", .pairing = adjacent, .reads = reads_scales, .divides_by_logit_scale = true, .renormalises = true},
    {.name = "deepseek", .pairing = adjacent},
    {.name = "dbrx", .norm = layer, .reads = reads_qkv_clamp, .renormalises = true, .renames = {{"ffn_norm", "attn_output_norm"}, {"attn_output_norm", nullptr}}},
    {.name = "gpt-oss", .activation = Activation::silu_clamped, .window_period = 2, .window_global = 1, .router = RouterScore::softmax_chosen, .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "bailingmoe", .pairing = adjacent},
    {.name = "dots1"},
    {.name = "glm4moe", .router = RouterScore::sigmoid, .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "hunyuan-moe", .qk_norm_after_rope = true, .renormalises = true},
    {.name = "mamba", .rope = false, .recurrent = true},
    {.name = "mamba2", .rope = false, .recurrent = true, .mixer = RecurrentKind::mamba2},
    {.name = "rwkv6", .norm = layer, .rope = false, .recurrent = true, .mixer = RecurrentKind::rwkv6},
    {.name = "rwkv7", .norm = layer, .rope = false, .recurrent = true, .mixer = RecurrentKind::rwkv7},
};
// clang-format on

}  // namespace

const Architecture* find_architecture(std::string_view name) noexcept {
    for (const Architecture& row : table) {
        if (name == row.name) return &row;
    }
    return nullptr;
}

}  // namespace elver
