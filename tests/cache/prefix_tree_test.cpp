// Kept texts: the longest beginning is found, sorts are apart, the least recently used goes first.
#include "cache/prefix_tree.hpp"

#include <doctest/doctest.h>

#include "message_of.hpp"

using namespace elver;

namespace {

const std::vector<CacheLayerSpec> layers = {{1, 8, 8, 0}};

struct Tree {
    std::shared_ptr<PagePool> pool = std::make_shared<PagePool>();
    PrefixTree tree{pool};

    KvCache empty() const {
        auto cache = KvCache::make(layers, CacheType::f32, 1024, 64, pool);
        REQUIRE_MESSAGE(cache, test::message_of(cache));
        return *std::move(cache);
    }
    // Keeps a text whose pages say which text they were written for.
    void keep(uint64_t sort, const std::vector<int32_t>& ids, int mark, bool tail) {
        KvCache cache = empty();
        REQUIRE(cache.begin_write(0, static_cast<int>(ids.size())));
        for (int page = 0; page < KvCache::pages_of(static_cast<int>(ids.size())); ++page)
            *reinterpret_cast<int*>(cache.page(0, 0, page)) = mark + page;
        tree.keep(sort, ids, cache, tail);
    }
    struct Found {
        int length;
        std::vector<int> marks;  // of its pages
    };
    Found adopt(uint64_t sort, const std::vector<int32_t>& ids) {
        KvCache cache = empty();
        Found found{tree.adopt(sort, ids, 0, cache), {}};
        for (int page = 0; page < KvCache::pages_of(found.length); ++page)
            found.marks.push_back(*reinterpret_cast<const int*>(cache.page(0, 0, page)));
        return found;
    }
};

std::vector<int32_t> text(int n, int other_from = 1 << 20) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back(i < other_from ? i % 7 : i % 5 + 50);
    return ids;
}

}  // namespace

TEST_CASE("prefix tree: the longest beginning that was kept, to the token") {
    Tree t;
    t.keep(0, text(200), 100, true);
    t.keep(0, text(200, 130), 300, true);
    CHECK(t.adopt(0, text(400)).length == 200);
    CHECK(t.adopt(0, text(150)).length == 150);
    CHECK(t.adopt(0, text(400)).marks == std::vector<int>{100, 101, 102, 103});
    CHECK(t.adopt(0, text(400, 130)).length == 200);
    CHECK(t.adopt(0, text(400, 130)).marks ==
          std::vector<int>{100, 101, 302, 303});  // what both begin with is kept once
    CHECK(t.adopt(0, text(400, 20)).length == 20);
    CHECK(t.adopt(0, text(400, 0)).length == 0);
    CHECK(t.adopt(1, text(400)).length == 0);  // another sort
}

TEST_CASE("prefix tree: the begun page at the end is kept if asked, and makes way for a longer one") {
    Tree t;
    t.keep(0, text(100), 100, false);
    CHECK(t.adopt(0, text(400)).length == 64);
    t.keep(0, text(100), 200, true);
    CHECK(t.adopt(0, text(400)).length == 100);
    const size_t used = t.pool->used();
    t.keep(0, text(120), 300, true);
    CHECK(t.adopt(0, text(400)).length == 120);
    CHECK(t.adopt(0, text(400)).marks == std::vector<int>{100, 301});
    CHECK(t.pool->used() == used);
    t.keep(0, text(90), 400, true);  // there already
    CHECK(t.adopt(0, text(400)).marks == std::vector<int>{100, 301});
}

TEST_CASE("prefix tree: who was not used for the longest time goes first, leaves before what they go on from") {
    Tree t;
    t.keep(0, text(128), 100, false);
    t.keep(0, text(128, 64), 200, false);
    t.keep(0, text(64, 0), 300, false);
    CHECK(t.adopt(0, text(128)).length == 128);  // used again: now the other two are older
    REQUIRE(t.tree.forget_one());
    CHECK(t.adopt(0, text(128, 64)).length == 64);
    REQUIRE(t.tree.forget_one());
    CHECK(t.adopt(0, text(64, 0)).length == 0);
    CHECK(t.adopt(0, text(128)).length == 128);
    REQUIRE(t.tree.forget_one());
    CHECK(t.adopt(0, text(128)).length == 64);
    REQUIRE(t.tree.forget_one());
    CHECK(!t.tree.forget_one());
    CHECK(t.pool->used() == 0);
}
