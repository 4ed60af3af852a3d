// AVX2: sixteen rows are two registers. What AVX2 and AVX-VNNI share; they differ in the dot product of bytes. Included
// only by the two level files; the unnamed namespace keeps every instance inside them.
#pragma once

#include <immintrin.h>

#include <xsimd/xsimd.hpp>

#include "kernels/shared/make_table.hpp"

namespace elver {

namespace {

template <class Dot>
struct Avx2Base {
    struct U {
        __m256i lo, hi;
    };
    struct I {
        __m256i lo, hi;
    };
    struct F {
        __m256 lo, hi;
    };
    using Batch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
    // 2 tokens x 32 rows would fill the sixteen registers; tiles of 4 keep activations close and weights in the first
    // cache.
    static constexpr int tile_tokens = 4;
    static constexpr int float_groups = 1;
    static bool asks_ahead() noexcept { return __builtin_cpu_is("intel"); }

    static inline __m256i load(const void* p) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
    static inline U load_u(const uint8_t* p) noexcept { return {load(p), load(p + 32)}; }
    static inline void store_u(uint8_t* p, U v) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lo);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), v.hi);
    }
    static inline U and_u(U v, int mask) noexcept {
        const __m256i m = _mm256_set1_epi8(static_cast<char>(mask));
        return {_mm256_and_si256(v.lo, m), _mm256_and_si256(v.hi, m)};
    }
    static inline U or_u(U a, U b) noexcept { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
    template <int by>
    static inline U srl(U v) noexcept {
        return {_mm256_srli_epi16(v.lo, by), _mm256_srli_epi16(v.hi, by)};
    }
    template <int by>
    static inline U sll(U v) noexcept {
        return {_mm256_slli_epi16(v.lo, by), _mm256_slli_epi16(v.hi, by)};
    }
    // Byte i of the result is bit i of the 32 at p, as value.
    static inline __m256i spread_bits(const uint8_t* p, int value) noexcept {
        int32_t bits;
        __builtin_memcpy(&bits, p, sizeof bits);
        const __m256i select = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
                                                3, 3, 3, 3, 3, 3, 3, 3);
        const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
        const __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), select), bit);
        return _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(static_cast<char>(value)));
    }
    template <int value>
    static inline U or_bits(U v, const uint8_t* bits) noexcept {
        return or_u(v, {spread_bits(bits, value), spread_bits(bits + 4, value)});
    }
    static inline U lookup(U index, const int8_t* values) noexcept {
        const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
        return {_mm256_shuffle_epi8(t, index.lo), _mm256_shuffle_epi8(t, index.hi)};
    }

    template <int shift, bool wide>
    static inline I start(const int32_t* minus_sum) noexcept {
        if constexpr (shift == 0 || (wide && Dot::signed_when_wide))
            return {_mm256_setzero_si256(), _mm256_setzero_si256()};
        const __m256i v = _mm256_slli_epi32(_mm256_set1_epi32(*minus_sum), shift);
        return {v, v};
    }
    template <bool wide>
    static inline I dot(I acc, U w, const int8_t* a) noexcept {
        int32_t bytes;
        __builtin_memcpy(&bytes, a, sizeof bytes);
        const __m256i quad = _mm256_set1_epi32(bytes);
        return {Dot::template dot<wide>(acc.lo, w.lo, quad), Dot::template dot<wide>(acc.hi, w.hi, quad)};
    }

    static inline F cvt(I v) noexcept { return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)}; }
    static inline I round(F v) noexcept { return {_mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi)}; }
    static inline void store_i8(int8_t* p, I v) noexcept {
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(v.lo, v.hi), 0xd8);
        const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    }
    static inline int32_t sum_i(I v) noexcept {
        const __m256i s = _mm256_add_epi32(v.lo, v.hi);
        __m128i q = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
        q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
    }

    static inline F zero_f() noexcept { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static inline F set_f(float v) noexcept { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
    static inline F load_f(const float* p) noexcept { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static inline void store_f(float* p, F v) noexcept {
        _mm256_storeu_ps(p, v.lo);
        _mm256_storeu_ps(p + 8, v.hi);
    }
    static inline F load_f16(const void* p) noexcept {
        const auto* q = static_cast<const __m128i*>(p);
        return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
    }
    static inline float f16_1(const void* p) noexcept {
        uint16_t bits;
        __builtin_memcpy(&bits, p, sizeof bits);
        return _cvtsh_ss(bits);
    }
    static inline void store_f16(uint16_t* p, F v) noexcept {
        auto* q = reinterpret_cast<__m128i*>(p);
        _mm_storeu_si128(q, _mm256_cvtps_ph(v.lo, _MM_FROUND_TO_NEAREST_INT));
        _mm_storeu_si128(q + 1, _mm256_cvtps_ph(v.hi, _MM_FROUND_TO_NEAREST_INT));
    }
    // Of sixteen pairs of bfloat16.
    static inline F first_of_pair(const uint8_t* p) noexcept {
        const U v = load_u(p);
        return {_mm256_castsi256_ps(_mm256_slli_epi32(v.lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(v.hi, 16))};
    }
    static inline F second_of_pair(const uint8_t* p) noexcept {
        const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
        const U v = load_u(p);
        return {_mm256_castsi256_ps(_mm256_and_si256(v.lo, mask)), _mm256_castsi256_ps(_mm256_and_si256(v.hi, mask))};
    }
    static inline F load_bf16(const void* p) noexcept {
        const __m256i v = load(p);
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)), 16))};
    }
    static inline F cvt_i8(const uint8_t* p) noexcept {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return cvt({_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8))});
    }
    static inline F cvt_u8(const uint8_t* p, int shift, int mask) noexcept {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), by = _mm_cvtsi32_si128(shift);
        const __m256i m = _mm256_set1_epi32(mask);
        return cvt({_mm256_and_si256(_mm256_srl_epi32(_mm256_cvtepu8_epi32(v), by), m),
                    _mm256_and_si256(_mm256_srl_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)), by), m)});
    }
    static inline F add(F a, F b) noexcept { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
    static inline F sub(F a, F b) noexcept { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
    static inline F mul(F a, F b) noexcept { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
    static inline F div(F a, F b) noexcept { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
    static inline F fma(F a, F b, F c) noexcept {
        return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
    }
    static inline F neg(F a) noexcept {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        return {_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
    }
    static inline F abs(F a) noexcept {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
    }
    // x * 2^n for whole n, where the result is a normal number.
    static inline __m256 times_2_to(__m256 x, __m256 n) noexcept {
        return _mm256_castsi256_ps(
            _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
    }
    static inline F times_2_to(F x, F n) noexcept { return {times_2_to(x.lo, n.lo), times_2_to(x.hi, n.hi)}; }
    static inline F max(F a, F b) noexcept { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
    static inline F min(F a, F b) noexcept { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
    static inline float sum_f(F v) noexcept {
        const __m256 s = _mm256_add_ps(v.lo, v.hi);
        __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
        q = _mm_add_ps(q, _mm_movehl_ps(q, q));
        return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
    }
    static inline float max_f(F v) noexcept {
        const __m256 s = _mm256_max_ps(v.lo, v.hi);
        __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
        q = _mm_max_ps(q, _mm_movehl_ps(q, q));
        return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
    }
    static inline F exp(F v) noexcept { return {xsimd::exp(Batch(v.lo)), xsimd::exp(Batch(v.hi))}; }
    static inline F tanh(F v) noexcept { return {xsimd::tanh(Batch(v.lo)), xsimd::tanh(Batch(v.hi))}; }
    static inline F erf(F v) noexcept { return {xsimd::erf(Batch(v.lo)), xsimd::erf(Batch(v.hi))}; }
    static inline float exp_1(float v) noexcept { return _mm256_cvtss_f32(xsimd::exp(Batch(_mm256_set1_ps(v)))); }
    // Into L2.
    [[gnu::always_inline]] static inline void prefetch(const uint8_t* p, int n_bytes) noexcept {
        ELVER_UNROLL
        for (int i = 0; i < n_bytes; i += 64) _mm_prefetch(reinterpret_cast<const char*>(p + i), _MM_HINT_T1);
    }
};

}  // namespace

}  // namespace elver
