// Quantised products: one arithmetic for every shape of work. For each output and each sub-block along k, in order:
//     acc = fma(float(sum of code * q), scale * d, acc);  acc = fma(min, dsum, acc)
// with the integer sum exact. So decode, small batches and prefill give the same bits. Instantiated per level with its
// policy V.
//
//   n <= tile_tokens   one pass over the pack, codes expanded in registers, all tokens at once
//   n >  tile_tokens   32-row panels expanded once into a buffer that stays in the first cache, then 32 x 6 tiles.
//                      With few tiles the panels are short, so that memory is read while the tiles are computed
#pragma once

#include "kernels/shared/finish.hpp"
#include "kernels/shared/formats.hpp"

namespace elver {

// A level may multiply two tokens at once with two quads side by side (a matrix product of bytes): V::Pair holds such
// sums, V::join_quads arranges the weights. Integer sums are exact, so the bits are those of single dots.
template <class V>
concept MultipliesPairs = requires { typename V::Pair; };

// Groups in a panel's inner tile: 2 unless the level's registers hold sums of one only.
template <class V>
constexpr int groups_at_once() noexcept {
    if constexpr (requires { V::panel_groups; })
        return V::panel_groups;
    else
        return 2;
}

// Expanded, formats of one arithmetic are alike: the first of them in formats.inc, whose tiles they share.
constexpr DType tiles_of(DType type) noexcept {
    struct Row {
        DType type;
        int sub, offset_shift;
        bool has_min, wide;
    };
    constexpr Row rows[] = {
#define ELVER_FORMAT(type, block, sub, chunk_k, offset_shift, has_min, wide) \
    {DType::type, sub, offset_shift, has_min, wide},
#include "kernels/formats.inc"
#undef ELVER_FORMAT
    };
    for (const Row& own : rows) {
        if (own.type != type) continue;
        for (const Row& r : rows)
            if (r.sub == own.sub && r.offset_shift == own.offset_shift && r.has_min == own.has_min &&
                r.wide == own.wide)
                return r.type;
    }
    return type;
}

template <class V, DType type>
struct Matmul {
    using Tiles = Matmul<V, tiles_of(type)>;
    using Fmt = Format<V, type>;
    using U = typename V::U;
    using F = typename V::F;
    using I = typename V::I;
    static constexpr int tile = V::tile_tokens;
    static constexpr int n_sub = 32 / Fmt::sub;  // sub-blocks of a 32-block
    static constexpr int quads = 8 / n_sub;      // quads of a sub-block
    static constexpr int chunk_blocks = Fmt::chunk_k / 32;
    static constexpr int block_bytes = Fmt::chunk_bytes / chunk_blocks;  // of a 32-block, scales included

    // Where a tile's activations begin.
    struct TileActs {
        const int8_t* q;
        const float *d, *dsum;
        const int32_t* minus_sum;
    };
    // Of the tile whose first row is `row`.
    static inline TileActs tile_acts(const MatmulArgs& a, int row) noexcept {
        const size_t rows = static_cast<size_t>(row), k = static_cast<size_t>(a.k);
        const bool by_16 = n_sub == 2;
        return {a.acts.q + rows * k, a.acts.d + rows * (k / 32),
                by_16 ? a.acts.dsum16 + rows * (k / 16) : a.acts.dsum + rows * (k / 32),
                by_16 ? a.acts.minus_sum16 + rows * (k / 16) : a.acts.minus_sum + rows * (k / 32)};
    }

    [[gnu::always_inline]] static inline void join(U w[8]) noexcept {
        if constexpr (MultipliesPairs<V>) {
            ELVER_UNROLL
            for (int j = 0; j < 8; j += 2) V::join_quads(w[j], w[j + 1]);
        }
    }

