// The fields of each block format, as plain integers and scales: an element is  scale(sub) * (q(i) - offset) + min(sub)
// with unsigned q, a sub-block of `sub` elements, and a min that is 0 for formats without one. decode.cpp turns that
// into f32 and pack.cpp regroups it. Source: the GGUF block formats (ggml-common.h, ggml-quants.c describe the same
// bits).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/half.hpp"
#include "tensor/dtype.hpp"

namespace elver::blocks {

inline float half_at(const uint8_t* p) noexcept {
    uint16_t bits;
    std::memcpy(&bits, p, sizeof bits);
    return f16_to_f32(bits);
}

// The eight 6-bit scales and mins that Q4_K and Q5_K pack into twelve bytes.
inline void scales_6bit(const uint8_t* p, uint8_t scale[8], uint8_t min[8]) noexcept {
    for (int j = 0; j < 4; ++j) {
        scale[j] = p[j] & 63;
        min[j] = p[j + 4] & 63;
        scale[j + 4] = static_cast<uint8_t>((p[j + 8] & 15) | ((p[j] >> 6) << 4));
        min[j + 4] = static_cast<uint8_t>((p[j + 8] >> 4) | ((p[j + 4] >> 6) << 4));
    }
}

// Values of IQ4_NL and IQ4_XS, and doubled values of MXFP4 (E2M1).
inline constexpr int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 2^(e - 128): MXFP4's power-of-two scale, halved since its values are doubled.
inline float mxfp4_scale(uint8_t e) noexcept {
    const uint32_t bits = e < 2 ? 0x00200000u << e : (static_cast<uint32_t>(e) - 1) << 23;
    return std::bit_cast<float>(bits);
}

// One decoded block: q holds `n` unsigned codes; sub-block s covers elements [s * sub, (s + 1) * sub).
template <int N, int Sub>
struct Fields {
    static constexpr int n = N, sub = Sub, n_sub = N / Sub;
    uint8_t q[N];
    float d = 0, dmin = 0;        // d multiplies the integer scales; dmin the mins
    int16_t scale[N / Sub] = {};  // integer scale of a sub-block; 1 where a block has one scale
    int16_t min[N / Sub] = {};    // integer min, subtracted; Q4_1 and Q5_1 use -1 with dmin = m, to add
};

// Elements of 4 bits: runs of `Run` bytes hold 2 * Run elements, the low halves of the bytes first.
template <int Run>
inline void nibble_runs(const uint8_t* p, uint8_t* q, int n) noexcept {
    for (int at = 0; at < n; at += 2 * Run, p += Run) {
        for (int j = 0; j < Run; ++j) {
            q[at + j] = p[j] & 15;
            q[at + Run + j] = p[j] >> 4;
        }
    }
}

inline void nibbles(const uint8_t* p, uint8_t* q) noexcept {  // 16 bytes: elements 0..15 low, 16..31 high
    nibble_runs<16>(p, q, 32);
}

// Elements of 2 bits: runs of 32 bytes hold 128 elements, 32 at each pair of bits. ORs them in, shifted by `Up`.
template <int Up>
inline void pair_runs(const uint8_t* p, uint8_t* q) noexcept {
    for (int at = 0; at < 256; at += 128, p += 32) {
        for (int pair = 0; pair < 4; ++pair) {
            for (int j = 0; j < 32; ++j)
                q[at + 32 * pair + j] = static_cast<uint8_t>(q[at + 32 * pair + j] | ((p[j] >> (2 * pair)) & 3) << Up);
        }
    }
}

// Elements of 1 bit: 32 bytes hold 256 elements, 32 at each bit. ORs them in, shifted by `Up`.
template <int Up>
inline void bit_runs(const uint8_t* p, uint8_t* q) noexcept {
    for (int bit = 0; bit < 8; ++bit) {
        for (int j = 0; j < 32; ++j)
            q[32 * bit + j] = static_cast<uint8_t>(q[32 * bit + j] | ((p[j] >> bit) & 1) << Up);
    }
}

inline void fifth_bits(const uint8_t* p, uint8_t* q) noexcept {
    uint32_t bits;
    std::memcpy(&bits, p, sizeof bits);
    for (int j = 0; j < 32; ++j) q[j] |= static_cast<uint8_t>(((bits >> j) & 1) << 4);
}

template <DType type>
struct Block;

template <>
struct Block<DType::q4_0> : Fields<32, 32> {
    static constexpr int offset = 8;
    explicit Block(const uint8_t* p) noexcept { d = half_at(p), scale[0] = 1, nibbles(p + 2, q); }
};
template <>
struct Block<DType::q4_1> : Fields<32, 32> {
    static constexpr int offset = 0;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), dmin = half_at(p + 2), scale[0] = 1, min[0] = -1, nibbles(p + 4, q);
    }
};
template <>
struct Block<DType::q5_0> : Fields<32, 32> {
    static constexpr int offset = 16;
    explicit Block(const uint8_t* p) noexcept { d = half_at(p), scale[0] = 1, nibbles(p + 6, q), fifth_bits(p + 2, q); }
};
template <>
struct Block<DType::q5_1> : Fields<32, 32> {
    static constexpr int offset = 0;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), dmin = half_at(p + 2), scale[0] = 1, min[0] = -1, nibbles(p + 8, q), fifth_bits(p + 4, q);
    }
};
template <>
struct Block<DType::q8_0> : Fields<32, 32> {
    static constexpr int offset = 128;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), scale[0] = 1;
        for (int j = 0; j < 32; ++j) q[j] = p[2 + j] ^ 0x80;
    }
};
template <>
struct Block<DType::iq4_nl> : Fields<32, 32> {
    static constexpr int offset = 128;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), scale[0] = 1, nibbles(p + 2, q);
        for (int j = 0; j < 32; ++j) q[j] = static_cast<uint8_t>(iq4_values[q[j]] + 128);
    }
};
template <>
struct Block<DType::mxfp4> : Fields<32, 32> {
    static constexpr int offset = 128;
    explicit Block(const uint8_t* p) noexcept {
        d = mxfp4_scale(p[0]), scale[0] = 1, nibbles(p + 1, q);
        for (int j = 0; j < 32; ++j) q[j] = static_cast<uint8_t>(mxfp4_values[q[j]] + 128);
    }
};
template <>
struct Block<DType::q2_k> : Fields<256, 16> {
    static constexpr int offset = 0;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p + 80), dmin = half_at(p + 82);
        for (int s = 0; s < 16; ++s) scale[s] = p[s] & 15, min[s] = p[s] >> 4;
        std::memset(q, 0, sizeof q);
        pair_runs<0>(p + 16, q);
    }
};
template <>
struct Block<DType::q3_k> : Fields<256, 16> {
    static constexpr int offset = 4;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p + 108);
        for (int s = 0; s < 16; ++s) {  // twelve bytes: the low four bits of sixteen scales, then their high two
            const int low = s < 8 ? p[96 + s] & 15 : p[96 + s - 8] >> 4;
            const int high = (p[104 + s % 4] >> (2 * (s / 4))) & 3;
            scale[s] = static_cast<int16_t>((low | (high << 4)) - 32);
        }
        std::memset(q, 0, sizeof q);
        pair_runs<0>(p + 32, q);
        bit_runs<2>(p, q);
    }
};
template <>
struct Block<DType::q4_k> : Fields<256, 32> {
    static constexpr int offset = 0;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), dmin = half_at(p + 2);
        uint8_t s[8], m[8];
        scales_6bit(p + 4, s, m);
        for (int j = 0; j < 8; ++j) scale[j] = s[j], min[j] = m[j];
        nibble_runs<32>(p + 16, q, 256);
    }
};
template <>
struct Block<DType::q5_k> : Fields<256, 32> {
    static constexpr int offset = 0;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p), dmin = half_at(p + 2);
        uint8_t s[8], m[8];
        scales_6bit(p + 4, s, m);
        for (int j = 0; j < 8; ++j) scale[j] = s[j], min[j] = m[j];
        nibble_runs<32>(p + 48, q, 256);
        bit_runs<4>(p + 16, q);
    }
};
template <>
struct Block<DType::q6_k> : Fields<256, 16> {
    static constexpr int offset = 32;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p + 208);
        for (int s = 0; s < 16; ++s) scale[s] = static_cast<int8_t>(p[192 + s]);
        nibble_runs<64>(p, q, 256);
        pair_runs<4>(p + 128, q);
    }
};
template <>
struct Block<DType::iq4_xs> : Fields<256, 32> {
    static constexpr int offset = 128;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p);
        const int high = p[2] | (p[3] << 8);
        for (int s = 0; s < 8; ++s) {
            const int low = (p[4 + s / 2] >> (4 * (s % 2))) & 15;
            scale[s] = static_cast<int16_t>((low | (((high >> (2 * s)) & 3) << 4)) - 32);
            nibbles(p + 8 + 16 * s, q + 32 * s);
        }
        for (int i = 0; i < 256; ++i) q[i] = static_cast<uint8_t>(iq4_values[q[i]] + 128);
    }
};

}  // namespace elver::blocks
