// The sparse FFN alone: its sum against plain loops in double, which experts it reads, and what a probe sees.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "world.hpp"

using namespace elver;
using namespace elver::test;

namespace {

constexpr int width = 64, hidden = 32, n_experts = 6, top_k = 2, most = 9;

std::vector<double> times(const Floats& m, int rows, int k, const std::vector<double>& x) {
    std::vector<double> y(static_cast<size_t>(rows));
    for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < k; ++i)
            y[static_cast<size_t>(r)] += double(m[static_cast<size_t>(r * k + i)]) * x[static_cast<size_t>(i)];
    }
    return y;
}

// The two best experts of a token and their weights.
struct Chosen {
    int expert[top_k];
    double weight[top_k];

    explicit Chosen(const float* logits) {
        std::vector<int> order;
        for (int e = 0; e < n_experts; ++e) order.push_back(e);
        std::sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
        const double odds = std::exp(double(logits[order[1]]) - double(logits[order[0]]));
        expert[0] = order[0], expert[1] = order[1];
        weight[0] = 1 / (1 + odds), weight[1] = odds / (1 + odds);
    }
};

struct Sparse {
    World w;
    std::vector<Floats> gate, up, down;
    graph::BufferId x, logits;

    Sparse(const std::string& isa, int n_threads, DType type) : w(isa, n_threads) {
        auto& p = w.program;
        x = p.add_buffer("x", width), logits = p.add_buffer("router logits", n_experts);
        graph::Experts op;
        op.input = op.out = x;
        op.normed = p.add_buffer("normed", width);
        op.logits = logits;
        op.router.n_experts = n_experts;
        op.router.top_k = top_k;
        op.router.renormalise = true;
        op.scale = 0.5f;
        for (unsigned e = 0; e < n_experts; ++e) {
            // Experts 0 and 3 are nobody's choice: to read them would be seen.
            const float scale = e % 3 == 0 ? NAN : 0.125f;
            gate.push_back(normal(width * hidden, 3 * e, scale));
            up.push_back(normal(width * hidden, 3 * e + 1, scale));
            down.push_back(normal(width * hidden, 3 * e + 2, scale));
            const DType of = e % 3 == 0 ? DType::f32 : type;
            op.experts.push_back({w.matrix(gate[e], hidden, width, of),
                                  w.matrix(up[e], hidden, width, of),
                                  w.matrix(down[e], width, hidden, of),
                                  {},
                                  {},
                                  {}});
        }
        p.ops = {op};
        w.load(most);
    }
};

struct Input {
    Floats x = normal(most * width, 78), scores = normal(most * n_experts, 77);

    Input() {
        for (size_t t = 0; t < most; ++t) scores[t * n_experts] = scores[t * n_experts + 3] = -9;
    }
    void put(Sparse& s, int n) const {
        s.w.put(s.x, {x.begin(), x.begin() + n * width}, n);
        s.w.put(s.logits, {scores.begin(), scores.begin() + n * n_experts}, n);
    }
};

}  // namespace

TEST_CASE("experts: each token is the weighted sum of its own; the others are not read") {
    const Input input;
    for (const char* isa : available_kernels()) {
        for (const DType type : {DType::f32, DType::q8_0}) {
            Floats bits;
            for (const int n_threads : {1, 2, 3}) {
                for (const int n : {most, 1, 2}) {
                    CAPTURE(isa);
                    CAPTURE(n_threads);
                    CAPTURE(n);
                    Sparse s(isa, n_threads, type);
                    input.put(s, n);
                    REQUIRE(s.w.run(n));
                    std::vector<double> want;
                    for (size_t t = 0; t < static_cast<size_t>(n); ++t) {
                        const Chosen chosen(&input.scores[t * n_experts]);
                        const std::vector<double> in(&input.x[t * width], &input.x[t * width] + width);
                        auto sum = in;
                        for (int i = 0; i < top_k; ++i) {
                            const auto e = static_cast<size_t>(chosen.expert[i]);
                            auto g = times(s.gate[e], hidden, width, in);
                            const auto u = times(s.up[e], hidden, width, in);
                            for (size_t j = 0; j < hidden; ++j) g[j] = g[j] / (1 + std::exp(-g[j])) * u[j];
                            const auto d = times(s.down[e], width, hidden, g);
                            for (size_t j = 0; j < width; ++j) sum[j] += 0.5 * chosen.weight[i] * d[j];
                        }
                        want.insert(want.end(), sum.begin(), sum.end());
                    }
                    const Floats got = s.w.get(s.x, n);
                    CHECK(worst(got, want) < (type == DType::f32 ? 1e-5 : 1e-2));
                    if (bits.empty()) bits = got;
                    CHECK(std::equal(got.begin(), got.end(), bits.begin()));
                }
            }
        }
    }
}

TEST_CASE(
    "experts: a probe sees each token's row at the experts that were chosen for it, before and between products") {
    const Input input;
    for (const int n : {1, most}) {
        Sparse s(available_kernels().front(), 3, DType::q8_0);
        input.put(s, n);
        struct Seen {
            std::mutex mutex;
            std::map<std::pair<int, int>, Floats> in, down;  // token, expert
        } seen;
        const cpu::Probe probe{[](void* context, const cpu::ProbedRow& row) {
                                   auto& all = *static_cast<Seen*>(context);
                                   const std::lock_guard lock(all.mutex);
                                   (row.down ? all.down : all.in)[{row.row, row.expert}].assign(row.x, row.x + row.k);
                               },
                               &seen};
        REQUIRE(s.w.run(n, &probe));
        CHECK(seen.in.size() == static_cast<size_t>(n * top_k));
        CHECK(seen.down.size() == seen.in.size());
        for (int t = 0; t < n; ++t) {
            const Chosen chosen(&input.scores[static_cast<size_t>(t * n_experts)]);
            const float* x = &input.x[static_cast<size_t>(t * width)];
            for (const int e : chosen.expert) {
                CHECK(seen.in[{t, e}] == Floats(x, x + width));
                REQUIRE(seen.down[{t, e}].size() == hidden);
                const std::vector<double> in(x, x + width);
                auto g = times(s.gate[static_cast<size_t>(e)], hidden, width, in);
                const auto u = times(s.up[static_cast<size_t>(e)], hidden, width, in);
                for (size_t j = 0; j < hidden; ++j) g[j] = g[j] / (1 + std::exp(-g[j])) * u[j];
                CHECK(worst(seen.down[{t, e}], g) < 2e-2);
            }
        }
    }
}

TEST_CASE("experts: a logit that is not a number is a fault that names expert and position") {
    const Input input;
    for (const int n : {1, most}) {
        Sparse s("reference", 2, DType::f32);
        input.put(s, n);
        s.w.row(s.logits, n - 1)[4] = NAN;
        CHECK(!s.w.run({{nullptr, nullptr, 0, n, 20}}));
        CHECK(s.w.fault.raised());
        const std::string text = s.w.fault.text();
        CHECK(text.find("expert 4 at position " + std::to_string(20 + n - 1)) != std::string::npos);
    }
}
