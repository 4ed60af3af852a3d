// NEON on 64-bit Arm: sixteen rows are four registers. What the dot-product and matrix-product levels share; they
// differ in the products of bytes. Included only by the two level files; the unnamed namespace keeps every instance
// inside them.
#pragma once

#include <arm_neon.h>

#include <xsimd/xsimd.hpp>

#include "kernels/shared/make_table.hpp"

namespace elver {

namespace {

template <class Dot>
struct NeonBase {
    struct U {
        uint8x16_t a, b, c, d;
    };
    struct I {
        int32x4_t a, b, c, d;
    };
    struct F {
        float32x4_t a, b, c, d;
    };
    using Batch = xsimd::batch<float, xsimd::neon64>;
    // 4 tokens x 16 rows of integer sums are half of the 32 registers.
    static constexpr int tile_tokens = 4;
    static constexpr int panel_groups = 1;
    static constexpr int float_groups = 1;
    static bool asks_ahead() noexcept { return false; }

    template <class V, class Op>
    static inline V zip(V x, V y, Op op) noexcept {
        return {op(x.a, y.a), op(x.b, y.b), op(x.c, y.c), op(x.d, y.d)};
    }

    static inline U load_u(const uint8_t* p) noexcept {
        return {vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)};
    }
    static inline void store_u(uint8_t* p, U v) noexcept {
        vst1q_u8(p, v.a), vst1q_u8(p + 16, v.b), vst1q_u8(p + 32, v.c), vst1q_u8(p + 48, v.d);
    }
    static inline U and_u(U v, int mask) noexcept {
        const uint8x16_t m = vdupq_n_u8(static_cast<uint8_t>(mask));
        return {vandq_u8(v.a, m), vandq_u8(v.b, m), vandq_u8(v.c, m), vandq_u8(v.d, m)};
    }
    static inline U or_u(U x, U y) noexcept {
        return {vorrq_u8(x.a, y.a), vorrq_u8(x.b, y.b), vorrq_u8(x.c, y.c), vorrq_u8(x.d, y.d)};
    }
    template <int by>
    static inline U srl(U v) noexcept {
        return {vshrq_n_u8(v.a, by), vshrq_n_u8(v.b, by), vshrq_n_u8(v.c, by), vshrq_n_u8(v.d, by)};
    }
    template <int by>
    static inline U sll(U v) noexcept {
        return {vshlq_n_u8(v.a, by), vshlq_n_u8(v.b, by), vshlq_n_u8(v.c, by), vshlq_n_u8(v.d, by)};
    }
    // Byte i of the result is bit i of the 64 at bits, as value, over v.
    template <int value>
    static inline U or_bits(U v, const uint8_t* bits) noexcept {
        const uint8x16_t each = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
        const uint8x16_t as = vdupq_n_u8(value);
        const auto spread = [&](uint8x16_t x, int at) {
            const uint8x16_t both = vcombine_u8(vdup_n_u8(bits[at]), vdup_n_u8(bits[at + 1]));
            return vorrq_u8(x, vandq_u8(vtstq_u8(both, each), as));
        };
        return {spread(v.a, 0), spread(v.b, 2), spread(v.c, 4), spread(v.d, 6)};
    }
    static inline U lookup(U index, const int8_t* values) noexcept {
        const uint8x16_t t = vreinterpretq_u8_s8(vld1q_s8(values));
        return {vqtbl1q_u8(t, index.a), vqtbl1q_u8(t, index.b), vqtbl1q_u8(t, index.c), vqtbl1q_u8(t, index.d)};
    }

    template <int shift, bool wide>
    static inline I start(const int32_t* minus_sum) noexcept {
        const int32x4_t v =
            shift == 0 || (wide && Dot::signed_when_wide) ? vdupq_n_s32(0) : vdupq_n_s32(*minus_sum * (1 << shift));
        return {v, v, v, v};
    }
    template <bool wide>
    static inline I dot(I acc, U w, const int8_t* a) noexcept {
        int32_t bytes;
        __builtin_memcpy(&bytes, a, sizeof bytes);
        const int8x16_t quad = vreinterpretq_s8_s32(vdupq_n_s32(bytes));
        return {Dot::template dot<wide>(acc.a, w.a, quad), Dot::template dot<wide>(acc.b, w.b, quad),
                Dot::template dot<wide>(acc.c, w.c, quad), Dot::template dot<wide>(acc.d, w.d, quad)};
    }

    static inline F cvt(I v) noexcept {
        return {vcvtq_f32_s32(v.a), vcvtq_f32_s32(v.b), vcvtq_f32_s32(v.c), vcvtq_f32_s32(v.d)};
    }
    static inline I round(F v) noexcept {
        return {vcvtnq_s32_f32(v.a), vcvtnq_s32_f32(v.b), vcvtnq_s32_f32(v.c), vcvtnq_s32_f32(v.d)};
    }
    static inline void store_i8(int8_t* p, I v) noexcept {
        const int16x8_t low = vcombine_s16(vqmovn_s32(v.a), vqmovn_s32(v.b));
        const int16x8_t high = vcombine_s16(vqmovn_s32(v.c), vqmovn_s32(v.d));
        vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
    }
    static inline int32_t sum_i(I v) noexcept {
        return vaddvq_s32(vaddq_s32(vaddq_s32(v.a, v.b), vaddq_s32(v.c, v.d)));
    }

