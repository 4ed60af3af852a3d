#include "answer/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/text.hpp"

namespace elver {

namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

int32_t argmax(std::span<const float> logits) noexcept {
    int32_t best = 0;
    for (size_t i = 1; i < logits.size(); ++i) {
        if (logits[i] > logits[static_cast<size_t>(best)] || std::isnan(logits[static_cast<size_t>(best)]))
            best = static_cast<int32_t>(i);
    }
    return best;
}

double log_sum_exp(std::span<const float> logits) noexcept {
    double peak = lowest, sum = 0;
    for (const float v : logits) peak = v > peak ? v : peak;
    for (const float v : logits) sum += std::isnan(v) ? 0.0 : std::exp(v - peak);
    return peak + std::log(sum);
}

}  // namespace

Result<Sampler> Sampler::make(const SamplerSettings& s, int n_vocab) {
    struct Range {
        const char* field;
        double value, low, high;
    };
    const Range ranges[] = {
        {"temperature", s.temperature, 0, 100},
        {"top_k", static_cast<double>(s.top_k), 0, INT32_MAX},
        {"top_p", s.top_p, 0, 1},
        {"min_p", s.min_p, 0, 1},
        {"repetition_penalty", s.repetition_penalty, 0.01, 100},
        {"repetition_window", static_cast<double>(s.repetition_window), -1, INT32_MAX},
        {"presence_penalty", s.presence_penalty, -100, 100},
        {"frequency_penalty", s.frequency_penalty, -100, 100},
    };
    for (const Range& r : ranges) {
        if (!(r.value >= r.low && r.value <= r.high))
            return Error(Status::invalid_argument,
                         cat(r.field, ": expected ", r.low, " to ", r.high, ", found ", r.value), r.field);
    }
    for (const auto& [id, bias] : s.logit_bias) {
        if (id < 0 || id >= n_vocab)
            return Error(Status::invalid_argument,
                         cat("logit_bias: expected ids from 0 to ", n_vocab - 1, ", found ", id), "logit_bias");
        if (std::isnan(bias))
            return Error(Status::invalid_argument, cat("logit_bias: the bias of ", id, " is not a number"),
                         "logit_bias");
    }
    Sampler sampler;
    sampler.settings_ = s;
    sampler.state_ = s.seed.value_or(0);
    sampler.logits_.resize(static_cast<size_t>(n_vocab));
    sampler.counts_.resize(static_cast<size_t>(n_vocab));
    sampler.candidates_.reserve(static_cast<size_t>(n_vocab));
    return sampler;
}

// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t Sampler::next_random() noexcept {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

void Sampler::penalise(std::span<const int32_t> history) {
    const auto& s = settings_;
    if (s.repetition_penalty == 1.0f && s.presence_penalty == 0.0f && s.frequency_penalty == 0.0f) return;
    if (s.repetition_window >= 0 && history.size() > static_cast<size_t>(s.repetition_window)) {
        history = history.last(static_cast<size_t>(s.repetition_window));
    }
    for (const int32_t id : history) ++counts_[static_cast<size_t>(id)];
    for (const int32_t id : history) {
        const int32_t count = std::exchange(counts_[static_cast<size_t>(id)], 0);
        if (count == 0) continue;  // done at an earlier place
        float& v = logits_[static_cast<size_t>(id)];
        v = v > 0 ? v / s.repetition_penalty : v * s.repetition_penalty;
        v -= s.presence_penalty + s.frequency_penalty * static_cast<float>(count);
    }
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
    const auto& s = settings_;
    for (size_t i = 0; i < logits_.size(); ++i) logits_[i] = std::isnan(logits[i]) ? lowest : logits[i];
    for (const auto& [id, bias] : s.logit_bias) logits_[static_cast<size_t>(id)] += bias;
    penalise(history);
    if (s.temperature == 0.0f) return argmax(logits_);
    candidates_.clear();
    for (size_t i = 0; i < logits_.size(); ++i) candidates_.push_back({static_cast<int32_t>(i), logits_[i], 0});
    // Ties go to the lower id, so the order is the same everywhere.
    const auto likelier = [](const Candidate& a, const Candidate& b) {
        return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    };
    const size_t keep = s.top_k > 0 ? std::min(candidates_.size(), static_cast<size_t>(s.top_k)) : candidates_.size();
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(keep), candidates_.end(),
                      likelier);
    candidates_.resize(keep);
    double total = 0;
    const float peak = candidates_.front().logit;
    if (peak == lowest) return candidates_.front().id;
    for (Candidate& c : candidates_) total += c.p = std::exp((c.logit - peak) / s.temperature);
    size_t n = candidates_.size();
    if (s.top_p < 1.0f) {
        double sum = 0;
        size_t used = 0;
        while (used < n && (used == 0 || sum < static_cast<double>(s.top_p) * total)) sum += candidates_[used++].p;
        n = used;
    }
    while (n > 1 && candidates_[n - 1].p < s.min_p * candidates_[0].p) --n;
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += candidates_[i].p;
    double left = static_cast<double>(next_random() >> 11) * 0x1p-53 * sum;
    for (size_t i = 0; i < n; ++i) {
        left -= candidates_[i].p;
        if (left < 0) return candidates_[i].id;
    }
    return candidates_[n - 1].id;
}

float logprob_of(std::span<const float> logits, int32_t id) {
    return static_cast<float>(logits[static_cast<size_t>(id)] - log_sum_exp(logits));
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n) {
    std::vector<int32_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    const auto keep = static_cast<std::ptrdiff_t>(std::min(order.size(), static_cast<size_t>(std::max(n, 0))));
    std::partial_sort(order.begin(), order.begin() + keep, order.end(), [&](int32_t a, int32_t b) {
        const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
        return x != y ? x > y : a < b;
    });
    const double total = log_sum_exp(logits);
    std::vector<TokenLogprob> out;
    for (auto it = order.begin(); it != order.begin() + keep; ++it)
        out.push_back({*it, static_cast<float>(logits[static_cast<size_t>(*it)] - total)});
    return out;
}

}  // namespace elver