    // sums[t] += the joined quads of a sub-block; a: the tokens' bytes of its first quad. Called, it would pass weights
    // and sums through memory.
    template <int N>
    [[gnu::always_inline]] static inline void add_pairs(I sums[N], const U w[quads], const int8_t* a) noexcept {
        typename V::Pair pairs[(N + 1) / 2];
        ELVER_UNROLL
        for (int i = 0; i < (N + 1) / 2; ++i) pairs[i] = V::zero_pair();
        ELVER_UNROLL
        for (int j = 0; j < quads; j += 2, a += 8 * N) {
            ELVER_UNROLL
            for (int i = 0; i + 1 < N; i += 2)
                pairs[i / 2] = V::template dot_pair<true>(pairs[i / 2], w[j], w[j + 1], a + 4 * i, 4 * N);
            if constexpr (N % 2 == 1)
                pairs[N / 2] = V::template dot_pair<false>(pairs[N / 2], w[j], w[j + 1], a + 4 * (N - 1), 4 * N);
        }
        ELVER_UNROLL
        for (int i = 0; i < N; ++i)
            sums[i] = i % 2 == 0 ? V::template add_token<0>(sums[i], pairs[i / 2])
                                 : V::template add_token<1>(sums[i], pairs[i / 2]);
    }

    // acc[t] += a 32-block. w: its eight quads, joined for two tokens and more where the level multiplies pairs; the
    // acts pointers stand at the block.
    template <int N>
    [[gnu::always_inline]] static inline void block(F acc[N], const U w[8], const F scale[n_sub], const F min[n_sub],
                                                    const TileActs& t) noexcept {
        ELVER_UNROLL
        for (int s = 0; s < n_sub; ++s) {
            I sums[N];
            ELVER_UNROLL
            for (int i = 0; i < N; ++i)
                sums[i] = V::template start<Fmt::offset_shift, Fmt::wide>(t.minus_sum + s * N + i);
            if constexpr (MultipliesPairs<V> && N > 1) {
                add_pairs<N>(sums, w + s * quads, t.q + s * quads * N * 4);
            } else {
                ELVER_UNROLL
                for (int j = 0; j < quads; ++j) {
                    ELVER_UNROLL
                    for (int i = 0; i < N; ++i) {
                        sums[i] =
                            V::template dot<Fmt::wide>(sums[i], w[s * quads + j], t.q + ((s * quads + j) * N + i) * 4);
                    }
                }
            }
            ELVER_UNROLL
            for (int i = 0; i < N; ++i) acc[i] = V::fma(V::cvt(sums[i]), V::mul(scale[s], V::set_f(t.d[i])), acc[i]);
            if constexpr (Fmt::has_min) {
                ELVER_UNROLL
                for (int i = 0; i < N; ++i) acc[i] = V::fma(min[s], V::set_f(t.dsum[s * N + i]), acc[i]);
            }
        }
    }

    template <int N>
    [[gnu::always_inline]] static inline void advance(TileActs& t) noexcept {
        t.q += 32 * N;
        t.d += N;
        t.dsum += n_sub * N;
        t.minus_sum += n_sub * N;
    }

    // Asks for a block's share far ahead: in a burst of more they would wait for one another. With one token (and two
    // of short chunks) AMD's hardware does better alone, if it sees loads in ascending order, each in even steps: so
    // the compiler may not move them past one another nor unroll the loop around them. With more the core asks too
    // late; Intel's does so with one token too (V::asks_ahead()).
    template <int N>
    [[gnu::always_inline]] static inline void look_ahead(const uint8_t* block, bool also_alone) noexcept {
        if (N > 2 || (N == 2 && Fmt::block == 256) || also_alone) V::prefetch(block + 8192, block_bytes);
    }
    template <int N>
    [[gnu::always_inline]] static inline void in_order() noexcept {
        if constexpr (N == 1) asm volatile("" ::: "memory");
    }

    // 32-block c of a chunk, straight from the pack.
    template <int N>
    [[gnu::always_inline]] static inline void packed_block(F acc[N], const uint8_t* chunk, int c, Grid grid, bool ahead,
                                                           TileActs& t) noexcept {
        look_ahead<N>(chunk + c * block_bytes, ahead);
        U w[8];
        F scale[n_sub], min[n_sub];
        ELVER_UNROLL
        for (int s = 0; s < n_sub; ++s) {
            scale[s] = Fmt::scale(chunk, c * n_sub + s, grid);
            if constexpr (Fmt::has_min) min[s] = Fmt::min(chunk, c * n_sub + s);
        }
        in_order<N>();
        Fmt::codes(chunk, c, grid, w);
        in_order<N>();
        if constexpr (N > 1) join(w);
        block<N>(acc, w, scale, min, t);
        advance<N>(t);
    }

