// From a GGUF file's metadata to a ModelSpec.
#pragma once

#include "formats/gguf.hpp"
#include "models/model_spec.hpp"

namespace elver {

// An unknown architecture, a missing key or a value out of range is an error that names it.
Result<ModelSpec> spec_from_gguf(const Gguf& file);

}  // namespace elver
