// What can be read off a program: weights, uses and its description.
#include "graph/program.hpp"

#include <doctest/doctest.h>

using namespace elver;
using namespace elver::graph;

namespace {

Matrix matrix(int n_rows, int k, size_t n_bytes) {
    Matrix m;
    m.ref = {0};
    m.type = DType::f16;
    m.n_rows = n_rows, m.k = k, m.n_bytes = n_bytes;
    return m;
}

}  // namespace

TEST_CASE("program: an operation counts the weights that one token reads, of experts those that are chosen") {
    Linear linear{"up", 0, {}, {{matrix(8, 4, 100), {}, 1}, {matrix(8, 4, 23), {}, 2}}, 1};
    CHECK(weight_bytes(linear) == 123);
    Experts sparse;
    sparse.router.top_k = 2;
    for (int e = 0; e < 6; ++e)
        sparse.experts.push_back({matrix(8, 4, 10), matrix(8, 4, 20), matrix(4, 8, 30), {}, {}, {}});
    CHECK(weight_bytes(sparse) == 2 * 60);
    HeadLinear heads{{matrix(3, 4, 7), matrix(3, 4, 7)}, 0, 4, 1, 3};
    CHECK(weight_bytes(heads) == 14);
    CHECK(weight_bytes(Add{}) == 0);
}

TEST_CASE("program: a gate is written, what it gates and what is added to are updated") {
    const Linear up{"up", 0, {}, {{matrix(20, 4, 1), {}, 1}, {matrix(20, 4, 1), {}, 1, Finish::mul_silu}}, 1};
    const auto all = uses(up);
    REQUIRE(all.size() == 3);
    CHECK(all[0].how == Use::How::reads);
    CHECK(all[0].width == 4);
    CHECK(all[1].how == Use::How::writes);
    CHECK(all[1].width == 32);  // a vector of 16 rows is stored whole
    CHECK(all[2].how == Use::How::updates);
    const Linear down{"down", 1, {}, {{matrix(4, 20, 1), {}, 0, Finish::add}}, 1};
    CHECK(uses(down)[1].how == Use::How::updates);
}

TEST_CASE("program: its description has a line an operation") {
    Program p;
    Embed embed;
    embed.type = DType::f16, embed.n_vocab = 50, embed.width = 8;
    CacheWrite write;
    write.n_kv_heads = 1, write.head_dim = 8, write.rope_dims = 8;
    write.pairing = CacheWrite::Pairing::halves;
    p.ops = {embed, Linear{"head", 0, {Norm::Kind::rms, 0, {}, {}}, {{matrix(50, 8, 800), {}, 1}}, 2}, write};
    CHECK(describe(p) ==
          "0  embed F16 [50, 8]\n"
          "1  head: norm, quantise [n, 8], F16 [50, 8], 800 bytes\n"
          "2  rope halves 8 dims, cache 1 heads of 8\n");
}
