// Attention over cache pages with an online softmax (Milakov and Gimelshein 2018), several query rows at once. A row's
// arithmetic does not depend on its neighbours: pages in order, positions in order inside a page. A page outside a
// row's range changes nothing in it, so decode and prefill agree to the bit.
#pragma once

#include "kernels/shared/cache.hpp"

namespace elver {

template <class V>
struct Attention {
    using F = typename V::F;
    static constexpr int page_size = page_positions;
    static constexpr float lowest = -__builtin_huge_valf();

    // What is read next, asked for bit by bit meanwhile: a page's values while its keys are read, then the keys of the
    // next. A page is read in strides, which the hardware does not foresee.
    struct Ahead {
        const uint8_t* at = nullptr;  // null: nothing
        int step = 0;

        // n_bytes at p, in n_steps of at most 64.
        void begin(const std::byte* p, int n_bytes, int n_steps) noexcept {
            at = reinterpret_cast<const uint8_t*>(p);
            step = (n_bytes + n_steps - 1) / n_steps;
        }
        [[gnu::always_inline]] inline void fetch() noexcept {
            if (at == nullptr) return;
            __builtin_prefetch(at, 0, 2);  // into the second cache
            at += step;
        }
    };
    // Bytes of pages that the second cache keeps from one tile of rows to the next.
    static constexpr int kept_bytes = 256 * 1024;

    struct State {
        float* scores;  // [n_rows][64]
        float* out;     // [n_rows][out_stride]
        int out_stride;
        float peak[attention_rows], total[attention_rows], rescale[attention_rows];
        bool from_afar;  // pages come from memory
        Ahead ahead;
    };

    static inline int first_key(const AttentionArgs& a, int row) noexcept {
        const int first = a.window > 0 ? a.pos[row] - a.window + 1 : 0;
        return first < 0 ? 0 : first;
    }
    static inline int last_key(const AttentionArgs& a, int row) noexcept {
        return a.last == nullptr ? a.pos[row] : a.last[row];
    }

