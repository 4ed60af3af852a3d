#include "answer/candidates.hpp"

#include <algorithm>
#include <limits>

namespace elver {

float Candidates::peak() const noexcept {
    float peak = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < n_; ++i) peak = std::max(peak, logits_[i]);
    return peak;
}

void Candidates::add_at_least(float least, std::span<const float> logits, int32_t first) {
    if (ids_.size() < n_ + logits.size() + 16) {
        ids_.resize(2 * (n_ + logits.size() + 16));
        logits_.resize(ids_.size());
    }
    for (size_t i = 0; i < logits.size(); ++i) {
        ids_[n_] = first + static_cast<int32_t>(i);
        logits_[n_] = logits[i];
        n_ += logits[i] >= least ? 1 : 0;
    }
}

std::span<const uint64_t> Candidates::weights(float scale) {
    const size_t padded = (n_ + 15) / 16 * 16;
    const float top = peak();
    std::fill(logits_.begin() + static_cast<std::ptrdiff_t>(n_), logits_.begin() + static_cast<std::ptrdiff_t>(padded),
              top);
    floats_.resize(padded);
    kernels_->logit_weights(logits_.data(), padded, top, scale, floats_.data());
    weights_.resize(n_);
    for (size_t i = 0; i < n_; ++i) weights_[i] = static_cast<uint64_t>(static_cast<double>(floats_[i]) * one);
    return weights_;
}

Candidates::Ranked Candidates::cut(uint64_t target) {
    const auto begin = ranked_.begin();
    size_t from = 0, to = ranked_.size();
    while (to - from > 1) {
        const size_t middle = from + (to - from) / 2;
        const auto at = [&](size_t i) { return begin + static_cast<std::ptrdiff_t>(i); };
        std::nth_element(at(from), at(middle), at(to), [](const Ranked& a, const Ranked& b) { return a.before(b); });
        uint64_t mass = 0;
        for (size_t i = from; i < middle; ++i) mass += ranked_[i].mass;
        if (mass >= target) {
            to = middle;
        } else {
            target -= mass;
            from = middle;
        }
    }
    return ranked_[from];
}

}  // namespace elver
