// SmolLM2-135M-Instruct against a float64 forward in NumPy over weights decoded by the package gguf
// (tests/golden/smollm2): the reference level to the letter, the packed levels no further from it than llama.cpp is.
#include <cmath>

#include "answer/generate.hpp"
#include "kernels/select.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

// Mean KL(p || q) over rows of n logits.
double mean_kl(std::span<const float> p, std::span<const float> q, size_t n) {
    double total = 0;
    for (size_t row = 0; row < p.size(); row += n) {
        double p_max = -1e30, q_max = -1e30, p_sum = 0, q_sum = 0;
        for (size_t i = row; i < row + n; ++i)
            p_max = std::max(p_max, double(p[i])), q_max = std::max(q_max, double(q[i]));
        for (size_t i = row; i < row + n; ++i) p_sum += std::exp(p[i] - p_max), q_sum += std::exp(q[i] - q_max);
        const double p_log = p_max + std::log(p_sum), q_log = q_max + std::log(q_sum);
        for (size_t i = row; i < row + n; ++i) total += std::exp(p[i] - p_log) * ((p[i] - p_log) - (q[i] - q_log));
    }
    return total / (double(p.size()) / double(n));
}

std::vector<float> logits_at(const std::string& isa, std::span<const int32_t> ids) {
    const auto session = open_session(load(smollm2_path(), 2, isa), {.n_ctx = 512, .max_batch = 512, .cache_type = {}});
    return all_logits(*session, ids);
}

}  // namespace

TEST_CASE("SmolLM2, reference level: logits within 1e-3 of float64") {
    const auto gold = golden("smollm2/logits.json");
    const auto ids = gold["ids"].get<std::vector<int32_t>>();
    REQUIRE(ids.size() == 64);
    const auto logits = logits_at("reference", ids);
    const auto n_vocab = gold["n_vocab"].get<size_t>();
    REQUIRE(logits.size() == ids.size() * n_vocab);
    double worst = 0;
    for (const auto& row : gold["rows"]) {
        const float* at = logits.data() + row["position"].get<size_t>() * n_vocab;
        for (size_t i = 0; i < row["ids"].size(); ++i)
            worst = std::max(worst, std::fabs(at[row["ids"][i].get<size_t>()] - row["logits"][i].get<double>()));
        double sum = 0;
        for (size_t i = 0; i < n_vocab; ++i) sum += std::exp(double(at[i]));
        worst = std::max(worst, std::fabs(std::log(sum) - row["logsumexp"].get<double>()));
    }
    MESSAGE("greatest difference ", worst);
    CHECK(worst < 1e-3);
}

TEST_CASE("SmolLM2, packed levels: mean KL against the reference level less than llama.cpp's") {
    const auto tokens = golden("smollm2/tokens.json");
    const auto kl = golden("smollm2/kl.json");
    for (const char* length : {"short", "long"}) {
        const auto ids = tokens[length].get<std::vector<int32_t>>();
        const auto reference = logits_at("reference", ids);
        const double theirs = kl[length]["mean_kl"].get<double>();
        for (const char* isa : available_kernels()) {
            if (std::string(isa) == "reference") continue;
            const double ours = mean_kl(reference, logits_at(isa, ids), reference.size() / ids.size());
            MESSAGE(length, ", ", isa, ": ", ours, ", llama.cpp: ", theirs);
            CHECK(ours < (std::string(length) == "long" ? 0.85 : 1.0) * theirs);
        }
    }
}

TEST_CASE("SmolLM2, greedy text: equal to float64's up to a near tie") {
    const auto gold = golden("smollm2/greedy.json");
    for (const char* isa : available_kernels()) {
        const bool exact = std::string(isa) == "reference";
        const auto model = load(smollm2_path(), 2, isa);
        for (const auto& row : gold["rows"]) {
            CAPTURE(isa);
            CAPTURE(row["prompt"].get<std::string>());
            const auto prompt = row["prompt_ids"].get<std::vector<int32_t>>();
            const auto encoded = model->tokenizer().encode(row["prompt"].get<std::string>());
            REQUIRE(encoded);
            CHECK(*encoded == prompt);
            const auto session = open_session(model, {.n_ctx = 128, .max_batch = 32, .cache_type = {}});
            REQUIRE(session->prefill(prompt));
            GenerateOptions options;
            options.sampler.temperature = 0;
            options.ignore_end = true;
            options.max_tokens = static_cast<int>(row["ids"].size());
            auto generator = Generator::make(*session, options);
            REQUIRE(generator);
            size_t i = 0;
            for (; i < row["ids"].size(); ++i) {
                const auto event = generator->next();
                REQUIRE(event);
                if (event->id != row["ids"][i].get<int32_t>()) break;
            }
            // Another token is right only where the two best lie nearer than the level's noise.
            if (i < row["ids"].size()) CHECK(row["margins"][i].get<double>() < (exact ? 1e-3 : 0.35));
        }
    }
}
