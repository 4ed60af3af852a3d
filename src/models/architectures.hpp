// The table of architectures: for each GGUF general.architecture, what its metadata does not say. Tensors that a file
// has or lacks (biases, q and k norms, fused projections, post norms, an own head) are found by looking.
#pragma once

#include <string_view>

#include "models/model_spec.hpp"

namespace elver {

struct Architecture {
    const char* name;
    NormKind norm = NormKind::rms;
    RopePairing pairing = RopePairing::halves;
    Activation activation = Activation::silu;
    bool gated = true;
    bool parallel_residual = false;
    bool embedding_times_sqrt_width = false;
    double local_rope_base = 0.0;  // of layers with a window, where the file gives none; 0: the same as others
    double alibi_max_bias = 0.0;
    bool soft_caps = false;               // the keys of soft caps count
    bool parallel_residual_key = false;   // use_parallel_residual counts
    bool divides_by_logit_scale = false;  // others multiply
    // Where the file gives no scale: embeddings times embedding_scale, branches times depth_scale / sqrt(n_layers),
    // logits times logit_width / width. 0: 1.
    double embedding_scale = 0.0, depth_scale = 0.0, logit_width = 0.0;
    // Layers with a window: every layer (1), or all but each `period`-th; see global_layer.
    int window_period = 1;
    int window_global = -1;  // layer i sees everything where i % window_period == window_global
};

// Null when elver does not know the name.
const Architecture* find_architecture(std::string_view name) noexcept;
// All names, comma separated: for error messages.
std::string known_architectures();

}  // namespace elver
