// f32 to block formats, by least squares: codes, scales and mins are searched for the smallest squared error of a
// block. Deterministic: the same row gives the same bytes, wherever and beside whatever it is encoded.
#pragma once

#include <cstddef>

#include "tensor/dtype.hpp"

namespace elver {

// n is a multiple of the block size; no value is greater in size than greatest_encodable(type). Writes
// row_bytes(type, n) bytes.
using EncodeRow = void (*)(const float* values, std::byte* blocks, size_t n) noexcept;

// Null for types that elver cannot write.
EncodeRow encoder(DType type) noexcept;

// A magnitude that every block of a type holds, its min included where blocks have one. For types that elver writes.
float greatest_encodable(DType type) noexcept;

}  // namespace elver
