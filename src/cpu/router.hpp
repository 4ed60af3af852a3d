// Which experts see a token, and with what share: a pure function of the router's logits (graph/router.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/router.hpp"

namespace elver {

// Floats of scratch that route() wants.
constexpr size_t router_scratch(int n_experts) noexcept {
    return 3 * static_cast<size_t>(n_experts);
}

// A logit, or a score with its bias, that is not a finite number; token -1: none was met.
struct RouterFault {
    int token = -1, expert = -1;
};

// For each token the chosen experts, best first, a tie broken by the lower number, and their weights. Returns the first
// fault; a faulty token has experts 0 .. top_k - 1 with weight 0. The options were checked.
RouterFault route(const RouterOptions& options,
                  const float* choice_bias,  // [n_experts], added to the scores for the choice alone, or null
                  int n_tokens, const float* logits,
                  size_t logits_stride,          // [n_tokens, n_experts]
                  int32_t* ids, float* weights,  // [n_tokens, top_k]
                  float* scratch) noexcept;      // router_scratch(n_experts)

}  // namespace elver
