#include "cpu/router.hpp"

#include <algorithm>
#include <cmath>

namespace elver {

namespace {

// The k greatest of x[0 .. n), greatest first, the lower index before its equals -> ids.
void greatest(const float* x, int n, int k, int32_t* ids) noexcept {
    int held = 0;
    for (int i = 0; i < n; ++i) {
        if (held == k && !(x[i] > x[ids[k - 1]])) continue;
        int at = held < k ? held++ : k - 1;
        for (; at > 0 && x[i] > x[ids[at - 1]]; --at) ids[at] = ids[at - 1];
        ids[at] = i;
    }
}

// In place.
void softmax(float* x, int n) noexcept {
    const float peak = *std::max_element(x, x + n);
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += x[i] = std::exp(x[i] - peak);
    for (int i = 0; i < n; ++i) x[i] /= sum;
}

// The share of the greatest, x[best], in a softmax over the x[i] with (x[best] - x[i]) / max(|x[i]|, x[best]) <= 0.02;
// x[best] is then taken out.
float share_near_best(float* x, int n, int best) noexcept {
    const float peak = x[best];
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) {
        if (peak - x[i] <= 0.02f * std::max(std::fabs(x[i]), peak)) sum += std::exp(x[i] - peak);
    }
    x[best] = -INFINITY;
    return 1.0f / sum;
}

float sigmoid(float x) noexcept {
    return 1.0f / (1.0f + std::exp(-x));
}

// Experts outside the best groups get minus infinity.
void keep_best_groups(const RouterOptions& o, float* choice, float* worth) noexcept {
    const int size = o.n_experts / o.n_groups, best = std::min(o.group_best, size);
    for (int g = 0; g < o.n_groups; ++g) {
        float* group = choice + g * size;
        // A group's best scores, in order, one after the other: groups and their best are few.
        float sum = 0.0f, last = INFINITY;
        int last_at = -1;
        for (int b = 0; b < best; ++b) {
            int at = -1;
            for (int i = 0; i < size; ++i) {
                const bool after = group[i] < last || (group[i] == last && i > last_at);
                if (after && (at < 0 || group[i] > group[at])) at = i;
            }
            sum += last = group[at];
            last_at = at;
        }
        worth[g] = sum;
    }
    for (int g = 0; g < o.n_groups; ++g) {
        int better = 0;
        for (int h = 0; h < o.n_groups; ++h) better += worth[h] > worth[g] || (worth[h] == worth[g] && h < g);
        if (better >= o.n_groups_used) std::fill_n(choice + g * size, size, -INFINITY);
    }
}

// The expert whose logit or score is no finite number, or -1.
int route_token(const RouterOptions& o, const float* choice_bias, const float* logits, int32_t* ids, float* weights,
                float* scratch) noexcept {
    float *scores = scratch, *choice = scores + o.n_experts, *worth = choice + o.n_experts;
    for (int e = 0; e < o.n_experts; ++e) {
        if (!std::isfinite(logits[e])) return e;
    }
    std::copy_n(logits, o.n_experts, scores);
    if (o.score == RouterScore::softmax) softmax(scores, o.n_experts);
    if (o.score == RouterScore::sigmoid) std::transform(scores, scores + o.n_experts, scores, sigmoid);
    // Softmax and sigmoid keep the order of logits, except that rounding makes ties of neighbours: logits choose where
    // nothing is added to the scores.
    const bool by_score = choice_bias != nullptr || o.n_groups > 1;
    std::copy_n(by_score ? scores : logits, o.n_experts, choice);
    for (int e = 0; choice_bias != nullptr && e < o.n_experts; ++e) {
        choice[e] += choice_bias[e];
        if (!std::isfinite(choice[e])) return e;
    }
    if (o.n_groups > 1) keep_best_groups(o, choice, worth);
    greatest(choice, o.n_experts, o.top_k, ids);
    for (int i = 0; i < o.top_k; ++i) weights[i] = scores[ids[i]];
    if (o.score == RouterScore::softmax_chosen) softmax(weights, o.top_k);
    if (o.score == RouterScore::softmax_near_best) {
        for (int i = 0; i < o.top_k; ++i) weights[i] = share_near_best(scores, o.n_experts, ids[i]);
    }
    float scale = o.scale;
    if (o.renormalise) {
        float sum = 0.0f;
        for (int i = 0; i < o.top_k; ++i) sum += weights[i];
        scale /= std::max(sum, o.least_sum);
    }
    for (int i = 0; i < o.top_k; ++i) weights[i] *= scale;
    return -1;
}

}  // namespace

RouterFault route(const RouterOptions& o, const float* choice_bias, int n_tokens, const float* logits,
                  size_t logits_stride, int32_t* ids, float* weights, float* scratch) noexcept {
    RouterFault fault;
    for (int t = 0; t < n_tokens; ++t, logits += logits_stride, ids += o.top_k, weights += o.top_k) {
        const int expert = route_token(o, choice_bias, logits, ids, weights, scratch);
        if (expert < 0) continue;
        if (fault.token < 0) fault = {t, expert};
        for (int i = 0; i < o.top_k; ++i) ids[i] = i, weights[i] = 0.0f;
    }
    return fault;
}

}  // namespace elver
