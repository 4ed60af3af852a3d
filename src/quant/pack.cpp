#include "quant/pack.hpp"

#include <array>
#include <cstring>

#include "quant/grid_blocks.hpp"

namespace elver {

namespace {

constexpr PackLayout layouts[] = {
    {DType::f32, 1, 0, 32, 0},       {DType::f16, 1, 0, 16, 0},        {DType::bf16, 2, 0, 16, 0},
    {DType::q4_0, 64, 64, 4, 0},     {DType::q4_1, 64, 128, 4, 0},     {DType::q5_0, 64, 64, 4, 1},
    {DType::q5_1, 64, 128, 4, 1},    {DType::q8_0, 64, 64, 8, 0},      {DType::iq4_nl, 64, 64, 4, 0},
    {DType::mxfp4, 64, 64, 4, 0},    {DType::q2_k, 256, 320, 2, 0},    {DType::q3_k, 256, 320, 2, 1},
    {DType::q4_k, 256, 320, 4, 0},   {DType::q5_k, 256, 320, 4, 1},    {DType::q6_k, 256, 320, 4, 2},
    {DType::iq4_xs, 256, 192, 4, 0}, {DType::iq2_xxs, 256, 192, 4, 0}, {DType::iq2_xs, 256, 320, 4, 0},
    {DType::iq2_s, 256, 320, 4, 0},  {DType::iq3_xxs, 256, 192, 4, 0}, {DType::iq3_s, 256, 192, 4, 0},
    {DType::iq1_s, 256, 192, 4, 0},  {DType::iq1_m, 256, 320, 4, 0},   {DType::tq1_0, 256, 64, 2, 0},
    {DType::tq2_0, 256, 64, 2, 0},
};

// Formats with few values: from the code in a block's fields to the index in the pack.
template <DType type>
constexpr auto index_of = [] {
    std::array<uint8_t, 128> index{};
    for (int i = 15; i >= 0; --i) {
        index[static_cast<size_t>(blocks::grid_values<type>[i] + blocks::Block<type>::offset)] =
            static_cast<uint8_t>(i);
    }
    return index;
}();

// Where a block keeps 4-bit codes as the pack wants them: 16 bytes for 32 elements, byte i holding elements i and i
// + 16. Their words are copied as they are (a codebook's index needs no value). Other formats are decoded first.
template <DType type>
constexpr size_t nibbles_at = type == DType::mxfp4                           ? 1
                              : type == DType::q4_0 || type == DType::iq4_nl ? 2
                              : type == DType::q4_1                          ? 4
                              : type == DType::q5_0                          ? 6
                              : type == DType::q5_1 || type == DType::iq4_xs ? 8
                                                                             : 0;

// A chunk's codes; words of one row, four codes each, are put where its lane is.
template <uint32_t code_bits, uint32_t plane_bits>
struct Planes {
    uint8_t* chunk;  // behind the scales
    size_t row;

    // The planes of 64 k.
    static constexpr size_t second_bytes = size_t{128} * plane_bits, codes_bytes = size_t{128} * code_bits;
    uint8_t* second(size_t sixty_four) const noexcept { return chunk + sixty_four * (second_bytes + codes_bytes); }
    uint8_t* codes(size_t sixty_four) const noexcept { return second(sixty_four) + second_bytes; }

    void put(uint8_t* plane, size_t vector, uint32_t word) const noexcept {
        std::memcpy(plane + vector * 64 + row * 4, &word, sizeof word);
    }

    // Bits of 16 quads, four to a byte: bits 2f and 2f + 1 of vector j belong to quad j + 4f.
    void put_pairs(uint8_t* plane, const uint32_t* quads) const noexcept {
        for (size_t j = 0; j < 4; ++j) {
            const uint32_t word = (quads[j] & 0x03030303u) | (quads[j + 4] & 0x03030303u) << 2 |
                                  (quads[j + 8] & 0x03030303u) << 4 | (quads[j + 12] & 0x03030303u) << 6;
            put(plane, j, word);
        }
    }

    // A quad's four single bits. Two rows share a byte: the even one comes first.
    void put_bits(size_t quad, uint32_t bits) const noexcept {
        uint8_t& out = second(quad / 16)[quad % 16 * 8 + row / 2];
        out = static_cast<uint8_t>(row % 2 == 0 ? bits : out | bits << 4);
    }

