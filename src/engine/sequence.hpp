// A text in an engine: its tokens, and what has been computed of them. The two may differ: an engine that is short of
// memory sets texts aside, and a window or a recurrent state may not reach back to where a text was cut. What is not
// computed is computed anew when the text goes on. A text that is being written may also be ahead of itself: drafted
// tokens stand behind it, computed, until the text takes them one by one or goes on otherwise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "base/cancel.hpp"
#include "cache/kv_cache.hpp"
#include "cache/recurrent_state.hpp"
#include "engine/input.hpp"

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
    // The token at each position; no_token where a row was given in place of one.
    std::span<const int32_t> ids() const noexcept { return std::span(ids_).first(ids_.size() - n_drafted_); }
    std::span<const EmbeddedRows> rows() const noexcept { return rows_; }
    // The row at a position, [width]; null where there is a token.
    const float* row_at(int pos, int width) const noexcept;
    int n_past() const noexcept { return static_cast<int>(ids_.size() - n_drafted_); }
    // Tokens that were drafted and computed behind the text, and are not part of it.
    std::span<const int32_t> drafted() const noexcept { return std::span(ids_).last(n_drafted_); }
    const SequenceOptions& options() const noexcept { return options_; }
    // Whether it may go on beyond n_ctx.
    bool endless() const noexcept { return cache_.endless(); }
    // After the last token, [n_vocab]; empty where they have not been asked for since it changed.
    std::span<const float> logits() const noexcept {
        return has_logits_ ? std::span<const float>(logits_).subspan(logits_row_ * row_size_, row_size_)
                           : std::span<const float>();
    }
    std::span<float> logits() noexcept {
        return has_logits_ ? std::span<float>(logits_).subspan(logits_row_ * row_size_, row_size_) : std::span<float>();
    }
    // Tokens from its beginning that are computed.
    int n_computed() const noexcept { return std::min(n_computed_, n_past()); }
    // How many tokens passes have computed for it, those computed anew included.
    uint64_t n_passed() const noexcept { return n_passed_; }
    CancelToken& cancel() noexcept { return cancel_; }

  private:
    friend class Engine;
    friend class Schedule;
    explicit Sequence(const SequenceOptions& options) : options_(options) {}

    SequenceOptions options_;
    uint64_t sort_ = 0;  // texts of one sort may share pages
    // The beginning that other texts with the same tokens have in common with it: rows stand for themselves alone.
    std::span<const int32_t> shareable() const noexcept {
        return rows_.empty() ? ids() : ids().first(static_cast<size_t>(rows_.front().first_pos));
    }

    std::vector<int32_t> ids_;
    std::vector<EmbeddedRows> rows_;  // by position
    size_t n_drafted_ = 0;            // of ids_, at its end
    int n_computed_ = 0;              // of ids_, from the beginning
    int n_kept_ = 0;                  // pages that were put into the tree of prefixes
    uint64_t n_passed_ = 0;
    uint64_t served_ = 0;   // the number of the last pass that it was part of
    bool awaited_ = false;  // it was given a token just now: the next pass waits for it to go on
    int n_late_ = 0;        // how often it came too late for that, since it last came in time
    KvCache cache_;
    RecurrentState state_;
    size_t row_size_ = 0;
    std::vector<float> logits_;  // [1 + tokens drafted, row_size_]: after the text, and after each drafted token
    size_t logits_row_ = 0;      // of the text's last token
    bool has_logits_ = false;
    std::thread::id pinned_by_;  // a thread that reads its memory outside of passes: it is not set aside meanwhile
    CancelToken cancel_;
};

}  // namespace elver
