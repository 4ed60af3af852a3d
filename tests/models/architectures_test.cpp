// The tiny models of tests/golden/archs against their oracles (Hugging Face transformers, or a float64 forward in
// NumPy): logits at the reference level, and the packed levels near it. A model of an architecture that is not
// supported must be refused with the reason.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/select.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

// Mean over the tokens of the KL divergence of what is found from what is expected, in nats.
double mean_kl(const std::vector<float>& expected, const std::vector<float>& found, size_t n_vocab) {
    double total = 0;
    for (size_t row = 0; row < expected.size(); row += n_vocab) {
        const auto log_sum = [&](const std::vector<float>& x) {
            double sum = 0;
            for (size_t i = 0; i < n_vocab; ++i) sum += std::exp(double(x[row + i]));
            return std::log(sum);
        };
        const double p_sum = log_sum(expected), q_sum = log_sum(found);
        for (size_t i = row; i < row + n_vocab; ++i) {
            const double log_p = double(expected[i]) - p_sum;
            total += std::exp(log_p) * (log_p - (double(found[i]) - q_sum));
        }
    }
    return total / (double(expected.size()) / double(n_vocab));
}

}  // namespace

TEST_CASE("architectures: logits of every tiny model are its oracle's") {
    int n_supported = 0, n_quantised = 0;
    for (const fs::path& path : tiny_models()) {
        CAPTURE(path.filename().string());
        const auto gold = golden(path);
        const auto ids = gold["tokens"].get<std::vector<int32_t>>();
        const double spread = gold["logit_std"].get<double>();
        std::ifstream file(fs::path(path).replace_extension(".f32"), std::ios::binary);
        std::vector<float> expected(ids.size() * gold["n_vocab"].get<size_t>());
        file.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * 4));
        REQUIRE(file.good());
        for (const char* isa : available_kernels()) {
            CAPTURE(isa);
            const bool exact = std::string(isa) == "reference";
            const auto model = open_tiny(path, isa);
            if (!model) {
                CHECK(model.error().status() == Status::unsupported);
                CHECK(model.error().message().find("supported") != std::string::npos);
                break;
            }
            const auto logits = logits_of(*model, ids);
            REQUIRE(logits);
            n_supported += exact;
            REQUIRE(logits->size() == expected.size());
            double worst = 0;
            for (size_t i = 0; i < expected.size(); ++i)
                worst = std::max(worst, double(std::fabs((*logits)[i] - expected[i])) / spread);
            // Packed levels round activations to 8 bits where the weights are quantised, some to bfloat16 where those
            // are BF16, as llama.cpp does.
            const std::string dtype = gold["dtype"];
            const bool blocks = dtype.front() == 'Q', pairs = dtype == "BF16" && (*find_kernels(isa))->pairs;
            const bool rounds = !exact && (blocks || pairs);
            const double times = blocks ? 2 : 1;  // what llama.cpp loses
            CHECK(worst < (exact ? 1e-4 : rounds ? times * gold["llama_cpp"]["max_over_std"].get<double>() : 2e-4));
            const double kl = mean_kl(expected, *logits, gold["n_vocab"].get<size_t>());
            CHECK(kl < (rounds ? times * gold["llama_cpp"]["kl"].get<double>() : 1e-8));
            n_quantised += !exact && blocks;
        }
    }
    CHECK(n_supported == 104);
    CHECK(n_quantised >= 10);
}
