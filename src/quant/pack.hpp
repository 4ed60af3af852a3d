// The c4 pack: a weight matrix regrouped for kernels that multiply unsigned weight bytes with signed activation bytes,
// four k at a time (VPDPBUSD, SDOT). Sixteen output rows form a group; a group is a run of chunks along k; a chunk
// holds its scales, then its codes, 64 k after 64 k, all in reading order and aligned to 64 bytes: memory is read at
// full speed only forwards. One 64-byte vector is 16 rows x 4 consecutive k (a quad): byte 4 * row + k % 4. Codes of 3,
// 5 or 6 bits have their high ones apart, in a second plane before the first one's 64 k.
//
//   codes of 4 bits    per 32 k: 4 vectors; vector j holds quad j in the low nibbles and quad j + 4 in the high ones
//   codes of 8 bits    per 32 k: 8 vectors, a quad each
//   planes of 2 bits   per 64 k: 4 vectors; bits 2f and 2f + 1 of vector j belong to quad j + 4f
//   planes of 1 bit    per 32 k: 8 x 8 bytes; bit i of quad j's 64 belongs to byte i of its vector
//
// Float types have no blocks: the group of F32 and F16 is [k][16 rows] in the file's type, that of BF16
// [k / 2][16 rows][2]. What a chunk's scale section holds is the
// struct PackLayout names; kernels/formats.hpp reads it. Rows are padded with zeros to a multiple of 16, k to whole
// chunks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tensor/dtype.hpp"

namespace elver {

inline constexpr int pack_rows = 16;

struct PackLayout {
    DType type;
    uint32_t chunk_k;      // k in a chunk: 64 or 256; 1 for F32 and F16, 2 for BF16
    uint32_t scale_bytes;  // of a chunk
    uint32_t code_bits;    // of the first code plane: 2, 4 or 8; 16 or 32 for float types
    uint32_t plane_bits;   // of the second: 0, 1 or 2

    constexpr size_t chunk_bytes() const noexcept {
        return scale_bytes + size_t{chunk_k} * pack_rows * (code_bits + plane_bits) / 8;
    }
    constexpr size_t group_bytes(size_t k) const noexcept { return (k + chunk_k - 1) / chunk_k * chunk_bytes(); }
    constexpr size_t matrix_bytes(size_t n_rows, size_t k) const noexcept {
        return (n_rows + pack_rows - 1) / pack_rows * group_bytes(k);
    }
};

// Names the layouts above in files that hold packs; a change of any layout changes the name.
inline constexpr std::string_view pack_name = "c4.3";

// Null for types that have no pack.
const PackLayout* pack_layout(DType type) noexcept;

// Packs n_rows (1 to 16) rows of k elements, row_stride bytes apart, into one group at out (group_bytes(k) bytes).
void pack_group(const PackLayout& layout, const std::byte* rows, size_t row_stride, int n_rows, size_t k,
                std::byte* out) noexcept;

}  // namespace elver
