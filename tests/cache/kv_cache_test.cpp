// The pages of a text: there when they are written, shared until they are, given back behind a window.
#include "cache/kv_cache.hpp"

#include <doctest/doctest.h>

#include <cstring>

#include "message_of.hpp"

using namespace elver;

namespace {

// Two layers that keep everything and one that sees 100 positions.
const std::vector<CacheLayerSpec> layers = {{2, 8, 8, 0}, {1, 16, 8, 100}, {2, 8, 8, 0}};

KvCache make(std::shared_ptr<PagePool> pool = nullptr, int n_ctx = 1024) {
    auto cache = KvCache::make(layers, CacheType::f32, n_ctx, 32, std::move(pool));
    REQUIRE_MESSAGE(cache, test::message_of(cache));
    return *std::move(cache);
}

// What stands in the page of a position, and is written there for it.
int32_t& mark(const KvCache& cache, int layer, int head, int pos) {
    return reinterpret_cast<int32_t*>(cache.page(layer, head, pos / page_positions))[pos % page_positions];
}
void write(KvCache& cache, int first, int n, int text) {
    REQUIRE(cache.begin_write(first, n));
    for (int layer = 0; layer < 3; ++layer) {
        for (int head = 0; head < layers[static_cast<size_t>(layer)].n_kv_heads; ++head) {
            for (int pos = first; pos < first + n; ++pos)
                mark(cache, layer, head, pos) = text + pos + 1000 * layer + 100000 * head;
        }
    }
}
void check(const KvCache& cache, int layer, int pos, int text) {
    for (int head = 0; head < layers[static_cast<size_t>(layer)].n_kv_heads; ++head)
        CHECK(mark(cache, layer, head, pos) == text + pos + 1000 * layer + 100000 * head);
}

}  // namespace

TEST_CASE("kv cache: layers, heads and positions have places of their own") {
    KvCache cache = make();
    CHECK(cache.empty());
    CHECK(cache.n_tables() == 2);
    for (int first = 0; first < 90; first += 30) write(cache, first, 30, 0);
    for (int layer = 0; layer < 3; ++layer) {
        for (int pos = 0; pos < 90; ++pos) check(cache, layer, pos, 0);
    }
    CHECK(cache.holds(90, 90));
    CHECK(!cache.holds(90, 129));
    cache.clear();
    CHECK(cache.empty());
}

TEST_CASE("kv cache: a window gives back what no token sees any more, and no more bytes are used than planned") {
    const auto pool = std::make_shared<PagePool>();
    KvCache cache = make(pool, 512);
    const size_t planned = KvCache::plan_bytes(layers, CacheType::f32, 512, 32);
    for (int first = 0; first < 512; first += 32) {
        write(cache, first, 32, 0);
        CHECK(pool->used() <= planned);
        for (int pos = 0; pos < first + 32; ++pos) check(cache, 0, pos, 0);
        for (int pos = std::max(0, first + 32 - 100); pos < first + 32; ++pos) check(cache, 1, pos, 0);
        CHECK(cache.holds(first + 32, first + 32));
    }
    CHECK(pool->used() == planned);
    CHECK(cache.page_id(0, 0) >= 0);
    CHECK(cache.page_id(1, 0) == -1);
    CHECK(!cache.holds(100, 100));  // its window was given back
    CHECK(!cache.endless());
    cache.clear();
    CHECK(pool->used() == 0);
    const auto endless = KvCache::make({layers[1]}, CacheType::f32, 512, 32);
    REQUIRE(endless);
    CHECK(endless->endless());
}

TEST_CASE("kv cache: a shared text takes no page until one of both writes, and neither sees the other's words") {
    const auto pool = std::make_shared<PagePool>();
    KvCache first = make(pool);
    for (int at = 0; at < 80; at += 20) write(first, at, 20, 0);
    const size_t alone = pool->used();
    KvCache second = first.share();
    CHECK(pool->used() == alone);
    write(second, 80, 4, 7000000);
    CHECK(pool->used() > alone);
    CHECK(first.page_id(0, 0) == second.page_id(0, 0));  // whole before the fork: still shared
    CHECK(first.page_id(0, 1) != second.page_id(0, 1));
    write(first, 80, 4, 3000000);
    for (int layer = 0; layer < 3; ++layer) {
        for (int pos = 0; pos < 80; ++pos) check(first, layer, pos, 0), check(second, layer, pos, 0);
        for (int pos = 80; pos < 84; ++pos) check(first, layer, pos, 3000000), check(second, layer, pos, 7000000);
    }
    second.truncate(64);
    CHECK(second.page_id(0, 1) == -1);
    check(first, 0, 83, 3000000);
    first.clear();
    for (int pos = 0; pos < 64; ++pos) check(second, 0, pos, 0);
    second.clear();
    CHECK(pool->used() == 0);
}

TEST_CASE("kv cache: where no page is left nothing is lost, and the write can be begun again") {
    const size_t both = layers[0].page_bytes(CacheType::f32) * 2 + layers[1].page_bytes(CacheType::f32);
    const auto pool = std::make_shared<PagePool>(2 * both);
    KvCache cache = make(pool);
    write(cache, 0, 100, 0);
    CHECK(!cache.begin_write(100, 60));
    for (int pos = 0; pos < 100; ++pos) check(cache, 0, pos, 0);
    pool->set_limit(3 * both);
    write(cache, 100, 60, 0);
    for (int pos = 0; pos < 160; ++pos) check(cache, 2, pos, 0);
}

TEST_CASE("kv cache: the memory that the next token needs, written elsewhere, is the text") {
    KvCache cache = make(), other = make();
    for (int at = 0; at < 200; at += 20) write(cache, at, 20, 0);
    REQUIRE(other.take_needed(200));
    const auto from = cache.needed(200), to = other.needed(200);
    REQUIRE(from.size() == to.size());
    for (size_t i = 0; i < from.size(); ++i) {
        REQUIRE(from[i].size() == to[i].size());
        std::memcpy(to[i].data(), from[i].data(), to[i].size());
    }
    CHECK(other.holds(200, 200));
    for (int pos = 0; pos < 200; ++pos) check(other, 0, pos, 0);
    for (int pos = 101; pos < 200; ++pos) check(other, 1, pos, 0);
}
