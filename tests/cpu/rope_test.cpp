// Rope's tables: the angle of each pair at each position, scaled, and other frequencies in long contexts. What rope
// does to heads: attention_test.cpp, against its definition, and here the kernels alone.
#include <cmath>

#include "world.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::vector<double> frequencies(int dims, double base) {
    std::vector<double> out;
    for (int i = 0; i < dims / 2; ++i) out.push_back(std::pow(base, -2.0 * i / dims));
    return out;
}

void check_row(const float* row, const std::vector<double>& of, double pos, double magnitude) {
    for (size_t i = 0; i < of.size(); ++i) {
        CHECK(double(row[2 * i]) == doctest::Approx(std::cos(pos * of[i]) * magnitude).epsilon(1e-6));
        CHECK(double(row[2 * i + 1]) == doctest::Approx(std::sin(pos * of[i]) * magnitude).epsilon(1e-6));
    }
}

}  // namespace

TEST_CASE("rope: a table has the cosine and sine of each pair's angle, far positions included") {
    World w(available_kernels().front(), 2);
    const auto near = frequencies(12, 10000), wide = frequencies(64, 500000);
    graph::RopeTable plain{near}, scaled{wide};
    plain.out = w.program.add_buffer("plain", 12);
    scaled.out = w.program.add_buffer("scaled", 64);
    scaled.magnitude = 1.25;
    scaled.position_scale = 0.25;
    const graph::BufferId a = plain.out, b = scaled.out;
    w.program.ops.push_back(graph::RopeTables{{plain, scaled}});
    w.load(8);
    for (const int first : {0, 1, 4093, 1 << 20}) {
        CAPTURE(first);
        REQUIRE(w.run({{nullptr, nullptr, 0, 5, first}, {nullptr, nullptr, 0, 3, 7}}));
        for (int row = 0; row < 8; ++row) {
            CAPTURE(row);
            const double pos = row < 5 ? first + row : 7 + row - 5;
            check_row(w.row(a, row), near, pos, 1.0);
            check_row(w.row(b, row), wide, pos * 0.25, 1.25);
        }
    }
}

TEST_CASE("rope: long frequencies belong to texts whose context is long, whatever their length") {
    World w(available_kernels().front(), 1);
    const auto usual = frequencies(16, 10000), other = frequencies(16, 1000);
    graph::RopeTable table{usual, other, 512};
    table.out = w.program.add_buffer("table", 16);
    const graph::BufferId out = table.out;
    w.program.ops.push_back(graph::RopeTables{{table}});
    w.load(4);
    auto brief = KvCache::make({{1, 16, 16, 0}}, CacheType::f32, 512, 4);
    auto large = KvCache::make({{1, 16, 16, 0}}, CacheType::f32, 513, 4);
    REQUIRE(brief);
    REQUIRE(large);
    REQUIRE(w.run({{&*brief, nullptr, 0, 2, 3}, {&*large, nullptr, 0, 2, 3}}));
    for (int row = 0; row < 4; ++row) {
        CAPTURE(row);
        check_row(w.row(out, row), row < 2 ? usual : other, 3 + row % 2, 1.0);
    }
}

TEST_CASE("rope: pairs side by side or half a head apart, every level; the dims behind stay") {
    constexpr int dims = 20;
    Floats table(dims);
    for (size_t i = 0; i < dims / 2; ++i)
        table[2 * i] = std::cos(0.3f + float(i)), table[2 * i + 1] = std::sin(0.3f + float(i));
    const Floats head = normal(dims + 4, 3);
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        const KernelTable& kernels = **find_kernels(isa);
        Floats adjacent = head, halves = head;
        kernels.rope_adjacent({adjacent.data(), table.data(), dims});
        kernels.rope_halves({halves.data(), table.data(), dims});
        for (size_t i = 0; i < dims / 2; ++i) {
            const double c = table[2 * i], s = table[2 * i + 1];
            const auto check = [&](const Floats& found, size_t x, size_t y) {
                CHECK(double(found[x]) == doctest::Approx(head[x] * c - head[y] * s).epsilon(1e-5));
                CHECK(double(found[y]) == doctest::Approx(head[x] * s + head[y] * c).epsilon(1e-5));
            };
            check(adjacent, 2 * i, 2 * i + 1);
            check(halves, i, i + dims / 2);
        }
        for (size_t i = dims; i < head.size(); ++i) CHECK((adjacent[i] == head[i] && halves[i] == head[i]));
    }
}
