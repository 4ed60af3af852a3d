// AVX-512 with VNNI and bfloat16: attention over a cache of 16-bit numbers multiplies pairs of bfloat16.
#include "kernels/x86/avx512.hpp"

namespace elver {

namespace {

struct Avx512Bf16 : Avx512Vnni {
    using Pair = __m512i;

    // Lane i: first[i] in the low half, second[i] in the high one, rounded to nearest even.
    static inline Pair join_pair(F first, F second) noexcept {
        alignas(64) static constexpr uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                           21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                           11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
        return _mm512_permutexvar_epi16(_mm512_load_si512(order), (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    static inline Pair set_pair(const float* p) noexcept {
        int32_t both;
        __builtin_memcpy(&both, p, sizeof both);
        return _mm512_set1_epi32(both);
    }
    static inline F add_pair(F acc, Pair a, Pair b) noexcept { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
    // Sixteen values as bfloat16, one behind the other.
    static inline void store_halves(float* p, F v) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
    }
};

}  // namespace

extern const KernelTable table_avx512vnni, table_avx512bf16;

namespace {

void attention(const AttentionArgs& a) noexcept {
    (a.shape.type == CacheType::f16 && !a.exact ? &Attention<Avx512Bf16>::run_f16 : table_avx512vnni.attention)(a);
}

constexpr KernelTable table() {
    KernelTable made = inherit_table<Avx512Bf16, table_avx512vnni>("avx512bf16");
    made.attention = &attention;
    return made;
}

}  // namespace

constinit const KernelTable table_avx512bf16 = table();

}  // namespace elver
