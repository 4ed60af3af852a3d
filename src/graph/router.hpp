// How a router chooses a token's experts, as data; cpu/router.hpp does it. Softmax or sigmoid, before or after the
// choice (Shazeer et al. 2017; Fedus et al. 2022; DeepSeek-V3, 2024, section 2.1.2).
#pragma once

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
};

// "router.FIELD: expected ..., found ..." for the first option out of range.
Result<void> check(const RouterOptions& options);

}  // namespace elver
