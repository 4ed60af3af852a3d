#include "models/architectures.hpp"

namespace elver {

namespace {

constexpr auto layer = NormKind::layer;
constexpr auto adjacent = RopePairing::adjacent;
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
    {.name = "baichuan", .pairing = adjacent, .alibi_layers = 40},
    {.name = "codeshell", .norm = layer, .activation = gelu_tanh, .gated = false},
    {.name = "nemotron", .norm = layer, .activation = Activation::relu2, .gated = false},
    {.name = "arcee", .pairing = adjacent, .activation = Activation::relu2, .gated = false},
    {.name = "ernie4_5", .pairing = adjacent},
    {.name = "plamo", .parallel_residual = true},
    {.name = "refact", .rope = false, .alibi_max_bias = 8.0},
    {.name = "chatglm", .pairing = adjacent},
    {.name = "glm4", .pairing = adjacent, .reads = reads_sections},
    {.name = "qwen", .ffn_width_factor = 0.5},
    {.name = "olmo2"},
    {.name = "exaone4", .window_period = 4, .window_global = 3, .rope_local_only = true},
    {.name = "hunyuan-dense", .qk_norm_after_rope = true},
    {.name = "seed_oss", .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "smollm3", .pairing = adjacent, .no_rope_period = 4},
    {.name = "cohere2", .norm = layer, .pairing = adjacent, .parallel_residual = true, .window_period = 4, .window_global = 3, .rope_local_only = true},
    {.name = "maincoder", .pairing = adjacent, .qk_norm_after_rope = true},
    {.name = "pangu-embedded"},
    {.name = "nanbeige", .pairing = adjacent},
    {.name = "deci", .pairing = adjacent},
    {.name = "mistral3", .pairing = adjacent},
    {.name = "openelm"},
    {.name = "qwen2vl"},
    {.name = "qwen3vl", .ignored = "cls."},
    {.name = "hunyuan_vl", .qk_norm_after_rope = true},
    {.name = "cogvlm", .ignored = "vis_"},
    {.name = "plamo3", .window_period = 8, .window_global = 7},
    {.name = "spark2_5", .activation = gelu_tanh},
    {.name = "muse-glimmer", .pairing = adjacent, .embedding_normalised = true, .reads = reads_soft_caps, .post_norm_eps = 1e-8, .window_period = 4, .window_global = 3, .rope_local_only = true},
    {.name = "llada", .pairing = adjacent, .causal = false},
    {.name = "dream", .causal = false},
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
    {.name = "phimoe", .norm = layer, .router = RouterScore::softmax_near_best},
    {.name = "ernie4_5-moe", .pairing = adjacent, .renormalises = true},
    {.name = "paddleocr"},
    {.name = "bailingmoe2"},
    {.name = "hy_v3", .router = RouterScore::sigmoid},
    {.name = "qwen3vlmoe", .renormalises = true},
    {.name = "qwen3tts", .ignored = "cls."},
    {.name = "minimax-m2", .router = RouterScore::sigmoid, .renormalises = true},
    {.name = "mimo2", .router = RouterScore::sigmoid, .renormalises = true},
    {.name = "mellum", .plain_local_rope = true, .window_period = 4, .window_global = 3, .renormalises = true},
    {.name = "laguna", .plain_local_rope = true, .gate = GateKind::softplus, .window_period = 4, .window_global = 0, .router = RouterScore::sigmoid},
    {.name = "exaone-moe", .window_period = 4, .window_global = 3, .rope_local_only = true},
    {.name = "afmoe", .embedding_times_sqrt_width = true, .window_period = 4, .window_global = 3, .no_rope_period = 4, .router = RouterScore::sigmoid},
    {.name = "llada-moe", .causal = false},
    {.name = "rnd1", .causal = false, .renormalises = true},
    {.name = "granite_swa", .pairing = adjacent, .reads = reads_scales, .divides_by_logit_scale = true, .renormalises = true},
    {.name = "cohere2moe", .norm = layer, .norm_by_key = true, .pairing = adjacent, .parallel_residual = true, .window_period = 4, .window_global = 0, .rope_local_only = true, .rope_dense = true, .router = RouterScore::sigmoid, .experts_sum_scale = 0.5},
    {.name = "smallthinker", .activation = Activation::relu, .window_period = 4, .window_global = 0, .rope_local_only = true, .renormalises = true, .experts_input = ExpertsInput::router_before_attention},
    {.name = "arctic", .pairing = adjacent, .renormalises = true, .experts_input = ExpertsInput::before_attention},
    {.name = "llama4", .pairing = adjacent, .qk_norm_after_rope = true, .plain_qk_norm_but = 128, .window_period = 4, .window_global = 3, .window = 8192, .chunked_windows = true, .temperature = 0.1, .no_rope_period = 4, .router = RouterScore::sigmoid, .weighs_input = true},
    {.name = "plamo2", .recurs = Recurs::headless, .mixer = RecurrentKind::mamba2},
    {.name = "grok", .activation = gelu_tanh, .reads = reads_soft_caps | reads_scales, .attention_scale = 0.08838834764831845, .attn_soft_cap = 30.0, .embedding_scale = 78.38367176906169, .logit_scale = 0.5773502691896257, .renormalises = true, .experts_sum_scale = 0.7071067811865476,
     .renames = {{"post_attention_norm", "attn_output_norm"}, {"attn_output_norm", nullptr}, {"post_ffw_norm", "layer_output_norm"}, {"layer_output_norm", nullptr}, {"ffn_gate_shexp", "ffn_gate"}, {"ffn_up_shexp", "ffn_up"}, {"ffn_down_shexp", "ffn_down"}}},
    {.name = "jamba", .rope = false, .recurs = Recurs::headless},
    {.name = "granitehybrid", .pairing = adjacent, .reads = reads_scales | reads_finetuned, .divides_by_logit_scale = true, .renormalises = true, .recurs = Recurs::headless, .mixer = RecurrentKind::mamba2},
    {.name = "falcon-h1", .recurs = Recurs::beside, .mixer = RecurrentKind::mamba2},
    {.name = "nemotron_h", .rope = false, .activation = Activation::relu2, .gated = false, .recurs = Recurs::headless, .one_branch = true, .mixer = RecurrentKind::mamba2, .renames = {{"ffn_norm", "attn_norm"}}},
    {.name = "nemotron_h_moe", .rope = false, .activation = Activation::relu2, .gated = false, .router = RouterScore::sigmoid, .recurs = Recurs::headless, .one_branch = true, .mixer = RecurrentKind::mamba2, .renames = {{"ffn_norm", "attn_norm"}}},
    {.name = "lfm2", .recurs = Recurs::headless, .mixer = RecurrentKind::short_conv, .renames = {{"output_norm", "token_embd_norm"}, {"token_embd_norm", nullptr}}},
    {.name = "lfm2moe", .router = RouterScore::sigmoid, .renormalises = true, .recurs = Recurs::headless, .mixer = RecurrentKind::short_conv, .renames = {{"output_norm", "token_embd_norm"}, {"token_embd_norm", nullptr}}},
    {.name = "qwen3next", .renormalises = true, .recurs = Recurs::with_tensors, .mixer = RecurrentKind::delta_net, .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "qwen35", .recurs = Recurs::with_tensors, .mixer = RecurrentKind::delta_net, .interleaved_keys = true, .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "qwen35moe", .renormalises = true, .recurs = Recurs::with_tensors, .mixer = RecurrentKind::delta_net, .interleaved_keys = true, .renames = {{"ffn_norm", "post_attention_norm"}, {"post_attention_norm", nullptr}}},
    {.name = "deepseek2", .pairing = adjacent, .latent = true},
    {.name = "mistral4", .pairing = adjacent, .latent = true},
    {.name = "minicpm3", .embedding_scale = 12.0, .depth_scale = 1.4, .logit_width = 256.0, .latent = true},
    {.name = "pockettts", .norm = layer, .pairing = adjacent, .activation = gelu, .gated = false},
    {.name = "mamba", .rope = false, .recurs = Recurs::every},
    {.name = "mamba2", .rope = false, .recurs = Recurs::every, .mixer = RecurrentKind::mamba2},
    {.name = "rwkv6", .norm = layer, .rope = false, .recurs = Recurs::every, .mixer = RecurrentKind::rwkv6},
    {.name = "rwkv7", .norm = layer, .rope = false, .recurs = Recurs::every, .mixer = RecurrentKind::rwkv7},
};

// Architectures that elver knows by name only, with what it lacks for them.
constexpr struct {
    const char *name, *lacks;
} gaps[] = {
    {"bailingmoe3", "delta attention with a decay for each channel"},
    {"deepseek32", "an indexer that picks the keys"},
    {"deepseek4", "hyper-connections and compressed keys"},
    {"dots3note", "an indexer that picks the keys"},
    {"gemma3n", "alternating updates and embeddings for each layer"},
    {"gemma4", "embeddings for each layer and keys shared between layers"},
    {"glm-dsa", "an indexer that picks the keys"},
    {"glm5-next", "delta attention with a decay for each channel, and an indexer"},
    {"grovemoe", "experts shared by groups"},
    {"hrm_text", "layers that run more than once"},
    {"hy_v4", "hyper-connections and an indexer"},
    {"kimi-k3", "delta attention with a decay for each channel"},
    {"kimi-linear", "delta attention with a decay for each channel"},
    {"maple", "SwiGLU with a limit of the file's"},
    {"minimax-01", "linear attention with a fixed decay"},
    {"minimax-m3", "an indexer that picks blocks of keys"},
    {"qwen4exp", "hyper-connections and embeddings of n-grams"},
    {"t5", "an encoder beside the decoder"},
    {"talkie", "the embedding added again behind every layer"},
};
// clang-format on

}  // namespace

const char* missing_for(std::string_view name) noexcept {
    for (const auto& gap : gaps) {
        if (name == gap.name) return gap.lacks;
    }
    return nullptr;
}

const Architecture* find_architecture(std::string_view name) noexcept {
    for (const Architecture& row : table) {
        if (name == row.name) return &row;
    }
    return nullptr;
}

}  // namespace elver
