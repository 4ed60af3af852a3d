// Where buffers lie: what is in use at the same time never overlaps, and memory is used again.
#include "graph/plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "message_of.hpp"

using namespace elver;
using namespace elver::graph;

namespace {

bool meet(const Lifetime& a, const Lifetime& b) {
    return a.first <= a.last && b.first <= b.last && a.first <= b.last && b.first <= a.last;
}

// The most bytes that are in use at one operation: no placement takes less.
size_t peak(const std::vector<Lifetime>& pieces) {
    size_t most = 0;
    for (const Lifetime& at : pieces) {
        size_t sum = 0;
        for (const Lifetime& l : pieces) {
            if (l.first <= at.first && at.first <= l.last) sum += (l.n_bytes + 63) / 64 * 64;
        }
        most = std::max(most, sum);
    }
    return most;
}

void check_placed(const std::vector<Lifetime>& pieces, const Placement& placed) {
    REQUIRE(placed.at.size() == pieces.size());
    for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].first > pieces[i].last) continue;
        CHECK(placed.at[i] % 64 == 0);
        CHECK(placed.at[i] + pieces[i].n_bytes <= placed.n_bytes);
        for (size_t j = 0; j < i; ++j) {
            if (!meet(pieces[i], pieces[j]) || pieces[i].n_bytes == 0 || pieces[j].n_bytes == 0) continue;
            const bool apart =
                placed.at[i] + pieces[i].n_bytes <= placed.at[j] || placed.at[j] + pieces[j].n_bytes <= placed.at[i];
            if (!apart) FAIL("pieces ", i, " and ", j, " overlap");
        }
    }
}

Linear product(BufferId from, View to, int k, int n_rows, Finish finish = Finish::store) {
    Matrix m;
    m.ref = {0};
    m.n_rows = n_rows, m.k = k;
    return {"product", from, {}, {{m, {}, to, finish, 1.0f}}, 1};
}

}  // namespace

TEST_CASE("plan: random lifetimes never overlap in memory, and take not much more than what is in use at once") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const int n_ops = 1 + static_cast<int>(random() % 60);
        std::vector<Lifetime> pieces(1 + random() % 80);
        for (Lifetime& l : pieces) {
            l.first = static_cast<int>(random() % static_cast<unsigned>(n_ops));
            l.last = std::min(n_ops - 1, l.first + static_cast<int>(random() % 8));
            if (random() % 10 == 0) l.last = n_ops - 1;
            if (random() % 12 == 0) l.last = l.first - 1;  // never used
            l.n_bytes = random() % 9 == 0 ? 0 : random() % 10000;
        }
        const Placement placed = place(pieces);
        check_placed(pieces, placed);
        CHECK(placed.n_bytes <= 3 * peak(pieces));
    }
}

TEST_CASE("plan: a chain of equal buffers takes the memory of two") {
    std::vector<Lifetime> chain;
    for (int i = 0; i < 100; ++i) chain.push_back({i, i + 1, 1000});
    CHECK(place(chain).n_bytes == 2 * 1024);
    CHECK(place(std::vector<Lifetime>{}).n_bytes == 0);
}

TEST_CASE("plan: buffers live from first to last use; what crosses into the head, and results, to the end") {
    Program p;
    const BufferId x = p.add_buffer("x", 32), hidden = p.add_buffer("hidden", 64), unused = p.add_buffer("unused", 8);
    const BufferId out = p.add_buffer("outputs", 32, Buffer::Rows::outputs);
    p.logits = p.add_buffer("logits", 50, Buffer::Rows::outputs);
    p.hidden = out;
    Embed embed;
    embed.out = x, embed.width = 32;
    p.ops = {embed, product(x, hidden, 32, 64), product(hidden, x, 64, 32, Finish::add)};
    p.begin_head();
    p.ops.push_back(Select{x, out, 32});
    p.ops.push_back(product(out, p.logits, 32, 50));
    p.begin_hidden();
    p.ops.push_back(Select{x, out, 32});
    const auto good = check(p);
    CHECK_MESSAGE(good, elver::test::message_of(good));
    const auto all = lifetimes(p);
    const auto is = [&](BufferId b, int first, int last) {
        CHECK(all[static_cast<size_t>(b)].first == first);
        CHECK(all[static_cast<size_t>(b)].last == last);
    };
    is(x, 0, 5);  // the head may run again, and the hidden states are made of it
    is(hidden, 1, 2);
    is(out, 3, 5);
    is(p.logits, 4, 5);
    CHECK(all[static_cast<size_t>(unused)].last < all[static_cast<size_t>(unused)].first);
}

TEST_CASE("plan: a program that reads what nobody wrote, or columns that are not there, is an error that names it") {
    Program p;
    const BufferId x = p.add_buffer("residual", 32), y = p.add_buffer("branch", 32);
    const BufferId out = p.add_buffer("outputs", 32, Buffer::Rows::outputs);
    Embed embed;
    embed.out = x, embed.width = 32;
    const auto message = [&](std::vector<Op> ops) {
        p.ops = std::move(ops);
        const auto done = check(p);
        return done ? std::string() : done.error().message();
    };
    CHECK(message({embed, product(x, y, 32, 32)}) == "");
    CHECK(message({product(x, y, 32, 32)}).find("(residual): it is read before it is written") != std::string::npos);
    CHECK(message({embed, Add{y, x, {}, 32, 1.0f}}).find("(branch): it is read before it is written") !=
          std::string::npos);
    CHECK(message({embed, product(x, y, 32, 33)}).find("(branch): expected 48 columns, found 32") != std::string::npos);
    CHECK(message({embed, product(x, View(y, 16), 32, 32)}).find("expected 48 columns") != std::string::npos);
    CHECK(message({embed, product(x, out, 32, 32)}).find("(outputs): expected rows of one kind") != std::string::npos);
    CHECK(message({embed, product(x, 9, 32, 32)}).find("there is no such buffer") != std::string::npos);
    p.logits = out;
    CHECK(message({embed}).find("nothing writes it") != std::string::npos);
}
