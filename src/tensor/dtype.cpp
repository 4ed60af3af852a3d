#include "tensor/dtype.hpp"

namespace elver {

namespace {

// "Q4_0" from the symbol q4_0; made at compile time so that names are pointers to constants.
template <size_t N>
struct UpperName {
    char text[N] = {};
    constexpr explicit UpperName(const char (&symbol)[N]) {
        for (size_t i = 0; i < N; ++i) {
            const char c = symbol[i];
            text[i] = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        }
    }
};

#define ELVER_DTYPE(symbol, gguf_id, block_elements, block_bytes) constexpr UpperName name_##symbol{#symbol};
#include "tensor/dtypes.inc"
#undef ELVER_DTYPE

constexpr DTypeInfo table[] = {
#define ELVER_DTYPE(symbol, gguf_id, block_elements, block_bytes) \
    {DType::symbol, name_##symbol.text, block_elements, block_bytes},
#include "tensor/dtypes.inc"
#undef ELVER_DTYPE
};

char upper(char c) noexcept {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

const DTypeInfo& dtype_info(DType type) noexcept {
    for (const DTypeInfo& row : table) {
        if (row.type == type) return row;
    }
    return table[0];  // not reached: a DType is made only from rows
}

std::optional<DType> dtype_from_gguf(uint32_t id) noexcept {
    for (const DTypeInfo& row : table) {
        if (static_cast<uint32_t>(row.type) == id) return row.type;
    }
    return std::nullopt;
}

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
    for (const DTypeInfo& row : table) {
        const std::string_view known = row.name;
        if (known.size() != name.size()) continue;
        size_t i = 0;
        while (i < name.size() && upper(name[i]) == known[i]) ++i;
        if (i == name.size()) return row.type;
    }
    return std::nullopt;
}

}  // namespace elver
