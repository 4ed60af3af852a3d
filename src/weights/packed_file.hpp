// A packed model file: a GGUF file whose matrices lie in it as the kernels read them, so that loading is mapping.
// docs/packed.md is the format; Weights::write_packed writes it, read_packs() understands it, and nothing else knows.
#pragma once

#include "formats/gguf.hpp"

namespace elver {

// Checks a file's packs and marks their tensors. A file without any passes as it is; one of another version or layout,
// or damaged, is an error.
Result<void> read_packs(Gguf& file);

// Whether rows [first, first + n) of a tensor begin and end where groups do, so that their pack is a part of the
// tensor's.
bool whole_groups(const GgufTensor& tensor, int64_t first, int64_t n) noexcept;

}  // namespace elver
