// The operations of elver_ops.h against double precision, and bit for bit against themselves over threads and rows.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "message_of.hpp"
#include "ops/ops.hpp"
#include "quant/decode.hpp"

using namespace elver;

namespace {

std::vector<float> normal(size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> one;
    std::vector<float> x(n);
    for (float& v : x) v = one(random);
    return x;
}

std::unique_ptr<Ops> make(int n_threads) {
    auto ops = Ops::make(n_threads);
    REQUIRE_MESSAGE(ops, elver::test::message_of(ops));
    return *std::move(ops);
}

// Rows of Q8_0 with random codes and scales of about 1/128.
std::vector<std::byte> q8_rows(int64_t n_rows, int64_t k, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> rows(*checked_rows_bytes(DType::q8_0, n_rows, k));
    for (size_t at = 0; at < rows.size(); at += 34) {
        for (size_t i = 2; i < 34; ++i) rows[at + i] = static_cast<std::byte>(random());
        rows[at] = static_cast<std::byte>(random());
        rows[at + 1] = static_cast<std::byte>(0x20);  // f16 near 2^-7
    }
    return rows;
}

struct Heads {
    AttentionOptions o;
    int64_t n, n_keys;
    std::vector<float> q, k, v;

    Heads(const AttentionOptions& options, int64_t n_q, int64_t keys) : o(*options.checked()), n(n_q), n_keys(keys) {
        q = normal(static_cast<size_t>(n * q_width()), 1);
        k = normal(static_cast<size_t>(n_keys * o.n_kv_heads * o.head_dim), 2);
        v = normal(static_cast<size_t>(n_keys * o.n_kv_heads * o.v_head_dim), 3);
    }
    int64_t q_width() const { return int64_t{o.n_heads} * o.head_dim; }
    int64_t out_width() const { return int64_t{o.n_heads} * o.v_head_dim; }
    FloatRows rows_q() const { return {q.data(), n, q_width(), q_width()}; }
    FloatRows rows_k(int64_t first, int64_t count) const {
        const int64_t width = int64_t{o.n_kv_heads} * o.head_dim;
        return {k.data() + first * width, count, width, width};
    }
    FloatRows rows_v(int64_t first, int64_t count) const {
        const int64_t width = int64_t{o.n_kv_heads} * o.v_head_dim;
        return {v.data() + first * width, count, width, width};
    }

    // The definition, in double precision.
    std::vector<double> expected() const {
        std::vector<double> out;
        const int group = o.n_heads / o.n_kv_heads;
        for (int64_t i = 0; i < n; ++i) {
            const int64_t pos = n_keys - n + i;
            for (int h = 0; h < o.n_heads; ++h) {
                std::vector<double> score(static_cast<size_t>(n_keys), -INFINITY);
                double peak = o.sinks.empty() ? -INFINITY : o.sinks[static_cast<size_t>(h)];
                for (int64_t j = 0; j < n_keys; ++j) {
                    if (o.causal && (j > pos || (o.window > 0 && j <= pos - o.window))) continue;
                    double dot = 0;
                    for (int d = 0; d < o.head_dim; ++d)
                        dot += double(rows_q().row(i)[h * o.head_dim + d]) *
                               rows_k(j, 1).row(0)[h / group * o.head_dim + d];
                    dot *= o.scale;
                    if (o.soft_cap > 0) dot = o.soft_cap * std::tanh(dot / o.soft_cap);
                    if (!o.alibi_slopes.empty())
                        dot += o.alibi_slopes[static_cast<size_t>(h)] * static_cast<double>(j - pos);
                    score[static_cast<size_t>(j)] = dot;
                    peak = std::max(peak, dot);
                }
                double total = o.sinks.empty() ? 0 : std::exp(o.sinks[static_cast<size_t>(h)] - peak);
                for (double& s : score) total += s = std::exp(s - peak);
                for (int d = 0; d < o.v_head_dim; ++d) {
                    double sum = 0;
                    for (int64_t j = 0; j < n_keys; ++j)
                        sum += score[static_cast<size_t>(j)] * rows_v(j, 1).row(0)[h / group * o.v_head_dim + d];
                    out.push_back(sum / total);
                }
            }
        }
        return out;
    }
};

const AttentionOptions shapes[] = {
    {.n_heads = 1, .n_kv_heads = 1, .head_dim = 1},
    {.n_heads = 6, .n_kv_heads = 2, .head_dim = 40},
    {.n_heads = 8, .n_kv_heads = 1, .head_dim = 33, .v_head_dim = 17},
    {.n_heads = 4, .n_kv_heads = 4, .head_dim = 64, .window = 9},
    {.n_heads = 4, .n_kv_heads = 2, .head_dim = 64, .window = 70, .soft_cap = 3},
    {.n_heads = 2, .n_kv_heads = 1, .head_dim = 80, .scale = 0.3f, .alibi_slopes = {0.5f, 0.0625f}, .sinks = {1, -2}},
    {.n_heads = 3, .n_kv_heads = 3, .head_dim = 32, .causal = false},
};

}  // namespace

