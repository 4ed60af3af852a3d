#include "answer/logit_row.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace elver {

namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();
constexpr auto block = static_cast<size_t>(logit_block);
constexpr float no_weight = 2e-38f;  // e^-87, which stands for all that is below

}  // namespace

template <class What>
void LogitRow::for_each_block(What&& what) const {
    const size_t whole = logits_.size() / block;
    for (size_t b = 0; b < whole; ++b) what(logits_.data() + b * block, b);
    if (whole * block == logits_.size()) return;
    std::array<float, block> rest;
    rest.fill(lowest);
    std::copy(logits_.begin() + static_cast<std::ptrdiff_t>(whole * block), logits_.end(), rest.begin());
    what(rest.data(), whole);
}

void LogitRow::read(std::span<const float> logits) {
    logits_ = logits;
    peaks_.resize((logits.size() + block - 1) / block);
    const size_t whole = logits.size() / block;
    bool numbers = kernels_->logit_peaks(logits.data(), whole, peaks_.data());
    if (whole < peaks_.size()) {
        std::array<float, block> rest;
        rest.fill(lowest);
        std::copy(logits.begin() + static_cast<std::ptrdiff_t>(whole * block), logits.end(), rest.begin());
        numbers = kernels_->logit_peaks(rest.data(), 1, &peaks_[whole]) && numbers;
    }
    find_peak();
    sound_ = numbers && peak_ > lowest;
}

void LogitRow::find_peak() noexcept {
    peak_ = lowest;
    for (const float p : peaks_) peak_ = p > peak_ ? p : peak_;
    summed_scale_ = 0;
}

void LogitRow::copy(const LogitRow& other) {
    own_.assign(other.logits_.begin(), other.logits_.end());
    logits_ = own_;
    peaks_ = other.peaks_;
    peak_ = other.peak_;
    sound_ = other.sound_;
    summed_scale_ = 0;
    edited_.clear();
}

void LogitRow::edit(int32_t id, float logit) {
    own_[static_cast<size_t>(id)] = logit;
    edited_.push_back(static_cast<size_t>(id) / block);
}

void LogitRow::refresh() {
    std::sort(edited_.begin(), edited_.end());
    edited_.erase(std::unique(edited_.begin(), edited_.end()), edited_.end());
    for (const size_t b : edited_) {
        const auto from = own_.begin() + static_cast<std::ptrdiff_t>(b * block);
        const size_t n = std::min(block, own_.size() - b * block);
        peaks_[b] = *std::max_element(from, from + static_cast<std::ptrdiff_t>(n));
    }
    edited_.clear();
    find_peak();
    sound_ = sound_ && std::isfinite(peak_);
}

int32_t LogitRow::best() const noexcept {
    const auto b = std::find(peaks_.begin(), peaks_.end(), peak_) - peaks_.begin();
    const auto from = logits_.begin() + b * static_cast<std::ptrdiff_t>(block);
    return static_cast<int32_t>(std::find(from, logits_.end(), peak_) - logits_.begin());
}

double LogitRow::exp_sum(float scale) {
    if (summed_scale_ == scale) return sum_;
    sums_.resize(peaks_.size());
    const size_t whole = logits_.size() / block;
    kernels_->logit_sums(logits_.data(), whole, peak_, scale, sums_.data());
    if (whole < sums_.size()) {
        for_each_block([&](const float* v, size_t b) {
            if (b == whole) kernels_->logit_sums(v, 1, peak_, scale, &sums_[b]);
        });
    }
    sum_ = 0;
    for (const float s : sums_) sum_ += static_cast<double>(s);
    summed_scale_ = scale;
    return sum_;
}

double LogitRow::exp_moment(float scale) const {
    double sum = 0;
    std::array<float, block> weights;
    for_each_block([&](const float* v, size_t) {
        kernels_->logit_weights(v, block, peak_, scale, weights.data());
        float of_block = 0;
        for (size_t i = 0; i < block; ++i) of_block += weights[i] * std::max((v[i] - peak_) * scale, -87.0f);
        sum += static_cast<double>(of_block);
    });
    return sum;
}

int32_t LogitRow::draw(double u, float scale) {
    double left = u * exp_sum(scale);
    // Where rounding leads past the end it is the last token with any weight.
    size_t chosen_block = 0;
    for (size_t b = 0; b < sums_.size(); ++b) {
        if ((peaks_[b] - peak_) * scale <= -87.0f) continue;
        chosen_block = b;
        if (left < static_cast<double>(sums_[b])) break;
        left -= static_cast<double>(sums_[b]);
    }
    size_t chosen = 0;
    const size_t from = chosen_block * block, n = std::min(block, logits_.size() - from);
    std::array<float, block> logits, weights;
    logits.fill(lowest);
    std::copy_n(logits_.begin() + static_cast<std::ptrdiff_t>(from), n, logits.begin());
    kernels_->logit_weights(logits.data(), block, peak_, scale, weights.data());
    for (size_t i = 0; i < n; ++i) {
        if (weights[i] < no_weight) continue;
        chosen = from + i;
        left -= static_cast<double>(weights[i]);
        if (left < 0) break;
    }
    return static_cast<int32_t>(chosen);
}

float LogitRow::bound_of_top(size_t k) {
    // k blocks have k greatest logits, none of which is below the k-th greatest block's.
    if (k < 1 || k > peaks_.size()) return lowest;
    order_ = peaks_;
    const auto kth = order_.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(order_.begin(), kth, order_.end(), std::greater<>());
    return *kth;
}

void LogitRow::gather(float least, Candidates& out) const {
    least = std::max(least, std::numeric_limits<float>::lowest());
    out.clear();
    for (size_t b = 0; b < peaks_.size(); ++b) {
        if (!(peaks_[b] >= least)) continue;
        const size_t from = b * block, to = std::min(from + block, logits_.size());
        out.add_at_least(least, logits_.subspan(from, to - from), static_cast<int32_t>(from));
    }
}

}  // namespace elver
