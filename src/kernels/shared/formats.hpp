// How each packed format becomes unsigned bytes and f32 scales in registers. V is a level's vector policy: V::U is 64
// bytes (16 rows x 4 k), V::F and V::I are 16 rows of f32 and i32. Layouts: quant/pack.hpp.
#pragma once

#include "kernels/args.hpp"
#include "tensor/dtype.hpp"

namespace elver {

template <DType type>
struct FormatRow;  // the constants of formats.inc
#define ELVER_FORMAT(type, block_, sub_, chunk_k_, offset_shift_, has_min_, wide_)                         \
    template <>                                                                                            \
    struct FormatRow<DType::type> {                                                                        \
        static constexpr int block = block_, sub = sub_, chunk_k = chunk_k_, offset_shift = offset_shift_; \
        static constexpr bool has_min = has_min_, wide = wide_;                                            \
    };
#include "kernels/formats.inc"
#undef ELVER_FORMAT

template <class V>
struct Codes {
    using U = typename V::U;

    // Four-bit codes of 32 k at p (256 bytes).
    [[gnu::always_inline]] static inline void nibbles(const uint8_t* p, U out[8]) noexcept {
        ELVER_UNROLL
        for (int j = 0; j < 4; ++j) {
            const U v = V::load_u(p + 64 * j);
            out[j] = V::and_u(v, 0x0f);
            out[j + 4] = V::and_u(V::template srl<4>(v), 0x0f);
        }
    }
    // Adds bits from a 1-bit plane at p (64 bytes) as `value`.
    template <int value>
    [[gnu::always_inline]] static inline void add_bits(const uint8_t* p, U out[8]) noexcept {
        ELVER_UNROLL
        for (int j = 0; j < 8; ++j) out[j] = V::template or_bits<value>(out[j], p + 8 * j);
    }
    // The 2-bit fields of 32-block `half` (0 or 1) of 64 k at p (256 bytes), shifted left by `up`.
    template <int up>
    [[gnu::always_inline]] static inline void pairs(const uint8_t* p, int half, U out[8]) noexcept {
        constexpr int mask = 3 << up;
        ELVER_UNROLL
        for (int j = 0; j < 4; ++j) {
            const U v = V::load_u(p + 64 * j);
            if (half == 0) {
                out[j] = V::and_u(shift<up>(v), mask);
                out[j + 4] = V::and_u(shift<up - 2>(v), mask);
            } else {
                out[j] = V::and_u(shift<up - 4>(v), mask);
                out[j + 4] = V::and_u(shift<up - 6>(v), mask);
            }
        }
    }
    [[gnu::always_inline]] static inline void codebook(const int8_t* values, U out[8]) noexcept {
        ELVER_UNROLL
        for (int j = 0; j < 8; ++j) out[j] = V::lookup(out[j], values);
    }

  private:
    template <int by>
    static inline U shift(U v) noexcept {
        if constexpr (by > 0)
            return V::template sll<by>(v);
        else if constexpr (by < 0)
            return V::template srl<-by>(v);
        else
            return v;
    }
};

// Value + 128 of each index, as in quant/blocks.hpp.
inline constexpr int8_t iq4_codes[16] = {1,           24,          45,          63,          79,          93,
                                         106,         118,         int8_t(129), int8_t(141), int8_t(153), int8_t(166),
                                         int8_t(181), int8_t(197), int8_t(217), int8_t(241)};
inline constexpr int8_t mxfp4_codes[16] = {int8_t(128), int8_t(129), int8_t(130), int8_t(131), int8_t(132), int8_t(134),
                                           int8_t(136), int8_t(140), int8_t(128), 127,         126,         125,
                                           124,         122,         120,         116};

// Value + 64 of each index of the formats below three bits, as in quant/grid_blocks.hpp, and what their scales are
// multiplied with: levels stand for halves, quarters or eighths.
static constexpr int8_t iq1_codes[16] = {55, 57, 63, 65, 71, 73};
static constexpr int8_t iq2_codes[16] = {21, 39, 56, 72, 89, 107};
static constexpr int8_t iq3_s_codes[16] = {49, 51, 53, 55, 57, 59, 61, 63, 65, 67, 69, 71, 73, 75, 77, 79};
static constexpr int8_t iq3_xxs_codes[16] = {2, 12, 20, 28, 36, 44, 52, 60, 68, 76, 84, 92, 100, 108, 116, 126};
static constexpr Grid grid_of(DType type) noexcept {
    switch (type) {
        case DType::iq2_xxs:
        case DType::iq2_xs:
        case DType::iq2_s:
            return {iq2_codes, 0.125f};
        case DType::iq3_xxs:
            return {iq3_xxs_codes, 0.25f};
        case DType::iq3_s:
            return {iq3_s_codes, 1.0f};
        case DType::iq1_s:
        case DType::iq1_m:
            return {iq1_codes, 0.125f};
        default:
            return {nullptr, 1.0f};
    }
}

// The format whose kernels a format runs: packed, those below three bits differ only in their grids, which kernels are
// given, and the ternary ones in nothing.
constexpr DType kernels_of(DType type) noexcept {
    switch (type) {
        case DType::iq1_s:
        case DType::iq3_xxs:
        case DType::iq3_s:
            return DType::iq2_xxs;
        case DType::iq1_m:
        case DType::iq2_s:
            return DType::iq2_xs;
        case DType::tq1_0:
            return DType::tq2_0;
        default:
            return type;
    }
}

// codes(chunk, b): 32-block b of a chunk as eight quads. scale(chunk, s), min(chunk, s): of sub-block s of the chunk,
// 16 rows; the min is what is added per unit of dsum.
template <class V, DType type>
struct Format : FormatRow<type> {
    using U = typename V::U;
    using F = typename V::F;
    using Row = FormatRow<type>;
    static constexpr bool k_quant = Row::block == 256;
    static constexpr bool two_halves = type == DType::q4_1 || type == DType::q5_1;
    static constexpr bool ternary = type == DType::tq1_0 || type == DType::tq2_0;
    static constexpr bool has_grid = grid_of(type).codes != nullptr;
    // Codebook formats have no mins: d, padded, and a byte for each sub-block of each row.
    static constexpr int scale_bytes = has_grid || type == DType::iq4_xs ? 64 + 16 * (256 / Row::sub)
                                       : ternary                         ? 64
                                       : k_quant                         ? 320
                                       : two_halves                      ? 128
                                                                         : 64;
    static constexpr int code_bits = type == DType::q8_0                                       ? 8
                                     : (type == DType::q2_k || type == DType::q3_k || ternary) ? 2
                                                                                               : 4;
    static constexpr int plane_bits =
        type == DType::q6_k                                                                          ? 2
        : (type == DType::q5_0 || type == DType::q5_1 || type == DType::q5_k || type == DType::q3_k) ? 1
                                                                                                     : 0;
    static constexpr int chunk_bytes = scale_bytes + Row::chunk_k * 2 * (code_bits + plane_bits);

