// The tiny encoders of tests/golden/encoders against their oracles (Hugging Face transformers, or a float64 forward in
// NumPy), and embeddings of models that also give logits.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/select.hpp"
#include "message_of.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

Result<std::vector<float>> embedding_of(const TinyModel& model, const std::vector<int32_t>& ids,
                                        Pooling pooling = Pooling::none, int max_batch = 0) {
    const int learned = model->max_positions(), n_ctx = learned > 0 ? std::min(learned, 64) : 64;
    auto session = Session::make(model, {.n_ctx = n_ctx, .max_batch = max_batch, .cache_type = CacheType::f32});
    if (!session) return session.error();
    return (*session)->embed(ids, pooling);
}

double worst(const std::vector<float>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    double out = 0;
    for (size_t i = 0; i < found.size(); ++i) out = std::max(out, std::fabs(double(found[i]) - expected[i]));
    return out;
}

fs::path encoder(const std::string& name) {
    return fs::path(ELVER_TEST_DATA) / "golden" / "encoders" / (name + ".gguf");
}

}  // namespace

TEST_CASE("encoders: embeddings are their oracles', at every level") {
    for (const char* name : {"bert", "nomic-bert", "jina-bert-v2", "modern-bert"}) {
        CAPTURE(name);
        const auto gold = golden(encoder(name));
        const auto ids = gold["tokens"].get<std::vector<int32_t>>();
        const auto expected = gold["embedding"].get<std::vector<double>>();
        for (const char* isa : available_kernels()) {
            CAPTURE(isa);
            const auto model = open_tiny(encoder(name), isa);
            REQUIRE_MESSAGE(model, elver::test::message_of(model));
            const auto found = embedding_of(*model, ids);
            REQUIRE_MESSAGE(found, elver::test::message_of(found));
            CHECK(worst(*found, expected) < 2e-6);
        }
    }
}

TEST_CASE("encoders: they give no logits, and read a text whole") {
    const auto model = open_tiny(encoder("bert"), "reference");
    REQUIRE(model);
    const auto ids = golden(encoder("bert"))["tokens"].get<std::vector<int32_t>>();
    const auto logits = logits_of(*model, ids);
    REQUIRE(!logits);
    CHECK(logits.error().status() == Status::unsupported);
    const auto cut = embedding_of(*model, ids, Pooling::none, 5);
    REQUIRE(!cut);
    CHECK(cut.error().message().find("a whole text of at most 5 tokens (max_batch), found 23") != std::string::npos);
    CHECK(embedding_of(*model, {}).error().status() == Status::invalid_argument);
    CHECK(embedding_of(*model, {1 << 20}).error().object() == "ids");
    CHECK(embedding_of(*model, std::vector<int32_t>(65, 1)).error().status() == Status::context_full);
}

TEST_CASE("embeddings of a decoder: its head turns the last hidden state into the oracle's logits") {
    for (const char* name :
         {"llama", "mamba2", "rwkv6", "rwkv7", "jamba", "falcon-h1", "qwen3next", "lfm2", "deepseek2"}) {
        CAPTURE(name);
        const auto path = tiny_model(name);
        const auto model = open_tiny(path, "reference");
        REQUIRE(model);
        const auto gold = golden(path);
        const auto ids = gold["tokens"].get<std::vector<int32_t>>();
        const auto last = embedding_of(*model, ids);
        REQUIRE(last);
        const auto* head = (*model)->file().find_tensor("output.weight");
        REQUIRE(head != nullptr);
        const auto n = gold["n_vocab"].get<size_t>();
        std::ifstream file(fs::path(path).replace_extension(".f32"), std::ios::binary);
        std::vector<float> expected(ids.size() * n);
        file.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * 4));
        // Both ways round: the logits are the head times the hidden state, the embedding that at unit length.
        double products = 0, ours = 0, theirs = 0;
        for (size_t r = 0; r < n; ++r) {
            const auto* row = reinterpret_cast<const float*>(head->view.row(static_cast<int64_t>(r)));
            double logit = 0;
            for (size_t i = 0; i < last->size(); ++i) logit += double(row[i]) * double((*last)[i]);
            const double oracle = double(expected[(ids.size() - 1) * n + r]);
            products += logit * oracle, ours += logit * logit, theirs += oracle * oracle;
        }
        CHECK(products / std::sqrt(ours * theirs) > 1 - 1e-10);
    }
}

TEST_CASE(
    "embeddings: of models with recurrent state, the same bits over passes, threads and what was embedded before") {
    for (const char* name : {"mamba", "mamba2", "rwkv6", "rwkv7", "granitehybrid", "falcon-h1", "lfm2", "qwen3next"}) {
        const auto ids = golden(tiny_model(name))["tokens"].get<std::vector<int32_t>>();
        for (const char* isa : available_kernels()) {
            CAPTURE(name);
            CAPTURE(isa);
            const auto one = open_tiny(tiny_model(name), isa, 1), two = open_tiny(tiny_model(name), isa, 2);
            REQUIRE_MESSAGE(one, one.error().message());
            REQUIRE(two);
            const auto expected = embedding_of(*one, ids, Pooling::mean, 64);
            REQUIRE_MESSAGE(expected, expected.error().message());
            for (const int max_batch : {1, 5}) {
                const auto again = embedding_of(*one, ids, Pooling::mean, max_batch);
                REQUIRE(again);
                CHECK(*again == *expected);
            }
            const auto session = Session::make(*two, {.n_ctx = 64, .max_batch = 7, .cache_type = CacheType::f32});
            REQUIRE(session);
            REQUIRE((*session)->embed(std::vector<int32_t>(ids.rbegin(), ids.rend()), Pooling::mean));
            const auto reused = (*session)->embed(ids, Pooling::mean);
            REQUIRE(reused);
            CHECK(*reused == *expected);
        }
    }
}

TEST_CASE("embeddings: pooling by hand, the same bits whatever the passes") {
    const auto path = tiny_model("qwen2");
    const auto model = open_tiny(path, "reference");
    REQUIRE(model);
    const auto ids = golden(path)["tokens"].get<std::vector<int32_t>>();
    const auto whole = embedding_of(*model, ids, Pooling::mean, 64);
    const auto passes = embedding_of(*model, ids, Pooling::mean, 5);
    REQUIRE(whole);
    REQUIRE(passes);
    CHECK(*whole == *passes);
    // A causal model's first token sees nothing else.
    const auto first = embedding_of(*model, ids, Pooling::first), alone = embedding_of(*model, {ids[0]});
    REQUIRE(first);
    REQUIRE(alone);
    CHECK(*first == *alone);
    CHECK(*first != *whole);
}