    // All N tokens (one tile) against groups of 16 rows.
    template <int N>
    static void few(const MatmulArgs& a) noexcept {
        const int n_blocks = a.k / 32;
        const Grid grid = a.grid;
        const bool ahead = V::asks_ahead();
        const size_t group_bytes = static_cast<size_t>((a.k + Fmt::chunk_k - 1) / Fmt::chunk_k) * Fmt::chunk_bytes;
        for (int group = a.group_begin; group < a.group_end; ++group) {
            const auto* chunk = reinterpret_cast<const uint8_t*>(a.pack) + static_cast<size_t>(group) * group_bytes;
            TileActs t = tile_acts(a, 0);
            F acc[N];
            ELVER_UNROLL
            for (int i = 0; i < N; ++i) acc[i] = V::zero_f();
            for (int b = 0; b < n_blocks; b += chunk_blocks, chunk += Fmt::chunk_bytes) {
                ELVER_ROLLED
                for (int c = 0; c < chunk_blocks; c += 2) {
                    packed_block<N>(acc, chunk, c, grid, ahead, t);
                    if (Fmt::block == 256 || b + 1 < n_blocks) packed_block<N>(acc, chunk, c + 1, grid, ahead, t);
                }
            }
            if (a.parts == 2) {
                ELVER_UNROLL
                for (int i = 0; i + 1 < N; i += 2) finish<V>(a, i / 2, group * 16, V::add(acc[i], acc[i + 1]));
                continue;
            }
            ELVER_UNROLL
            for (int i = 0; i < N; ++i) finish<V>(a, i, group * 16, acc[i]);
        }
    }

    template <int N, int G>
    [[gnu::always_inline]] static inline void add_pairs(I (&ints)[N][G], int g, const uint8_t* codes,
                                                        const int8_t* a) noexcept {
        U w[quads];
        I sums[N];
        ELVER_UNROLL
        for (int j = 0; j < quads; ++j) w[j] = V::load_u(codes + 128 * j);
        ELVER_UNROLL
        for (int i = 0; i < N; ++i) sums[i] = ints[i][g];
        add_pairs<N>(sums, w, a);
        ELVER_UNROLL
        for (int i = 0; i < N; ++i) ints[i][g] = sums[i];
    }

    // An expanded panel of 32 rows (two groups) by up to panel_k.
    struct Panel {
        uint8_t* codes;  // [block][8 quads][2 groups][64]
        float* scale;    // [sub-block][2 groups][16]
        float* min;      // the same
    };

    // The second of two where there is one alone is the first again: a matrix's last panel may be half. Asks for what
    // comes after: behind the end of a group that is the group after the next, since two are read side by side.
    static void expand(const MatmulArgs& a, int group, int n_groups, int block_begin, int block_end,
                       const Panel& p) noexcept {
        const size_t group_bytes = static_cast<size_t>((a.k + Fmt::chunk_k - 1) / Fmt::chunk_k) * Fmt::chunk_bytes;
        for (int g = 0; g < 2; ++g) {
            const size_t from = static_cast<size_t>(group + (g < n_groups ? g : 0));
            const auto* rows = reinterpret_cast<const uint8_t*>(a.pack) + from * group_bytes;
            const uint8_t* end = rows + group_bytes;
            for (int b = block_begin; b < block_end; ++b) {
                const uint8_t* chunk = rows + static_cast<size_t>(b / chunk_blocks) * Fmt::chunk_bytes;
                const int c = b % chunk_blocks, at = b - block_begin;
                const uint8_t* next = chunk + c * block_bytes + 4096;
                V::prefetch(next < end ? next : next + group_bytes, block_bytes);
                U w[8];
                Fmt::codes(chunk, c, a.grid, w);
                join(w);
                ELVER_UNROLL
                for (int j = 0; j < 8; ++j) V::store_u(p.codes + ((at * 8 + j) * 2 + g) * 64, w[j]);
                ELVER_UNROLL
                for (int s = 0; s < n_sub; ++s) {
                    const int row = ((at * n_sub + s) * 2 + g) * 16;
                    V::store_f(p.scale + row, Fmt::scale(chunk, c * n_sub + s, a.grid));
                    if constexpr (Fmt::has_min) V::store_f(p.min + row, Fmt::min(chunk, c * n_sub + s));
                }
            }
        }
    }

