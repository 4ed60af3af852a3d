// Work on rows of f32: norms, rotary embedding, activations as products read them, caps. Instantiated per level with
// its policy V.
#pragma once

#include "kernels/args.hpp"

namespace elver {

template <class V>
struct Rows {
    using F = typename V::F;
    using I = typename V::I;

    // Root mean square normalisation: y = x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich 2019.
    static void rms_norm(const NormArgs& a) noexcept {
        for (int r = a.row_begin; r < a.row_end; ++r) {
            const float* x = a.x + static_cast<size_t>(r) * a.x_stride;
            float* y = a.y + static_cast<size_t>(r) * a.y_stride;
            const int whole = a.width & ~15;
            F squares = V::zero_f();
            for (int i = 0; i < whole; i += 16) {
                const F v = V::load_f(x + i);
                squares = V::fma(v, v, squares);
            }
            float sum = V::sum_f(squares);
            for (int i = whole; i < a.width; ++i) sum += x[i] * x[i];
            scale_shift(a, x, y, 0.0f, 1.0f / __builtin_sqrtf(sum / static_cast<float>(a.width) + a.eps));
        }
    }

    // y = (x - mean) / sqrt(variance + eps) * weight + bias. Ba et al. 2016.
    static void layer_norm(const NormArgs& a) noexcept {
        for (int r = a.row_begin; r < a.row_end; ++r) {
            const float* x = a.x + static_cast<size_t>(r) * a.x_stride;
            float* y = a.y + static_cast<size_t>(r) * a.y_stride;
            const int whole = a.width & ~15;
            const auto width = static_cast<float>(a.width);
            F sums = V::zero_f();
            for (int i = 0; i < whole; i += 16) sums = V::add(sums, V::load_f(x + i));
            float mean = V::sum_f(sums);
            for (int i = whole; i < a.width; ++i) mean += x[i];
            mean /= width;
            F squares = V::zero_f();
            for (int i = 0; i < whole; i += 16) {
                const F v = V::sub(V::load_f(x + i), V::set_f(mean));
                squares = V::fma(v, v, squares);
            }
            float variance = V::sum_f(squares);
            for (int i = whole; i < a.width; ++i) variance += (x[i] - mean) * (x[i] - mean);
            scale_shift(a, x, y, mean, 1.0f / __builtin_sqrtf(variance / width + a.eps));
        }
    }

    // Rope of pairs (2i, 2i + 1) by the angle of i. RoFormer, Su et al. 2021, eq. 34.
    static void rope_adjacent(const RopeArgs& a) noexcept {
        for (int i = 0; i < a.n_dims / 2; ++i) {
            const float c = a.cos_sin[2 * i], s = a.cos_sin[2 * i + 1], x = a.x[2 * i], y = a.x[2 * i + 1];
            a.x[2 * i] = x * c - y * s;
            a.x[2 * i + 1] = x * s + y * c;
        }
    }

    // Rope of pairs (i, i + n_dims / 2).
    static void rope_halves(const RopeArgs& a) noexcept {
        const int half = a.n_dims / 2;
        for (int i = 0; i < half; ++i) {
            const float c = a.cos_sin[2 * i], s = a.cos_sin[2 * i + 1], x = a.x[i], y = a.x[i + half];
            a.x[i] = x * c - y * s;
            a.x[i + half] = x * s + y * c;
        }
    }

    static void quantize(const QuantizeArgs& a) noexcept {
        if (a.acts.q != nullptr) quantize_codes(a);
        if (a.acts.floats == nullptr) return;
        const ActTiles tiles(a.n, V::tile_tokens);
        const size_t k = static_cast<size_t>(a.k);
        for (int t = a.token_begin; t < a.token_end; ++t) {
            const int tile = tiles.of(t), begin = tiles.begin(tile);
            const float* x = a.x + static_cast<size_t>(t) * a.x_stride;
            put_values(x, k, even_k(k), a.acts.floats + static_cast<size_t>(begin) * even_k(k), t - begin,
                       tiles.width_of(tile));
        }
    }

    // Values of a row to lane `lane` of w, and zeros up to `padded`.
    static inline void put_values(const float* x, size_t n, size_t padded, float* tile, int lane, int w) noexcept {
        tile += lane;
        for (size_t i = 0; i < n; ++i, tile += w) __builtin_memcpy(tile, x + i, sizeof(float));
        for (size_t i = n; i < padded; ++i, tile += w) *tile = 0.0f;
    }

