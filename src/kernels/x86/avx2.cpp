// AVX2 without VNNI: a dot of bytes goes through 16-bit pairs.
#include "kernels/x86/avx2.hpp"

namespace elver {

namespace {

struct PairDot {
    // Pairs of a code up to 63 and an activation stay below 2^15. Codes up to 255 do not: they become signed, their
    // size multiplied with the activation of the same sign, 128 * 127 * 2 < 2^15; the offset of 128 is then part of the
    // code.
    static constexpr bool signed_when_wide = true;
    template <bool wide>
    static inline __m256i dot(__m256i acc, __m256i w, __m256i a) noexcept {
        __m256i pairs;
        if constexpr (wide) {
            const __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
            pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(s), _mm256_sign_epi8(a, s));
        } else {
            pairs = _mm256_maddubs_epi16(w, a);
        }
        return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
};

using Avx2 = Avx2Base<PairDot>;

}  // namespace

extern const KernelTable table_avx2;
constinit const KernelTable table_avx2 = make_table<Avx2>("avx2");

}  // namespace elver
