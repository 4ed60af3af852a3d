// A text in an engine: its tokens, and what has been computed of them. The two may differ: an engine that is short of
// memory sets texts aside, and a window or a recurrent state may not reach back to where a text was cut. What is not
// computed is computed anew when the text goes on.
#pragma once

#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "cache/kv_cache.hpp"
#include "cache/recurrent_state.hpp"

namespace elver {

class Engine;

// How large a text may become, and how it is kept.
struct SequenceOptions {
    int n_ctx = 0;
    int max_batch = 0;  // tokens of it in a pass
    CacheType cache_type = CacheType::f16;
    int priority = 0;  // texts of a higher one go first, and are set aside last
};

class Sequence {
  public:
    std::span<const int32_t> ids() const noexcept { return ids_; }
    int n_past() const noexcept { return static_cast<int>(ids_.size()); }
    const SequenceOptions& options() const noexcept { return options_; }
    // Whether it may go on beyond n_ctx.
    bool endless() const noexcept { return cache_.endless(); }
    // After the last token, [n_vocab]; empty where they have not been asked for since it changed.
    std::span<const float> logits() const noexcept {
        return has_logits_ ? std::span<const float>(logits_) : std::span<const float>();
    }
    CancelToken& cancel() noexcept { return cancel_; }

  private:
    friend class Engine;
    friend class Schedule;
    explicit Sequence(const SequenceOptions& options) : options_(options) {}

    SequenceOptions options_;
    uint64_t sort_ = 0;  // texts of one sort may share pages
    std::vector<int32_t> ids_;
    int n_computed_ = 0;  // of ids_, from the beginning
    KvCache cache_;
    RecurrentState state_;
    std::vector<float> logits_;
    bool has_logits_ = false;
    std::thread::id pinned_by_;  // a thread that reads its memory outside of passes: it is not set aside meanwhile
    CancelToken cancel_;
};

}  // namespace elver
