// AVX-512 with VNNI: sixteen rows are one register. Included only by the level files; the unnamed namespace keeps every
// instance inside them.
#pragma once

#include <immintrin.h>

#include <xsimd/xsimd.hpp>

#include "kernels/shared/make_table.hpp"

namespace elver {

namespace {

struct Avx512Vnni {
    using U = __m512i;
    using I = __m512i;
    using F = __m512;
    using Batch = xsimd::batch<float, xsimd::avx512bw>;
    // 6 tokens x 32 rows: 12 integer and 12 float sums, two weights, the rest scales: 32 registers.
    static constexpr int tile_tokens = 6;
    static constexpr int float_groups = 2;
    static constexpr int attention_rows = 12;  // 12 rows x 32 keys: 24 sums
    static bool asks_ahead() noexcept { return __builtin_cpu_is("intel"); }

    static inline U load_u(const uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
    static inline void store_u(uint8_t* p, U v) noexcept { _mm512_storeu_si512(p, v); }
    static inline U and_u(U v, int mask) noexcept {
        return _mm512_and_si512(v, _mm512_set1_epi8(static_cast<char>(mask)));
    }
    static inline U or_u(U a, U b) noexcept { return _mm512_or_si512(a, b); }
    template <int by>
    static inline U srl(U v) noexcept {
        return _mm512_srli_epi16(v, by);
    }
    template <int by>
    static inline U sll(U v) noexcept {
        return _mm512_slli_epi16(v, by);
    }
    template <int value>
    static inline U or_bits(U v, const uint8_t* bits) noexcept {
        __mmask64 mask;
        __builtin_memcpy(&mask, bits, sizeof mask);
        return _mm512_mask_add_epi8(v, mask, v, _mm512_set1_epi8(value));
    }
    static inline U lookup(U index, const int8_t* values) noexcept {
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values))),
                                   index);
    }

    // The sum that subtracts 2^shift from every code: -2^shift * sum.
    template <int shift, bool>
    static inline I start(const int32_t* minus_sum) noexcept {
        if constexpr (shift == 0)
            return _mm512_setzero_si512();
        else
            return _mm512_slli_epi32(_mm512_set1_epi32(*minus_sum), shift);
    }
    template <bool>
    static inline I dot(I acc, U w, const int8_t* a) noexcept {
        int32_t quad;
        __builtin_memcpy(&quad, a, sizeof quad);
        return _mm512_dpbusd_epi32(acc, w, _mm512_set1_epi32(quad));
    }

    static inline F cvt(I v) noexcept { return _mm512_cvtepi32_ps(v); }
    static inline I round(F v) noexcept { return _mm512_cvtps_epi32(v); }
    static inline int32_t sum_i(I v) noexcept { return _mm512_reduce_add_epi32(v); }
    // 32 codes as bytes, and the sums of both halves.
    static inline void store_codes(int8_t* p, I q0, I q1, int32_t& s0, int32_t& s1) noexcept {
        const __m256i codes = _mm256_set_m128i(_mm512_cvtepi32_epi8(q1), _mm512_cvtepi32_epi8(q0));
        _mm256_store_si256(reinterpret_cast<__m256i*>(p), codes);
        __m256i v = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
        v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0x4e));
        v = _mm256_add_epi32(v, _mm256_shuffle_epi32(v, 0xb1));
        s0 = _mm256_cvtsi256_si32(v);
        s1 = _mm_cvtsi128_si32(_mm256_extracti128_si256(v, 1));
    }

    static inline F zero_f() noexcept { return _mm512_setzero_ps(); }
    static inline F set_f(float v) noexcept { return _mm512_set1_ps(v); }
    static inline F load_f(const float* p) noexcept { return _mm512_loadu_ps(p); }
    static inline void store_f(float* p, F v) noexcept { _mm512_storeu_ps(p, v); }
    static inline F load_f16(const void* p) noexcept {
        return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    }
    static inline float f16_1(const void* p) noexcept {
        uint16_t bits;
        __builtin_memcpy(&bits, p, sizeof bits);
        return _cvtsh_ss(bits);
    }
    static inline void store_f16(uint16_t* p, F v) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    // Of sixteen pairs of bfloat16.
    static inline F first_of_pair(const uint8_t* p) noexcept {
        return _mm512_castsi512_ps(_mm512_slli_epi32(load_u(p), 16));
    }
    static inline F second_of_pair(const uint8_t* p) noexcept {
        return _mm512_castsi512_ps(_mm512_and_si512(load_u(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
    }
    static inline F load_bf16(const void* p) noexcept {
        return _mm512_castsi512_ps(
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p))), 16));
    }
    static inline F cvt_i8(const uint8_t* p) noexcept {
        return cvt(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
    }
    static inline F cvt_u8(const uint8_t* p, int shift, int mask) noexcept {
        const I v = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
        return cvt(_mm512_and_si512(_mm512_srl_epi32(v, _mm_cvtsi32_si128(shift)), _mm512_set1_epi32(mask)));
    }
    static inline F add(F a, F b) noexcept { return _mm512_add_ps(a, b); }
    static inline F sub(F a, F b) noexcept { return _mm512_sub_ps(a, b); }
    static inline F mul(F a, F b) noexcept { return _mm512_mul_ps(a, b); }
    static inline F div(F a, F b) noexcept { return _mm512_div_ps(a, b); }
    static inline F fma(F a, F b, F c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static inline F neg(F a) noexcept { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
    static inline F abs(F a) noexcept { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
    static inline F max(F a, F b) noexcept { return _mm512_max_ps(a, b); }
    static inline F min(F a, F b) noexcept { return _mm512_min_ps(a, b); }
    static inline float sum_f(F v) noexcept { return _mm512_reduce_add_ps(v); }
    // Both at once: the halves of a beside those of b, which then fold alike.
    static inline void sum_two(F a, F b, float& sum_a, float& sum_b) noexcept {
        F v = add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
        v = add(v, _mm512_shuffle_f32x4(v, v, 0xb1));
        v = add(v, _mm512_permute_ps(v, 0x4e));
        v = add(v, _mm512_permute_ps(v, 0xb1));
        sum_a = _mm512_cvtss_f32(v);
        sum_b = _mm_cvtss_f32(_mm512_extractf32x4_ps(v, 2));
    }
    static inline float max_f(F v) noexcept { return _mm512_reduce_max_ps(v); }
    // e^x = 2^n e^r with |r| <= ln(2) / 2, by the Taylor polynomial of degree 7: within 1.3 units in the last place.
    // Beyond the bounds the result is 0 or infinity; NaN stays.
    static inline F exp(F v) noexcept {
        const F x = _mm512_max_ps(set_f(-120.0f), _mm512_min_ps(set_f(120.0f), v));
        const F n = _mm512_roundscale_ps(mul(x, set_f(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const F r = fma(n, set_f(2.12194440e-4f), fma(n, set_f(-0.693359375f), x));  // ln(2), minus, in two parts
        F p = set_f(1.0f / 5040.0f);
        p = fma(p, r, set_f(1.0f / 720.0f));
        p = fma(p, r, set_f(1.0f / 120.0f));
        p = fma(p, r, set_f(1.0f / 24.0f));
        p = fma(p, r, set_f(1.0f / 6.0f));
        p = fma(p, r, set_f(0.5f));
        p = fma(p, r, set_f(1.0f));
        p = fma(p, r, set_f(1.0f));
        return _mm512_scalef_ps(p, n);
    }
    // x * 2^n for whole n, where the result is a normal number.
    static inline F times_2_to(F x, F n) noexcept { return _mm512_scalef_ps(x, n); }
    static inline F tanh(F v) noexcept { return xsimd::tanh(Batch(v)); }
    static inline F erf(F v) noexcept { return xsimd::erf(Batch(v)); }
    static inline float exp_1(float v) noexcept { return _mm512_cvtss_f32(exp(set_f(v))); }
    // Into L2.
    [[gnu::always_inline]] static inline void prefetch(const uint8_t* p, int n_bytes) noexcept {
        ELVER_UNROLL
        for (int i = 0; i < n_bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T1);
    }
};

}  // namespace

}  // namespace elver
