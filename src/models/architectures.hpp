// The table of architectures: for each GGUF general.architecture, what its metadata does not say. Tensors that a file
// has or lacks (biases, q and k norms, fused projections, post norms, an own head) are found by looking.
#pragma once

#include <string_view>

#include "models/model_spec.hpp"

namespace elver {

// Keys that have a meaning in some families only; files of others may hold them, and they are not read there.
enum Reads : unsigned {
    reads_soft_caps = 1,
    reads_parallel_residual = 2,
    reads_qkv_clamp = 4,
    reads_alibi = 8,
    reads_scales = 16,     // of embedding, residual and attention
    reads_sections = 32,   // rotary sections, for pictures; for text they only say that rope pairs halves
    reads_finetuned = 64,  // rope.scaling.finetuned: false says that there is no rope
};

// A role's tensor that has another name in this family; nullptr: the family has no such tensor, whatever the file
// holds.
struct Rename {
    const char* role = nullptr;
    const char* as = nullptr;
};

// Which layers have the recurrent mixer: those without KV heads, those with its tensors, or all, each beside its
// attention.
enum class Recurs : uint8_t { none, every, headless, with_tensors, beside };

struct Architecture {
    const char* name;
    NormKind norm = NormKind::rms;
    bool norm_by_key = false;  // RMS norm where the file has the key of its epsilon, else layer norm
    bool rope = true;
    RopePairing pairing = RopePairing::halves;
    Activation activation = Activation::silu;
    bool gated = true;
    bool parallel_residual = false;
    bool norms_without_weights = false;
    bool qk_norm_after_rope = false;
    int plain_qk_norm_but =
        0;  // q and k are normalised without weights, except in a model with this many experts; 0: never
    bool causal = true;
    bool has_head = true;
    bool embedding_normalised = false;
    unsigned reads = 0;
    bool embedding_times_sqrt_width = false;
    double ffn_width_factor = 1.0;  // the FFN width in the file is multiplied by it
    double local_rope_base = 0.0;   // of layers with a window, where the file gives none; 0: as other layers
    bool plain_local_rope = false;  // their positions are not scaled; nor where they have a base of their own
    double alibi_max_bias = 0.0;
    int alibi_layers = 0;                               // a model with this many layers has ALiBi instead of rope
    double attention_power = 0.5;                       // q . k is divided by head_dim to this power
    double attention_scale = 0.0, attn_soft_cap = 0.0;  // where the file gives none
    GateKind gate = GateKind::sigmoid;
    double post_norm_eps = 0.0;
    bool divides_by_logit_scale = false;  // others multiply
    // Where the file gives no scale: embeddings times embedding_scale, branches times depth_scale / sqrt(n_layers),
    // logits times logit_width / width or logit_scale. 0: 1.
    double embedding_scale = 0.0, depth_scale = 0.0, logit_width = 0.0, logit_scale = 0.0;
    // Layers with a window, where the file has no pattern: all but those with i % window_period == window_global.
    int window_period = 1, window_global = -1;
    int window = 0;                // where the file gives none
    bool chunked_windows = false;  // the temperature below is then that of layers that see everything
    double temperature = 0.0;
    bool rope_local_only = false;  // in a model with windows, layers without one have no rope
    bool rope_dense = false;       // except dense layers
    int no_rope_period = 0;        // one layer in so many has no rope; 0: all have it
    const char* ignored = "";
    RouterScore router = RouterScore::softmax;  // where the file does not say
    bool renormalises = false;                  // true whatever the file says; false: as the file says
    ExpertsInput experts_input = ExpertsInput::same;
    double experts_sum_scale = 1.0;
    bool weighs_input = false;
    Recurs recurs = Recurs::none;
    bool one_branch = false;  // a layer is an FFN, else attention, else recurrent
    RecurrentKind mixer = RecurrentKind::mamba;
    bool interleaved_keys = false;
    bool latent = false;
    Rename renames[8] = {};
};

// What elver lacks for an architecture that it knows by name only; null for one that it does not know.
const char* missing_for(std::string_view name) noexcept;

// Null when elver does not know the name.
const Architecture* find_architecture(std::string_view name) noexcept;

}  // namespace elver
