// A packed model file: a GGUF file whose matrices lie in it as the kernels read them, so that loading is mapping.
// docs/packed.md is the format; nothing else knows it.
#pragma once

#include <span>
#include <string_view>

#include "base/byte_sink.hpp"
#include "base/cancel.hpp"
#include "base/thread_pool.hpp"
#include "formats/gguf.hpp"

namespace elver {

// The embedding. Its rows are read one by one, so it is never packed.
inline constexpr std::string_view embedding_name = "token_embd.weight";

// Checks a file's packs and marks their tensors. A file without any passes as it is; one of another version or layout,
// or damaged, is an error.
Result<void> read_packs(Gguf& file);

// Whether rows [first, first + n) of a tensor begin and end where groups do, so that their pack is a part of the
// tensor's.
bool whole_groups(const GgufTensor& tensor, int64_t first, int64_t n) noexcept;

// A tensor of the file to be written: the name it gets there, and whether it becomes a pack.
struct PackedPart {
    std::string_view name;
    const GgufTensor* tensor;
    bool pack;
};

// Writes the file again with these tensors. A pack stays one. Cancelled when progress returns false.
Result<void> write_packed(const Gguf& file, std::span<const PackedPart> parts, ThreadPool& pool, const ByteSink& sink,
                          const Progress& progress);

}  // namespace elver
