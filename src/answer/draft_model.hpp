// Guesses of a second, smaller model of the same vocabulary: it goes on with the text by its most likely tokens, as
// long as what they are expected to save is more than what it takes to compute them.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "answer/logit_row.hpp"
#include "engine/session.hpp"

namespace elver {

class DraftModel {
  public:
    // For answers in sessions of so many positions; null where the model has no draft model, or no room for its text.
    static std::unique_ptr<DraftModel> make(const Model& model, int n_ctx);

    // The next tokens of a text, at most `most`, as far as they promise to pay beside the seconds that a token takes
    // without them, or always. Valid until the next call. No guess where something fails.
    std::span<const DraftToken> guess(std::span<const int32_t> text, int most, double seconds, bool always,
                                      const CancelToken& cancel);
    // The text goes on with this token.
    void follow(int32_t id) noexcept;
    // How often the first of its guesses is right.
    float usual() const noexcept { return first_; }

  private:
    explicit DraftModel(std::unique_ptr<Session> session, int n_vocab)
        : session_(std::move(session)), row_(session_->model().kernels()), n_vocab_(n_vocab) {}
    bool read(std::span<const int32_t> ids, const CancelToken& cancel);

    std::unique_ptr<Session> session_;
    LogitRow row_;
    int n_vocab_;
    std::vector<DraftToken> guesses_;
    std::vector<size_t> kinds_;  // of the guesses: how sure the model was, in eighths
    size_t n_followed_ = 0;      // of the guesses; all of them: there is nothing to learn from
    std::array<float, 8> right_ = {0.1f,  0.2f,  0.3f,  0.45f,
                                   0.55f, 0.65f, 0.75f, 0.9f};  // how often guesses are, by kind
    float first_ = 0.6f;
    double seconds_ = 0;  // that a guess takes
    int n_skipped_ = 0;
};

}  // namespace elver