    // sums[N tokens][32 rows] += panel x tile. G: groups in the panel. Registers: G * N integer and G * N float sums.
    template <int N, int G>
    static void panel_tile(const Panel& p, int n_blocks, TileActs t, float* sums) noexcept {
        F acc[N][G];
        ELVER_UNROLL
        for (int i = 0; i < N; ++i) {
            ELVER_UNROLL
            for (int g = 0; g < G; ++g) acc[i][g] = V::load_f(sums + i * 32 + g * 16);
        }
        const uint8_t* codes = p.codes;
        const float *scales = p.scale, *mins = p.min;
        for (int b = 0; b < n_blocks; ++b, advance<N>(t)) {
            ELVER_UNROLL
            for (int s = 0; s < n_sub; ++s, scales += 32, mins += 32) {
                I ints[N][G];
                ELVER_UNROLL
                for (int i = 0; i < N; ++i) {
                    const I start = V::template start<Fmt::offset_shift, Fmt::wide>(t.minus_sum + s * N + i);
                    ELVER_UNROLL
                    for (int g = 0; g < G; ++g) ints[i][g] = start;
                }
                if constexpr (MultipliesPairs<V>) {
                    ELVER_UNROLL
                    for (int g = 0; g < G; ++g) add_pairs<N, G>(ints, g, codes + 64 * g, t.q + s * quads * N * 4);
                    codes += 128 * quads;
                } else {
                    ELVER_UNROLL
                    for (int j = 0; j < quads; ++j, codes += 128) {
                        U w[G];
                        ELVER_UNROLL
                        for (int g = 0; g < G; ++g) w[g] = V::load_u(codes + 64 * g);
                        ELVER_UNROLL
                        for (int i = 0; i < N; ++i) {
                            ELVER_UNROLL
                            for (int g = 0; g < G; ++g) {
                                ints[i][g] =
                                    V::template dot<Fmt::wide>(ints[i][g], w[g], t.q + ((s * quads + j) * N + i) * 4);
                            }
                        }
                    }
                }
                F scale[G];
                ELVER_UNROLL
                for (int g = 0; g < G; ++g) scale[g] = V::load_f(scales + 16 * g);
                ELVER_UNROLL
                for (int i = 0; i < N; ++i) {
                    const F d = V::set_f(t.d[i]);
                    ELVER_UNROLL
                    for (int g = 0; g < G; ++g) acc[i][g] = V::fma(V::cvt(ints[i][g]), V::mul(scale[g], d), acc[i][g]);
                }
                if constexpr (Fmt::has_min) {
                    F min[G];
                    ELVER_UNROLL
                    for (int g = 0; g < G; ++g) min[g] = V::load_f(mins + 16 * g);
                    ELVER_UNROLL
                    for (int i = 0; i < N; ++i) {
                        const F dsum = V::set_f(t.dsum[s * N + i]);
                        ELVER_UNROLL
                        for (int g = 0; g < G; ++g) acc[i][g] = V::fma(min[g], dsum, acc[i][g]);
                    }
                }
            }
        }
        ELVER_UNROLL
        for (int i = 0; i < N; ++i) {
            ELVER_UNROLL
            for (int g = 0; g < G; ++g) V::store_f(sums + i * 32 + g * 16, acc[i][g]);
        }
    }

    template <int G>
    [[gnu::noinline]] static void panel_rows(const Panel& p, const MatmulArgs& a, int block_begin, int n_blocks,
                                             float* sums) noexcept {
        const ActTiles tiles(a.n * a.parts, tile);
        for (int index = 0; index < tiles.count; ++index) {
            const int width = tiles.width_of(index), first = tiles.begin(index);
            TileActs t = tile_acts(a, first);
            t.q += block_begin * 32 * width;
            t.d += block_begin * width;
            t.dsum += block_begin * n_sub * width;
            t.minus_sum += block_begin * n_sub * width;
            float* out = sums + static_cast<size_t>(first) * 32;
            switch (width) {
                case 1:
                    panel_tile<1, G>(p, n_blocks, t, out);
                    break;
                case 2:
                    panel_tile<2, G>(p, n_blocks, t, out);
                    break;
                case 3:
                    panel_tile<3, G>(p, n_blocks, t, out);
                    break;
                case 4:
                    panel_tile<4, G>(p, n_blocks, t, out);
                    break;
                case 5:
                    if constexpr (tile >= 5) panel_tile<5, G>(p, n_blocks, t, out);
                    break;
                case 6:
                    if constexpr (tile >= 6) panel_tile<6, G>(p, n_blocks, t, out);
                    break;
                default:
                    break;
            }
        }
    }