TEST_CASE("ops: a product equals double precision over decoded rows, and its bits do not depend on threads or rows") {
    for (const int64_t n_rows : {1, 16, 50}) {
        const int64_t k = 96, n = 300, y_stride = n_rows + 3;
        const auto rows = q8_rows(n_rows, k, 5);
        const auto x = normal(static_cast<size_t>(n * k), 7), bias = normal(static_cast<size_t>(n_rows), 8);
        std::vector<float> w(static_cast<size_t>(n_rows * k)), first;
        for (const int n_threads : {1, 3}) {
            auto ops = make(n_threads);
            REQUIRE(ops->dequantize(DType::q8_0, rows, {w.data(), n_rows, k, k}));
            const auto matrix = ops->pack(DType::q8_0, rows, n_rows, k);
            REQUIRE(matrix);
            std::vector<float> y(static_cast<size_t>(n * y_stride), 42.0f), alone(static_cast<size_t>(n_rows));
            REQUIRE(ops->matmul(*matrix, {x.data(), n, k, k}, bias.data(), {y.data(), n, n_rows, y_stride}));
            REQUIRE(ops->matmul(*matrix, {x.data() + 299 * k, 1, k, 0}, bias.data(), {alone.data(), 1, n_rows, 0}));
            CHECK(std::equal(alone.begin(), alone.end(), y.begin() + 299 * y_stride));
            for (int64_t i = 0; i < n; ++i) {
                for (int64_t r = 0; r < n_rows; ++r) {
                    double sum = bias[static_cast<size_t>(r)], size = 1;
                    for (int64_t j = 0; j < k; ++j) {
                        const double term =
                            double(w[static_cast<size_t>(r * k + j)]) * x[static_cast<size_t>(i * k + j)];
                        sum += term;
                        size += std::fabs(term);
                    }
                    CHECK(std::fabs(y[static_cast<size_t>(i * y_stride + r)] - sum) < 0.01 * size);  // 8-bit x
                }
                for (int64_t r = n_rows; r < y_stride; ++r) CHECK(y[static_cast<size_t>(i * y_stride + r)] == 42.0f);
            }
            if (first.empty()) first = y;
            CHECK(first == y);
        }
    }
}

TEST_CASE("ops: rows encoded come back within the format's step, by any number of threads") {
    const int64_t n = 37, k = 64;
    const auto x = normal(n * 70, 6);
    std::vector<std::byte> rows(*checked_rows_bytes(DType::q8_0, n, k)), again(rows.size());
    REQUIRE(make(1)->quantize(DType::q8_0, {x.data(), n, k, 70}, rows));
    auto ops = make(3);
    REQUIRE(ops->quantize(DType::q8_0, {x.data(), n, k, 70}, again));
    CHECK(rows == again);
    std::vector<float> back(n * k);
    REQUIRE(ops->dequantize(DType::q8_0, rows, {back.data(), n, k, k}));
    for (int64_t r = 0; r < n; ++r)
        for (int64_t c = 0; c < k; ++c)
            CHECK(std::fabs(back[static_cast<size_t>(r * k + c)] - x[static_cast<size_t>(r * 70 + c)]) < 0.025f);
    std::vector<float> bad(k, 1.0f);
    bad[40] = INFINITY;
    rows.resize(*checked_rows_bytes(DType::q8_0, 1, k));
    const auto refused = ops->quantize(DType::q8_0, {bad.data(), 1, k, k}, rows);
    REQUIRE(!refused);
    CHECK(refused.error().message() == "x: expected finite numbers, found inf in row 0, column 40");
    bad[40] = -1e9f;  // a block's scale is an f16
    const auto beyond = ops->quantize(DType::q8_0, {bad.data(), 1, k, k}, rows);
    REQUIRE(!beyond);
    CHECK(beyond.error().status() == Status::invalid_argument);
    CHECK(beyond.error().message() ==
          "x: expected numbers that Q8_0 holds, up to 8319008, found -1e+09 in row 0, column 40");
    bad[40] = -8e6f;
    REQUIRE(ops->quantize(DType::q8_0, {bad.data(), 1, k, k}, rows));
    REQUIRE(ops->dequantize(DType::q8_0, rows, {back.data(), 1, k, k}));
    CHECK(back[40] == doctest::Approx(-8e6).epsilon(0.01));
    rows.resize(*checked_rows_bytes(DType::iq2_xxs, 1, 256));
    const std::vector<float> zeros(256);
    CHECK(ops->quantize(DType::iq2_xxs, {zeros.data(), 1, 256, 256}, rows).error().status() == Status::unsupported);
}

