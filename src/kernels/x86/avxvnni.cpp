// AVX-VNNI: the byte dot product of AVX-512 in 256-bit registers, on processors without AVX-512.
#include "kernels/x86/avx2.hpp"

namespace elver {

namespace {

struct VnniDot {
    static constexpr bool signed_when_wide = false;
    template <bool>
    static inline __m256i dot(__m256i acc, __m256i w, __m256i a) noexcept {
        return _mm256_dpbusd_avx_epi32(acc, w, a);
    }
};

struct AvxVnni : Avx2Base<VnniDot> {
    static constexpr int panel_groups = 1;  // sums of two groups do not fit the sixteen registers
};

}  // namespace

extern const KernelTable table_avx2, table_avxvnni;
constinit const KernelTable table_avxvnni = make_table_above<AvxVnni, table_avx2>("avxvnni");

}  // namespace elver
