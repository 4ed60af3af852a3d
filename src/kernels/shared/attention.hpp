// Attention over cache pages with an online softmax (Milakov and Gimelshein 2018), several query rows at once. A row's
// arithmetic does not depend on its neighbours: pages in order, positions in order inside a page. A page outside a
// row's range changes nothing in it, so decode and prefill agree to the bit. Keys come in ranges of a fixed number; a
// row's states over its ranges are joined in order, so ranges may also be computed apart.
#pragma once

#include "kernels/shared/cache.hpp"

namespace elver {

// A level may add two products at once, of numbers of 16 bits (bfloat16): V::Pair holds pairs of them, V::join_pair
// makes them of two rows.
template <class V>
concept AddsPairs = requires { typename V::Pair; };

// Rows of a tile: 6 unless the level's registers hold the sums of more, which those over blocks never do, or it wants
// few bytes of code.
template <class V, CacheType type>
constexpr int tile_rows() noexcept {
    if constexpr (requires { V::few_bytes; })
        return 1;
    else if constexpr (requires { V::attention_rows; } && CacheRead<V, type>::is_float)
        return V::attention_rows;
    else
        return 6;
}

template <class V>
struct Attention {
    using F = typename V::F;
    static constexpr int page_size = page_positions;
    static constexpr float lowest = -__builtin_huge_valf();
    template <CacheType type>
    static constexpr bool in_pairs = type == CacheType::f16 && AddsPairs<V>;

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
            __builtin_prefetch(at, 0, 2);  // into L2
            at += step;
        }
    };
    // Bytes of pages that L2 keeps from one tile of rows to the next.
    static constexpr int kept_bytes = 256 * 1024;

    struct State {
        float* scores;  // [n_rows][64]
        float* q;       // [head_dim][n_rows], or pairs: [head_dim / 2][n_rows]
        float* out;     // [n_rows][out_stride]
        int out_stride;
        float peak[attention_rows], total[attention_rows], rescale[attention_rows];
        bool from_afar;  // pages come from memory
        Ahead ahead;
    };

    static inline int first_key(const AttentionArgs& a, int row) noexcept {
        return elver::first_key(a.pos[row], a.window);
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
            if constexpr (in_pairs<type>) {
                score_pairs<N, type>(a, keys + j * Read::unit_bytes, values, s, acc);
            } else if constexpr (Read::is_float) {
                const std::byte* k = keys + j * Read::unit_bytes;
                for (int d = 0; d < a.shape.head_dim; ++d, k += page_size * Read::unit_bytes) {
                    values.fetch();
                    add_products<N>(s.q + d * N, Read::load(k), Read::load(k + 16 * Read::unit_bytes), acc);
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
                        add_products<N>(s.q + (d + i) * N, Read::key_codes(block, i, j),
                                        Read::key_codes(block, i, j + 16), part);
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

    // Of 32 keys. A last dim without another is paired with zero.
    template <int N, CacheType type>
    [[gnu::always_inline]] static inline void score_pairs(const AttentionArgs& a, const std::byte* k, Ahead& values,
                                                          State& s, F (&acc)[N][2]) noexcept {
        using Read = CacheRead<V, type>;
        constexpr int step = page_size * Read::unit_bytes, half = 16 * Read::unit_bytes;
        const float* q = s.q;
        for (int d = 0; d < a.shape.head_dim; d += 2, k += 2 * step, q += N) {
            values.fetch();
            values.fetch();
            const bool two = d + 1 < a.shape.head_dim;
            const auto k0 = V::join_pair(Read::load(k), two ? Read::load(k + step) : V::zero_f());
            const auto k1 = V::join_pair(Read::load(k + half), two ? Read::load(k + step + half) : V::zero_f());
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) {
                acc[r][0] = V::add_pair(acc[r][0], k0, V::set_pair(q + r));
                acc[r][1] = V::add_pair(acc[r][1], k1, V::set_pair(q + r));
            }
        }
    }

    template <int N>
    static inline void add_products(const float* q_rows, F k0, F k1, F (&acc)[N][2]) noexcept {
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            const F q = V::set_f(q_rows[r]);
            acc[r][0] = V::fma(k0, q, acc[r][0]);
            acc[r][1] = V::fma(k1, q, acc[r][1]);
        }
    }

    // Caps, biases and masks a row's scores, turns them into weights exp(score - peak), and updates peak and total.
    // Weights that are added in pairs are halves, side by side.
    template <bool halves>
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
            if constexpr (halves)
                V::store_halves(x + j / 2, e);
            else
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
        if constexpr (in_pairs<type>) {
            for (int j = 0; j < n_keys; j += 2, values += 2 * stride) {
                ahead.fetch();
                ahead.fetch();
                const bool two = j + 1 < n_keys;
                ELVER_UNROLL
                for (int c = 0; c < C; ++c) {
                    const std::byte* v = values + 16 * c * Read::unit_bytes;
                    const auto pair = V::join_pair(Read::load(v), two ? Read::load(v + stride) : V::zero_f());
                    ELVER_UNROLL
                    for (int r = 0; r < N; ++r)
                        acc[r][c] = V::add_pair(acc[r][c], pair, V::set_pair(s.scores + r * page_size + j / 2));
                }
            }
        } else {
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
        }
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            ELVER_UNROLL
            for (int c = 0; c < C; ++c) V::store_f(s.out + r * s.out_stride + d + 16 * c, acc[r][c]);
        }
        s.ahead = ahead;
    }

    // A row's state over some keys, `more`, joins that over the keys before them.
    static inline void merge(float* out, float& peak, float& total, const float* more, float more_peak,
                             float more_total, int width) noexcept {
        if (more_peak == lowest) return;
        const float top = more_peak > peak ? more_peak : peak;
        const float keep = peak == lowest ? 0.0f : V::exp_1(peak - top), add = V::exp_1(more_peak - top);
        for (int d = 0; d < width; d += 16) {
            const F kept = V::mul(V::load_f(out + d), V::set_f(keep));
            V::store_f(out + d, V::fma(V::load_f(more + d), V::set_f(add), kept));
        }
        total = total * keep + more_total * add;
        peak = top;
    }

    static inline void finish(float* to, const float* out, float peak, float total, const float* sink,
                              int v_head_dim) noexcept {
        float scale = 1.0f;
        if (sink != nullptr) {
            const float top = *sink > peak ? *sink : peak;
            scale = V::exp_1(peak - top);
            total = total * scale + V::exp_1(*sink - top);
        }
        scale /= total;
        // + 0 turns a negative zero into zero: which it is may depend on pages outside the row's range.
        for (int d = 0; d < v_head_dim; ++d) to[d] = out[d] * scale + 0.0f;
    }

    template <int N>
    static inline void pair_queries(const AttentionArgs& a, float* pairs) noexcept {
        for (int d = 0; d < a.shape.head_dim; d += 16) {
            const int left = a.shape.head_dim - d;
            for (int r = 0; r < N; ++r) {
                float halves[8], some[16] = {};
                if (left < 16) {
                    for (int i = 0; i < left; ++i) some[i] = a.q[r][d + i];
                }
                V::store_halves(halves, V::load_f(left < 16 ? some : a.q[r] + d));
                for (int i = 0; i < 8 && 2 * i < left; ++i) pairs[(d / 2 + i) * N + r] = halves[i];
            }
        }
    }

    // The rows' state over pages [page, page_end) of a range; `last` is the last key that any row sees.
    template <int N, CacheType type>
    static inline void over_pages(const AttentionArgs& a, int page, int page_end, int last, State& s) noexcept {
        ELVER_UNROLL
        for (int r = 0; r < N; ++r) {
            s.peak[r] = lowest;
            s.total[r] = 0.0f;
            for (int d = 0; d < s.out_stride; d += 16) V::store_f(s.out + r * s.out_stride + d, V::zero_f());
        }
        const std::byte* keys = a.page(a.cache, page);
        for (; page < page_end; ++page) {
            const bool ends = page == last / page_size || (a.range >= 0 && page + 1 == page_end);
            const std::byte* next = ends ? nullptr : a.page(a.cache, page + 1);
            const int left = last - page * page_size + 1, n_keys = left < page_size ? left : page_size;
            score<N, type>(a, keys, n_keys, s);
            ELVER_UNROLL
            for (int r = 0; r < N; ++r) weigh<in_pairs<type>>(a, r, page, n_keys, s);
            mix<N, type>(a, keys + a.shape.key_bytes(), n_keys, next, s);
            keys = next;
        }
    }

    template <int N, CacheType type>
    static void rows(const AttentionArgs& a) noexcept {
        State s;
        const int width = s.out_stride = a.shape.v_width();
        s.scores = a.scratch;
        s.q = s.scores + attention_rows * page_size;
        float* merged = s.q + attention_rows * ((a.shape.head_dim + 15) & ~15);
        float* further = merged + attention_rows * width;
        if constexpr (in_pairs<type>) {
            pair_queries<N>(a, s.q);
        } else {
            for (int d = 0; d < a.shape.head_dim; ++d) {
                ELVER_UNROLL
                for (int r = 0; r < N; ++r) s.q[d * N + r] = a.q[r][d];
            }
        }
        int first = first_key(a, 0), last = last_key(a, 0);
        for (int r = 1; r < N; ++r) {
            first = first_key(a, r) < first ? first_key(a, r) : first;
            last = last_key(a, r) > last ? last_key(a, r) : last;
        }
        const int first_page = first / page_size, end_page = last / page_size + 1;
        s.from_afar = N < tile_rows<V, type>() || (end_page - first_page) * a.shape.page_bytes() > kept_bytes;
        const bool partial = a.range >= 0;
        const int first_range = partial ? a.range : first / range_keys,
                  end_range = partial ? a.range + 1 : last / range_keys + 1;
        float peak[N] = {}, total[N] = {};
        for (int range = first_range; range < end_range; ++range) {
            s.out = range == first_range ? merged : further;
            const int begin = range * (range_keys / page_size), end = begin + range_keys / page_size;
            over_pages<N, type>(a, begin < first_page ? first_page : begin, end < end_page ? end : end_page, last, s);
            for (int r = 0; r < N; ++r) {
                if (range == first_range)
                    peak[r] = s.peak[r], total[r] = s.total[r];
                else
                    merge(merged + r * width, peak[r], total[r], s.out + r * width, s.peak[r], s.total[r], width);
            }
        }
        for (int r = 0; r < N; ++r) {
            if (partial) {
                for (int d = 0; d < width; d += 16) V::store_f(a.out[r] + d, V::load_f(merged + r * width + d));
                a.out[r][width] = peak[r];
                a.out[r][width + 1] = total[r];
            } else {
                finish(a.out[r], merged + r * width, peak[r], total[r], a.sinks == nullptr ? nullptr : a.sinks + r,
                       a.shape.v_head_dim);
            }
        }
    }

    static void join(const AttentionJoinArgs& a) noexcept {
        const int width = a.shape.v_width();
        float* merged = a.parts;
        float peak = merged[width], total = merged[width + 1];
        for (int range = 1; range < a.n_ranges; ++range) {
            const float* more = a.parts + static_cast<size_t>(range) * a.stride;
            merge(merged, peak, total, more, more[width], more[width + 1], width);
        }
        finish(a.out, merged, peak, total, a.sink, a.shape.v_head_dim);
    }

    // Over a cache of 16-bit numbers.
    static void run_f16(const AttentionArgs& a) noexcept { of_type<CacheType::f16>(a); }
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
    // Tiles of 5, 7 and 9 to 11 rows are computed as the next greater one, the last row repeated.
    template <CacheType type>
    static void of_type(const AttentionArgs& a) noexcept {
        const float* q[attention_rows];
        float* out[attention_rows];
        int32_t pos[attention_rows], last[attention_rows];
        float slopes[attention_rows], sinks[attention_rows];
        constexpr int most = tile_rows<V, type>();
        for (int first = 0; first < a.n_rows; first += most) {
            const int n = a.n_rows - first < most ? a.n_rows - first : most;
            AttentionArgs tile = a;
            const auto part = [&](auto& to, const auto* from, auto& field) {
                if (from == nullptr) return;
                for (int r = 0; r < most; ++r) to[r] = from[first + (r < n ? r : n - 1)];
                field = to;
            };
            part(q, a.q, tile.q), part(out, a.out, tile.out), part(pos, a.pos, tile.pos);
            part(last, a.last, tile.last), part(slopes, a.slopes, tile.slopes), part(sinks, a.sinks, tile.sinks);
            if constexpr (most == 1) {
                rows<1, type>(tile);
            } else if (n <= 4) {
                constexpr void (*by_rows[4])(const AttentionArgs&) noexcept = {&rows<1, type>, &rows<2, type>,
                                                                               &rows<3, type>, &rows<4, type>};
                by_rows[n - 1](tile);
            } else if (n <= 6) {
                rows<6, type>(tile);
            } else if constexpr (most > 6) {
                n <= 8 ? rows<8, type>(tile) : rows<12, type>(tile);
            }
        }
    }
};

}  // namespace elver
