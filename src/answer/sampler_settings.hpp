// How the next token is chosen from the logits. Plain data: requests and model files fill it, the sampler reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace elver {

// A step of the sampler. Each works on what the steps before it left.
enum class SamplerStep : uint8_t { penalties, dry, temperature, top_k, top_n_sigma, typical_p, top_p, min_p, xtc };

struct SamplerSettings {
    double temperature = 1;  // divides the logits; 0: the most likely token, whatever else is set
    // With a range, the temperature lies between temperature - range and temperature + range, by how evenly the
    // probabilities are spread: entropy over its greatest value, to the power of the exponent.
    double dynatemp_range = 0, dynatemp_exponent = 1;

    // Truncations. Each keeps at least one token.
    int32_t top_k = 0;     // the k most likely tokens; 0: all
    double top_p = 1;      // the fewest most likely tokens that together have this probability (Holtzman et al. 2019)
    double min_p = 0;      // tokens at least this fraction as likely as the most likely (Nguyen et al. 2024)
    double typical_p = 1;  // the fewest tokens whose surprise is closest to the entropy, as top_p (Meister et al. 2022)
    double top_n_sigma = 0;      // logits within so many standard deviations of the greatest (Tang et al. 2024); 0: all
    double xtc_probability = 0;  // how often xtc acts: of the tokens of at least xtc_threshold, all but the least
    double xtc_threshold = 0.1;  //   likely are dropped, if there are two

    // Penalties on tokens that are there already, among the last penalty_window tokens; -1: all, 0: none.
    int32_t penalty_window = -1;
    double repetition_penalty = 1;  // divides positive and multiplies negative logits of tokens of prompt and answer
    double presence_penalty = 0;    // subtracted from the logit of a token of the answer
    double frequency_penalty = 0;   // subtracted for each time it is there
    // Subtracts dry_multiplier * dry_base ^ (n - dry_allowed_length) from a token that would make the text end as it
    // ended before, n tokens back; repetitions do not reach over a token that holds a breaker. 0: off.
    double dry_multiplier = 0, dry_base = 1.75;
    int32_t dry_allowed_length = 2;
    int32_t dry_window = -1;  // tokens back; -1: all
    std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};

    // Mirostat 2 (Basu et al. 2020), after all steps: keeps tokens of a bounded surprise, and moves the bound so that
    // the answer's mean surprise is tau bits. 0: off.
    int32_t mirostat = 0;
    double mirostat_tau = 5, mirostat_eta = 0.1;

    std::vector<SamplerStep> steps = {SamplerStep::penalties, SamplerStep::dry,         SamplerStep::temperature,
                                      SamplerStep::top_k,     SamplerStep::top_n_sigma, SamplerStep::typical_p,
                                      SamplerStep::top_p,     SamplerStep::min_p,       SamplerStep::xtc};
    // Token id, added to its logit before all steps; minus infinity: never this token.
    std::vector<std::pair<int32_t, float>> logit_bias;
    std::optional<uint64_t> seed;  // the same seed gives the same tokens; none: a random one
};

// The name of a step in requests, and the step of a name.
const char* step_name(SamplerStep step) noexcept;
std::optional<SamplerStep> step_of_name(std::string_view name) noexcept;

// A setting out of range is an error that names it as requests do.
Result<void> check_settings(const SamplerSettings& settings, int n_vocab);

}  // namespace elver
