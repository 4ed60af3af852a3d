// The sampler over made-up logits: which tokens may come, and how often. What should be kept is computed again here, in
// double precision and by sorting, from the definitions.
#include "answer/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "answer/logprobs.hpp"
#include "kernels/select.hpp"
#include "message_of.hpp"

using namespace elver;
using namespace elver::test;

namespace {

const KernelTable& kernels() {
    const auto table = select_kernels();
    REQUIRE(table);
    return **table;
}

Sampler make(const SamplerSettings& settings, size_t n_vocab) {
    auto sampler = Sampler::make(settings, kernels(), int(n_vocab));
    REQUIRE_MESSAGE(sampler, message_of(sampler));
    return *std::move(sampler);
}

int32_t sample(Sampler& sampler, const std::vector<float>& logits, const TokenHistory& history = {}) {
    LogitRow row(kernels());
    row.read(logits);
    REQUIRE(row.sound());
    return sampler.sample(row, history);
}

std::vector<int> counts(const SamplerSettings& settings, const std::vector<float>& logits,
                        const TokenHistory& history = {}, int n = 20000) {
    Sampler sampler = make(settings, logits.size());
    LogitRow row(kernels());
    row.read(logits);
    std::vector<int> out(logits.size());
    for (int i = 0; i < n; ++i) ++out[size_t(sampler.sample(row, history))];
    return out;
}

std::set<int> seen(const std::vector<int>& counts) {
    std::set<int> out;
    for (size_t i = 0; i < counts.size(); ++i) {
        if (counts[i] > 0) out.insert(int(i));
    }
    return out;
}

SamplerSettings seeded(uint64_t seed = 5) {
    SamplerSettings s;
    s.seed = seed;
    return s;
}

std::vector<double> softmax(const std::vector<float>& logits, double temperature = 1) {
    const double peak = *std::max_element(logits.begin(), logits.end());
    std::vector<double> p;
    for (const float l : logits) p.push_back(std::exp((l - peak) / temperature));
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& v : p) v /= sum;
    return p;
}

// Ids by falling score; of equals the lower first.
std::vector<int> order_by(const std::vector<double>& score) {
    std::vector<int> order(score.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return score[size_t(a)] > score[size_t(b)]; });
    return order;
}

// The first ids of an order whose probabilities together reach a share.
std::set<int> share(const std::vector<int>& order, const std::vector<double>& p, double wanted) {
    std::set<int> out;
    double sum = 0;
    for (const int id : order) {
        if (!out.empty() && sum >= wanted) break;
        out.insert(id);
        sum += p[size_t(id)];
    }
    return out;
}

// Whether n draws could come from the probabilities p of the ids kept: a chi-square test at about 4 standard
// deviations. Tokens that are expected less than 5 times count together.
bool could_come_from(const std::vector<int>& got, std::vector<double> p, const std::set<int>& kept) {
    const double n = std::accumulate(got.begin(), got.end(), 0.0);
    double sum = 0, chi = 0, rare_expected = 0, rare_got = 0;
    int degrees = -1;
    for (const int id : kept) sum += p[size_t(id)];
    for (size_t i = 0; i < got.size(); ++i) {
        if (kept.count(int(i)) == 0) {
            if (got[i] > 0) return false;
            continue;
        }
        const double expected = n * p[i] / sum;
        if (expected < 5) {
            rare_expected += expected, rare_got += got[i];
            continue;
        }
        chi += (got[i] - expected) * (got[i] - expected) / expected;
        ++degrees;
    }
    if (rare_expected >= 5) chi += (rare_got - rare_expected) * (rare_got - rare_expected) / rare_expected, ++degrees;
    return degrees < 1 || chi < degrees + 4 * std::sqrt(2.0 * degrees) + 4;
}

// More than two blocks, with ties and with tokens that cannot come.
std::vector<float> random_logits(unsigned seed, size_t n = 333, float spread = 2.5f) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, spread);
    std::vector<float> logits(n);
    for (float& l : logits) l = std::round(normal(random) * 8) / 8;
    for (size_t i = 0; i < n; i += 29) logits[i] = -std::numeric_limits<float>::infinity();
    return logits;
}

const std::vector<float> five = {1.0f, 3.0f, 2.0f, 0.0f, -1.0f};

}  // namespace

