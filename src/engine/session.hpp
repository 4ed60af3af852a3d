// A session: a text in the model's engine, and the calls that extend it. Belongs to one thread at a time; only cancel
// may be called from another.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.hpp"
#include "engine/model.hpp"

namespace elver {

class Session {
  public:
    // Costs its pages, as its text grows, and its last logits; scratch is the engine's.
    static Result<std::unique_ptr<Session>> make(std::shared_ptr<const Model> model, const SessionOptions& options);
    ~Session() { model_->engine().close(std::move(sequence_)); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    const Model& model() const noexcept { return *model_; }
    // Positions that there can be: where all layers have windows a text has no end, unless its positions are learned.
    int n_ctx() const noexcept {
        return sequence_->endless() && model_->max_positions() == 0 ? INT32_MAX : sequence_->options().n_ctx;
    }
    int n_past() const noexcept { return sequence_->n_past(); }
    const SequenceOptions& options() const noexcept { return sequence_->options(); }
    // The token at each position so far; no_token where a row was given in place of one.
    std::span<const int32_t> ids() const noexcept { return sequence_->ids(); }

    // Appends an input and computes it, in passes of at most max_batch. Logits after its last token are kept; those of
    // the tokens wanted (rising indices into the input; default: all) go to on_logits, which may cancel(). Cancelled:
    // the session stands at the end of the last whole pass. After another error nothing has changed.
    using OnLogits = std::function<void(size_t index, std::span<const float> logits)>;
    Result<void> prefill(const Input& input, const OnLogits& on_logits = {}, const Progress& progress = {},
                         std::optional<std::span<const size_t>> wanted = {});
    Result<void> prefill(std::span<const int32_t> ids, const OnLogits& on_logits = {}, const Progress& progress = {},
                         std::optional<std::span<const size_t>> wanted = {}) {
        return prefill(Input(ids), on_logits, progress, wanted);
    }

    // Logits after the last token, [n_vocab]; empty before the first and after a rewind. Valid until the next call.
    std::span<const float> logits() const noexcept { return sequence_->logits(); }
    std::span<float> logits() noexcept { return sequence_->logits(); }

    // The embedding of a text, [width], of unit length: its hidden states after the last norm, pooled. Pooling::none:
    // as the model says, else the last of a causal model and the mean of another. The session's text is then this one;
    // logits() is empty.
    Result<std::vector<float>> embed(const Input& input, Pooling pooling = Pooling::none,
                                     const Progress& progress = {});
    Result<std::vector<float>> embed(std::span<const int32_t> ids, Pooling pooling = Pooling::none) {
        return embed(Input(ids), pooling);
    }

    // Goes back to n_past positions. Where a sliding window or a recurrent state does not reach back that far, the next
    // call computes the text anew.
    Result<void> rewind(int n_past);

    // Writes what the session holds: tokens, logits, cache (snapshot.cpp has the format).
    Result<void> save(const ByteSink& sink);
    // Becomes what was saved, to the bit. An error (another model, setting or version; damage) changes nothing.
    Result<void> restore(std::span<const std::byte> snapshot, std::string_view name);
    // A session that holds the same, in the same pages until one of the two goes on.
    Result<std::unique_ptr<Session>> fork() const;

    // Stops the request that is at work or waiting, from any thread; never a later one.
    void cancel() noexcept { sequence_->cancel().cancel(); }
    CancelToken& cancel_token() noexcept { return sequence_->cancel(); }

    // A request: what cancel() is meant for while it lives. Behind it, that is again what it was before: an answer that
    // waits to be pulled, or nothing.
    class Request {
      public:
        explicit Request(Session& session) noexcept
            : token_(&session.cancel_token()), behind_(token_->current()), own_(token_->begin()) {}
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
    friend Result<int> prefill_reusing(Session& session, std::span<const int32_t> ids, const Progress& progress);
    struct SnapshotHead;

    explicit Session(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
    // As prefill(), within a request that is under way.
    Result<void> extend(const Input& input, const OnLogits& on_logits = {}, const Progress& progress = {},
                        std::optional<std::span<const size_t>> wanted = {});
    Result<void> extend(std::span<const int32_t> ids, const OnLogits& on_logits = {}, const Progress& progress = {}) {
        return extend(Input(ids), on_logits, progress);
    }
    // As extend(), but the tokens are computed by a later call. They must have been checked.
    void append(std::span<const int32_t> ids);
    // Begins a call that writes an answer: computes what is not computed yet, and ids behind it.
    Result<Extension> write(std::span<const int32_t> ids, const Outputs& outputs);
    int n_computed() const noexcept { return model_->engine().n_computed(*sequence_); }
    uint64_t n_passed() const noexcept { return sequence_->n_passed(); }
    std::span<const int32_t> drafted() const noexcept { return sequence_->drafted(); }
    // The text takes the first drafted token.
    void accept() noexcept;
    // Makes room in a full context, as the options say: tokens dropped behind the first n_keep(); 0: none may be.
    int slide() noexcept;
    int n_keep() const noexcept;
    // Whether a call may run, ids are the vocabulary's, rows are finite, and there is room for them behind n_past
    // positions.
    Result<void> check(const Input& input, int n_past) const;
    // Whether the model has logits.
    Result<void> check_head() const;
    SnapshotHead snapshot_head() const noexcept;

    std::shared_ptr<const Model> model_;
    std::unique_ptr<Sequence> sequence_;
    ContextPolicy context_policy_ = ContextPolicy::stop;
    int n_keep_ = 0;
    uint64_t edits_ = 0;
};

}  // namespace elver