    // scores[row][key] = q . k for the page's first n_keys, rounded up to 32.
    template <int N, CacheType type>
    static inline void score(const AttentionArgs& a, const std::byte* keys, int n_keys, State& s) noexcept {
        using Read = CacheRead<V, type>;
        Ahead values;
        if (s.from_afar) {
            values.begin(keys + a.shape.key_bytes(), n_keys * a.shape.value_row_bytes(),
                         (n_keys + 31) / 32 * a.shape.head_dim);
        }
        for (int j = 0; j < n_keys; j += 32) {
            F acc[N][2];
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) acc[r][0] = acc[r][1] = V::zero_f();
            if constexpr (Read::is_float) {
                const std::byte* k = keys + j * Read::unit_bytes;
                for (int d = 0; d < a.shape.head_dim; ++d, k += page_size * Read::unit_bytes) {
                    values.fetch();
                    add_products<N>(a, d, Read::load(k), Read::load(k + 16 * Read::unit_bytes), acc);
                }
            } else {
                const std::byte* block = keys;
                for (int d = 0; d < a.shape.head_dim; d += 32, block += page_size * Read::unit_bytes) {
                    F part[N][2];
                    ELVER_UNROLL
                    for (int r = 0; r < N; ++r) part[r][0] = part[r][1] = V::zero_f();
                    const int n = a.shape.head_dim - d < 32 ? a.shape.head_dim - d : 32;
                    for (int i = 0; i < n; ++i) {
                        values.fetch();
                        add_products<N>(a, d + i, Read::key_codes(block, i, j), Read::key_codes(block, i, j + 16),
                                        part);
                    }
                    const F scale0 = Read::key_scales(block, j), scale1 = Read::key_scales(block, j + 16);
                    ELVER_UNROLL
                    for (int r = 0; r < N; ++r) {
                        acc[r][0] = V::fma(part[r][0], scale0, acc[r][0]);
                        acc[r][1] = V::fma(part[r][1], scale1, acc[r][1]);
                    }
                }
            }
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) {
                V::store_f(s.scores + r * page_size + j, acc[r][0]);
                V::store_f(s.scores + r * page_size + j + 16, acc[r][1]);
            }
        }
    }

    template <int N>
    static inline void add_products(const AttentionArgs& a, int d, F k0, F k1, F (&acc)[N][2]) noexcept {
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            const F q = V::set_f(a.q[r][d]);
            acc[r][0] = V::fma(k0, q, acc[r][0]);
            acc[r][1] = V::fma(k1, q, acc[r][1]);
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
            for (int j = 0; j < padded; ++j) {
                const int ahead = begin + j - a.pos[row];
                x[j] += a.slopes[row] * static_cast<float>(ahead < 0 ? ahead : -ahead);
            }
        }
        const int low = first_key(a, row) - begin, high = last_key(a, row) - begin;
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

    // out = out * rescale + weights . values. next: the keys of the page after, or null.
    template <int N, CacheType type>
    static inline void mix(const AttentionArgs& a, const std::byte* values, int n_keys, const std::byte* next,
                           State& s) noexcept {
        using Read = CacheRead<V, type>;
        s.ahead = {};
        if (s.from_afar && next != nullptr)
            s.ahead.begin(next, a.shape.key_bytes(), n_keys * ((s.out_stride + 31) / 32));
        int d = 0;
        if constexpr (Read::is_float) {
            for (; d + 32 <= s.out_stride; d += 32)
                mix_columns<N, 2, type>(a, values + d * Read::unit_bytes, n_keys, d, s);
            for (; d < s.out_stride; d += 16) mix_columns<N, 1, type>(a, values + d * Read::unit_bytes, n_keys, d, s);
        } else {
            for (; d < s.out_stride; d += 32)
                mix_columns<N, 2, type>(a, values + d / 32 * Read::unit_bytes, n_keys, d, s);
        }
    }

    template <int N, int C, CacheType type>
    static inline void mix_columns(const AttentionArgs& a, const std::byte* values, int n_keys, int d,
                                   State& s) noexcept {
        using Read = CacheRead<V, type>;
        F acc[N][C];
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            ELVER_UNROLL
            for (int c = 0; c < C; ++c) {
                acc[r][c] = V::mul(V::load_f(s.out + r * s.out_stride + d + 16 * c), V::set_f(s.rescale[r]));
            }
        }
        const int stride = a.shape.value_row_bytes();
        Ahead ahead = s.ahead;
        for (int j = 0; j < n_keys; ++j, values += stride) {
            ahead.fetch();
            F v[C];
            ELVER_UNROLL
            for (int c = 0; c < C; ++c) {
                if constexpr (Read::is_float)
                    v[c] = Read::load(values + 16 * c * Read::unit_bytes);
                else
                    v[c] = V::mul(Read::value_codes(values, c), V::set_f(V::f16_1(values)));
            }
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) {
                const F p = V::set_f(s.scores[r * page_size + j]);
                ELVER_UNROLL
                for (int c = 0; c < C; ++c) acc[r][c] = V::fma(v[c], p, acc[r][c]);
            }
        }
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            ELVER_UNROLL
            for (int c = 0; c < C; ++c) V::store_f(s.out + r * s.out_stride + d + 16 * c, acc[r][c]);
        }
        s.ahead = ahead;
    }

    template <int N, CacheType type>
    static void rows(const AttentionArgs& a) noexcept {
        State s;
        s.out_stride = a.shape.v_width();
        s.scores = a.scratch;
        s.out = a.scratch + attention_rows * page_size;
        int first = first_key(a, 0), last = last_key(a, 0);
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            s.peak[r] = lowest;
            s.total[r] = 0.0f;
            for (int d = 0; d < s.out_stride; ++d) s.out[r * s.out_stride + d] = 0.0f;
            first = first_key(a, r) < first ? first_key(a, r) : first;
            last = last_key(a, r) > last ? last_key(a, r) : last;
        }
        s.from_afar =
            N < attention_rows || (last / page_size - first / page_size + 1) * a.shape.page_bytes() > kept_bytes;
        const std::byte* keys = a.page(a.cache, first / page_size);
        for (int page = first / page_size; page <= last / page_size; ++page) {
            const std::byte* next = page < last / page_size ? a.page(a.cache, page + 1) : nullptr;
            const int left = last - page * page_size + 1, n_keys = left < page_size ? left : page_size;
            score<N, type>(a, keys, n_keys, s);
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) weigh(a, r, page, n_keys, s);
            mix<N, type>(a, keys + a.shape.key_bytes(), n_keys, next, s);
            keys = next;
        }
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            float total = s.total[r], scale = 1.0f;
            if (a.sinks != nullptr) {
                const float peak = a.sinks[r] > s.peak[r] ? a.sinks[r] : s.peak[r];
                scale = V::exp_1(s.peak[r] - peak);
                total = total * scale + V::exp_1(a.sinks[r] - peak);
            }
            scale /= total;
            // + 0 turns a negative zero into zero: which it is may depend on pages outside the row's range.
            for (int d = 0; d < a.shape.v_head_dim; ++d) a.out[r][d] = s.out[r * s.out_stride + d] * scale + 0.0f;
        }
    }

    static void run(const AttentionArgs& a) noexcept {
        switch (a.shape.type) {
            case CacheType::f32:
                return of_type<CacheType::f32>(a);
            case CacheType::f16:
                return of_type<CacheType::f16>(a);
            case CacheType::q8_0:
                return of_type<CacheType::q8_0>(a);
            case CacheType::q4_0:
                return of_type<CacheType::q4_0>(a);
        }
    }

  private:
    template <CacheType type>
    static void one_by_one(AttentionArgs a) noexcept {
        for (int n = a.n_rows; n > 0; --n, ++a.q, ++a.out, ++a.pos) {
            rows<1, type>(a);
            if (a.slopes != nullptr) ++a.slopes;
            if (a.sinks != nullptr) ++a.sinks;
            if (a.last != nullptr) ++a.last;
        }
    }
    template <CacheType type>
    static void of_type(const AttentionArgs& a) noexcept {
        if constexpr (requires { V::few_bytes; }) {
            one_by_one<type>(a);
        } else {
            constexpr void (*by_rows[attention_rows])(const AttentionArgs&) noexcept = {
                &rows<1, type>, &rows<2, type>, &rows<3, type>, &rows<4, type>, &rows<5, type>, &rows<6, type>};
            if (a.n_rows >= 1 && a.n_rows <= attention_rows) by_rows[a.n_rows - 1](a);
        }
    }
};

}  // namespace elver
