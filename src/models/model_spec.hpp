// ModelSpec: an architecture as data. One forward pass (model_program.cpp) serves every spec; what a family does
// differently is a field here, which any other family may use too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace elver {

enum class NormKind : uint8_t { rms, layer };
enum class Activation : uint8_t { silu, gelu, gelu_tanh, relu, relu2 };
enum class RopePairing : uint8_t { none, adjacent, halves };
enum class RopeScaling : uint8_t { none, linear, yarn };

struct RopeSpec {
    double base = 10000.0;
    RopeScaling scaling = RopeScaling::none;
    double factor = 1.0;              // positions are divided by it (linear), or frequencies interpolated (yarn)
    int original_context = 0;         // of yarn and of long factors
    double magnitude = 1.0;           // cos and sin are multiplied by it
    std::string factors_tensor;       // frequencies are divided by its [dims / 2] values; empty: not
    std::string long_factors_tensor;  // instead of those, in a session of more than original_context positions
};

struct LayerPattern {
    int window = 0;  // positions a token sees, its own included; 0: all
    int rope = 0;    // index into ModelSpec::ropes; -1: no rotation in this layer
};

struct ModelSpec {
    std::string architecture;
    int n_vocab = 0, width = 0, n_layers = 0, n_ctx_train = 0;

    NormKind norm = NormKind::rms;
    double norm_eps = 1e-5;
    bool parallel_residual = false;  // attention and FFN read the same x and are added together
    double embedding_scale = 1.0, residual_scale = 1.0, logit_scale = 1.0;  // factors
    double logit_soft_cap = 0.0;                                            // 0: none

    int n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;
    double attention_scale = 0.0;  // of q . k; 0: 1 / sqrt(head_dim)
    double attn_soft_cap = 0.0;
    double qkv_clamp = 0.0;
    double alibi_max_bias = 0.0;  // 0: no ALiBi
    bool qk_norm_whole = false;   // q and k are normalised over all heads at once, not head by head
    RopePairing rope_pairing = RopePairing::none;
    int rope_dims = 0;
    std::vector<RopeSpec> ropes;
    std::vector<LayerPattern> layers;  // [n_layers]

    Activation activation = Activation::silu;
    bool gated = true;
    int ffn_width = 0;
    int n_experts = 0, top_k = 0;
    bool experts_renormalised = true;

    // "FIELD: expected ..., found ..." for the first inconsistent field.
    Result<void> validate() const;
    // For people and for `elver info --spec`.
    std::string to_json() const;
};

}  // namespace elver
