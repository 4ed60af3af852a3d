#include "answer/draft_model.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "answer/logprobs.hpp"

namespace elver {

namespace {

// Where guesses do not pay, one in so many is made all the same, to see whether they would again.
constexpr int tried_again = 128;

void follow_mean(float& mean, bool right) noexcept {
    mean += ((right ? 1.0f : 0.0f) - mean) / 24;
}

}  // namespace

std::unique_ptr<DraftModel> DraftModel::make(const Model& model, int n_ctx) {
    if (model.draft() == nullptr) return nullptr;
    const int learned = model.draft()->max_positions();
    SessionOptions options;
    options.n_ctx = learned > 0 ? std::min(n_ctx, learned) : n_ctx;
    auto session = Session::make(model.draft(), options);
    if (!session) return nullptr;
    return std::unique_ptr<DraftModel>(new DraftModel(*std::move(session), model.spec().n_vocab));
}

// Takes what the text has behind what was read of it.
bool DraftModel::read(std::span<const int32_t> text, const CancelToken& cancel) {
    const auto ids = session_->ids();
    const auto most = static_cast<std::ptrdiff_t>(std::min(ids.size(), text.size() - 1));
    const auto same = std::mismatch(ids.begin(), ids.begin() + most, text.begin()).first - ids.begin();
    if (static_cast<size_t>(same) < ids.size() && !session_->rewind(static_cast<int>(same))) return false;
    return bool(
        session_->prefill(text.subspan(static_cast<size_t>(same)), {}, [&](double) { return !cancel.cancelled(); }));
}

std::span<const DraftToken> DraftModel::guess(std::span<const int32_t> text, int most, double seconds, bool always,
                                              const CancelToken& cancel) {
    using Clock = std::chrono::steady_clock;
    guesses_.clear(), kinds_.clear();
    n_followed_ = 0;
    const auto pays = [&](float chance) { return always || static_cast<double>(chance) * seconds > seconds_; };
    if (most <= 0 || (!pays(first_) && ++n_skipped_ % tried_again != 0)) return {};
    if (!read(text, cancel)) return {};
    float chance = 1;
    for (;;) {
        row_.read(session_->logits());
        if (!row_.sound()) break;
        const int32_t id = row_.best();
        const size_t kind = std::min<size_t>(7, static_cast<size_t>(8 * std::exp(logprob_of(row_, id))));
        if (id >= n_vocab_) break;
        chance *= right_[kind];
        guesses_.push_back({id, chance});
        kinds_.push_back(kind);
        if (static_cast<int>(guesses_.size()) >= most || !pays(chance * first_)) break;
        const auto start = Clock::now();
        if (cancel.cancelled() || !session_->prefill(std::span(&id, 1))) break;
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        seconds_ += (took - seconds_) * (seconds_ == 0 ? 1.0 : 0.1);
    }
    return guesses_;
}

void DraftModel::follow(int32_t id) noexcept {
    if (n_followed_ >= guesses_.size()) return;
    const bool right = guesses_[n_followed_].id == id;
    follow_mean(right_[kinds_[n_followed_]], right);
    if (n_followed_ == 0) follow_mean(first_, right);
    n_followed_ = right ? n_followed_ + 1 : guesses_.size();
}

}  // namespace elver
