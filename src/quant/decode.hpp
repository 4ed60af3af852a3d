// Block formats to f32: the only code that knows what the bits of Q4_0, Q4_K, ... mean. Decoding is exact and defined
// to the bit; the fields of a block (Block<...> in blocks.hpp) are shared with the packers.
#pragma once

#include <cstddef>

#include "tensor/dtype.hpp"

namespace elver {

// n is a multiple of the block size; out holds n floats.
using DecodeRow = void (*)(const std::byte* blocks, float* out, size_t n) noexcept;

// Null for types that hold no weights (integers).
DecodeRow decoder(DType type) noexcept;

}  // namespace elver
