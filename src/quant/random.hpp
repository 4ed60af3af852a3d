// Random weights written straight in a block format, as fast as memory takes them: for models that only measure speed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.hpp"

namespace elver {

// Whether fill_random knows the type.
bool has_random(DType type) noexcept;

// Fills n_blocks blocks with values of mean about 0 and standard deviation about `deviation` (within a factor of two).
// The same type, seed and deviation give the same bytes. n_bytes of a block are as dtype_info says.
void fill_random(DType type, uint64_t seed, float deviation, std::byte* out, size_t n_blocks) noexcept;

}  // namespace elver
