// Attention over pages against double precision: windows, caps, sinks, odd head sizes; and equal bits alone and in a
// tile.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "base/half.hpp"
#include "kernels/select.hpp"

using namespace elver;

namespace {

// Pages written by a level, and what was written.
struct Cache {
    CacheShape shape;
    std::vector<float> k, v;
    std::vector<std::byte> data;

    Cache(const KernelTable& table, CacheShape s, int n_keys, unsigned seed) : shape(s) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        k.resize(size_t(n_keys) * size_t(s.head_dim)), v.resize(size_t(n_keys) * size_t(s.v_head_dim));
        for (float& x : k) x = normal(random);
        for (float& x : v) x = normal(random);
        data.resize(size_t((n_keys + 63) / 64) * size_t(s.page_bytes()));
        for (int pos = 0; pos < n_keys; ++pos) {
            table.cache_write({s, k.data() + pos * s.head_dim, v.data() + pos * s.v_head_dim,
                               data.data() + pos / 64 * s.page_bytes(), pos % 64});
        }
        for (int pos = 0; pos < n_keys; ++pos) {
            round_row(k.data() + pos * s.head_dim, s.head_dim);
            round_row(v.data() + pos * s.v_head_dim, s.v_head_dim);
        }
    }
    // What the cache type keeps of a row.
    void round_row(float* x, int n) const {
        if (shape.type == CacheType::f32) return;
        if (shape.type == CacheType::f16) {
            for (int i = 0; i < n; ++i) x[i] = f16_to_f32(f32_to_f16(x[i]));
            return;
        }
        const bool q8 = shape.type == CacheType::q8_0;
        for (int b = 0; b < n; b += 32) {
            const int end = std::min(b + 32, n);
            float peak = 0;
            for (int i = b; i < end; ++i) peak = std::fabs(x[i]) > std::fabs(peak) ? x[i] : peak;
            const float d = f16_to_f32(f32_to_f16(q8 ? peak / 127 : peak / -8));
            for (int i = b; i < end; ++i)
                x[i] = d == 0 ? 0.0f
                              : d * std::clamp(std::round(x[i] * (1 / d)), q8 ? -127.0f : -8.0f, q8 ? 127.0f : 7.0f);
        }
    }
    static const std::byte* page(const void* self, int p) {
        const auto& c = *static_cast<const Cache*>(self);
        return c.data.data() + size_t(p) * size_t(c.shape.page_bytes());
    }
    double key(int pos, int d) const { return k[size_t(pos * shape.head_dim + d)]; }
    double value(int pos, int d) const { return v[size_t(pos * shape.v_head_dim + d)]; }
};

struct Case {
    int head_dim, v_dim, n_keys, window;
    float soft_cap, slope, sink;
};

constexpr int n_rows = 12;

// Each row's ranges of keys one by one, then joined.
std::vector<float> by_ranges(const KernelTable& table, AttentionArgs a, const float* const* q, const int32_t* pos,
                             int v_dim) {
    std::vector<float> out(static_cast<size_t>(a.n_rows * v_dim));
    const size_t part = attention_part(a.shape);
    const int n = std::exchange(a.n_rows, 1);
    for (int r = 0; r < n; ++r) {
        const int first = a.window > 0 ? std::max(0, pos[r] - a.window + 1) / range_keys : 0;
        const int n_ranges = pos[r] / range_keys - first + 1;
        std::vector<float> parts(part * static_cast<size_t>(n_ranges));
        const float* sink = a.sinks == nullptr ? nullptr : a.sinks + r;
        AttentionArgs one = a;
        one.q = &q[r], one.pos = &pos[r];
        if (a.slopes != nullptr) one.slopes = a.slopes + r;
        one.sinks = sink;
        for (int i = n_ranges - 1; i >= 0; --i) {
            float* to = parts.data() + static_cast<size_t>(i) * part;
            one.out = &to, one.range = first + i;
            table.attention(one);
        }
        table.attention_join({parts.data(), part, n_ranges, a.shape, sink, out.data() + r * v_dim});
    }
    return out;
}

}  // namespace

