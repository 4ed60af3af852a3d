// Products against plain loops in double, and bit for bit against themselves over threads and rows.
#include <cmath>

#include "world.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::vector<double> norm_of(const Floats& x, size_t row, int k, const Floats& weight, const Floats& bias, double eps,
                            bool rms) {
    double mean = 0, squares = 0;
    const float* at = &x[row * static_cast<size_t>(k)];
    for (int i = 0; i < k; ++i) mean += rms ? 0.0 : double(at[i]) / k;
    for (int i = 0; i < k; ++i) squares += (double(at[i]) - mean) * (double(at[i]) - mean) / k;
    std::vector<double> out;
    for (size_t i = 0; i < static_cast<size_t>(k); ++i)
        out.push_back((double(at[i]) - mean) / std::sqrt(squares + eps) * double(weight[i]) +
                      (bias.empty() ? 0.0 : double(bias[i])));
    return out;
}

double dot(const Floats& m, int row, int k, const std::vector<double>& x) {
    double sum = 0;
    for (int i = 0; i < k; ++i) sum += double(m[static_cast<size_t>(row * k + i)]) * x[static_cast<size_t>(i)];
    return sum;
}

struct Case {
    int k, n_rows;
    DType type;
};

}  // namespace

TEST_CASE(
    "linear: norm, gate, activation, bias and sum are their definitions at every level; bits do not depend on rows") {
    constexpr int most = 37;
    for (const Case shape :
         {Case{20, 18, DType::f32}, Case{64, 33, DType::f16}, Case{96, 50, DType::q8_0}, Case{256, 16, DType::q4_0}}) {
        const int k = shape.k, n_rows = shape.n_rows;
        const Floats x = normal(most * static_cast<size_t>(k), 1), x0 = normal(most * static_cast<size_t>(n_rows), 2);
        const Floats weight = normal(static_cast<size_t>(k), 3), bias = normal(static_cast<size_t>(n_rows), 4);
        for (const char* isa : available_kernels()) {
            Floats expected_bits;
            for (const int n_threads : {1, 2, 3}) {
                for (const int n : {most, 1, 2, 5, 17}) {
                    CAPTURE(k);
                    CAPTURE(isa);
                    CAPTURE(n_threads);
                    CAPTURE(n);
                    World w(isa, n_threads);
                    Floats gate = normal(static_cast<size_t>(k * n_rows), 5, 0.2f), up = normal(gate.size(), 6, 0.2f),
                           side = normal(gate.size(), 7, 0.2f);
                    auto& p = w.program;
                    const auto in = p.add_buffer("in", k), out = p.add_buffer("out", n_rows),
                               sum = p.add_buffer("sum", n_rows);
                    graph::Linear op;
                    op.input = in;
                    op.norm = {graph::Norm::Kind::rms, 1e-2f, w.vector(weight), {}};
                    op.products = {{w.matrix(gate, n_rows, k, shape.type), {}, out},
                                   {w.matrix(up, n_rows, k, shape.type), w.vector(bias), out, Finish::mul_silu},
                                   {w.matrix(side, n_rows, k, shape.type), {}, sum, Finish::add, 0.5f}};
                    p.ops = {op};
                    w.load(most);
                    w.put(in, {x.begin(), x.begin() + n * k}, n);
                    w.put(sum, {x0.begin(), x0.begin() + n * n_rows}, n);
                    REQUIRE(w.run(n));
                    const Floats got = w.get(out, n), added = w.get(sum, n);
                    std::vector<double> want, want_sum;
                    for (size_t t = 0; t < static_cast<size_t>(n); ++t) {
                        const auto row = norm_of(x, t, k, weight, {}, 1e-2, true);
                        for (int r = 0; r < n_rows; ++r) {
                            const double g = dot(gate, r, k, row);
                            want.push_back(g / (1 + std::exp(-g)) *
                                           (dot(up, r, k, row) + double(bias[static_cast<size_t>(r)])));
                            want_sum.push_back(double(x0[t * static_cast<size_t>(n_rows) + static_cast<size_t>(r)]) +
                                               0.5 * dot(side, r, k, row));
                        }
                    }
                    const bool rounds = dtype_info(shape.type).block_size > 1 && w.kernels().reads_packs;
                    const double allowed = rounds ? 2e-2 : 2e-5;  // activations of 8 bits
                    CHECK(worst(got, want) < allowed);
                    CHECK(worst(added, want_sum) < allowed);
                    if (expected_bits.empty()) expected_bits = got;
                    CHECK(std::equal(got.begin(), got.end(), expected_bits.begin()));
                }
            }
        }
    }
}

