// Attention over cache pages with an online softmax (Milakov and Gimelshein 2018), several query rows at once. A row's
// arithmetic does not depend on its neighbours: pages in order, positions in order inside a page. A page outside a
// row's range changes nothing in it, so decode and prefill agree to the bit.
#pragma once

#include "kernels/args.hpp"

namespace elver {

template <class V>
struct Attention {
    using F = typename V::F;
    static constexpr int page_size = page_positions;
    static constexpr float lowest = -__builtin_huge_valf();

    struct State {
        float* scores;  // [n_rows][64]
        float* out;     // [n_rows][out_stride]
        int out_stride;
        float peak[attention_rows], total[attention_rows], rescale[attention_rows];
    };

    static inline int first_key(const AttentionArgs& a, int row) noexcept {
        const int first = a.window > 0 ? a.pos[row] - a.window + 1 : 0;
        return first < 0 ? 0 : first;
    }

    // scores[row][key] = q . k for the page's first n_keys, rounded up to 32.
    template <int N>
    static inline void score(const AttentionArgs& a, const uint16_t* keys, int n_keys, State& s) noexcept {
        for (int j = 0; j < n_keys; j += 32) {
            F acc[N][2];
            for (int r = 0; r < N; ++r) acc[r][0] = acc[r][1] = V::zero_f();
            const uint16_t* k = keys + j;
            for (int d = 0; d < a.head_dim; ++d, k += page_size) {
                const F k0 = V::load_f16(k), k1 = V::load_f16(k + 16);
                for (int r = 0; r < N; ++r) {
                    const F q = V::set_f(a.q[r][d]);
                    acc[r][0] = V::fma(k0, q, acc[r][0]);
                    acc[r][1] = V::fma(k1, q, acc[r][1]);
                }
            }
            for (int r = 0; r < N; ++r) {
                V::store_f(s.scores + r * page_size + j, acc[r][0]);
                V::store_f(s.scores + r * page_size + j + 16, acc[r][1]);
            }
        }
    }

    // Caps, biases and masks a row's scores, turns them into weights exp(score - peak), and updates peak and total.
    static inline void weigh(const AttentionArgs& a, int row, int page, int n_keys, State& s) noexcept {
        float* x = s.scores + row * page_size;
        const int begin = page * page_size, padded = (n_keys + 31) & ~31;
        if (a.soft_cap > 0.0f) {
            const F cap = V::set_f(a.soft_cap), inverse = V::set_f(1.0f / a.soft_cap);
            for (int j = 0; j < padded; j += 16)
                V::store_f(x + j, V::mul(cap, V::tanh(V::mul(V::load_f(x + j), inverse))));
        }
        if (a.slopes != nullptr) {
            for (int j = 0; j < padded; ++j) x[j] += a.slopes[row] * static_cast<float>(begin + j - a.pos[row]);
        }
        const int low = first_key(a, row) - begin, high = a.pos[row] - begin;
        for (int j = 0; j < padded && j < low; ++j) x[j] = lowest;
        for (int j = high < 0 ? 0 : high + 1; j < padded; ++j) x[j] = lowest;
        F peaks = V::load_f(x);
        for (int j = 16; j < padded; j += 16) peaks = V::max(peaks, V::load_f(x + j));
        const float page_peak = V::max_f(peaks);
        const float peak = page_peak > s.peak[row] ? page_peak : s.peak[row];
        if (page_peak == lowest) {  // nothing of this page is seen by this row
            s.rescale[row] = 1.0f;
            for (int j = 0; j < padded; ++j) x[j] = 0.0f;
            return;
        }
        F sums = V::zero_f();
        for (int j = 0; j < padded; j += 16) {
            const F e = V::exp(V::sub(V::load_f(x + j), V::set_f(peak)));
            sums = V::add(sums, e);
            V::store_f(x + j, e);
        }
        s.rescale[row] = s.peak[row] == lowest ? 0.0f : V::exp_1(s.peak[row] - peak);
        s.total[row] = s.total[row] * s.rescale[row] + V::sum_f(sums);
        s.peak[row] = peak;
    }

