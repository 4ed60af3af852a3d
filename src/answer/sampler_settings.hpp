// How the next token is chosen from the logits. Plain data: requests fill it, the sampler reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace elver {

struct SamplerSettings {
    float temperature = 1.0f;         // 0: the most likely token
    int32_t top_k = 0;                // keep the k most likely; 0: all
    float top_p = 1.0f;               // keep the most likely tokens that together have this probability
    float min_p = 0.0f;               // keep tokens at least this fraction as likely as the most likely
    float repetition_penalty = 1.0f;  // divides positive and multiplies negative logits of tokens already there
    int32_t repetition_window = 64;   // tokens back that the penalties look at; 0: none, -1: all
    float presence_penalty = 0.0f;    // subtracted once from the logit of a token already there
    float frequency_penalty = 0.0f;   // subtracted for each time it is there
    std::vector<std::pair<int32_t, float>> logit_bias;  // token id, added to its logit
    std::optional<uint64_t> seed;                       // the same seed gives the same tokens; none: 0
};

}  // namespace elver