TEST_CASE("ops: products with chosen experts equal those made one by one") {
    auto ops = make(2);
    constexpr int64_t n = 5, top_k = 2, k = 64, n_rows = 20;
    std::vector<OwnMatrix> matrices;
    for (unsigned e = 0; e < 4; ++e) matrices.push_back(*ops->pack(DType::q8_0, q8_rows(n_rows, k, e), n_rows, k));
    const OwnMatrix* experts[] = {&matrices[0], &matrices[1], &matrices[2], &matrices[3]};
    const int32_t ids[] = {3, 0, 0, 3, 1, 0, 3, 1, 0, 1};  // nobody chose 2
    const auto x = normal(n * top_k * k, 4), weights = normal(n * top_k, 5);
    for (const int64_t n_x : {n, n * top_k}) {
        std::vector<float> apart(n * top_k * n_rows), sum(n * n_rows), one(n_rows);
        REQUIRE(ops->matmul_experts({experts, ids, nullptr, n, top_k}, {x.data(), n_x, k, k},
                                    {apart.data(), n * top_k, n_rows, n_rows}));
        REQUIRE(ops->matmul_experts({experts, ids, weights.data(), n, top_k}, {x.data(), n_x, k, k},
                                    {sum.data(), n, n_rows, n_rows}));
        for (int64_t i = 0; i < n; ++i) {
            std::vector<float> total(n_rows, 0.0f);
            for (int64_t s = 0; s < top_k; ++s) {
                const int64_t choice = i * top_k + s;
                REQUIRE(ops->matmul(matrices[static_cast<size_t>(ids[choice])],
                                    {x.data() + (n_x == n ? i : choice) * k, 1, k, k}, nullptr,
                                    {one.data(), 1, n_rows, n_rows}));
                CHECK(std::equal(one.begin(), one.end(), apart.begin() + choice * n_rows));
                for (size_t r = 0; r < n_rows; ++r) total[r] += weights[static_cast<size_t>(choice)] * one[r];
            }
            CHECK(std::equal(total.begin(), total.end(), sum.begin() + i * n_rows));
        }
    }
    const int32_t bad[] = {3, 4};
    float y[2 * n_rows];
    const auto refused =
        ops->matmul_experts({experts, bad, nullptr, 1, 2}, {x.data(), 1, k, k}, {y, 2, n_rows, n_rows});
    REQUIRE(!refused);
    CHECK(refused.error().message() == "ids[1]: expected 0 to 3, found 4");
}

TEST_CASE("ops: attention equals its definition, over tensors and over a cache, with equal bits") {
    auto ops = make(2), one = make(1);
    for (const AttentionOptions& shape : shapes) {
        CAPTURE(shape.head_dim);
        for (const int64_t n_keys : {1, 7, 64, 150}) {
            for (const int64_t n : {int64_t{1}, n_keys}) {
                const Heads h(shape, n, n_keys);
                const auto expected = h.expected();
                std::vector<float> out(expected.size()), again(expected.size());
                REQUIRE(ops->attention(shape, h.rows_q(), h.rows_k(0, n_keys), h.rows_v(0, n_keys),
                                       {out.data(), n, h.out_width(), h.out_width()}));
                for (size_t i = 0; i < out.size(); ++i) CHECK(std::fabs(out[i] - expected[i]) < 2e-5);
                REQUIRE(one->attention(shape, h.rows_q(), h.rows_k(0, n_keys), h.rows_v(0, n_keys),
                                       {again.data(), n, h.out_width(), h.out_width()}));
                CHECK(out == again);
                if (!shape.causal) continue;
                // Appended five at a time and one query at a time.
                auto cache = one->make_cache(shape, 200, 5, CacheType::f32);
                REQUIRE(cache);
                for (int64_t at = 0; at < n_keys; at += 5) {
                    const int64_t here = std::min<int64_t>(5, n_keys - at);
                    REQUIRE(one->append(*cache, h.rows_k(at, here), h.rows_v(at, here)));
                    for (int64_t pos = std::max(at, n_keys - n); pos < at + here; ++pos) {
                        // Queries of the positions that were just appended, as the last ones.
                        const int64_t row = pos - (n_keys - n), left = at + here - pos;
                        REQUIRE(one->attend(*cache, {h.q.data() + row * h.q_width(), left, h.q_width(), h.q_width()},
                                            {again.data() + row * h.out_width(), left, h.out_width(), h.out_width()}));
                    }
                }
                CHECK(out == again);
            }
        }
    }
}