    // out = out * rescale + weights . values
    template <int N>
    static inline void mix(const AttentionArgs& a, const uint16_t* values, int n_keys, State& s) noexcept {
        int d = 0;
        for (; d + 32 <= s.out_stride; d += 32) mix_columns<N, 2>(a, values + d, n_keys, d, s);
        for (; d < s.out_stride; d += 16) mix_columns<N, 1>(a, values + d, n_keys, d, s);
    }

    template <int N, int C>
    static inline void mix_columns(const AttentionArgs&, const uint16_t* values, int n_keys, int d, State& s) noexcept {
        F acc[N][C];
        for (int r = 0; r < N; ++r) {
            for (int c = 0; c < C; ++c) {
                acc[r][c] = V::mul(V::load_f(s.out + r * s.out_stride + d + 16 * c), V::set_f(s.rescale[r]));
            }
        }
        for (int j = 0; j < n_keys; ++j, values += s.out_stride) {
            F v[C];
            for (int c = 0; c < C; ++c) v[c] = V::load_f16(values + 16 * c);
            for (int r = 0; r < N; ++r) {
                const F p = V::set_f(s.scores[r * page_size + j]);
                for (int c = 0; c < C; ++c) acc[r][c] = V::fma(v[c], p, acc[r][c]);
            }
        }
        for (int r = 0; r < N; ++r) {
            for (int c = 0; c < C; ++c) V::store_f(s.out + r * s.out_stride + d + 16 * c, acc[r][c]);
        }
    }

    template <int N>
    static void rows(const AttentionArgs& a) noexcept {
        State s;
        s.out_stride = (a.v_head_dim + 15) & ~15;
        s.scores = a.scratch;
        s.out = a.scratch + attention_rows * page_size;
        int first = first_key(a, 0), last = a.pos[0];
        for (int r = 0; r < N; ++r) {
            s.peak[r] = lowest;
            s.total[r] = 0.0f;
            for (int d = 0; d < s.out_stride; ++d) s.out[r * s.out_stride + d] = 0.0f;
            first = first_key(a, r) < first ? first_key(a, r) : first;
            last = a.pos[r] > last ? a.pos[r] : last;
        }
        for (int page = first / page_size; page <= last / page_size; ++page) {
            const uint16_t* keys = a.page(a.cache, page);
            const int left = last - page * page_size + 1, n_keys = left < page_size ? left : page_size;
            score<N>(a, keys, n_keys, s);
            for (int r = 0; r < N; ++r) weigh(a, r, page, n_keys, s);
            mix<N>(a, keys + a.head_dim * page_size, n_keys, s);
        }
        for (int r = 0; r < N; ++r) {
            float total = s.total[r], scale = 1.0f;
            if (a.sinks != nullptr) {
                const float peak = a.sinks[r] > s.peak[r] ? a.sinks[r] : s.peak[r];
                scale = V::exp_1(s.peak[r] - peak);
                total = total * scale + V::exp_1(a.sinks[r] - peak);
            }
            scale /= total;
            // + 0 turns a negative zero into zero: which it is may depend on pages outside the row's range.
            for (int d = 0; d < a.v_head_dim; ++d) a.out[r][d] = s.out[r * s.out_stride + d] * scale + 0.0f;
        }
    }

    static void run(const AttentionArgs& a) noexcept {
        switch (a.n_rows) {
            case 1:
                return rows<1>(a);
            case 2:
                return rows<2>(a);
            case 3:
                return rows<3>(a);
            case 4:
                return rows<4>(a);
            case 5:
                return rows<5>(a);
            case 6:
                return rows<6>(a);
            default:
                return;
        }
    }
};

}  // namespace elver
