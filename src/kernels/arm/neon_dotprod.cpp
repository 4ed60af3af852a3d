// NEON with the dot product of bytes (SDOT, FEAT_DotProd): four k of four rows an instruction.
#include "kernels/arm/neon.hpp"

namespace elver {

namespace {

struct SignedDot {
    // Codes up to 127 are the same signed. Codes up to 255 become signed; the offset of 128 is then part of the code.
    static constexpr bool signed_when_wide = true;
    template <bool wide>
    static inline int32x4_t dot(int32x4_t acc, uint8x16_t w, int8x16_t a) noexcept {
        if constexpr (wide) w = veorq_u8(w, vdupq_n_u8(0x80));
        return vdotq_s32(acc, vreinterpretq_s8_u8(w), a);
    }
};

using NeonDotprod = NeonBase<SignedDot>;

}  // namespace

extern const KernelTable table_neon_dotprod;
constinit const KernelTable table_neon_dotprod = make_table<NeonDotprod>("neon_dotprod");

}  // namespace elver
