// Blocks of 256 elements; what encode.cpp's table calls. x: 256 finite values.
#pragma once

#include <cstdint>

namespace elver {

void encode_q2_k(const float* x, uint8_t* out) noexcept;
void encode_q3_k(const float* x, uint8_t* out) noexcept;
void encode_q4_k(const float* x, uint8_t* out) noexcept;
void encode_q5_k(const float* x, uint8_t* out) noexcept;
void encode_q6_k(const float* x, uint8_t* out) noexcept;

}  // namespace elver
