// The tiny models of tests/golden/archs against their oracles (Hugging Face transformers, or a float64 forward in
// NumPy): logits at the reference level, and the packed levels near it. A model of an architecture that is not
// supported must be refused with the reason.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "kernels/select.hpp"
#include "runtime/session.hpp"

using namespace elver;
namespace fs = std::filesystem;

namespace {

std::vector<fs::path> tiny_models() {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(std::string(ELVER_TEST_DATA) + "/golden/archs")) {
        if (entry.path().extension() == ".gguf") out.push_back(entry.path());
    }
    std::sort(out.begin(), out.end());
    return out;
}

Result<std::vector<float>> logits_of(const fs::path& path, const std::string& isa, const std::vector<int32_t>& ids) {
    auto source = ByteSource::map_path(path.string());
    if (!source) return source.error();
    ModelOptions options;
    options.n_threads = 2;
    options.isa = isa;
    auto model = Model::open(*std::move(source), options);
    if (!model) return model.error();
    if (const auto loaded = (*model)->load({}, nullptr); !loaded) return loaded.error();
    auto session =
        Session::make(*model, {.n_ctx = static_cast<int>(ids.size()), .max_batch = 7, .cache_type = CacheType::f32});
    if (!session) return session.error();
    std::vector<float> out;
    const auto done = (*session)->prefill(
        ids, [&](size_t, std::span<const float> row) { out.insert(out.end(), row.begin(), row.end()); });
    if (!done) return done.error();
    return out;
}

}  // namespace

TEST_CASE("architectures: logits of every tiny model are its oracle's") {
    int n_supported = 0;
    for (const fs::path& path : tiny_models()) {
        CAPTURE(path.filename().string());
        std::ifstream in(fs::path(path).replace_extension(".json"));
        const auto gold = nlohmann::json::parse(in);
        const auto ids = gold["tokens"].get<std::vector<int32_t>>();
        const double spread = gold["logit_std"].get<double>();
        std::ifstream file(fs::path(path).replace_extension(".f32"), std::ios::binary);
        std::vector<float> expected(ids.size() * gold["n_vocab"].get<size_t>());
        file.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * 4));
        REQUIRE(file.good());
        for (const char* isa : available_kernels()) {
            CAPTURE(isa);
            const bool exact = std::string(isa) == "reference";
            const auto logits = logits_of(path, isa, ids);
            if (!logits) {
                CHECK(logits.error().status() == Status::unsupported);
                CHECK(logits.error().message().find("supported") != std::string::npos);
                break;
            }
            n_supported += exact;
            REQUIRE(logits->size() == expected.size());
            double worst = 0;
            for (size_t i = 0; i < expected.size(); ++i)
                worst = std::max(worst, double(std::fabs((*logits)[i] - expected[i])) / spread);
            // Packed levels round activations to 8 bits where the weights are quantised.
            CHECK(worst < (exact ? 1e-4 : 0.1));
        }
    }
    CHECK(n_supported == 53);
}