TEST_CASE("attention: every level against double precision, alone and in tiles with the same bits") {
    const Case cases[] = {
        {64, 64, 1, 0, 0, 0, -1e9f},   {64, 64, 200, 0, 0, 0, -1e9f},     {80, 80, 130, 0, 0, 0, -1e9f},
        {40, 24, 65, 0, 30, 0, -1e9f}, {128, 128, 300, 100, 0, 0, -1e9f}, {33, 33, 77, 10, 0, 0.25f, -1e9f},
        {32, 32, 500, 0, 0, 0, 0.5f},  {64, 64, 2300, 0, 0, 0, 0.5f},     {16, 40, 2600, 1400, 0, 0, -1e9f}};
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        for (const Case& c : cases)
            for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::q8_0, CacheType::q4_0}) {
                CAPTURE(level);
                CAPTURE(c.head_dim);
                CAPTURE(c.n_keys);
                CAPTURE(static_cast<int>(type));
                const Cache cache(table, {type, c.head_dim, c.v_dim}, c.n_keys, 3);
                std::mt19937 random(9);
                std::normal_distribution<float> normal(0, 0.3f);
                std::vector<float> q(n_rows * static_cast<size_t>(c.head_dim)),
                    out(n_rows * static_cast<size_t>(c.v_dim)), alone = out, exact_out = out;
                std::vector<double> expected_out(out.size());
                for (float& v : q) v = normal(random);
                int32_t pos[n_rows];
                const float* qs[n_rows];
                const std::vector<float> slopes(n_rows, c.slope), sinks(n_rows, c.sink);
                float *outs[n_rows], *exact_outs[n_rows];
                for (int r = 0; r < n_rows; ++r) {
                    pos[r] = std::max(0, c.n_keys - 1 - 31 * (n_rows - 1 - r));
                    qs[r] = q.data() + r * c.head_dim;
                    outs[r] = out.data() + r * c.v_dim;
                    exact_outs[r] = exact_out.data() + r * c.v_dim;
                }
                // bfloat16 has 8 bits; values are below 4.
                const bool in_pairs = std::string_view(level) == "avx512bf16" && type == CacheType::f16;
                const double tolerance = in_pairs ? 4.0 / 256 : 1e-5;
                std::vector<float> scratch(attention_scratch_bytes(c.head_dim, c.v_dim) / 4);
                AttentionArgs a{qs,
                                outs,
                                pos,
                                n_rows,
                                cache.shape,
                                c.window,
                                c.soft_cap,
                                c.slope != 0 ? slopes.data() : nullptr,
                                c.sink > -1e8f ? sinks.data() : nullptr,
                                &Cache::page,
                                &cache,
                                scratch.data()};
                table.attention(a);
                for (int r = 0; r < n_rows; ++r) {
                    const int first = c.window > 0 ? std::max(0, pos[r] - c.window + 1) : 0;
                    std::vector<double> p;
                    double total = c.sink > -1e8f ? std::exp(double(c.sink)) : 0;
                    for (int j = first; j <= pos[r]; ++j) {
                        double s = 0;
                        for (int d = 0; d < c.head_dim; ++d) s += double(qs[r][d]) * cache.key(j, d);
                        if (c.soft_cap > 0) s = c.soft_cap * std::tanh(s / c.soft_cap);
                        p.push_back(std::exp(s + c.slope * (j - pos[r])));
                        total += p.back();
                    }
                    for (int d = 0; d < c.v_dim; ++d) {
                        double expected = 0;
                        for (int j = first; j <= pos[r]; ++j)
                            expected += p[size_t(j - first)] / total * cache.value(j, d);
                        expected_out[size_t(r * c.v_dim + d)] = expected;
                        CHECK(std::fabs(out[size_t(r * c.v_dim + d)] - expected) < tolerance);
                    }
                    AttentionArgs one = a;
                    float* one_out = alone.data() + r * c.v_dim;
                    one.q = &qs[r], one.out = &one_out, one.pos = &pos[r], one.n_rows = 1;
                    table.attention(one);
                }
                CHECK(alone == out);
                AttentionArgs exact = a;
                exact.exact = true;
                exact.out = exact_outs;
                table.attention(exact);
                for (size_t i = 0; i < out.size(); ++i) CHECK(std::fabs(exact_out[i] - expected_out[i]) < 1e-5);
                CHECK(by_ranges(table, a, qs, pos, c.v_dim) == out);
            }
    }
}