    // 32 codes below 16 (two to a byte), or 16 (32) quads of codes of any width.
    void put_nibbles(size_t block, const uint8_t* bytes) const noexcept {
        uint32_t words[4];
        std::memcpy(words, bytes, sizeof words);
        for (size_t j = 0; j < 4; ++j) put(codes(block / 2), block % 2 * 4 + j, words[j]);
    }
    void put_quads(size_t first, size_t n, const uint32_t* quads) const noexcept {
        for (size_t q = 0; q < n; q += 16) {
            const uint32_t* at = quads + q;
            const size_t n_here = n - q < 16 ? n - q : 16, quad = first + q;
            if constexpr (code_bits == 2) {
                put_pairs(codes(quad / 16), at);
            } else {
                for (size_t i = 0; i < n_here; ++i) {
                    const size_t vector = (quad + i) % 16;
                    if constexpr (code_bits == 8) put(codes(quad / 16), vector, at[i]);
                    if (code_bits == 4 && i % 8 < 4)
                        put(codes(quad / 16), vector / 8 * 4 + vector % 8,
                            (at[i] & 0x0f0f0f0fu) | (at[i + 4] & 0x0f0f0f0fu) << 4);
                }
            }
            if constexpr (plane_bits == 1) {
                // The multiplication moves the lowest bits of four bytes side by side.
                for (size_t i = 0; i < n_here; ++i)
                    put_bits(quad + i, ((at[i] >> code_bits & 0x01010101u) * 0x10204080u) >> 28);
            } else if constexpr (plane_bits == 2) {
                uint32_t high[16];
                for (size_t i = 0; i < 16; ++i) high[i] = at[i] >> code_bits;
                put_pairs(second(quad / 16), high);
            }
        }
    }
};

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
        constexpr bool ternary = type == DType::tq1_0 || type == DType::tq2_0;
        constexpr int d_at = type == DType::q2_k    ? 80
                             : type == DType::q3_k  ? 108
                             : type == DType::q6_k  ? 208
                             : type == DType::tq1_0 ? 52
                             : type == DType::tq2_0 ? 64
                                                    : 0;
        if constexpr (type == DType::iq1_m)
            half(0, reinterpret_cast<const uint8_t*>(&block.d_bits));
        else
            half(0, source + d_at);
        if constexpr (ternary) return;
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
constexpr PackLayout layout_of = [] {
    for (const PackLayout& layout : layouts) {
        if (layout.type == type) return layout;
    }
}();

// One row's block b of a chunk.
template <DType type>
void pack_block(const uint8_t* source, size_t b, int row, uint8_t* chunk) noexcept {
    using B = blocks::Block<type>;
    constexpr PackLayout layout = layout_of<type>;
    B block(source);
    put_scales<type>(block, source, b, row, chunk);
    const Planes<layout.code_bits, layout.plane_bits> planes{chunk + layout.scale_bytes, static_cast<size_t>(row)};
    if constexpr (nibbles_at<type> > 0) {
        for (size_t i = 0; i < B::n / 32; ++i) planes.put_nibbles(b + i, source + nibbles_at<type> + 16 * i);
        if constexpr (layout.plane_bits == 1) {  // the fifth bits of Q5_0 and Q5_1, before the nibbles
            uint32_t bits;
            std::memcpy(&bits, source + nibbles_at<type> - 4, sizeof bits);
            for (size_t quad = 0; quad < 8; ++quad) planes.put_bits(b * 8 + quad, bits >> (4 * quad) & 15);
        }
    } else {
        if constexpr (B::offset == blocks::grid_offset) {
            for (uint8_t& code : block.q) code = index_of<type>[code];
        }
        uint32_t quads[B::n / 4];
        std::memcpy(quads, block.q, sizeof quads);
        planes.put_quads(b * B::n / 4, B::n / 4, quads);
    }
}

template <DType type>
void pack_blocks(const std::byte* rows, size_t row_stride, int n_rows, size_t k, uint8_t* out) noexcept {
    using B = blocks::Block<type>;
    constexpr PackLayout layout = layout_of<type>;
    constexpr size_t per_chunk = layout.chunk_k / B::n;
    const size_t n_blocks = k / B::n, block_bytes = dtype_info(type).block_bytes;
    if (n_rows < pack_rows || n_blocks % per_chunk != 0) std::memset(out, 0, layout.group_bytes(k));
    for (size_t first = 0; first < n_blocks; first += per_chunk, out += layout.chunk_bytes()) {
        const size_t n_here = n_blocks - first < per_chunk ? n_blocks - first : per_chunk;
        std::memset(out, 0, layout.scale_bytes);
        for (int row = 0; row < n_rows; ++row) {
            const auto* source = reinterpret_cast<const uint8_t*>(rows) + static_cast<size_t>(row) * row_stride;
            for (size_t b = 0; b < n_here; ++b) pack_block<type>(source + (first + b) * block_bytes, b, row, out);
        }
    }
}

// `together` consecutive k of a row lie side by side.
template <class T, size_t together>
void pack_floats(const std::byte* rows, size_t row_stride, int n_rows, size_t k, uint8_t* out) noexcept {
    if (n_rows < pack_rows || k % together != 0)
        std::memset(out, 0, (k + together - 1) / together * together * pack_rows * sizeof(T));
    // 16 k of a row at a time: the lines written to stay in the first cache.
    for (size_t first = 0; first < k; first += 16) {
        const size_t last = first + 16 < k ? first + 16 : k;
        for (int row = 0; row < n_rows; ++row) {
            const std::byte* source = rows + static_cast<size_t>(row) * row_stride;
            for (size_t i = first; i < last; ++i) {
                const size_t at = (i / together * pack_rows + static_cast<size_t>(row)) * together + i % together;
                std::memcpy(out + at * sizeof(T), source + i * sizeof(T), sizeof(T));
            }
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
        case DType::q4_0: return pack_blocks<DType::q4_0>(rows, row_stride, n_rows, k, out);
        case DType::q4_1: return pack_blocks<DType::q4_1>(rows, row_stride, n_rows, k, out);
        case DType::q5_0: return pack_blocks<DType::q5_0>(rows, row_stride, n_rows, k, out);
        case DType::q5_1: return pack_blocks<DType::q5_1>(rows, row_stride, n_rows, k, out);
        case DType::q8_0: return pack_blocks<DType::q8_0>(rows, row_stride, n_rows, k, out);
        case DType::iq4_nl: return pack_blocks<DType::iq4_nl>(rows, row_stride, n_rows, k, out);
        case DType::mxfp4: return pack_blocks<DType::mxfp4>(rows, row_stride, n_rows, k, out);
        case DType::q2_k: return pack_blocks<DType::q2_k>(rows, row_stride, n_rows, k, out);
        case DType::q3_k: return pack_blocks<DType::q3_k>(rows, row_stride, n_rows, k, out);
        case DType::q4_k: return pack_blocks<DType::q4_k>(rows, row_stride, n_rows, k, out);
        case DType::q5_k: return pack_blocks<DType::q5_k>(rows, row_stride, n_rows, k, out);
        case DType::q6_k: return pack_blocks<DType::q6_k>(rows, row_stride, n_rows, k, out);
        case DType::iq4_xs: return pack_blocks<DType::iq4_xs>(rows, row_stride, n_rows, k, out);
        case DType::iq2_xxs: return pack_blocks<DType::iq2_xxs>(rows, row_stride, n_rows, k, out);
        case DType::iq2_xs: return pack_blocks<DType::iq2_xs>(rows, row_stride, n_rows, k, out);
        case DType::iq2_s: return pack_blocks<DType::iq2_s>(rows, row_stride, n_rows, k, out);
        case DType::iq3_xxs: return pack_blocks<DType::iq3_xxs>(rows, row_stride, n_rows, k, out);
        case DType::iq3_s: return pack_blocks<DType::iq3_s>(rows, row_stride, n_rows, k, out);
        case DType::iq1_s: return pack_blocks<DType::iq1_s>(rows, row_stride, n_rows, k, out);
        case DType::iq1_m: return pack_blocks<DType::iq1_m>(rows, row_stride, n_rows, k, out);
        case DType::tq1_0: return pack_blocks<DType::tq1_0>(rows, row_stride, n_rows, k, out);
        case DType::tq2_0: return pack_blocks<DType::tq2_0>(rows, row_stride, n_rows, k, out);
        case DType::f32: return pack_floats<uint32_t, 1>(rows, row_stride, n_rows, k, out);
        case DType::f16: return pack_floats<uint16_t, 1>(rows, row_stride, n_rows, k, out);
        default: return pack_floats<uint16_t, 2>(rows, row_stride, n_rows, k, out);
            // clang-format on
    }
}

}  // namespace elver
