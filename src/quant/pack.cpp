#include "quant/pack.hpp"

#include <array>
#include <cstring>

#include "quant/blocks.hpp"

namespace elver {

namespace {

constexpr PackLayout layouts[] = {
    {DType::f32, 1, 0, 32, 0},       {DType::f16, 1, 0, 16, 0},     {DType::bf16, 1, 0, 16, 0},
    {DType::q4_0, 64, 64, 4, 0},     {DType::q4_1, 64, 128, 4, 0},  {DType::q5_0, 64, 64, 4, 1},
    {DType::q5_1, 64, 128, 4, 1},    {DType::q8_0, 64, 64, 8, 0},   {DType::iq4_nl, 64, 64, 4, 0},
    {DType::mxfp4, 64, 64, 4, 0},    {DType::q2_k, 256, 320, 2, 0}, {DType::q3_k, 256, 320, 2, 1},
    {DType::q4_k, 256, 320, 4, 0},   {DType::q5_k, 256, 320, 4, 1}, {DType::q6_k, 256, 320, 4, 2},
    {DType::iq4_xs, 256, 192, 4, 0},
};

// Codebook formats keep their 4-bit index in the pack: from the value + 128 back to the index.
constexpr auto index_of(const int8_t (&values)[16]) {
    std::array<uint8_t, 256> index{};
    for (int i = 15; i >= 0; --i) index[static_cast<uint8_t>(values[i] + 128)] = static_cast<uint8_t>(i);
    return index;
}
constexpr auto iq4_index = index_of(blocks::iq4_values);
constexpr auto mxfp4_index = index_of(blocks::mxfp4_values);

// Writes the code planes of one row's chunk. q: chunk_k codes; the chunk's code section was zeroed.
void put_codes(const PackLayout& layout, const uint8_t* q, int row, uint8_t* out) noexcept {
    const size_t n_quads = layout.chunk_k / 4;
    const auto lane = static_cast<size_t>(row) * 4;
    const uint8_t low_mask = static_cast<uint8_t>((1 << layout.code_bits) - 1);
    uint8_t* planes = out + size_t{layout.chunk_k} * pack_rows * layout.code_bits / 8;
    for (size_t quad = 0; quad < n_quads; ++quad) {
        for (size_t i = 0; i < 4; ++i) {
            const uint8_t code = q[4 * quad + i];
            const auto low = static_cast<uint8_t>(code & low_mask);
            if (layout.code_bits == 8) {
                out[quad * 64 + lane + i] = code;
            } else if (layout.code_bits == 4) {
                const size_t vector = quad / 8 * 4 + quad % 4;
                out[vector * 64 + lane + i] |= static_cast<uint8_t>(low << (quad % 8 < 4 ? 0 : 4));
            } else {
                const size_t vector = quad / 16 * 4 + quad % 4;
                out[vector * 64 + lane + i] |= static_cast<uint8_t>(low << (2 * (quad % 16 / 4)));
            }
            const auto high = static_cast<uint8_t>(layout.plane_bits == 0 ? 0 : code >> layout.code_bits);
            if (layout.plane_bits == 1) {
                planes[quad * 8 + (lane + i) / 8] |= static_cast<uint8_t>(high << ((lane + i) % 8));
            } else if (layout.plane_bits == 2) {
                const size_t vector = quad / 16 * 4 + quad % 4;
                planes[vector * 64 + lane + i] |= static_cast<uint8_t>(high << (2 * (quad % 16 / 4)));
            }
        }
    }
}

template <DType type>
constexpr bool has_one_scale = blocks::Block<type>::n == 32;

// Copies the block's own scale bits: f16 is what the formats store; MXFP4's power of two is exact in bf16.
template <DType type>
void put_scales(const blocks::Block<type>& block, const uint8_t* source, size_t b, int row, uint8_t* out) noexcept {
    const auto r = static_cast<size_t>(row);
    const auto half = [&](size_t at, const uint8_t* p) { std::memcpy(out + at + 2 * r, p, 2); };
    if constexpr (type == DType::mxfp4) {
        const uint16_t bits = f32_to_bf16(block.d);
        half(32 * b, reinterpret_cast<const uint8_t*>(&bits));
    } else if constexpr (has_one_scale<type>) {
        half(32 * b, source);
        if constexpr (type == DType::q4_1 || type == DType::q5_1) half(64 + 32 * b, source + 2);
    } else {
        constexpr int d_at = type == DType::q2_k ? 80 : type == DType::q3_k ? 108 : type == DType::q6_k ? 208 : 0;
        half(0, source + d_at);
        if constexpr (type == DType::q2_k || type == DType::q4_k || type == DType::q5_k) half(32, source + d_at + 2);
        for (size_t s = 0; s < block.n_sub; ++s) {
            if constexpr (type == DType::q2_k) {
                out[64 + 16 * s + r] = static_cast<uint8_t>(block.scale[s] | (block.min[s] << 4));
            } else {
                out[64 + 16 * s + r] = static_cast<uint8_t>(block.scale[s]);
                if constexpr (type == DType::q4_k || type == DType::q5_k) {
                    out[64 + 128 + 16 * s + r] = static_cast<uint8_t>(block.min[s]);
                }
            }
        }
    }
}

template <DType type>
void pack_blocks(const PackLayout& layout, const std::byte* rows, size_t row_stride, int n_rows, size_t k,
                 uint8_t* out) noexcept {
    using B = blocks::Block<type>;
    const size_t blocks_per_chunk = layout.chunk_k / B::n, n_blocks = k / B::n;
    std::memset(out, 0, layout.group_bytes(k));
    for (int row = 0; row < n_rows; ++row) {
        const auto* source = reinterpret_cast<const uint8_t*>(rows) + static_cast<size_t>(row) * row_stride;
        for (size_t b = 0; b < n_blocks; b += blocks_per_chunk) {
            uint8_t* chunk = out + b / blocks_per_chunk * layout.chunk_bytes();
            uint8_t codes[256] = {};
            for (size_t i = 0; i < blocks_per_chunk && b + i < n_blocks; ++i, source += dtype_info(type).block_bytes) {
                const B block(source);
                put_scales<type>(block, source, i, row, chunk);
                for (size_t j = 0; j < B::n; ++j) {
                    uint8_t code = block.q[j];
                    if constexpr (type == DType::iq4_nl || type == DType::iq4_xs) code = iq4_index[code];
                    if constexpr (type == DType::mxfp4) code = mxfp4_index[code];
                    codes[i * B::n + j] = code;
                }
            }
            put_codes(layout, codes, row, chunk + layout.scale_bytes);
        }
    }
}

void pack_floats(size_t element_bytes, const std::byte* rows, size_t row_stride, int n_rows, size_t k,
                 uint8_t* out) noexcept {
    std::memset(out, 0, k * pack_rows * element_bytes);
    for (int row = 0; row < n_rows; ++row) {
        const std::byte* source = rows + static_cast<size_t>(row) * row_stride;
        for (size_t i = 0; i < k; ++i) {
            std::memcpy(out + (i * pack_rows + static_cast<size_t>(row)) * element_bytes, source + i * element_bytes,
                        element_bytes);
        }
    }
}

}  // namespace

const PackLayout* pack_layout(DType type) noexcept {
    for (const PackLayout& layout : layouts) {
        if (layout.type == type) return &layout;
    }
    return nullptr;
}

void pack_group(const PackLayout& layout, const std::byte* rows, size_t row_stride, int n_rows, size_t k,
                std::byte* bytes) noexcept {
    auto* out = reinterpret_cast<uint8_t*>(bytes);
    switch (layout.type) {
        // clang-format off
        case DType::q4_0: return pack_blocks<DType::q4_0>(layout, rows, row_stride, n_rows, k, out);
        case DType::q4_1: return pack_blocks<DType::q4_1>(layout, rows, row_stride, n_rows, k, out);
        case DType::q5_0: return pack_blocks<DType::q5_0>(layout, rows, row_stride, n_rows, k, out);
        case DType::q5_1: return pack_blocks<DType::q5_1>(layout, rows, row_stride, n_rows, k, out);
        case DType::q8_0: return pack_blocks<DType::q8_0>(layout, rows, row_stride, n_rows, k, out);
        case DType::iq4_nl: return pack_blocks<DType::iq4_nl>(layout, rows, row_stride, n_rows, k, out);
        case DType::mxfp4: return pack_blocks<DType::mxfp4>(layout, rows, row_stride, n_rows, k, out);
        case DType::q2_k: return pack_blocks<DType::q2_k>(layout, rows, row_stride, n_rows, k, out);
        case DType::q3_k: return pack_blocks<DType::q3_k>(layout, rows, row_stride, n_rows, k, out);
        case DType::q4_k: return pack_blocks<DType::q4_k>(layout, rows, row_stride, n_rows, k, out);
        case DType::q5_k: return pack_blocks<DType::q5_k>(layout, rows, row_stride, n_rows, k, out);
        case DType::q6_k: return pack_blocks<DType::q6_k>(layout, rows, row_stride, n_rows, k, out);
        case DType::iq4_xs: return pack_blocks<DType::iq4_xs>(layout, rows, row_stride, n_rows, k, out);
        // clang-format on
        default:
            return pack_floats(layout.code_bits / 8, rows, row_stride, n_rows, k, out);
    }
}

}  // namespace elver