TEST_CASE("sampler: greedy takes the most likely, of equals the first") {
    SamplerSettings s;
    s.temperature = 0;
    s.min_p = 0.5, s.xtc_probability = 1;  // change nothing
    Sampler sampler = make(s, 5);
    CHECK(sample(sampler, five) == 1);
    CHECK(sample(sampler, {2, 5, 5, 1, 5}) == 1);
    std::vector<float> many = random_logits(3, 1000);
    many[700] = many[900] = 50.0f;
    CHECK(sample(sampler, many) == 700);
}

TEST_CASE("sampler: draws follow softmax(logits / temperature)") {
    for (const double temperature : {0.5, 1.0, 2.0}) {
        for (unsigned seed = 0; seed < 5; ++seed) {
            SamplerSettings s = seeded(seed);
            s.temperature = temperature;
            const auto logits = random_logits(seed);
            std::set<int> all;
            for (size_t i = 0; i < logits.size(); ++i) {
                if (i % 29 != 0) all.insert(int(i));
            }
            CHECK(could_come_from(counts(s, logits), softmax(logits, temperature), all));
            s.temperature = 1e-30;
            const auto cold = counts(s, five, {}, 50);
            CHECK(cold[1] == 50);
        }
    }
}

TEST_CASE("sampler: truncations keep the tokens that sorting would keep") {
    for (unsigned seed = 0; seed < 6; ++seed) {
        CAPTURE(seed);
        // The second kind is flat: much must be kept.
        const auto logits = random_logits(seed, 333, seed % 2 == 0 ? 2.5f : 0.3f);
        const auto p = softmax(logits);
        std::vector<double> scores(logits.begin(), logits.end());
        const auto order = order_by(scores);
        for (const int k : {1, 2, 7, 40, 200, 320}) {
            SamplerSettings s = seeded();
            s.top_k = k;
            CAPTURE(k);
            CHECK(
                could_come_from(counts(s, logits), p, std::set<int>(order.begin(), order.begin() + std::min(k, 321))));
        }
        for (const double share_wanted : {0.0, 0.3, 0.9, 0.99}) {
            SamplerSettings s = seeded();
            s.top_p = share_wanted;
            CAPTURE(share_wanted);
            CHECK(could_come_from(counts(s, logits), p, share(order, p, share_wanted)));
        }
        for (const double least : {0.05, 0.3, 1.0}) {
            SamplerSettings s = seeded();
            s.min_p = least;
            std::set<int> kept;
            for (size_t i = 0; i < p.size(); ++i) {
                if (logits[i] >= logits[size_t(order[0])] + float(std::log(least))) kept.insert(int(i));
            }
            CAPTURE(least);
            CHECK(could_come_from(counts(s, logits), p, kept));
        }
        double entropy = 0;
        for (const double v : p) entropy -= v > 0 ? v * std::log(v) : 0;
        for (const double share_wanted : {0.2, 0.7, 0.95}) {
            // Ties in the deviation may be told apart by rounding: logits here differ by eighths.
            std::vector<double> deviation;
            for (const double v : p) deviation.push_back(v > 0 ? -std::fabs(-std::log(v) - entropy) : -1e9);
            SamplerSettings s = seeded();
            s.typical_p = share_wanted;
            CAPTURE(share_wanted);
            CHECK(could_come_from(counts(s, logits), p, share(order_by(deviation), p, share_wanted)));
        }
        double mean = 0, n = 0, squares = 0;
        for (const float l : logits) {
            if (std::isfinite(l)) mean += l, n += 1;
        }
        mean /= n;
        for (const float l : logits) squares += std::isfinite(l) ? (l - mean) * (l - mean) : 0;
        for (const double sigmas : {0.5, 1.0, 2.0}) {
            SamplerSettings s = seeded();
            s.top_n_sigma = sigmas;
            std::set<int> kept;
            for (size_t i = 0; i < p.size(); ++i) {
                if (logits[i] >= logits[size_t(order[0])] - sigmas * std::sqrt(squares / n)) kept.insert(int(i));
            }
            CAPTURE(sigmas);
            CHECK(could_come_from(counts(s, logits), p, kept));
        }
    }
}

