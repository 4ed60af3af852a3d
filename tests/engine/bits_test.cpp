// Law 3: the same bits over threads, prefill batches, decode, reuse of a session and cache positions kept.
#include "answer/generate.hpp"
#include "kernels/select.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

TEST_CASE("logits: equal bits for 1 and 2 threads, prefill batches of 1, 7, 32 and 512, and decode") {
    const auto ids = golden("smollm2/tokens.json")["long"].get<std::vector<int32_t>>();
    const std::span<const int32_t> text(ids.data(), 160);
    std::vector<float> expected;
    for (const int n_threads : {1, 2, 3}) {
        const auto model = load(smollm2_path(), n_threads);
        for (const int batch : {512, 1, 7, 32}) {
            CAPTURE(n_threads);
            CAPTURE(batch);
            const auto session = open_session(model, {.n_ctx = 256, .max_batch = batch, .cache_type = {}});
            const auto logits = all_logits(*session, text);
            if (expected.empty()) expected = logits;
            CHECK(logits == expected);
        }
    }
}

TEST_CASE("logits: equal bits at every level and cache type over batches and threads") {
    for (const char* isa : available_kernels()) {
        for (const char* name : {"llama", "llama-q4_0", "llama-q8_0", "mistral", "gemma3", "phi2"}) {
            for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::q8_0, CacheType::q4_0}) {
                CAPTURE(isa);
                CAPTURE(name);
                CAPTURE(static_cast<int>(type));
                std::vector<float> expected;
                for (const int n_threads : {1, 2}) {
                    const auto model = load(tiny_path(name), n_threads, isa);
                    const auto ids = random_ids(60, model->spec().n_vocab);
                    for (const int batch : {60, 1, 7, 32}) {
                        const auto session = open_session(model, {.n_ctx = 64, .max_batch = batch, .cache_type = type});
                        const auto logits = all_logits(*session, ids);
                        if (expected.empty()) expected = logits;
                        CHECK(logits == expected);
                    }
                }
            }
        }
    }
}

TEST_CASE("logits: equal bits of sparse, recurrent and latent models over batches and threads") {
    for (const char* isa : available_kernels()) {
        for (const char* name : {"mixtral", "mixtral-q8_0", "gpt-oss", "qwen2moe", "smallthinker", "mamba", "mamba2",
                                 "rwkv6", "rwkv7", "granitehybrid-q8_0", "falcon-h1", "jamba-q8_0", "lfm2-q4_0",
                                 "qwen3next-q8_0", "deepseek2-q8_0", "minicpm3"}) {
            CAPTURE(isa);
            CAPTURE(name);
            std::vector<float> expected;
            for (const int n_threads : {1, 2}) {
                const auto model = load(tiny_path(name), n_threads, isa);
                const auto ids = random_ids(9, model->spec().n_vocab);
                for (const int batch : n_threads == 1 ? std::vector{9, 1, 4} : std::vector{4, 1}) {
                    const auto session = open_session(model, {.n_ctx = 32, .max_batch = batch, .cache_type = {}});
                    const auto logits = all_logits(*session, ids);
                    if (expected.empty()) expected = logits;
                    CHECK(logits == expected);
                }
            }
        }
    }
}

TEST_CASE("logits: a session that was rewound, or reused for another text, gives the bits of a new one") {
    const auto model = load(smollm2_path(), 2);
    const auto a = random_ids(100, model->spec().n_vocab);
    auto b = a;
    for (size_t i = 40; i < b.size(); ++i) b[i] = (b[i] + 17) % model->spec().n_vocab;
    const auto fresh = open_session(model, {.n_ctx = 128, .max_batch = 32, .cache_type = {}});
    REQUIRE(fresh->prefill(b));
    const std::vector<float> expected(fresh->logits().begin(), fresh->logits().end());
    const auto used = open_session(model, {.n_ctx = 128, .max_batch = 32, .cache_type = {}});
    REQUIRE(used->prefill(a));
    REQUIRE(prefill_reusing(*used, b));
    CHECK(used->n_past() == 100);
    CHECK(std::equal(expected.begin(), expected.end(), used->logits().begin(), used->logits().end()));
    REQUIRE(used->rewind(0));
    CHECK(used->logits().empty());
    REQUIRE(used->prefill(b));
    CHECK(std::equal(expected.begin(), expected.end(), used->logits().begin(), used->logits().end()));
}
