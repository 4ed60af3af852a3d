#include "models/architectures.hpp"

namespace elver {

namespace {

constexpr auto layer = NormKind::layer;
constexpr auto adjacent = RopePairing::adjacent;
constexpr auto no_rope = RopePairing::none;
constexpr auto gelu = Activation::gelu;
constexpr auto gelu_tanh = Activation::gelu_tanh;

// clang-format off
constexpr Architecture table[] = {
    {.name = "llama", .pairing = adjacent},  // Mistral and Mixtral too
    {.name = "qwen2"},
    {.name = "qwen3"},
    {.name = "phi2", .norm = layer, .activation = gelu_tanh, .gated = false, .parallel_residual = true},
    {.name = "phi3"},
    {.name = "gemma", .activation = gelu_tanh, .embedding_times_sqrt_width = true},
    {.name = "gemma2", .activation = gelu_tanh, .embedding_times_sqrt_width = true, .soft_caps = true, .window_period = 2, .window_global = 1},
    {.name = "gemma3", .activation = gelu_tanh, .embedding_times_sqrt_width = true, .local_rope_base = 10000.0, .soft_caps = true, .window_period = 6, .window_global = 5},
    {.name = "stablelm", .norm = layer, .parallel_residual_key = true},
    {.name = "starcoder2", .norm = layer, .activation = gelu_tanh, .gated = false},
    {.name = "gptneox", .norm = layer, .activation = gelu, .gated = false, .parallel_residual_key = true},
    {.name = "gptj", .norm = layer, .pairing = adjacent, .activation = gelu_tanh, .gated = false, .parallel_residual = true},
    {.name = "falcon", .norm = layer, .activation = gelu, .gated = false, .parallel_residual = true},
    {.name = "gpt2", .norm = layer, .pairing = no_rope, .activation = gelu_tanh, .gated = false},
    {.name = "starcoder", .norm = layer, .pairing = no_rope, .activation = gelu_tanh, .gated = false},
    {.name = "bloom", .norm = layer, .pairing = no_rope, .activation = gelu_tanh, .gated = false, .alibi_max_bias = 8.0},
    {.name = "mpt", .norm = layer, .pairing = no_rope, .activation = gelu, .gated = false, .alibi_max_bias = 8.0},
    {.name = "olmo", .norm = layer, .pairing = adjacent},
    {.name = "command-r", .norm = layer, .pairing = adjacent, .parallel_residual = true},
    {.name = "internlm2", .pairing = adjacent},
    {.name = "granite", .pairing = adjacent, .divides_by_logit_scale = true},
    {.name = "minicpm", .pairing = adjacent, .divides_by_logit_scale = true, .embedding_scale = 12.0, .depth_scale = 1.4, .logit_width = 256.0},
    {.name = "exaone"},
    {.name = "orion", .norm = layer},
    {.name = "xverse", .pairing = adjacent},
    {.name = "baichuan", .pairing = adjacent},
    {.name = "codeshell", .norm = layer, .activation = gelu_tanh, .gated = false},
    {.name = "nemotron", .norm = layer, .activation = Activation::relu2, .gated = false},
    {.name = "arcee", .pairing = adjacent, .activation = Activation::relu2, .gated = false},
    {.name = "ernie4_5", .pairing = adjacent},
    {.name = "plamo", .parallel_residual = true},
    {.name = "refact", .pairing = no_rope, .alibi_max_bias = 8.0},
    {.name = "chatglm", .pairing = adjacent},
    {.name = "glm4", .pairing = adjacent},
};
// clang-format on

}  // namespace

const Architecture* find_architecture(std::string_view name) noexcept {
    for (const Architecture& row : table) {
        if (name == row.name) return &row;
    }
    return nullptr;
}

std::string known_architectures() {
    std::string out;
    for (const Architecture& row : table) out += (out.empty() ? "" : ", ") + std::string(row.name);
    return out;
}

}  // namespace elver