    static void many(const MatmulArgs& a) noexcept {
        typename Tiles::Panel p;
        p.codes = reinterpret_cast<uint8_t*>(a.scratch);
        p.scale = a.scratch + 32 * panel_k / 4;
        p.min = p.scale + panel_k / 16 * 32;
        float* sums = p.min + panel_k / 16 * 32;
        // With few tiles a whole panel's codes would be waited for; from 64 rows on its size makes no difference.
        const int n_blocks = a.k / 32, most = a.n * a.parts <= 64 ? 4 : panel_k / 32;
        const int n_parts = (n_blocks + most - 1) / most, part = (n_blocks + n_parts - 1) / n_parts;
        for (int group = a.group_begin; group < a.group_end; group += 2) {
            const int n_groups = a.group_end - group < 2 ? 1 : 2;
            for (size_t i = 0; i < static_cast<size_t>(a.n * a.parts) * 32; i += 16) V::store_f(sums + i, V::zero_f());
            for (int b = 0; b < n_blocks; b += part) {
                const int end = b + part < n_blocks ? b + part : n_blocks;
                expand(a, group, n_groups, b, end, {p.codes, p.scale, p.min});
                for (int g = 0; g < n_groups; g += groups_at_once<V>()) {
                    Tiles::template panel_rows<groups_at_once<V>()>(
                        {p.codes + 64 * g, p.scale + 16 * g, p.min + 16 * g}, a, b, end - b, sums + 16 * g);
                }
            }
            finish_panel<V>(a, group, n_groups, sums);
        }
    }

    static void run(const MatmulArgs& a) noexcept {
        switch (a.n * a.parts) {
            case 0:
                return;
            case 1:
                return few<1>(a);
            case 2:
                return few<2>(a);
            case 3:
                return few<3>(a);
            case 4:
                return few<4>(a);
            case 5:
                if constexpr (tile >= 5) return few<5>(a);
                break;
            case 6:
                if constexpr (tile >= 6) return few<6>(a);
                break;
            default:
                break;
        }
        many(a);
    }
};

// Products with float weights: one chain along k for each output, of multiply-adds in f32 or, for BF16 where the level
// has them, of dots of pairs of bfloat16. So the bits do not depend on the number of tokens.
//
//   1 row of activations   four groups of rows at once, straight from the pack
//   more                   tiles over a panel of 32 rows that stays in the first cache: F16 (and BF16 without dots)
//                          expanded to f32, other weights where they lie in the pack
template <class V, DType type>
struct FloatMatmul {
    using F = typename V::F;
    static constexpr bool pairs = type == DType::bf16 && requires {
        typename V::Pair;
        V::set_pair;
    };
    static constexpr bool expands = !pairs && type != DType::f32;
    static constexpr int unit_k = type == DType::bf16 ? 2 : 1;  // of a vector of the pack
    static constexpr int unit_bytes = type == DType::f16 ? 32 : 64;
    static constexpr int tile = V::tile_tokens;
    static constexpr int panel_bytes = 24 << 10;                       // beside a tile's activations in the first cache
    using Element = FloatMatmul<V, pairs ? DType::bf16 : DType::f32>;  // whose tiles multiply the panel

    static inline const float* acts(const MatmulArgs& a) noexcept { return pairs ? a.acts.pairs : a.acts.floats; }

