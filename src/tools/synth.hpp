// Models of well-known dimensions with random weights, for measuring speed where the real file is not at hand. They
// are ordinary GGUF files that other programs load too; what they say is noise.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_sink.hpp"
#include "base/cancel.hpp"
#include "tensor/dtype.hpp"

namespace elver {

struct SynthSpec {
    std::string name;  // of the dimensions, "llama-1b"
    DType type = DType::q4_0;
    int n_layers = 0;
};

// From "NAME:FORMAT". n_layers 0: as many of the model's as take at most two fifths of the machine's memory, so that
// the file's pages and the packed weights are there at once.
Result<SynthSpec> parse_synth(std::string_view text, int n_layers);

// Writes the file, a few MiB at a time. progress: of the bytes; false cancels.
Result<void> write_synth(const SynthSpec& spec, const ByteSink& sink, const Progress& progress);

}  // namespace elver
