// Log-probabilities under softmax(logits): the model's own, before biases, penalties and temperature.
#pragma once

#include <vector>

#include "answer/logit_row.hpp"

namespace elver {

struct TokenLogprob {
    int32_t id;
    float logprob;  // natural logarithm
};

float logprob_of(LogitRow& row, int32_t id);
// Of the n most likely tokens, most likely first; tokens whose logit is minus infinity are left out. list is scratch.
std::vector<TokenLogprob> top_logprobs(LogitRow& row, int n, Candidates& list);

}  // namespace elver
