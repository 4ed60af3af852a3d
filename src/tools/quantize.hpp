// A model file in another element type: its matrices are decoded and encoded again, tensor by tensor; vectors, routers
// and what kernels read as floats stay as they are, and so does the metadata.
#pragma once

#include "base/byte_sink.hpp"
#include "base/bytes.hpp"
#include "base/cancel.hpp"
#include "base/result.hpp"
#include "tensor/dtype.hpp"

namespace elver {

struct QuantizeOptions {
    DType type = DType::q4_0;
    int n_threads = 0;  // default: usable_cores()
};

// Writes the source as a GGUF file. A row whose length is no multiple of the type's block takes the
// nearest type with smaller blocks. Errors: a type that elver cannot write; a tensor that it cannot read, that holds a
// value which is no finite number, or one beyond the range of its new type (no infinity is written); what reading and
// the sink may give; cancelled when progress returns false.
Result<void> quantize_model(ByteSource source, const ByteSink& sink, const QuantizeOptions& options,
                            const Progress& progress);

}  // namespace elver
