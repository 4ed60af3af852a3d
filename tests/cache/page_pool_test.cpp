// Pages: counted holders, a limit in bytes, kinds of different sizes, memory given back.
#include "cache/page_pool.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

using namespace elver;

TEST_CASE("page pool: a page is free again when its last holder lets go") {
    PagePool pool;
    const int kind = pool.kind(256);
    const PagePool::Page page = pool.take(kind);
    REQUIRE(page);
    CHECK(pool.used() == 256);
    pool.hold(kind, page.id);
    CHECK(pool.n_held(kind, page.id) == 2);
    pool.let_go(kind, page.id);
    CHECK(pool.used() == 256);
    pool.let_go(kind, page.id);
    CHECK(pool.used() == 0);
    CHECK(pool.n_held(kind, page.id) == 0);
}

TEST_CASE("page pool: pages in use never overlap, whatever is taken and given back") {
    PagePool pool;
    const int small = pool.kind(64), large = pool.kind(192);
    CHECK(pool.kind(64) == small);
    CHECK(small != large);
    CHECK(pool.page_bytes(large) == 192);
    struct Taken {
        int kind;
        PagePool::Page page;
        unsigned char mark;
    };
    std::vector<Taken> taken;
    uint32_t state = 5;
    for (int step = 0; step < 4000; ++step) {
        state = state * 1664525u + 1013904223u;
        if (taken.empty() || state % 5 < 3) {
            const int kind = state >> 16 & 1 ? small : large;
            const PagePool::Page page = pool.take(kind);
            REQUIRE(page);
            CHECK(pool.data(kind, page.id) == page.data);
            const auto mark = static_cast<unsigned char>(step);
            std::memset(page.data, mark, pool.page_bytes(kind));
            taken.push_back({kind, page, mark});
        } else {
            const size_t i = (state >> 8) % taken.size();
            const Taken t = taken[i];
            for (size_t b = 0; b < pool.page_bytes(t.kind); ++b) REQUIRE(t.page.data[b] == std::byte{t.mark});
            pool.let_go(t.kind, t.page.id);
            taken[i] = taken.back();
            taken.pop_back();
        }
    }
    size_t expected = 0;
    for (const Taken& t : taken) expected += pool.page_bytes(t.kind);
    CHECK(pool.used() == expected);
    CHECK(pool.reserved() >= pool.used());
    for (const Taken& t : taken) pool.let_go(t.kind, t.page.id);
    CHECK(pool.used() == 0);
}

TEST_CASE("page pool: the limit counts bytes in use, of all kinds") {
    PagePool pool(1000);
    const int small = pool.kind(100), large = pool.kind(600);
    REQUIRE(pool.take(large));
    std::vector<PagePool::Page> pages;
    for (int i = 0; i < 4; ++i) {
        pages.push_back(pool.take(small));
        REQUIRE(pages.back());
    }
    CHECK(pool.used() == 1000);
    CHECK(!pool.take(small));
    CHECK(!pool.system_refused());
    pool.let_go(small, pages[0].id);
    CHECK(!pool.take(large));
    CHECK(pool.take(small));
    pool.set_limit(500);  // takes nothing back
    CHECK(pool.used() == 1000);
    CHECK(!pool.take(small));
    PagePool none(0);
    CHECK(!none.take(none.kind(1)));
}

TEST_CASE("page pool: as many pages as were announced are asked of the system at once, and given back together") {
    PagePool pool;
    const int kind = pool.kind(4096);
    pool.expect(kind, 5);
    std::vector<PagePool::Page> pages;
    for (int i = 0; i < 5; ++i) pages.push_back(pool.take(kind));
    CHECK(pool.reserved() == 5 * 4096);
    CHECK(std::set<std::byte*>{pages[0].data, pages[1].data, pages[2].data, pages[3].data, pages[4].data}.size() == 5);
    const PagePool::Page sixth = pool.take(kind);
    REQUIRE(sixth);
    const size_t more = pool.reserved();
    CHECK(more > 5 * 4096);
    for (const PagePool::Page& page : pages) pool.let_go(kind, page.id);
    CHECK(pool.reserved() < more);
    pool.let_go(kind, sixth.id);
    CHECK(pool.used() == 0);
}
