// The code books of the IQ formats: an entry is eight 2-bit or, for IQ3, four 4-bit numbers of levels, lowest bits
// first.
#pragma once

#include <cstdint>

namespace elver::blocks {

extern const uint16_t grid_iq2_xxs[256];
extern const uint16_t grid_iq2_xs[512];
extern const uint16_t grid_iq2_s[1024];
extern const uint16_t grid_iq3_xxs[256];
extern const uint16_t grid_iq3_s[512];
extern const uint16_t grid_iq1_s[2048];  // of IQ1_M too

// What the numbers stand for. IQ1's are eighths of -1, 0 and 1, to which a sub-block adds or subtracts one.
inline constexpr int8_t iq2_levels[4] = {8, 25, 43, 0};
inline constexpr int8_t iq3_xxs_levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
inline constexpr int8_t iq3_s_levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
inline constexpr int8_t iq1_levels[4] = {-8, 0, 8, 0};

}  // namespace elver::blocks