    static void soft_cap(float* x, size_t n, float cap) noexcept {
        const F c = V::set_f(cap), inverse = V::set_f(1.0f / cap);
        for (size_t i = 0; i < n; i += 16) V::store_f(x + i, V::mul(c, V::tanh(V::mul(V::load_f(x + i), inverse))));
    }

  private:
    static void quantize_codes(const QuantizeArgs& a) noexcept {
        const ActTiles tiles(a.n * a.parts, V::tile_tokens);
        const auto k = static_cast<size_t>(a.k);
        for (int t = a.token_begin; t < a.token_end; ++t) {
            const float* x = a.x + static_cast<size_t>(t) * a.x_stride;
            const int row = t * a.parts;
            for (size_t b = 0; b < k / 32; ++b, x += 32) {
                F x0 = V::load_f(x), x1 = V::load_f(x + 16);
                for (int r = row; r < row + a.parts; ++r) {
                    const int tile = tiles.of(r), begin = tiles.begin(tile);
                    const auto first = static_cast<size_t>(begin), lane = static_cast<size_t>(r - begin),
                               w = static_cast<size_t>(tiles.width_of(tile));
                    quantize_block(x0, x1, a.acts.q + (first * k + b * 32 * w + lane * 4), w,
                                   first * (k / 32) + b * w + lane, first * (k / 16) + 2 * b * w + lane, a.acts);
                }
            }
        }
    }

    static inline void sum_two(F a, F b, float& sum_a, float& sum_b) noexcept {
        if constexpr (requires { V::sum_two(a, b, sum_a, sum_b); })
            V::sum_two(a, b, sum_a, sum_b);
        else
            sum_a = V::sum_f(a), sum_b = V::sum_f(b);
    }

    // Thirty-two values of a row: codes to q, quads w * 4 bytes apart; scale and sums to `at`, and `at16` of acts.
    // Leaves in x0, x1 what rounding took.
    static inline void quantize_block(F& x0, F& x1, int8_t* q, size_t w, size_t at, size_t at16,
                                      const Acts& acts) noexcept {
        const float peak = V::max_f(V::max(V::abs(x0), V::abs(x1)));
        const F inverse = V::set_f(peak > 0.0f ? 127.0f / peak : 0.0f);
        const I q0 = V::round(V::mul(x0, inverse)), q1 = V::round(V::mul(x1, inverse));
        // The scale that brings these codes nearest to x: it takes a twentieth off the error of peak / 127.
        const F c0 = V::cvt(q0), c1 = V::cvt(q1);
        float xc, cc;
        sum_two(V::fma(x0, c0, V::mul(x1, c1)), V::fma(c0, c0, V::mul(c1, c1)), xc, cc);
        const float d = cc > 0.0f ? xc / cc : 0.0f;
        alignas(64) int8_t bytes[32];
        int32_t s0, s1;
        if constexpr (requires { V::store_codes(bytes, q0, q1, s0, s1); }) {
            V::store_codes(bytes, q0, q1, s0, s1);
        } else {
            V::store_i8(bytes, q0), V::store_i8(bytes + 16, q1);
            s0 = V::sum_i(q0), s1 = V::sum_i(q1);
        }
        for (int j = 0; j < 8; ++j, q += 4 * w) __builtin_memcpy(q, bytes + 4 * j, 4);
        acts.d[at] = d;
        acts.minus_sum[at] = -(s0 + s1);
        acts.dsum[at] = d * static_cast<float>(s0 + s1);
        acts.minus_sum16[at16] = -s0;
        acts.minus_sum16[at16 + w] = -s1;
        acts.dsum16[at16] = d * static_cast<float>(s0);
        acts.dsum16[at16 + w] = d * static_cast<float>(s1);
        const F back = V::set_f(-d);
        x0 = V::fma(c0, back, x0);
        x1 = V::fma(c1, back, x1);
    }

    static inline void scale_shift(const NormArgs& a, const float* x, float* y, float mean, float scale) noexcept {
        const int whole = a.width & ~15;
        for (int i = 0; i < whole; i += 16) {
            F v = V::mul(V::sub(V::load_f(x + i), V::set_f(mean)), V::set_f(scale));
            if (a.weight != nullptr) v = V::mul(v, V::load_f(a.weight + i));
            if (a.bias != nullptr) v = V::add(v, V::load_f(a.bias + i));
            V::store_f(y + i, v);
        }
        for (int i = whole; i < a.width; ++i) {
            float v = (x[i] - mean) * scale;
            if (a.weight != nullptr) v *= a.weight[i];
            if (a.bias != nullptr) v += a.bias[i];
            y[i] = v;
        }
    }
};

}  // namespace elver
