// Which experts see a token, and with what share: a pure function of the router's logits. Softmax or sigmoid, before or
// after the choice (Shazeer et al. 2017; Fedus et al. 2022; DeepSeek-V3, 2024, section 2.1.2).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.hpp"

namespace elver {

enum class RouterScore : uint8_t {
    softmax,         // over all experts
    sigmoid,         // of each by itself
    softmax_chosen,  // the greatest logits are chosen, softmax over those
    // The greatest logits are chosen one by one; the weight of each is its share in a softmax over those not yet chosen
    // that are within 2 % of it (SparseMixer-v2, Liu et al. 2024, at inference with a jitter of 0.01).
    softmax_near_best,
};

struct RouterOptions {
    RouterScore score = RouterScore::softmax;
    int n_experts = 0;
    int top_k = 0;             // 1 .. n_experts
    bool renormalise = false;  // the weights are divided by their sum, or by least_sum where that is more
    float least_sum = 0x1p-14f;
    float scale = 1.0f;  // of the weights, last
    // Experts stand in n_groups equal groups; only the n_groups_used best are chosen from. A group's worth is the sum
    // of its group_best best scores (with the bias).
    int n_groups = 1, n_groups_used = 1, group_best = 2;
    const float* choice_bias = nullptr;  // [n_experts] added to the scores for the choice alone, or null
};

// "router.FIELD: expected ..., found ..." for the first option out of range.
Result<void> check(const RouterOptions& options);

// Floats of scratch that route() wants.
constexpr size_t router_scratch(int n_experts) noexcept {
    return 3 * static_cast<size_t>(n_experts);
}

// A logit, or a score with its bias, that is no finite number; token -1: none was met.
struct RouterFault {
    int token = -1, expert = -1;
};

// For each token the chosen experts, best first, a tie broken by the lower number, and their weights. The first fault
// is answered; a faulty token has experts 0 .. top_k - 1 with weight 0. The options were checked.
RouterFault route(const RouterOptions& options, int n_tokens, const float* logits,
                  size_t logits_stride,          // [n_tokens, n_experts]
                  int32_t* ids, float* weights,  // [n_tokens, top_k]
                  float* scratch) noexcept;      // router_scratch(n_experts)

}  // namespace elver
