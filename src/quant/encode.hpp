// f32 to block formats, by least squares: codes, scales and mins are searched for the smallest squared error of a
// block. Deterministic: the same row gives the same bytes, wherever and beside whatever it is encoded.
#pragma once

#include <cstddef>

#include "tensor/dtype.hpp"

namespace elver {

// n is a multiple of the block size; every value is finite. Writes row_bytes(type, n) bytes.
using EncodeRow = void (*)(const float* values, std::byte* blocks, size_t n) noexcept;

// Null for types that elver cannot write.
EncodeRow encoder(DType type) noexcept;

}  // namespace elver
