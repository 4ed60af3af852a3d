#include "cache/recurrent_state.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/checked.hpp"

namespace elver {

namespace {

size_t padded(size_t n_floats) noexcept {
    return round_up(n_floats, 16);
}

}  // namespace

size_t RecurrentState::plan_bytes(const std::vector<size_t>& layer_floats) noexcept {
    size_t total = 0;
    for (const size_t n : layer_floats) total += padded(n);
    return (2 + n_kept) * total * sizeof(float);
}

Result<RecurrentState> RecurrentState::make(const std::vector<size_t>& layer_floats) {
    RecurrentState s;
    for (const size_t n : layer_floats) {
        s.offsets_.push_back(s.n_floats_);
        s.n_floats_ += padded(n);
    }
    if (s.empty()) return s;
    auto memory = AlignedBuffer::make(plan_bytes(layer_floats), "the recurrent state");
    if (!memory) return std::move(memory).error();
    s.memory_ = *std::move(memory);
    s.go_back(0);
    return s;
}

void RecurrentState::commit(int n_past, bool keep) noexcept {
    if (empty()) return;
    now_ = 1 - now_;
    before_ = n_past_;
    n_past_ = n_past;
    if (!keep) return;
    std::memcpy(slot(2 + oldest_), slot(now_), n_floats_ * sizeof(float));
    kept_[oldest_] = n_past;
    oldest_ = (oldest_ + 1) % n_kept;
}

int RecurrentState::nearest(int n_past) const noexcept {
    if (empty() || n_past >= n_past_) return n_past;
    int best = before_ <= n_past ? std::max(before_, 0) : 0;
    for (const int kept : kept_) {
        if (kept <= n_past) best = std::max(best, kept);
    }
    return best;
}

void RecurrentState::go_back(int n_past) noexcept {
    if (empty() || (n_past == n_past_ && n_past > 0)) return;
    if (n_past == 0) {
        std::memset(slot(now_), 0, n_floats_ * sizeof(float));
    } else if (n_past == before_) {
        now_ = 1 - now_;
    } else {
        const int* at = std::find(kept_, kept_ + n_kept, n_past);
        std::memcpy(slot(now_), slot(2 + static_cast<int>(at - kept_)), n_floats_ * sizeof(float));
    }
    // What was kept beyond belongs to a text that is no more.
    for (int& kept : kept_) {
        if (kept > n_past) kept = -1;
    }
    n_past_ = n_past;
    before_ = -1;
}

void RecurrentState::restored(int n_past) noexcept {
    std::fill(std::begin(kept_), std::end(kept_), -1);
    n_past_ = n_past;
    before_ = -1;
}

void RecurrentState::copy(const RecurrentState& other) noexcept {
    if (!empty()) std::memcpy(memory_.data(), other.memory_.data(), memory_.size());
    now_ = other.now_, n_past_ = other.n_past_, before_ = other.before_, oldest_ = other.oldest_;
    std::copy(std::begin(other.kept_), std::end(other.kept_), std::begin(kept_));
}

}  // namespace elver
