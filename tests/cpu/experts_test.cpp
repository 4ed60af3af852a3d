// The sparse FFN alone: its sum against plain loops in double, and which experts it reads.
#include "layers/moe.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/bytes.hpp"
#include "kernels/select.hpp"

using namespace elver;

namespace {

constexpr int width = 20, hidden = 18, n_experts = 6, top_k = 2, n_tokens = 9;

using Matrix = std::vector<float>;  // [rows, k]

Matrix random_matrix(int rows, int k, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    Matrix m(static_cast<size_t>(rows * k));
    for (float& v : m) v = normal(random) / std::sqrt(static_cast<float>(k));
    return m;
}

PackedMatrix at_reference(const Matrix& m, int rows, int k) {
    PackedMatrix p;
    p.n_rows = rows, p.k = k;
    p.data = reinterpret_cast<const std::byte*>(m.data());
    p.n_bytes = m.size() * sizeof(float);
    p.matmul = (*find_kernels("reference"))->matmul(DType::f32);
    return p;
}

std::vector<double> times(const Matrix& m, int rows, int k, const std::vector<double>& x) {
    std::vector<double> y(static_cast<size_t>(rows));
    for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < k; ++i)
            y[static_cast<size_t>(r)] += double(m[static_cast<size_t>(r * k + i)]) * x[static_cast<size_t>(i)];
    }
    return y;
}

}  // namespace

TEST_CASE("experts: each token is the weighted sum of its own; the others are not read") {
    std::vector<Matrix> gate, up, down;
    for (unsigned e = 0; e < n_experts; ++e) {
        gate.push_back(random_matrix(hidden, width, 3 * e));
        up.push_back(random_matrix(hidden, width, 3 * e + 1));
        down.push_back(random_matrix(width, hidden, 3 * e + 2));
    }
    // Experts 0 and 3 are nobody's choice, and have no bytes: to read them would be the end.
    Matrix scores = random_matrix(n_tokens, n_experts, 77);
    for (int t = 0; t < n_tokens; ++t)
        scores[static_cast<size_t>(t * n_experts)] = scores[static_cast<size_t>(t * n_experts + 3)] = -9;
    const Matrix x = random_matrix(n_tokens, width, 78);
    for (const int n_threads : {1, 2, 3}) {
        for (const int n : {1, 2, n_tokens}) {
            CAPTURE(n_threads);
            CAPTURE(n);
            Program program;
            program.widths.need(Buffer::x, width);
            ExpertsPhase::Config c;
            c.router.n_experts = n_experts;
            c.router.top_k = top_k;
            c.router.renormalise = true;
            c.scale = 0.5f;
            for (size_t e = 0; e < n_experts; ++e) {
                ExpertsPhase::Expert expert{at_reference(gate[e], hidden, width),
                                            at_reference(up[e], hidden, width),
                                            at_reference(down[e], width, hidden),
                                            nullptr,
                                            nullptr,
                                            nullptr};
                if (e == 0 || e == 3) expert.gate.data = expert.up.data = expert.down.data = nullptr;
                c.experts.push_back(expert);
            }
            program.add<ExpertsPhase>(c);
            CHECK(program.phases().back()->weight_bytes() == size_t{top_k} * 3 * hidden * width * sizeof(float));
            program.begin_head();
            auto pool = ThreadPool::make(n_threads);
            REQUIRE(pool);
            Scratch scratch = program.plan_scratch(n_tokens, 1, n_threads, n_tokens);
            auto memory = AlignedBuffer::make(scratch.n_bytes, "scratch");
            REQUIRE(memory);
            scratch.memory = memory->data();
            for (int t = 0; t < n; ++t) {
                std::copy_n(&x[static_cast<size_t>(t * width)], width, program.row(scratch, Buffer::x, t));
                std::copy_n(&scores[static_cast<size_t>(t * n_experts)], n_experts,
                            program.row(scratch, Buffer::router, t));
            }
            std::atomic<size_t> stop{SIZE_MAX};
            Fault fault;
            Pass pass{};
            pass.kernels = *find_kernels("reference");
            pass.pool = pool->get();
            pass.scratch = &scratch;
            pass.n_tokens = n;
            pass.stop = &stop;
            pass.fault = &fault;
            REQUIRE(program.run_body(pass));
            for (int t = 0; t < n; ++t) {
                const float* row = &scores[static_cast<size_t>(t * n_experts)];
                std::vector<int> order;
                for (int e = 0; e < n_experts; ++e) order.push_back(e);
                std::sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
                const double odds = std::exp(double(row[order[1]]) - double(row[order[0]]));
                const double weights[] = {1 / (1 + odds), odds / (1 + odds)};
                std::vector<double> in(width), expected(width);
                for (size_t i = 0; i < width; ++i) in[i] = expected[i] = x[static_cast<size_t>(t * width) + i];
                for (size_t i = 0; i < top_k; ++i) {
                    const auto e = static_cast<size_t>(order[i]);
                    auto g = times(gate[e], hidden, width, in);
                    const auto u = times(up[e], hidden, width, in);
                    for (size_t j = 0; j < hidden; ++j) g[j] = g[j] / (1 + std::exp(-g[j])) * u[j];
                    const auto d = times(down[e], width, hidden, g);
                    for (size_t j = 0; j < width; ++j) expected[j] += 0.5 * weights[i] * d[j];
                }
                for (int i = 0; i < width; ++i)
                    CHECK(program.row(scratch, Buffer::x, t)[i] ==
                          doctest::Approx(expected[static_cast<size_t>(i)]).epsilon(1e-5));
            }
        }
    }
}