TEST_CASE("ops: a cache with a window keeps no more than the window and a batch, and goes back as far as it can") {
    auto ops = make(1);
    const AttentionOptions o{.n_heads = 2, .n_kv_heads = 2, .head_dim = 16, .window = 100};
    auto small = ops->make_cache(o, 20000, 10, CacheType::f16),
         full = ops->make_cache({2, 2, 16}, 20000, 10, CacheType::f16);
    REQUIRE(small);
    REQUIRE(full);
    CHECK(small->n_bytes() * 50 < full->n_bytes());
    const Heads h(o, 1, 10);
    for (int i = 0; i < 100; ++i) REQUIRE(ops->append(*small, h.rows_k(0, 10), h.rows_v(0, 10)));
    const auto back = ops->rewind(*small, 500);
    REQUIRE(!back);
    CHECK(back.error().message().find("position: expected one whose window is still in the cache") == 0);
    CHECK(ops->rewind(*small, 990));
    CHECK(small->position() == 990);
    CHECK(ops->rewind(*small, 0));
}

TEST_CASE("ops: what cannot be is an error that names the field") {
    auto ops = make(1);
    float x[64] = {};
    std::byte rows[68] = {};
    const auto matrix = ops->pack(DType::q8_0, rows, 2, 32);
    REQUIRE(matrix);
    const AttentionOptions fine{.n_heads = 4, .n_kv_heads = 2, .head_dim = 4};
    auto cache = ops->make_cache(fine, 4, 2, CacheType::f16);
    REQUIRE(cache);
    const auto with = [&](auto change) {
        AttentionOptions o = fine;
        change(o);
        return o.checked().error();
    };
    const struct {
        Error error;
        const char* object;
        const char* says;
    } table[] = {
        {ops->pack(DType::q8_0, rows, 2, 33).error(), "k",
         "k: expected a multiple of 32 (the block of Q8_0), found 33"},
        {ops->pack(DType::q8_0, rows, 3, 32).error(), "rows_size", "rows_size: expected 102, found 68"},
        {ops->pack(DType::q8_0, rows, -1, 32).error(), "n_rows", "found -1"},
        {ops->pack(DType::i32, rows, 1, 17).error(), "dtype", "found I32"},
        {ops->matmul(*matrix, {x, 2, 32, 31}, nullptr, {x, 2, 2, 2}).error(), "x_stride", "at least 32, found 31"},
        {ops->matmul(*matrix, {x, 2, 32, 32}, nullptr, {x, 2, 2, 1}).error(), "y_stride", "at least 2, found 1"},
        {with([](auto& o) { o.n_heads = 0; }), "n_heads", "found 0"},
        {with([](auto& o) { o.n_kv_heads = 3; }), "n_kv_heads", "a divisor of n_heads, 4, found 3"},
        {with([](auto& o) { o.head_dim = 4096; }), "head_dim", "found 4096"},
        {with([](auto& o) { o.scale = NAN; }), "scale", "finite"},
        {with([](auto& o) { o.soft_cap = -1; }), "soft_cap", "positive"},
        {with([](auto& o) { o.window = -1; }), "window", "found -1"},
        {with([](auto& o) { o.causal = false, o.window = 3; }), "window", "0 where causal is 0"},
        {ops->make_cache(fine, 4, 5, CacheType::f16).error(), "max_batch", "1 to n_ctx, 4, found 5"},
        {ops->append(*cache, {x, 3, 8, 8}, {x, 3, 8, 8}).error(), "n", "at most max_batch, 2, found 3"},
        {ops->attend(*cache, {x, 1, 16, 16}, {x, 1, 16, 16}).error(), "n", "at most 0"},
        {ops->attention(fine, {x, 2, 16, 16}, {x, 1, 8, 8}, {x, 1, 8, 8}, {x, 2, 16, 16}).error(), "n",
         "at most n_keys, 1"},
    };
    for (const auto& row : table) {
        CAPTURE(row.says);
        CAPTURE(row.error.message());
        CHECK(row.error.object() == row.object);
        CHECK(row.error.message().find(row.says) != std::string::npos);
    }
    REQUIRE(ops->append(*cache, {x, 2, 8, 8}, {x, 2, 8, 8}));
    REQUIRE(ops->append(*cache, {x, 2, 8, 8}, {x, 2, 8, 8}));
    const auto full = ops->append(*cache, {x, 1, 8, 8}, {x, 1, 8, 8});
    REQUIRE(!full);
    CHECK(full.error().status() == Status::context_full);
    CHECK(cache->position() == 4);
}