TEST_CASE("linear: two parts of activations keep about 16 bits") {
    constexpr int k = 128, n_rows = 40, n = 3;
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        World w(isa, 2);
        Floats m = normal(k * n_rows, 1);
        const Floats x = normal(n * k, 2);
        auto& p = w.program;
        const auto in = p.add_buffer("in", k), out = p.add_buffer("out", n_rows);
        p.ops = {graph::Linear{"head", in, {}, {{w.matrix(m, n_rows, k, DType::q8_0), {}, out}}, 2}};
        w.load(n);
        w.put(in, x, n);
        REQUIRE(w.run(n));
        std::vector<double> want;
        for (size_t t = 0; t < n; ++t) {
            const std::vector<double> row(x.begin() + static_cast<int>(t) * k, x.begin() + static_cast<int>(t + 1) * k);
            for (int r = 0; r < n_rows; ++r) want.push_back(dot(m, r, k, row));
        }
        CHECK(worst(w.get(out, n), want) < 1e-4);
    }
}

TEST_CASE("linear: a probe sees what the product multiplies") {
    constexpr int k = 64, n_rows = 16;
    for (const int n : {1, 6}) {
        World w(available_kernels().front(), 3);
        Floats m = normal(k * n_rows, 1);
        const Floats x = normal(static_cast<size_t>(n) * k, 2), weight = normal(k, 3), bias = normal(k, 4);
        auto& p = w.program;
        const auto in = p.add_buffer("in", k), out = p.add_buffer("out", n_rows);
        p.ops = {graph::Linear{"up",
                               in,
                               {graph::Norm::Kind::layer, 1e-2f, w.vector(weight), w.vector(bias)},
                               {{w.matrix(m, n_rows, k, DType::q8_0), {}, out}},
                               1}};
        w.load(n);
        w.put(in, x, n);
        std::vector<Floats> seen(static_cast<size_t>(n));
        const cpu::Probe probe{[](void* context, const cpu::ProbedRow& row) {
                                   auto& rows = *static_cast<std::vector<Floats>*>(context);
                                   rows[static_cast<size_t>(row.row)].insert(rows[static_cast<size_t>(row.row)].end(),
                                                                             row.x, row.x + row.k);
                               },
                               &seen};
        REQUIRE(w.run(n, &probe));
        for (size_t t = 0; t < static_cast<size_t>(n); ++t)
            CHECK(worst(seen[t], norm_of(x, t, k, weight, bias, 1e-2, false)) < 1e-5);
    }
}

TEST_CASE("norm: in groups, in place, added to the residual stream, and of heads that are gated") {
    constexpr int width = 20, n_groups = 3, n = 5;
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        World w(isa, 2);
        const Floats x = normal(n * width * n_groups, 1), weight = normal(width * n_groups, 2),
                     branch = normal(n * width, 3), gates = normal(n * 2, 4);
        auto& p = w.program;
        const auto groups = p.add_buffer("groups", width * n_groups), to = p.add_buffer("to", width),
                   from = p.add_buffer("branch", width), gate = p.add_buffer("gate", 2),
                   heads = p.add_buffer("heads", width);
        const graph::Norm norm{graph::Norm::Kind::rms, 1e-2f, w.vector(weight), {}};
        p.ops = {graph::Normalise{groups, groups, norm, width, n_groups}, graph::Add{from, to, norm, width, 0.25f},
                 graph::Gate{heads, gate, 2, width / 2, true, false}};
        w.load(n);
        w.put(groups, x, n);
        w.put(from, branch, n);
        w.put(to, Floats(n * width, 1.0f), n);
        w.put(heads, branch, n);
        w.put(gate, gates, n);
        REQUIRE(w.run(n));
        std::vector<double> want, want_sum, want_gated;
        for (size_t t = 0; t < n; ++t) {
            for (size_t g = 0; g < n_groups; ++g) {
                const Floats part(weight.begin() + static_cast<int>(g) * width,
                                  weight.begin() + static_cast<int>(g + 1) * width);
                const auto row = norm_of(x, t * n_groups + g, width, part, {}, 1e-2, true);
                want.insert(want.end(), row.begin(), row.end());
            }
            const auto row = norm_of(branch, t, width, weight, {}, 1e-2, true);
            for (size_t i = 0; i < width; ++i) {
                want_sum.push_back(1 + 0.25 * row[i]);
                want_gated.push_back(double(branch[t * width + i]) /
                                     (1 + std::exp(-double(gates[t * 2 + i / (width / 2)]))));
            }
        }
        CHECK(worst(w.get(groups, n), want) < 1e-5);
        CHECK(worst(w.get(to, n), want_sum) < 1e-5);
        CHECK(worst(w.get(heads, n), want_gated) < 1e-5);
    }
}