TEST_CASE("sampler: a truncation works on what the step before left, in the order that is set") {
    // Of 0.4, 0.3, 0.2, 0.1: top_k 2 leaves 4/7 and 3/7, of which top_p 0.5 keeps one. The other way round both stay
    // two.
    const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)};
    SamplerSettings s = seeded();
    s.top_k = 2, s.top_p = 0.5;
    s.steps = {SamplerStep::top_k, SamplerStep::top_p};
    CHECK(seen(counts(s, logits)) == std::set<int>{0});
    s.steps = {SamplerStep::top_p, SamplerStep::top_k};
    CHECK(seen(counts(s, logits)) == std::set<int>{0, 1});
    s.steps = {};
    CHECK(seen(counts(s, logits)) == std::set<int>{0, 1, 2, 3});
    // At temperature 4 the four are nearly alike: min_p 0.6 keeps three. Before the temperature it keeps two.
    s = seeded();
    s.temperature = 4, s.min_p = 0.6;
    CHECK(seen(counts(s, logits)) == std::set<int>{0, 1, 2, 3});
    s.steps = {SamplerStep::min_p, SamplerStep::temperature};
    CHECK(could_come_from(counts(s, logits), softmax(logits, 4), {0, 1}));
}

TEST_CASE("sampler: xtc drops the top choices but for the least likely of them, as often as asked") {
    const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)};
    SamplerSettings s = seeded();
    s.xtc_probability = 1, s.xtc_threshold = 0.15;
    CHECK(could_come_from(counts(s, logits), softmax(logits), {2, 3}));
    s.top_k = 3;  // and on a list of candidates
    CHECK(seen(counts(s, logits)) == std::set<int>{2});
    s.top_k = 0, s.xtc_threshold = 0.35;  // only one is so likely: it stays
    CHECK(could_come_from(counts(s, logits), softmax(logits), {0, 1, 2, 3}));
    s.xtc_threshold = 0.15, s.xtc_probability = 0.5;
    const auto got = counts(s, logits);
    // Token 0 comes only in the half of the draws where xtc does not act.
    CHECK(got[0] > 20000 * 0.5 * 0.4 * 0.93);
    CHECK(got[0] < 20000 * 0.5 * 0.4 * 1.07);
}

TEST_CASE("sampler: dynamic temperature follows the entropy") {
    for (unsigned seed = 0; seed < 4; ++seed) {
        const auto logits = random_logits(seed, 200);
        const auto p = softmax(logits);
        double entropy = 0;
        for (const double v : p) entropy -= v > 0 ? v * std::log(v) : 0;
        const double temperature = 0.5 + 1.0 * std::pow(entropy / std::log(200.0), 1.5);
        SamplerSettings s = seeded(seed);
        s.dynatemp_range = 0.5, s.dynatemp_exponent = 1.5;
        std::set<int> all;
        for (size_t i = 0; i < logits.size(); ++i) {
            if (i % 29 != 0) all.insert(int(i));
        }
        CHECK(could_come_from(counts(s, logits), softmax(logits, temperature), all));
    }
}

TEST_CASE("sampler: mirostat holds the mean surprise") {
    const auto logits = random_logits(1, 2000, 1.5f);
    const auto p = softmax(logits);
    for (const double tau : {3.0, 5.0}) {
        SamplerSettings s = seeded();
        s.mirostat = 2, s.mirostat_tau = tau;
        Sampler sampler = make(s, logits.size());
        LogitRow row(kernels());
        row.read(logits);
        // The bound is followed here: what is drawn was within it, and the mean surprise among what was kept is tau.
        double bound = 2 * tau, mean = 0;
        for (int i = 0; i < 4000; ++i) {
            double kept = 0;
            for (const double v : p) kept += -std::log2(v) <= bound ? v : 0;
            const double of_drawn = p[size_t(sampler.sample(row, {}))];
            CHECK(-std::log2(of_drawn) <= bound + 0.02);  // rounding at the bound adds up
            const double surprise = -std::log2(of_drawn / kept);
            bound -= s.mirostat_eta * (surprise - tau);
            mean += surprise / 4000;
        }
        CHECK(std::fabs(mean - tau) < 0.1);
    }
}

