// Chooses the next token from logits. The order is: bias, penalties, then top-k, temperature, top-p, min-p, then one
// draw. The same settings, seed and logits give the same token on every machine.
#pragma once

#include <span>
#include <vector>

#include "answer/sampler_settings.hpp"
#include "base/result.hpp"

namespace elver {

struct TokenLogprob {
    int32_t id;
    float logprob;
};

class Sampler {
  public:
    // Settings out of range are errors that name the field.
    static Result<Sampler> make(const SamplerSettings& settings, int n_vocab);

    // history: the session's tokens so far, for the penalties. Not-a-number logits count as minus infinity.
    int32_t sample(std::span<const float> logits, std::span<const int32_t> history);

  private:
    struct Candidate {
        int32_t id;
        float logit, p;
    };
    Sampler() = default;
    void penalise(std::span<const int32_t> history);
    uint64_t next_random() noexcept;

    SamplerSettings settings_;
    uint64_t state_ = 0;
    std::vector<float> logits_;
    std::vector<int32_t> counts_;  // [n_vocab], zero between calls
    std::vector<Candidate> candidates_;
};

// Log-probability of id under softmax(logits), and of the n most likely tokens, most likely first.
float logprob_of(std::span<const float> logits, int32_t id);
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int n);

}  // namespace elver