    [[gnu::always_inline]] static inline void codes(const uint8_t* chunk, int b, Grid grid, U out[8]) noexcept {
        const uint8_t* plane = chunk + scale_bytes + b / 2 * 128 * (code_bits + plane_bits);
        const uint8_t* p = plane + 128 * plane_bits;
        const int half = b % 2;
        U high[8];
        if constexpr (plane_bits == 2) Codes<V>::template pairs<4>(plane, half, high);
        if constexpr (code_bits == 8) {
            ELVER_UNROLL
            for (int j = 0; j < 8; ++j) out[j] = V::load_u(p + 512 * half + 64 * j);
        } else if constexpr (code_bits == 4) {
            Codes<V>::nibbles(p + 256 * half, out);
        } else {
            Codes<V>::template pairs<0>(p, half, out);
        }
        if constexpr (plane_bits == 2) {
            ELVER_UNROLL
            for (int j = 0; j < 8; ++j) out[j] = V::or_u(out[j], high[j]);
        } else if constexpr (plane_bits == 1) {
            Codes<V>::template add_bits<1 << code_bits>(plane + 64 * half, out);
        }
        if constexpr (type == DType::iq4_nl || type == DType::iq4_xs) Codes<V>::codebook(iq4_codes, out);
        if constexpr (type == DType::mxfp4) Codes<V>::codebook(mxfp4_codes, out);
        if constexpr (has_grid) Codes<V>::codebook(grid.codes, out);
    }

    [[gnu::always_inline]] static inline F scale(const uint8_t* chunk, int s, Grid grid) noexcept {
        if constexpr (type == DType::mxfp4)
            return V::load_bf16(chunk + 32 * s);
        else if constexpr (!k_quant)
            return V::load_f16(chunk + 32 * s);
        else {
            F d = V::load_f16(chunk);
            if constexpr (has_grid) d = V::mul(d, V::set_f(grid.unit));
            if constexpr (ternary)
                return d;
            else if constexpr (type == DType::q2_k)
                return V::mul(d, V::cvt_u8(chunk + 64 + 16 * s, 0, 15));
            else
                return V::mul(
                    d, V::cvt_i8(chunk + 64 + 16 * s));  // q4_k and q5_k scales are below 64: signed reads them too
        }
    }

    [[gnu::always_inline]] static inline F min(const uint8_t* chunk, int s) noexcept {
        if constexpr (two_halves)
            return V::load_f16(chunk + 64 + 32 * s);
        else if constexpr (ternary)
            return V::neg(V::load_f16(chunk));  // codes 0 to 2 are -1 to 1
        else {
            const F d = V::neg(V::load_f16(chunk + 32));
            if constexpr (type == DType::q2_k)
                return V::mul(d, V::cvt_u8(chunk + 64 + 16 * s, 4, 15));
            else
                return V::mul(d, V::cvt_i8(chunk + 64 + 128 + 16 * s));
        }
    }
};

}  // namespace elver
