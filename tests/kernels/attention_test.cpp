// Attention over pages against double precision: windows, caps, sinks, odd head sizes; and equal bits alone and in a
// tile.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/half.hpp"
#include "kernels/select.hpp"

using namespace elver;

namespace {

struct Cache {
    int head_dim, v_dim, v_stride, n_pages;
    std::vector<uint16_t> data;

    Cache(int hd, int vd, int n_keys, unsigned seed)
        : head_dim(hd), v_dim(vd), v_stride((vd + 15) & ~15), n_pages((n_keys + 63) / 64) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        data.resize(static_cast<size_t>(n_pages) * page_size());
        for (uint16_t& v : data) v = f32_to_f16(normal(random));
    }
    size_t page_size() const { return static_cast<size_t>(64 * (head_dim + v_stride)); }
    static const uint16_t* page(const void* self, int p) {
        const auto& c = *static_cast<const Cache*>(self);
        return c.data.data() + static_cast<size_t>(p) * c.page_size();
    }
    double key(int pos, int d) const { return f16_to_f32(page(this, pos / 64)[d * 64 + pos % 64]); }
    double value(int pos, int d) const {
        return f16_to_f32(page(this, pos / 64)[64 * head_dim + pos % 64 * v_stride + d]);
    }
};

struct Case {
    int head_dim, v_dim, n_keys, window;
    float soft_cap, slope, sink;
};

}  // namespace

TEST_CASE("attention: every level against double precision, alone and in tiles with the same bits") {
    const Case cases[] = {{64, 64, 1, 0, 0, 0, -1e9f},       {64, 64, 200, 0, 0, 0, -1e9f},
                          {80, 80, 130, 0, 0, 0, -1e9f},     {40, 24, 65, 0, 30, 0, -1e9f},
                          {128, 128, 300, 100, 0, 0, -1e9f}, {33, 33, 77, 10, 0, 0.25f, -1e9f},
                          {32, 32, 500, 0, 0, 0, 0.5f}};
    for (const char* level : available_kernels()) {
        const KernelTable& table = **find_kernels(level);
        for (const Case& c : cases) {
            CAPTURE(level);
            CAPTURE(c.head_dim);
            CAPTURE(c.n_keys);
            const Cache cache(c.head_dim, c.v_dim, c.n_keys, 3);
            std::mt19937 random(9);
            std::normal_distribution<float> normal(0, 0.3f);
            std::vector<float> q(6 * static_cast<size_t>(c.head_dim)), out(6 * static_cast<size_t>(c.v_dim)),
                alone = out;
            for (float& v : q) v = normal(random);
            int32_t pos[6];
            const float *qs[6], slopes[6] = {c.slope, c.slope, c.slope, c.slope, c.slope, c.slope};
            const float sinks[6] = {c.sink, c.sink, c.sink, c.sink, c.sink, c.sink};
            float* outs[6];
            for (int r = 0; r < 6; ++r) {
                pos[r] = std::max(0, c.n_keys - 1 - 31 * (5 - r));
                qs[r] = q.data() + r * c.head_dim;
                outs[r] = out.data() + r * c.v_dim;
            }
            std::vector<float> scratch(attention_scratch_bytes(c.head_dim, c.v_dim) / 4);
            AttentionArgs a{qs,
                            outs,
                            pos,
                            6,
                            c.head_dim,
                            c.v_dim,
                            c.window,
                            c.soft_cap,
                            c.slope != 0 ? slopes : nullptr,
                            c.sink > -1e8f ? sinks : nullptr,
                            &Cache::page,
                            &cache,
                            scratch.data()};
            table.attention(a);
            for (int r = 0; r < 6; ++r) {
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
                    for (int j = first; j <= pos[r]; ++j) expected += p[size_t(j - first)] / total * cache.value(j, d);
                    CHECK(std::fabs(out[size_t(r * c.v_dim + d)] - expected) < 1e-5);
                }
                AttentionArgs one = a;
                float* one_out = alone.data() + r * c.v_dim;
                one.q = &qs[r], one.out = &one_out, one.pos = &pos[r], one.n_rows = 1;
                table.attention(one);
            }
            CHECK(alone == out);
        }
    }
}
