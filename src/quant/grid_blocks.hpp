// The fields of the formats below three bits (see blocks.hpp): code books of eight or four elements with signs (IQ2,
// IQ3), of ternary elements moved by an eighth (IQ1), and plain ternary ones (TQ). Whatever the book, a block's values
// are at most 16 small integers times d and a sub-block's scale, so q holds the value + 64 and the pack a 4-bit index.
#pragma once

#include <bit>

#include "quant/blocks.hpp"
#include "quant/grids.hpp"

namespace elver::blocks {

inline uint32_t word_at(const uint8_t* p) noexcept {
    uint32_t word;
    std::memcpy(&word, p, sizeof word);
    return word;
}
inline uint32_t short_at(const uint8_t* p) noexcept {
    return p[0] | static_cast<uint32_t>(p[1]) << 8;
}

// The values that a format's elements take, in the order of the pack's 4-bit index; null for the other formats.
inline constexpr int8_t iq1_values[16] = {-9, -7, -1, 1, 7, 9};
inline constexpr int8_t iq2_values[16] = {-43, -25, -8, 8, 25, 43};
inline constexpr int8_t iq3_s_values[16] = {-15, -13, -11, -9, -7, -5, -3, -1, 1, 3, 5, 7, 9, 11, 13, 15};
inline constexpr int8_t iq3_xxs_values[16] = {-62, -52, -44, -36, -28, -20, -12, -4, 4, 12, 20, 28, 36, 44, 52, 62};
template <DType type>
inline constexpr const int8_t* grid_values = nullptr;
template <>
inline constexpr const int8_t* grid_values<DType::iq2_xxs> = iq2_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq2_xs> = iq2_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq2_s> = iq2_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq3_xxs> = iq3_xxs_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq3_s> = iq3_s_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq1_s> = iq1_values;
template <>
inline constexpr const int8_t* grid_values<DType::iq1_m> = iq1_values;

// Seven bits of signs: the eighth makes their number even.
inline uint32_t even_signs(uint32_t seven) noexcept {
    return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// Fields whose q are values + 64, which says of a format that it has grid_values.
inline constexpr int grid_offset = 64;
template <int Sub>
struct GridFields : Fields<256, Sub> {
    static constexpr int offset = grid_offset;
    using Fields<256, Sub>::q;

    // Elements [at, at + 8) from an entry of 2-bit numbers, or [at, at + 4) from one of 4-bit numbers.
    void put8(int at, uint32_t entry, const int8_t* levels, uint32_t signs, int shift = 0) noexcept {
        for (int j = 0; j < 8; ++j) put(at + j, levels[entry >> 2 * j & 3] + shift, signs >> j & 1);
    }
    void put4(int at, uint32_t entry, const int8_t* levels, uint32_t signs) noexcept {
        for (int j = 0; j < 4; ++j) put(at + j, levels[entry >> 4 * j & 7], signs >> j & 1);
    }

  private:
    void put(int at, int value, uint32_t negative) noexcept {
        q[at] = static_cast<uint8_t>((negative != 0 ? -value : value) + offset);
    }
};

template <>
struct Block<DType::iq2_xxs> : GridFields<32> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p) * 0.125f;
        for (int s = 0; s < 8; ++s) {
            const uint8_t* entries = p + 2 + 8 * s;
            const uint32_t rest = word_at(entries + 4);
            scale[s] = static_cast<int16_t>(2 * (rest >> 28) + 1);
            for (int i = 0; i < 4; ++i)
                put8(32 * s + 8 * i, grid_iq2_xxs[entries[i]], iq2_levels, even_signs(rest >> 7 * i & 127));
        }
    }
};
template <>
struct Block<DType::iq2_xs> : GridFields<16> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p) * 0.125f;
        for (int s = 0; s < 16; ++s) scale[s] = static_cast<int16_t>(2 * (p[66 + s / 2] >> 4 * (s % 2) & 15) + 1);
        for (int i = 0; i < 32; ++i) {
            const uint32_t entry = short_at(p + 2 + 2 * i);
            put8(8 * i, grid_iq2_xs[entry & 511], iq2_levels, even_signs(entry >> 9));
        }
    }
};
template <>
struct Block<DType::iq2_s> : GridFields<16> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p) * 0.125f;
        for (int s = 0; s < 16; ++s) scale[s] = static_cast<int16_t>(2 * (p[74 + s / 2] >> 4 * (s % 2) & 15) + 1);
        for (int i = 0; i < 32; ++i) {
            const uint32_t high = p[66 + i / 4] >> 2 * (i % 4) & 3;
            put8(8 * i, grid_iq2_s[p[2 + i] | high << 8], iq2_levels, p[34 + i]);
        }
    }
};
template <>
struct Block<DType::iq3_xxs> : GridFields<32> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p) * 0.25f;
        for (int s = 0; s < 8; ++s) {
            const uint32_t rest = word_at(p + 66 + 4 * s);
            scale[s] = static_cast<int16_t>(2 * (rest >> 28) + 1);
            for (int i = 0; i < 8; ++i) {
                const uint32_t signs = even_signs(rest >> 7 * (i / 2) & 127) >> 4 * (i % 2);
                put4(32 * s + 4 * i, grid_iq3_xxs[p[2 + 8 * s + i]], iq3_xxs_levels, signs);
            }
        }
    }
};
template <>
struct Block<DType::iq3_s> : GridFields<32> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p);
        for (int s = 0; s < 8; ++s) scale[s] = static_cast<int16_t>(2 * (p[106 + s / 2] >> 4 * (s % 2) & 15) + 1);
        for (int i = 0; i < 64; ++i) {
            const uint32_t high = p[66 + i / 8] >> i % 8 & 1;
            put4(4 * i, grid_iq3_s[p[2 + i] | high << 8], iq3_s_levels, p[74 + i / 2] >> 4 * (i % 2));
        }
    }
};
template <>
struct Block<DType::iq1_s> : GridFields<32> {
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p) * 0.125f;
        for (int s = 0; s < 8; ++s) {
            const uint32_t rest = short_at(p + 34 + 2 * s);
            scale[s] = static_cast<int16_t>(2 * (rest >> 12 & 7) + 1);
            for (int i = 0; i < 4; ++i) {
                const uint32_t entry = p[2 + 4 * s + i] | (rest >> 3 * i & 7) << 8;
                put8(32 * s + 8 * i, grid_iq1_s[entry], iq1_levels, 0, (rest & 0x8000) != 0 ? -1 : 1);
            }
        }
    }
};
template <>
struct Block<DType::iq1_m> : GridFields<16> {
    uint16_t d_bits = 0;  // f16, spread over the upper four bits of the four scale words
    explicit Block(const uint8_t* p) noexcept {
        for (int i = 0; i < 4; ++i) d_bits = static_cast<uint16_t>(d_bits | (p[49 + 2 * i] >> 4) << 4 * i);
        d = f16_to_f32(d_bits) * 0.125f;
        for (int s = 0; s < 16; ++s)
            scale[s] = static_cast<int16_t>(2 * (short_at(p + 48 + 2 * (s / 4)) >> 3 * (s % 4) & 7) + 1);
        for (int i = 0; i < 32; ++i) {
            const uint32_t rest = p[32 + i / 2] >> 4 * (i % 2) & 15u;
            put8(8 * i, grid_iq1_s[p[i] | (rest & 7) << 8], iq1_levels, 0, (rest & 8) != 0 ? -1 : 1);
        }
    }
};

// Ternary elements, 0 to 2 in q. TQ1_0 keeps five in a byte: the digits of byte / 256 in base 3, the first one highest.
template <>
struct Block<DType::tq1_0> : Fields<256, 32> {
    static constexpr int offset = 1;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p + 52);
        for (int16_t& s : scale) s = 1;
        struct Run {
            int first, n_bytes, n_digits;
        };
        int at = 0;
        for (const Run run : {Run{0, 32, 5}, Run{32, 16, 5}, Run{48, 4, 4}}) {
            int power = 1;
            for (int digit = 0; digit < run.n_digits; ++digit, power *= 3) {
                for (int i = 0; i < run.n_bytes; ++i) {
                    const auto shifted = static_cast<uint8_t>(p[run.first + i] * power);
                    q[at++] = static_cast<uint8_t>(shifted * 3 >> 8);
                }
            }
        }
    }
};
template <>
struct Block<DType::tq2_0> : Fields<256, 32> {
    static constexpr int offset = 1;
    explicit Block(const uint8_t* p) noexcept {
        d = half_at(p + 64);
        for (int16_t& s : scale) s = 1;
        for (int i = 0; i < 256; ++i) q[i] = p[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3;
    }
};

}  // namespace elver::blocks
