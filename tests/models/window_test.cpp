// Layers with a sliding window: the cache is a ring of pages, its size that of the window, and nothing else changes.
#include <doctest/doctest.h>

#include "kernels/select.hpp"
#include "message_of.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

std::vector<int32_t> long_text(int n) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back(1 + (i * i + 7 * i) % 59);
    return ids;
}

}  // namespace

TEST_CASE("window: 16384 positions of Mistral with a window of 4096 take under a third of full attention's memory") {
    const std::vector<CacheLayerSpec> windowed(32, {8, 128, 128, 4096}), full(32, {8, 128, 128, 0});
    const auto bytes = [](const auto& layers, int n_ctx) {
        return KvCache::plan_bytes(layers, CacheType::f16, n_ctx, 512);
    };
    CHECK(bytes(full, 16384) == size_t{32} * 8 * 256 * 2 * 16384);
    CHECK(bytes(windowed, 16384) * 3 < bytes(full, 16384));
    // Window and batch, however long the text; two pages more where both ends fall inside one.
    CHECK(bytes(windowed, 16384) <= size_t{32} * 8 * 256 * 2 * (4096 + 512 + 2 * 64));
    CHECK(bytes(windowed, 1 << 24) == bytes(windowed, 16384));
    CHECK(bytes(windowed, 4096) == bytes(full, 4096));
}

TEST_CASE("window: logits from a ring are those from a cache that holds everything, to the bit") {
    for (const char* name : {"phi3-window", "gemma3", "olmo3-style", "cohere2"}) {
        CAPTURE(name);
        const auto model = open_tiny(tiny_model(name), "reference");
        REQUIRE_MESSAGE(model, elver::test::message_of(model));
        const auto ids = long_text(500);
        // One pass keeps every position, masked; passes of 7 go round the ring of two pages.
        const auto whole = logits_of(*model, ids, 500, 500), ring = logits_of(*model, ids, 500, 7);
        REQUIRE(whole);
        REQUIRE(ring);
        CHECK(*whole == *ring);
    }
}

TEST_CASE("window: a text has no end where every layer has a window, and ends with the context elsewhere") {
    const auto model = open_tiny(tiny_model("phi3-window"), "reference");
    REQUIRE(model);
    const auto ids = long_text(1000);
    const auto expected = logits_of(*model, ids, 1000, 7), found = logits_of(*model, ids, 128, 7);
    REQUIRE(expected);
    REQUIRE_MESSAGE(found, elver::test::message_of(found));
    CHECK(*found == *expected);
    // Too few pages for window and batch: the context is the end.
    CHECK(logits_of(*model, ids, 100, 100).error().status() == Status::context_full);
    const auto mixed = open_tiny(tiny_model("gemma3"), "reference");
    REQUIRE(mixed);
    CHECK(logits_of(*mixed, ids, 128, 7).error().status() == Status::context_full);
}

TEST_CASE("window: a text that crosses a range of keys far beyond its context has the bits of one thread") {
    constexpr int before = range_keys - 3, n = range_keys + 12;
    const auto ids = long_text(n);
    for (const std::string isa : available_kernels()) {
        CAPTURE(isa);
        std::vector<float> expected;
        for (const int n_threads : {1, 2, 3}) {
            const auto model = open_tiny(tiny_model("phi3-window"), isa, n_threads);
            REQUIRE(model);
            auto session = Session::make(*model, {.n_ctx = n_threads == 1 ? n : 128, .max_batch = 7, .cache_type = {}});
            REQUIRE(session);
            REQUIRE((*session)->prefill(std::span(ids).first(before)));
            std::vector<float> logits;
            for (int i = before; i < n; ++i) {  // one by one: a token's ranges are split over the threads
                REQUIRE((*session)->prefill(std::span(ids).subspan(static_cast<size_t>(i), 1)));
                logits.insert(logits.end(), (*session)->logits().begin(), (*session)->logits().end());
            }
            if (expected.empty()) expected = logits;
            CHECK(logits == expected);
        }
    }
}

TEST_CASE("window: a rewind gives the same logits again, also to where the window has let go of pages") {
    const auto model = open_tiny(tiny_model("phi3-window"), "reference");
    REQUIRE(model);
    const auto ids = long_text(400);
    auto session = Session::make(*model, {.n_ctx = 128, .max_batch = 7, .cache_type = CacheType::f32});
    REQUIRE(session);
    REQUIRE((*session)->prefill(ids));
    const std::vector<float> first((*session)->logits().begin(), (*session)->logits().end());
    REQUIRE((*session)->rewind(390));
    REQUIRE((*session)->prefill(std::span(ids).subspan(390)));
    const std::vector<float> again((*session)->logits().begin(), (*session)->logits().end());
    CHECK(first == again);
    for (const size_t back : {100, 0}) {
        REQUIRE((*session)->rewind(static_cast<int>(back)));
        REQUIRE((*session)->prefill(std::span(ids).subspan(back)));
        CHECK(std::equal(first.begin(), first.end(), (*session)->logits().begin()));
    }
}

TEST_CASE("window: rewinds, again and again, and after a cancelled pass, give what a fresh session gives") {
    for (const char* name : {"phi3-window", "gemma3", "olmo3-style", "cohere2"}) {
        CAPTURE(name);
        const auto model = open_tiny(tiny_model(name), "reference");
        REQUIRE(model);
        const auto ids = long_text(700);
        constexpr int n_ctx = 700, max_batch = 100;
        const auto expected = logits_of(*model, ids, n_ctx, max_batch);
        REQUIRE(expected);
        const auto n_vocab = static_cast<size_t>((*model)->spec().n_vocab);
        const auto made = Session::make(*model, {.n_ctx = n_ctx, .max_batch = max_batch, .cache_type = CacheType::f32});
        REQUIRE(made);
        Session& s = **made;
        const std::span<const int32_t> text(ids);
        REQUIRE(s.prefill(text));
        // Each goes back further than the one before, in a cache that has held more.
        for (const int position : {650, 560, 470, 380, 290, 200, 110, 20}) {
            CAPTURE(position);
            REQUIRE(s.rewind(position));
            const auto goal = std::min(ids.size(), static_cast<size_t>(position) + 130);
            // A pass that is cancelled at its end has overwritten what a whole one would.
            const auto part = text.subspan(static_cast<size_t>(position), goal - static_cast<size_t>(position));
            const auto stopped = s.prefill(part, [&](size_t, std::span<const float>) { s.cancel(); });
            REQUIRE(!stopped);
            CHECK(s.n_past() == position);
            REQUIRE(s.prefill(part));
            const float* row = expected->data() + (goal - 1) * n_vocab;
            CHECK(std::equal(s.logits().begin(), s.logits().end(), row));
        }
    }
}