    // acc[N][G] += weights of G groups, stride bytes apart, times a tile of N rows, over n vectors. ahead: asks for
    // what comes later, where the hardware does not (V::asks_ahead()).
    template <int N, int G>
    [[gnu::always_inline]] static inline void add(F (&acc)[N][G], const uint8_t* p, size_t stride, int n,
                                                  const float* x, bool ahead = false) noexcept {
        for (int i = 0; i < n; ++i, p += unit_bytes) {
            if (ahead) {
                ELVER_UNROLL
                for (int g = 0; g < G; ++g) V::prefetch(p + static_cast<size_t>(g) * stride + 4096, 1);
            }
            if constexpr (pairs) {
                typename V::Pair w[G];
                ELVER_UNROLL
                for (int g = 0; g < G; ++g) w[g] = V::load_u(p + static_cast<size_t>(g) * stride);
                ELVER_UNROLL
                for (int t = 0; t < N; ++t) {
                    const typename V::Pair v = V::set_pair(x + t);
                    ELVER_UNROLL
                    for (int g = 0; g < G; ++g) acc[t][g] = V::add_pair(acc[t][g], w[g], v);
                }
                x += N;
            } else {
                F w[unit_k][G];
                ELVER_UNROLL
                for (int g = 0; g < G; ++g) unit(p + static_cast<size_t>(g) * stride, [&](int u, F v) { w[u][g] = v; });
                ELVER_UNROLL
                for (int u = 0; u < unit_k; ++u, x += N) {
                    ELVER_UNROLL
                    for (int t = 0; t < N; ++t) {
                        const F v = V::set_f(x[t]);
                        ELVER_UNROLL
                        for (int g = 0; g < G; ++g) acc[t][g] = V::fma(w[u][g], v, acc[t][g]);
                    }
                }
            }
        }
    }

    // The f32 weights of a vector of the pack: put(u, weights) for the u-th k in it.
    template <class Put>
    [[gnu::always_inline]] static inline void unit(const uint8_t* p, const Put& put) noexcept {
        if constexpr (type == DType::f32) {
            put(0, V::load_f(reinterpret_cast<const float*>(p)));
        } else if constexpr (type == DType::f16) {
            put(0, V::load_f16(p));
        } else {
            put(0, V::first_of_pair(p));
            put(1, V::second_of_pair(p));
        }
    }

    template <int G>
    static void one(const MatmulArgs& a, int group, size_t group_bytes) noexcept {
        F acc[1][G];
        ELVER_UNROLL
        for (int g = 0; g < G; ++g) acc[0][g] = V::zero_f();
        add<1, G>(acc, reinterpret_cast<const uint8_t*>(a.pack) + static_cast<size_t>(group) * group_bytes, group_bytes,
                  (a.k + unit_k - 1) / unit_k, acts(a), V::asks_ahead());
        ELVER_UNROLL
        for (int g = 0; g < G; ++g) finish<V>(a, 0, (group + g) * 16, acc[0][g]);
    }

    // What a tile multiplies: G groups from p on, stride bytes apart, n vectors of each.
    struct Panel {
        const uint8_t* p;
        size_t stride;
        int n;
    };

    template <int N, int G>
    static void panel_tile(const Panel& p, const float* x, float* sums) noexcept {
        F acc[N][G];
        ELVER_UNROLL
        for (int t = 0; t < N; ++t) {
            ELVER_UNROLL
            for (int g = 0; g < G; ++g) acc[t][g] = V::load_f(sums + t * 32 + g * 16);
        }
        add<N, G>(acc, p.p, p.stride, p.n, x);
        ELVER_UNROLL
        for (int t = 0; t < N; ++t) {
            ELVER_UNROLL
            for (int g = 0; g < G; ++g) V::store_f(sums + t * 32 + g * 16, acc[t][g]);
        }
    }

    // All rows of activations; x: whose rows take `step` floats each; the panel begins at the first-th of them.
    template <int G>
    [[gnu::noinline]] static void panel_rows(const Panel& p, int n_rows, const float* x, int first, int step,
                                             float* sums) noexcept {
        const ActTiles tiles(n_rows, tile);
        for (int index = 0; index < tiles.count; ++index) {
            const int width = tiles.width_of(index), row = tiles.begin(index);
            const float* at = x + static_cast<size_t>(row) * static_cast<size_t>(step) + first * width;
            float* out = sums + static_cast<size_t>(row) * 32;
            switch (width) {
                case 1:
                    panel_tile<1, G>(p, at, out);
                    break;
                case 2:
                    panel_tile<2, G>(p, at, out);
                    break;
                case 3:
                    panel_tile<3, G>(p, at, out);
                    break;
                case 4:
                    panel_tile<4, G>(p, at, out);
                    break;
                case 5:
                    if constexpr (tile >= 5) panel_tile<5, G>(p, at, out);
                    break;
                case 6:
                    if constexpr (tile >= 6) panel_tile<6, G>(p, at, out);
                    break;
                default:
                    break;
            }
        }
    }

