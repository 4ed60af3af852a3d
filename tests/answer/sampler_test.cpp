// The sampler over made-up logits: which tokens may come, and how often.
#include "answer/sampler.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

using namespace elver;

namespace {

std::vector<int> counts(const SamplerSettings& settings, const std::vector<float>& logits,
                        const std::vector<int32_t>& history = {}, int n = 20000) {
    auto sampler = Sampler::make(settings, int(logits.size()));
    REQUIRE(sampler);
    std::vector<int> out(logits.size());
    for (int i = 0; i < n; ++i) ++out[size_t(sampler->sample(logits, history))];
    return out;
}

std::set<int> seen(const std::vector<int>& counts) {
    std::set<int> out;
    for (size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) out.insert(int(i));
    }
    return out;
}

const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 0.0f, -1.0f};

}  // namespace

TEST_CASE("sampler: greedy takes the most likely, of equals the first") {
    SamplerSettings s;
    s.temperature = 0;
    auto sampler = Sampler::make(s, 5);
    REQUIRE(sampler);
    CHECK(sampler->sample(logits, {}) == 1);
    CHECK(sampler->sample(std::vector<float>{2, 5, 5, 1, 5}, {}) == 1);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK(sampler->sample(std::vector<float>{nan, -3, nan, -2, nan}, {}) == 3);
}

TEST_CASE("sampler: draws follow softmax(logits / temperature)") {
    for (const float temperature : {0.5f, 1.0f, 2.0f}) {
        SamplerSettings s;
        s.temperature = temperature;
        s.seed = 5;
        const int n = 20000;
        const auto got = counts(s, logits, {}, n);
        double sum = 0, chi = 0;
        for (const float l : logits) sum += std::exp(l / temperature);
        for (size_t i = 0; i < logits.size(); ++i) {
            const double expected = n * std::exp(logits[i] / temperature) / sum;
            chi += (got[i] - expected) * (got[i] - expected) / expected;
        }
        CHECK(chi < 18.5);  // the 99.9th percentile for 4 degrees of freedom
    }
}

TEST_CASE("sampler: top-k, top-p and min-p keep the tokens they should") {
    SamplerSettings s;
    s.top_k = 2;
    CHECK(seen(counts(s, logits)) == std::set<int>{1, 2});
    s = {};
    s.top_p = 0.6f;  // p of token 1 is 0.64
    CHECK(seen(counts(s, logits)) == std::set<int>{1});
    s.top_p = 0.7f;
    CHECK(seen(counts(s, logits)) == std::set<int>{1, 2});
    s = {};
    s.min_p = 0.1f;  // exp(-2) = 0.135 stays, exp(-3) = 0.0498 goes
    CHECK(seen(counts(s, logits)) == std::set<int>{0, 1, 2});
}

TEST_CASE("sampler: penalties and bias") {
    SamplerSettings s;
    s.temperature = 0;
    const auto best = [&](const std::vector<int32_t>& history) {
        auto sampler = Sampler::make(s, 5);
        REQUIRE(sampler);
        return sampler->sample(logits, history);
    };
    s.presence_penalty = 1.5f;
    CHECK(best({1}) == 2);
    CHECK(best({1, 1, 1}) == 2);
    s = {};
    s.temperature = 0;
    s.frequency_penalty = 0.6f;
    CHECK(best({1}) == 1);
    CHECK(best({1, 1}) == 2);
    s = {};
    s.temperature = 0;
    s.repetition_penalty = 2.0f;
    CHECK(best({1}) == 2);  // 3 / 2
    s.repetition_window = 2;
    CHECK(best({1, 0, 0}) == 1);  // too far back
    s = {};
    s.temperature = 0;
    s.logit_bias = {{4, 10.0f}, {1, -100.0f}};
    CHECK(best({}) == 4);
}

TEST_CASE("sampler: bad settings are errors that name the field") {
    const auto refused = [](auto change, const char* field) {
        SamplerSettings s;
        change(s);
        const auto sampler = Sampler::make(s, 5);
        REQUIRE(!sampler);
        CHECK(sampler.error().object() == field);
        CHECK(sampler.error().status() == Status::invalid_argument);
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    refused([&](SamplerSettings& s) { s.temperature = nan; }, "temperature");
    refused([&](SamplerSettings& s) { s.temperature = -0.1f; }, "temperature");
    refused([&](SamplerSettings& s) { s.top_k = -1; }, "top_k");
    refused([&](SamplerSettings& s) { s.min_p = 2.0f; }, "min_p");
    refused([&](SamplerSettings& s) { s.repetition_penalty = 0.0f; }, "repetition_penalty");
    refused([&](SamplerSettings& s) { s.logit_bias = {{5, 1.0f}}; }, "logit_bias");
    refused([&](SamplerSettings& s) { s.logit_bias = {{0, nan}}; }, "logit_bias");
}

TEST_CASE("log-probabilities: of a token and of the best") {
    double sum = 0;
    for (const float l : logits) sum += std::exp(double(l));
    for (int i = 0; i < 5; ++i) CHECK(logprob_of(logits, i) == doctest::Approx(logits[size_t(i)] - std::log(sum)));
    const auto top = top_logprobs(logits, 3);
    REQUIRE(top.size() == 3);
    CHECK(top[0].id == 1);
    CHECK(top[1].id == 2);
    CHECK(top[2].id == 0);
    CHECK(top_logprobs(logits, 9).size() == 5);
}