    static inline F set_f(float x) noexcept {
        const float32x4_t v = vdupq_n_f32(x);
        return {v, v, v, v};
    }
    static inline F zero_f() noexcept { return set_f(0.0f); }
    static inline F load_f(const float* p) noexcept {
        return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
    }
    static inline void store_f(float* p, F v) noexcept {
        vst1q_f32(p, v.a), vst1q_f32(p + 4, v.b), vst1q_f32(p + 8, v.c), vst1q_f32(p + 12, v.d);
    }
    static inline F load_f16(const void* p) noexcept {
        const auto* bytes = static_cast<const uint8_t*>(p);
        const float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(bytes)),
                          high = vreinterpretq_f16_u8(vld1q_u8(bytes + 16));
        return {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                vcvt_high_f32_f16(high)};
    }
    static inline float f16_1(const void* p) noexcept {
        __fp16 half;
        __builtin_memcpy(&half, p, sizeof half);
        return static_cast<float>(half);
    }
    static inline void store_f16(uint16_t* p, F v) noexcept {
        vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(v.a), v.b)));
        vst1q_u16(p + 8, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(v.c), v.d)));
    }
    // Of sixteen pairs of bfloat16.
    static inline F first_of_pair(const uint8_t* p) noexcept {
        const U v = load_u(p);
        const auto first = [](uint8x16_t x) { return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(x), 16)); };
        return {first(v.a), first(v.b), first(v.c), first(v.d)};
    }
    static inline F second_of_pair(const uint8_t* p) noexcept {
        const U v = load_u(p);
        const auto second = [](uint8x16_t x) {
            return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(x), vdupq_n_u32(0xffff0000u)));
        };
        return {second(v.a), second(v.b), second(v.c), second(v.d)};
    }
    static inline F load_bf16(const void* p) noexcept {
        const auto* bytes = static_cast<const uint8_t*>(p);
        const uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(bytes)), high = vreinterpretq_u16_u8(vld1q_u8(bytes + 16));
        const auto widen = [](uint16x4_t v) { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); };
        return {widen(vget_low_u16(low)), widen(vget_high_u16(low)), widen(vget_low_u16(high)),
                widen(vget_high_u16(high))};
    }
    static inline F cvt_i8(const uint8_t* p) noexcept {
        const int8x16_t v = vreinterpretq_s8_u8(vld1q_u8(p));
        const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_high_s8(v);
        return cvt(
            {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)});
    }
    static inline F cvt_u8(const uint8_t* p, int shift, int mask) noexcept {
        const uint8x16_t shifted = vshlq_u8(vld1q_u8(p), vdupq_n_s8(static_cast<int8_t>(-shift)));
        const uint8x16_t v = vandq_u8(shifted, vdupq_n_u8(static_cast<uint8_t>(mask)));
        const uint16x8_t low = vmovl_u8(vget_low_u8(v)), high = vmovl_high_u8(v);
        return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))};
    }
    static inline F add(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vaddq_f32(p, q); });
    }
    static inline F sub(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vsubq_f32(p, q); });
    }
    static inline F mul(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vmulq_f32(p, q); });
    }
    static inline F div(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vdivq_f32(p, q); });
    }
    static inline F fma(F x, F y, F z) noexcept {
        return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d)};
    }
    // x * 2^n for whole n, where the result is a normal number.
    static inline F times_2_to(F x, F n) noexcept {
        return zip(x, n, [](float32x4_t p, float32x4_t q) {
            return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vcvtq_s32_f32(q), 23)));
        });
    }
    static inline F neg(F v) noexcept { return {vnegq_f32(v.a), vnegq_f32(v.b), vnegq_f32(v.c), vnegq_f32(v.d)}; }
    static inline F abs(F v) noexcept { return {vabsq_f32(v.a), vabsq_f32(v.b), vabsq_f32(v.c), vabsq_f32(v.d)}; }
    static inline F max(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vmaxq_f32(p, q); });
    }
    static inline F min(F x, F y) noexcept {
        return zip(x, y, [](float32x4_t p, float32x4_t q) { return vminq_f32(p, q); });
    }
    static inline float sum_f(F v) noexcept { return vaddvq_f32(vaddq_f32(vaddq_f32(v.a, v.b), vaddq_f32(v.c, v.d))); }
    static inline float max_f(F v) noexcept { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(v.a, v.b), vmaxq_f32(v.c, v.d))); }
    static inline F exp(F v) noexcept {
        return {xsimd::exp(Batch(v.a)), xsimd::exp(Batch(v.b)), xsimd::exp(Batch(v.c)), xsimd::exp(Batch(v.d))};
    }
    static inline F tanh(F v) noexcept {
        return {xsimd::tanh(Batch(v.a)), xsimd::tanh(Batch(v.b)), xsimd::tanh(Batch(v.c)), xsimd::tanh(Batch(v.d))};
    }
    static inline F erf(F v) noexcept {
        return {xsimd::erf(Batch(v.a)), xsimd::erf(Batch(v.b)), xsimd::erf(Batch(v.c)), xsimd::erf(Batch(v.d))};
    }
    static inline float exp_1(float v) noexcept {
        const float32x4_t e = xsimd::exp(Batch(vdupq_n_f32(v)));
        return vgetq_lane_f32(e, 0);
    }
    static inline void prefetch(const uint8_t* p, int n_bytes) noexcept {
        for (int i = 0; i < n_bytes; i += 64) __builtin_prefetch(p + i);
    }
};

}  // namespace

}  // namespace elver