    // Vectors [begin, end) of two groups as f32 at out: [2][k][16]. Asks for what comes after: behind the end of a
    // group that is the group after the next.
    static void expand(const uint8_t* p, size_t group_bytes, size_t stride, int begin, int end, float* out) noexcept {
        for (int g = 0; g < 2; ++g, p += stride) {
            for (int i = begin; i < end; ++i, out += 16 * unit_k) {
                const size_t at = static_cast<size_t>(i) * unit_bytes, next = at + 4096;
                V::prefetch(p + (next < group_bytes ? next : next + group_bytes), 1);
                unit(p + at, [&](int u, F v) { V::store_f(out + 16 * u, v); });
            }
        }
    }

    static void many(const MatmulArgs& a, size_t group_bytes) noexcept {
        constexpr int G = V::float_groups;
        const int n_rows = a.n * a.parts, n_vectors = (a.k + unit_k - 1) / unit_k,
                  step = static_cast<int>(even_k(static_cast<size_t>(a.k))) / (pairs ? 2 : 1);
        // With few tiles a whole panel would be waited for.
        const int most = panel_bytes / (2 * 64 * (expands ? unit_k : 1)) / (n_rows <= 64 && expands ? 3 : 1);
        const int n_parts = (n_vectors + most - 1) / most, part = (n_vectors + n_parts - 1) / n_parts;
        float *const panel = a.scratch, *const sums = a.scratch + panel_bytes / sizeof(float);
        for (int group = a.group_begin; group < a.group_end; group += 2) {
            const int n_groups = a.group_end - group < 2 ? 1 : 2;
            const auto* rows = reinterpret_cast<const uint8_t*>(a.pack) + static_cast<size_t>(group) * group_bytes;
            const size_t stride = n_groups == 2 ? group_bytes : 0;  // the second of one is the first again
            for (size_t i = 0; i < static_cast<size_t>(n_rows) * 32; i += 16) V::store_f(sums + i, V::zero_f());
            for (int begin = 0; begin < n_vectors; begin += part) {
                const int end = begin + part < n_vectors ? begin + part : n_vectors;
                const int first = begin * (pairs ? 1 : unit_k);
                typename Element::Panel p{rows + static_cast<size_t>(begin) * unit_bytes, stride, end - begin};
                if constexpr (expands) {
                    expand(rows, group_bytes, stride, begin, end, panel);
                    p.n *= unit_k;
                    p.p = reinterpret_cast<const uint8_t*>(panel);
                    p.stride = static_cast<size_t>(p.n) * 64;
                }
                for (int g = 0; g < n_groups; g += G, p.p += p.stride * G)
                    Element::template panel_rows<G>(p, n_rows, acts(a), first, step, sums + 16 * g);
            }
            finish_panel<V>(a, group, n_groups, sums);
        }
    }

    static void run(const MatmulArgs& args) noexcept {
        MatmulArgs a = args;
        if constexpr (!pairs) a.parts = 1;
        const size_t group_bytes = static_cast<size_t>((a.k + unit_k - 1) / unit_k) * unit_bytes;
        if (a.n * a.parts > 1) return many(a, group_bytes);
        int group = a.group_begin;
        for (; group + 4 <= a.group_end; group += 4) one<4>(a, group, group_bytes);
        for (; group < a.group_end; ++group) one<1>(a, group, group_bytes);
    }
};

template <class V>
struct MatmulTable {
    using Kernel = void (*)(const MatmulArgs&) noexcept;
    template <DType type>
    static void run(const MatmulArgs& a) noexcept {
        using Kernels = Matmul<V, kernels_of(type)>;
        if constexpr (!Kernels::Fmt::has_grid) {
            Kernels::run(a);
        } else {
            MatmulArgs with_grid = a;
            with_grid.grid = grid_of(type);
            Kernels::run(with_grid);
        }
    }
    static Kernel find_blocks(DType type) noexcept {
        switch (type) {
#define ELVER_FORMAT(type, ...) \
    case DType::type:           \
        return &run<DType::type>;
#include "kernels/formats.inc"
#undef ELVER_FORMAT
            default:
                return nullptr;
        }
    }
    static Kernel find(DType type) noexcept {
        switch (type) {
            case DType::f32:
                return &FloatMatmul<V, DType::f32>::run;
            case DType::f16:
                return &FloatMatmul<V, DType::f16>::run;
            case DType::bf16:
                return &FloatMatmul<V, DType::bf16>::run;
            default:
                return find_blocks(type);
        }
    }
};

}  // namespace elver
