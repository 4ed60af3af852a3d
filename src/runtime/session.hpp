// A session: a text's positions in the cache, and the forward passes that extend it. Belongs to one thread at a time;
// only cancel may be called from another.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/model.hpp"

namespace elver {

// Tokens whose logits are made in one go.
inline constexpr int outputs_at_once = 32;

class Session {
  public:
    // Allocates cache and scratch, the bytes that Model::plan said.
    static Result<std::unique_ptr<Session>> make(std::shared_ptr<const Model> model, const SessionOptions& options);

    const Model& model() const noexcept { return *model_; }
    // Positions that there can be: where all layers have windows a text has no end, unless its positions are learned.
    int n_ctx() const noexcept { return cache_.endless() && model_->max_positions() == 0 ? INT32_MAX : options_.n_ctx; }
    int n_past() const noexcept { return static_cast<int>(ids_.size()); }
    // The token at each position so far.
    std::span<const int32_t> ids() const noexcept { return ids_; }

    // Appends tokens and computes them, in passes of at most max_batch. Logits of the last are kept; those of the
    // tokens wanted (rising indices into ids; default: all) go to on_logits, which may cancel(). Cancelled: the session
    // stands at the end of the last whole pass. A bad id or too many tokens: an error, nothing changed.
    using OnLogits = std::function<void(size_t index, std::span<const float> logits)>;
    Result<void> prefill(std::span<const int32_t> ids, const OnLogits& on_logits = {}, const Progress& progress = {},
                         std::optional<std::span<const size_t>> wanted = {});

    // Logits after the last token, [n_vocab]; empty before the first and after a rewind. Valid until the next call.
    std::span<const float> logits() const noexcept { return logits_; }

    // The embedding of a text, [width], of unit length: its hidden states after the last norm, pooled. Pooling::none:
    // as the model says, else the last of a causal model and the mean of another. The session's text is then this one;
    // logits() is empty.
    Result<std::vector<float>> embed(std::span<const int32_t> ids, Pooling pooling = Pooling::none);

    // Goes back to n_past positions. An error if a sliding window has let go of what would be needed, or no recurrent
    // state was kept there.
    Result<void> rewind(int n_past);
    // The greatest position up to n_past that rewind can go to; 0 always can.
    int nearest_rewind(int n_past) const noexcept;

    // What recurrent layers remember, for a snapshot; empty for other models.
    RecurrentState& recurrent_state() noexcept { return state_; }

    // Writes what the session holds: tokens, logits, cache (snapshot.cpp has the format).
    Result<void> save(const ByteSink& sink);
    // Becomes what was saved, to the bit. An error (another model, setting or version; damage) changes nothing.
    Result<void> restore(std::span<const std::byte> snapshot, std::string_view name);
    // A session of its own that holds the same. (Not const: it reads the cache through the way that fills it.)
    Result<std::unique_ptr<Session>> fork();

    // Stops the request that is at work or waiting, from any thread; never a later one.
    void cancel() noexcept { cancel_.cancel(); }
    CancelToken& cancel_token() noexcept { return cancel_; }

    // A request: what cancel() is meant for while it lives. Behind it, that is again what it was before: an answer that
    // waits to be pulled, or nothing.
    class Request {
      public:
        explicit Request(Session& session) noexcept
            : token_(&session.cancel_), behind_(token_->current()), own_(token_->begin()) {}
        ~Request() { token_->resume(behind_); }
        Request(const Request&) = delete;
        Request& operator=(const Request&) = delete;
        // The request is not over when this ends: an answer has begun.
        void keep() noexcept { behind_ = own_; }

      private:
        CancelToken* token_;
        CancelToken::Request behind_, own_;
    };
    // Counts what calls did to the text: an answer whose text another call has changed is over.
    uint64_t edits() const noexcept { return edits_; }

  private:
    friend class Generator;
    friend Result<void> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress);
    // As prefill(), within a request that is under way.
    Result<void> extend(std::span<const int32_t> ids, const OnLogits& on_logits = {}, const Progress& progress = {},
                        std::optional<std::span<const size_t>> wanted = {});
    Session() = default;
    // Whether a call may run, the ids are the vocabulary's, and there is room for them behind n_past positions.
    Result<void> check(std::span<const int32_t> ids, int n_past) const;
    // Whether the model has logits.
    Result<void> check_head() const;
    // Why a pass has stopped.
    Error stopped() const;
    // Points at the session: one at a time.
    cpu::Pass make_pass(std::span<const int32_t> ids);
    struct SnapshotHead;
    SnapshotHead snapshot_head() const noexcept;
    // The memory that a text goes on from behind n_past positions: of the cache and of recurrent layers, in that order.
    std::vector<std::span<std::byte>> needed(int n_past) noexcept;
    std::span<float> logits_row() noexcept;
    // The logits of an output of the last run of the head.
    std::span<const float> row(size_t i) const noexcept;
    // Computes the logits after the tokens of heads_ and gives them to on_logits, the last only if it is wanted.
    // False: cancelled.
    bool run_heads(cpu::Pass& pass, const OnLogits& on_logits, size_t first_index, bool last_is_wanted);

    std::shared_ptr<const Model> model_;
    SessionOptions options_;
    KvCache cache_ = {};
    RecurrentState state_;
    cpu::Scratch scratch_;
    AlignedBuffer scratch_memory_;
    std::vector<int32_t> ids_, pos_;
    std::vector<int32_t> heads_;    // which of a pass's tokens need logits
    std::vector<int32_t> outputs_;  // those of one run of the head
    std::span<const float> logits_;
    CancelToken cancel_;
    uint64_t edits_ = 0;
    std::atomic<size_t> stop_{SIZE_MAX};
    cpu::Fault fault_;
    cpu::Segment segment_;  // of the pass: one text
};

}  // namespace elver
