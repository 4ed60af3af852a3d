#include "answer/logprobs.hpp"

#include <algorithm>
#include <cmath>

namespace elver {

namespace {

// The exact difference of float logits, so that no digits are lost below a large peak.
float logprob(const LogitRow& row, double log_sum, float logit) {
    return static_cast<float>(static_cast<double>(logit) - static_cast<double>(row.peak()) - log_sum);
}

}  // namespace

float logprob_of(LogitRow& row, int32_t id) {
    return logprob(row, std::log(row.exp_sum(1.0f)), row.logits()[static_cast<size_t>(id)]);
}

std::vector<TokenLogprob> top_logprobs(LogitRow& row, int n, Candidates& list) {
    std::vector<TokenLogprob> out;
    if (n <= 0) return out;
    row.gather(row.bound_of_top(static_cast<size_t>(n)), list);
    list.keep_best([&](size_t i) { return list.logit(i); }, [](size_t) { return uint64_t{1}; },
                   static_cast<uint64_t>(n));
    const double log_sum = std::log(row.exp_sum(1.0f));
    for (size_t i = 0; i < list.size(); ++i) out.push_back({list.id(i), logprob(row, log_sum, list.logit(i))});
    std::stable_sort(out.begin(), out.end(),
                     [](const TokenLogprob& a, const TokenLogprob& b) { return a.logprob > b.logprob; });
    return out;
}

}  // namespace elver
