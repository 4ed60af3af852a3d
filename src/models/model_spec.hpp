// ModelSpec: an architecture as data. One forward pass (model_program.cpp) serves every spec; what a family does
// differently is a field here, which any other family may use too. docs/add-an-architecture.md walks through one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "graph/router.hpp"
#include "models/tensor_names.hpp"

namespace elver {

enum class NormKind : uint8_t { rms, layer };
enum class Activation : uint8_t { silu, gelu, gelu_tanh, relu, relu2, silu_clamped };
enum class RopePairing : uint8_t { adjacent, halves };
enum class RopeScaling : uint8_t { none, linear, yarn };

// The function of the gate that attention's result is multiplied by.
enum class GateKind : uint8_t { sigmoid, softplus };

// Which hidden states make a text's embedding.
enum class Pooling : uint8_t { none, mean, first, last };

// A rope table; each layer chooses one, or none.
struct RopeSpec {
    int dims = 0;  // rotary dims of a head
    double base = 10000.0;
    RopeScaling scaling = RopeScaling::none;
    double factor = 1.0;              // positions are divided by it (linear), or frequencies interpolated (yarn)
    int original_context = 0;         // of yarn and of long factors
    double magnitude = 1.0;           // cos and sin are multiplied by it
    std::string factors_tensor;       // frequencies are divided by its [dims / 2] values; empty: they are not
    std::string long_factors_tensor;  // instead of those, in a session of more than original_context positions

    friend bool operator==(const RopeSpec&, const RopeSpec&) = default;
};

struct LayerSpec {
    int n_heads = 0, n_kv_heads = 0;  // 0: the layer has no attention
    int head_dim = 0, v_head_dim = 0;
    int window = 0;          // positions a token sees, its own included; 0: all; not causal: window / 2 to each side
    int rope = -1;           // index into ModelSpec::ropes; -1: no rope
    int ffn_width = 0;       // 0: the layer has no dense FFN
    bool sparse = false;     // its FFN is ModelSpec::experts
    bool recurrent = false;  // its mixer is ModelSpec::recurrent, alone or beside attention

    friend bool operator==(const LayerSpec&, const LayerSpec&) = default;
};

// What a sparse layer's experts and router read.
enum class ExpertsInput : uint8_t {
    same,                     // x behind attention, normalised
    router_before_attention,  // the router: the layer's input as it is
    before_attention,         // both: the layer's input, normalised; a dense FFN stands behind attention
};

// The FFN of sparse layers.
struct ExpertsSpec {
    int n_experts = 0, top_k = 0;
    int ffn_width = 0;     // of an expert
    int shared_width = 0;  // of the expert that sees every token; 0: none
    RouterScore score = RouterScore::softmax;
    bool renormalise = false;   // the weights of the chosen experts are made to sum to 1
    double scale = 1.0;         // of the weights
    bool weighs_input = false;  // by the expert's weight, not its output
    double sum_scale = 1.0;     // of the sum of the chosen and the shared experts
    ExpertsInput input = ExpertsInput::same;
    int n_groups = 1, n_groups_used = 1;

    RouterOptions router() const;
};

enum class RecurrentKind : uint8_t { mamba, mamba2, rwkv6, rwkv7, short_conv, delta_net };

// The mixer of recurrent layers; what a kind has no use for is 0.
struct RecurrentSpec {
    RecurrentKind kind = RecurrentKind::mamba;
    int width = 0;                  // mamba, mamba2, short_conv, delta_net: channels
    int n_state = 0;                // mamba, mamba2, delta_net: numbers a channel
    int n_taps = 0;                 // all but rwkv: of the convolution
    int dt_rank = 0;                // mamba; mamba2: above 0 if B, C and dt are made of x as in mamba
    int n_heads = 0;                // mamba2, delta_net: of the channels; rwkv: of the model's width
    int n_groups = 0;               // mamba2, delta_net: heads of keys
    bool interleaved_keys = false;  // delta_net: head h has keys h % n_groups; else neighbours share
    int ffn_width = 0;              // rwkv: of the channel mix
    int halve_every = 0;            // rwkv6: x is halved after each group of so many layers; 0: never
};

// Attention whose keys and values are made of one short row for each token (DeepSeek-V2, 2024, section 2.1). Where the
// file has a matrix for each head it is absorbed: the cache holds the rows, and queries are projected into their space.
struct LatentSpec {
    int kv_rank = 0;                            // of the row; 0: attention without latent rows
    int q_rank = 0;                             // of the row that queries are made of; 0: they are made of x
    int nope_dim = 0, rope_dim = 0, v_dim = 0;  // of a head
    bool absorbed = false;
};

struct ModelSpec {
    std::string architecture;
    int n_vocab = 0, width = 0, n_layers = 0, n_ctx_train = 0;

    NormKind norm = NormKind::rms;
    double norm_eps = 1e-5;
    bool norms_without_weights = false;  // norms whose tensors are missing normalise without weights
    bool embedding_normalised = false;   // even without weights
    bool parallel_residual = false;      // attention and FFN read the same x and are added together
    double embedding_scale = 1.0, residual_scale = 1.0, logit_scale = 1.0;  // factors
    double logit_soft_cap = 0.0;                                            // 0: none
    double post_norm_eps = 0.0;                                             // of norms behind a branch; 0: norm_eps
    bool has_head = true;                                                   // else the model makes hidden states only
    Pooling pooling = Pooling::none;

    bool causal = true;            // else a token sees those behind it too
    double attention_scale = 0.0;  // of q . k; 0: 1 / sqrt(head_dim)
    double attn_soft_cap = 0.0;
    double qkv_clamp = 0.0;
    double value_scale = 1.0;  // factor of v
    GateKind gate = GateKind::sigmoid;
    double alibi_max_bias = 0.0;      // 0: no ALiBi
    bool qk_norm_whole = false;       // q and k are normalised over all heads at once, not head by head
    bool qk_norm_after_rope = false;  // instead of before it
    bool qk_norm_plain = false;       // of layers with rope, also without weights
    bool chunked_windows = false;     // a window is a chunk of the text, seen from its beginning on
    // In layers without rope, queries are multiplied by 1 + temperature * log(floor((pos + 1) / length) + 1).
    double temperature = 0.0;
    int temperature_length = 8192;
    RopePairing rope_pairing = RopePairing::halves;
    std::vector<RopeSpec> ropes;
    LatentSpec latent;
    std::vector<LayerSpec> layers;  // [n_layers]

    Activation activation = Activation::silu;
    bool gated = true;
    ExpertsSpec experts;
    RecurrentSpec recurrent;

    TensorNames tensors;
    // Beginnings of names, whole or below blk.{layer}, of tensors that serve other tasks; separated by spaces.
    std::string ignored;
    bool ignores(std::string_view tensor) const;

    // "FIELD: expected ..., found ..." for the first inconsistent field.
    Result<void> validate() const;
    // All fields; of layers, the shortest pattern that repeats.
    std::string to_json() const;
    // A field that is not given keeps its default; one that is unknown, of another type or out of range is an error
    // that names it, as in "attention.scale". The spec is validated.
    static Result<ModelSpec> from_json(std::string_view text);
};

}  // namespace elver
