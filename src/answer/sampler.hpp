// Chooses the next token from logits: biases, then the steps of the settings in their order, then one draw. The same
// settings, seed and logits give the same token on every machine and for any number of threads.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "answer/candidates.hpp"
#include "answer/logit_row.hpp"
#include "answer/sampler_settings.hpp"
#include "base/result.hpp"

namespace elver {

class Tokenizer;

// The tokens so far: the first n_prompt are the prompt's.
struct TokenHistory {
    std::span<const int32_t> ids;
    size_t n_prompt = 0;
};

class Sampler {
  public:
    // Settings out of range are errors that name the field. tokenizer may be null: it tells which tokens hold a breaker
    // of dry, and is borrowed.
    static Result<Sampler> make(const SamplerSettings& settings, const KernelTable& kernels, int n_vocab,
                                const Tokenizer* tokenizer = nullptr);

    // row.sound() must hold; its logits are not changed.
    int32_t sample(LogitRow& row, const TokenHistory& history);

    // The seed in use: the one asked for, or a random one.
    uint64_t seed() const noexcept { return seed_; }

  private:
    Sampler(const SamplerSettings& settings, const KernelTable& kernels);
    uint64_t next_random() noexcept;
    double next_uniform() noexcept;  // 0 <= u < 1

    // The logits as a step finds them: of the row, until a truncation makes a list of candidates.
    float peak() const noexcept { return listed_ ? candidates_.peak() : row_->peak(); }
    // The sum of exp((logit - peak) * scale_).
    double weight_sum();
    // Its entropy in nats, and the logarithm of the sum.
    struct Spread {
        double entropy, log_sum;
    };
    Spread spread();
    void list_from(float least);  // makes the list, of the logits that are at least that
    void keep_from(float least);  // drops the logits that are below, but never the peak
    LogitRow& editable();         // the row's copy

    void add_bias();
    void penalise(const TokenHistory& history);
    void penalise_repetition(const TokenHistory& history);  // dry
    void apply_temperature();
    void keep_top_k();
    void keep_top_p();
    void keep_typical();
    void keep_top_n_sigma();
    void exclude_top_choices();
    void apply(SamplerStep step, const TokenHistory& history);
    bool breaks_repetition(int32_t id);
    int32_t draw();

    SamplerSettings settings_;
    const Tokenizer* tokenizer_ = nullptr;
    uint64_t seed_ = 0, state_ = 0;
    double surprise_bound_ = 0;  // of mirostat

    // Of the call at work.
    LogitRow* row_ = nullptr;  // the caller's, or edited_
    LogitRow edited_;
    Candidates candidates_, top_;
    bool listed_ = false;
    float scale_ = 1;  // what the logits are multiplied with, 1 / temperature

    struct Count {
        int32_t in_all, in_answer;
    };
    std::vector<Count> counts_;  // [n_vocab] if there are penalties; zero between calls
    std::vector<int32_t> lengths_;
    std::unordered_map<int32_t, bool> breakers_;        // tokens that were looked at
    std::unordered_map<int32_t, int32_t> repetitions_;  // a token, and the longest repetition that it would go on with
};

}  // namespace elver