TEST_CASE("sampler: repetition_penalty counts prompt and answer, presence and frequency the answer") {
    SamplerSettings s;
    s.temperature = 0;
    const auto best = [&](const std::vector<int32_t>& ids, size_t n_prompt) {
        Sampler sampler = make(s, 5);
        return sample(sampler, five, {ids, n_prompt});
    };
    s.presence_penalty = 1.5;
    CHECK(best({1}, 0) == 2);
    CHECK(best({1, 1, 1}, 0) == 2);
    CHECK(best({1, 1, 1}, 3) == 1);  // in the prompt only
    CHECK(best({1, 1, 1}, 2) == 2);
    s = {};
    s.temperature = 0;
    s.frequency_penalty = 0.6;
    CHECK(best({1}, 0) == 1);
    CHECK(best({1, 1}, 0) == 2);
    CHECK(best({1, 1}, 1) == 1);
    std::vector<int32_t> far(100, 0);
    far[0] = far[1] = 1;
    CHECK(best(far, 0) == 2);  // however far back
    s.penalty_window = 98;
    CHECK(best(far, 0) == 1);
    s = {};
    s.temperature = 0;
    s.repetition_penalty = 2.0;
    CHECK(best({1}, 0) == 2);  // 3 / 2
    CHECK(best({1}, 1) == 2);
    s.penalty_window = 2;
    CHECK(best({1, 0, 0}, 0) == 1);  // too far back
    s.penalty_window = 0;
    CHECK(best({1}, 0) == 1);
    s = {};
    s.temperature = 0;
    s.logit_bias = {{4, 10.0f}, {1, -100.0f}};
    CHECK(best({}, 0) == 4);
    s.logit_bias = {{1, -std::numeric_limits<float>::infinity()}};
    CHECK(best({}, 0) == 2);
    s.temperature = 1;
    s.seed = 1;
    CHECK(counts(s, five)[1] == 0);
}

TEST_CASE("sampler: penalties give the probabilities that are computed, before and after a truncation") {
    std::vector<float> logits = {2.0f, 1.0f, -1.0f, 0.5f, 0.0f, -2.0f};
    const std::vector<int32_t> ids = {0, 2, 0, 3};
    SamplerSettings s = seeded();
    s.repetition_penalty = 1.5, s.presence_penalty = 0.25, s.frequency_penalty = 0.5;
    auto changed = logits;
    changed[0] = 2.0f / 1.5f - 0.25f - 0.5f;  // once in the prompt, once in the answer
    changed[2] = -1.0f * 1.5f - 0.25f - 0.5f;
    changed[3] = 0.5f / 1.5f - 0.25f - 0.5f;
    CHECK(could_come_from(counts(s, logits, {ids, 1}), softmax(changed), {0, 1, 2, 3, 4, 5}));
    s.top_k = 3;
    s.steps = {SamplerStep::top_k, SamplerStep::penalties};
    CHECK(could_come_from(counts(s, logits, {ids, 1}), softmax(changed), {0, 1, 3}));
    // After the temperature the penalties are on the divided logits.
    s.steps = {SamplerStep::temperature, SamplerStep::penalties};
    s.temperature = 2;
    changed[0] = 1.0f / 1.5f - 0.75f, changed[2] = -0.5f * 1.5f - 0.75f, changed[3] = 0.25f / 1.5f - 0.75f;
    changed[1] = 0.5f, changed[4] = 0.0f, changed[5] = -1.0f;
    CHECK(could_come_from(counts(s, logits, {ids, 1}), softmax(changed), {0, 1, 2, 3, 4, 5}));
}

TEST_CASE("sampler: dry makes it unlikely to go on as the text did before") {
    SamplerSettings s;
    s.temperature = 0;
    s.dry_multiplier = 1, s.dry_base = 2, s.dry_allowed_length = 2;
    const auto best = [&](std::vector<int32_t> ids, float lead) {
        std::vector<float> logits(10, 0.0f);
        logits[7] = lead;
        Sampler sampler = make(s, 10);
        return sample(sampler, logits, {ids, 0});
    };
    // "1 2 3 7 ... 1 2 3": 7 would repeat three tokens: 1 * 2^(3 - 2) = 2.
    CHECK(best({1, 2, 3, 7, 9, 1, 2, 3}, 1.9f) == 0);
    CHECK(best({1, 2, 3, 7, 9, 1, 2, 3}, 2.1f) == 7);
    CHECK(best({3, 7, 9, 3}, 0.1f) == 7);              // one token is too short
    CHECK(best({2, 3, 7, 2, 3, 7, 2, 3}, 7.9f) == 0);  // 2 3 7 2 3: five tokens that overlap, 2^3
    CHECK(best({2, 3, 7, 2, 3, 7, 2, 3}, 8.1f) == 7);
    s.dry_window = 7;
    CHECK(best({1, 2, 3, 7, 9, 1, 2, 3}, 1.1f) == 7);  // of the earlier one 2 3 is seen: 2^0
    s.dry_window = -1;
    s.dry_base = 1e6;
    std::vector<int32_t> long_text(4000, 7);
    CHECK(best(long_text, 50.0f) == 0);  // the greatest penalty is a number
}

