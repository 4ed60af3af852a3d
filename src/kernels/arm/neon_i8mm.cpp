// NEON with the matrix product of bytes (USMMLA and USDOT, FEAT_I8MM): two rows x two tokens x eight k an instruction,
// twice the work of a dot product. One token alone uses dot products.
#include "kernels/arm/neon.hpp"

namespace elver {

namespace {

struct MixedDot {
    static constexpr bool signed_when_wide = false;
    template <bool>
    static inline int32x4_t dot(int32x4_t acc, uint8x16_t w, int8x16_t a) noexcept {
        return vusdotq_s32(acc, w, a);
    }
};

struct NeonI8mm : NeonBase<MixedDot> {
    // Sums of two tokens: a register is [row][token] of two rows; eight registers, rows in order.
    struct Pair {
        I low, high;
    };
    static inline Pair zero_pair() noexcept {
        const int32x4_t zero = vdupq_n_s32(0);
        return {{zero, zero, zero, zero}, {zero, zero, zero, zero}};
    }

    // From two quads, 16 rows x 4 k each, to 16 rows x 8 k: rows 0 .. 7 in the first, 8 .. 15 in the second.
    static inline void join_quads(U& first, U& second) noexcept {
        const U x = first, y = second;
        first = {low(x.a, y.a), high(x.a, y.a), low(x.b, y.b), high(x.b, y.b)};
        second = {low(x.c, y.c), high(x.c, y.c), low(x.d, y.d), high(x.d, y.d)};
    }

    // w0, w1: joined quads. a: the tokens' bytes of the first quad; the second's are step bytes on. With one token the
    // other's sums are zero.
    template <bool two_tokens>
    static inline Pair dot_pair(Pair acc, U w0, U w1, const int8_t* a, int step) noexcept {
        const int32x2_t first = tokens<two_tokens>(a), second = tokens<two_tokens>(a + step);
        const int8x16_t q = vreinterpretq_s8_s32(vcombine_s32(vzip1_s32(first, second), vzip2_s32(first, second)));
        return {{vusmmlaq_s32(acc.low.a, w0.a, q), vusmmlaq_s32(acc.low.b, w0.b, q), vusmmlaq_s32(acc.low.c, w0.c, q),
                 vusmmlaq_s32(acc.low.d, w0.d, q)},
                {vusmmlaq_s32(acc.high.a, w1.a, q), vusmmlaq_s32(acc.high.b, w1.b, q),
                 vusmmlaq_s32(acc.high.c, w1.c, q), vusmmlaq_s32(acc.high.d, w1.d, q)}};
    }

    // sums + the sums of the pair's token 0 or 1.
    template <int token>
    static inline I add_token(I sums, Pair p) noexcept {
        return {vaddq_s32(sums.a, one<token>(p.low.a, p.low.b)), vaddq_s32(sums.b, one<token>(p.low.c, p.low.d)),
                vaddq_s32(sums.c, one<token>(p.high.a, p.high.b)), vaddq_s32(sums.d, one<token>(p.high.c, p.high.d))};
    }

  private:
    static inline uint8x16_t low(uint8x16_t x, uint8x16_t y) noexcept {
        return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(x), vreinterpretq_u32_u8(y)));
    }
    static inline uint8x16_t high(uint8x16_t x, uint8x16_t y) noexcept {
        return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(x), vreinterpretq_u32_u8(y)));
    }
    template <bool two_tokens>
    static inline int32x2_t tokens(const int8_t* a) noexcept {
        if constexpr (two_tokens) return vreinterpret_s32_s8(vld1_s8(a));
        int32_t bytes;
        __builtin_memcpy(&bytes, a, sizeof bytes);
        return vset_lane_s32(bytes, vdup_n_s32(0), 0);
    }
    template <int token>
    static inline int32x4_t one(int32x4_t x, int32x4_t y) noexcept {
        return token == 0 ? vuzp1q_s32(x, y) : vuzp2q_s32(x, y);
    }
};

}  // namespace

extern const KernelTable table_neon_dotprod, table_neon_i8mm;
constinit const KernelTable table_neon_i8mm = make_table_above<NeonI8mm, table_neon_dotprod>("neon_i8mm");

}  // namespace elver
