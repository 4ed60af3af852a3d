// Element types of tensors: their names, and how many elements and bytes a block holds. What the bits of a block mean
// is known to quant/ alone. Numbers are GGUF's (ggml type ids), so a file's type is looked up, not translated.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace elver {

enum class DType : uint32_t {
#define ELVER_DTYPE(symbol, gguf_id, block_elements, block_bytes) symbol = gguf_id,
#include "tensor/dtypes.inc"
#undef ELVER_DTYPE
};

struct DTypeInfo {
    DType type;
    const char* name;     // "Q4_0"
    uint32_t block_size;  // elements in a block; 1 for plain types
    uint32_t block_bytes;
};

// The row of a type; a value that came through dtype_from_gguf always has one.
const DTypeInfo& dtype_info(DType type) noexcept;
std::optional<DType> dtype_from_gguf(uint32_t id) noexcept;
// Case is ignored: "q4_k" and "Q4_K" are the same.
std::optional<DType> dtype_from_name(std::string_view name) noexcept;

inline const char* dtype_name(DType type) noexcept {
    return dtype_info(type).name;
}

// Bytes of a row of n elements, which is a multiple of the block size.
inline size_t row_bytes(DType type, size_t n_elements) noexcept {
    const DTypeInfo& info = dtype_info(type);
    return n_elements / info.block_size * info.block_bytes;
}

}  // namespace elver