TEST_CASE("sampler: the same seed gives the same tokens, and a random seed is told") {
    const auto logits = random_logits(9);
    for (const int k : {0, 40}) {
        SamplerSettings s;
        s.top_k = k;
        Sampler first = make(s, logits.size());
        s.seed = first.seed();
        Sampler second = make(s, logits.size()), third = make(s, logits.size());
        std::vector<int32_t> a, b;
        for (int i = 0; i < 50; ++i) a.push_back(sample(first, logits)), b.push_back(sample(second, logits));
        CHECK(a == b);
        s.seed.reset();
        CHECK(make(s, logits.size()).seed() != first.seed());
    }
    // What was drawn once is drawn on every machine.
    SamplerSettings s = seeded(42);
    Sampler sampler = make(s, logits.size());
    std::vector<int32_t> drawn;
    for (int i = 0; i < 6; ++i) drawn.push_back(sample(sampler, logits));
    for (const char* name : available_kernels()) {
        const auto table = find_kernels(name);
        REQUIRE(table);
        auto other = Sampler::make(s, **table, int(logits.size()));
        LogitRow row(**table);
        row.read(logits);
        for (const int32_t id : drawn) CHECK(other->sample(row, {}) == id);
    }
}

TEST_CASE("sampler: bad settings are errors that name the field") {
    const auto refused = [](auto change, const char* field) {
        SamplerSettings s;
        change(s);
        const auto sampler = Sampler::make(s, kernels(), 5);
        REQUIRE(!sampler);
        CHECK(sampler.error().object() == field);
        CHECK(sampler.error().status() == Status::invalid_argument);
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    refused([&](SamplerSettings& s) { s.temperature = nan; }, "temperature");
    refused([&](SamplerSettings& s) { s.temperature = -0.1; }, "temperature");
    refused([&](SamplerSettings& s) { s.top_k = -1; }, "top_k");
    refused([&](SamplerSettings& s) { s.min_p = 2.0; }, "min_p");
    refused([&](SamplerSettings& s) { s.typical_p = nan; }, "typical_p");
    refused([&](SamplerSettings& s) { s.top_n_sigma = -1; }, "top_n_sigma");
    refused([&](SamplerSettings& s) { s.mirostat = 1; }, "mirostat");
    refused([&](SamplerSettings& s) { s.dry_base = 0.5; }, "dry_base");
    refused([&](SamplerSettings& s) { s.repetition_penalty = 0.0; }, "repetition_penalty");
    refused([&](SamplerSettings& s) { s.repetition_penalty = 0.0099; }, "repetition_penalty");
    refused([&](SamplerSettings& s) { s.logit_bias = {{5, 1.0f}}; }, "logit_bias");
    refused([&](SamplerSettings& s) { s.logit_bias = {{0, float(nan)}}; }, "logit_bias");
    refused([&](SamplerSettings& s) { s.logit_bias = {{0, 101.0f}}; }, "logit_bias");
    SamplerSettings s;
    s.repetition_penalty = 0.01;  // the bound itself
    CHECK(Sampler::make(s, kernels(), 5));
}

TEST_CASE("log-probabilities: of a token and of the best") {
    for (const auto& logits : {five, random_logits(2, 3000)}) {
        double sum = 0;
        for (const float l : logits) sum += std::exp(double(l));
        LogitRow row(kernels());
        row.read(logits);
        for (size_t i = 0; i < logits.size(); ++i) {
            if (std::isfinite(logits[i]))
                CHECK(logprob_of(row, int32_t(i)) == doctest::Approx(logits[i] - std::log(sum)).epsilon(1e-6));
        }
        Candidates list(kernels());
        const auto order = order_by(std::vector<double>(logits.begin(), logits.end()));
        for (const int n : {0, 1, 3, 20}) {
            const auto top = top_logprobs(row, n, list);
            REQUIRE(top.size() == std::min(size_t(n), logits.size()));
            for (size_t i = 0; i < top.size(); ++i) {
                CHECK(top[i].id == order[i]);
                CHECK(top[i].logprob == logprob_of(row, order[i]));
            }
        }
    }
}
