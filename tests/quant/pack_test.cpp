// The pack holds a block's codes where quant/pack.hpp says, whatever lay in the memory before. What its scales mean is
// tested with the kernels that read them.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "quant/grid_blocks.hpp"
#include "quant/pack.hpp"

using namespace elver;

namespace {

// Code of (row, k) read from a group as the comment in pack.hpp describes it, bit by bit.
int code_at(const PackLayout& layout, const std::byte* group, int row, size_t k) {
    const auto* chunk = reinterpret_cast<const uint8_t*>(group) + k / layout.chunk_k * layout.chunk_bytes();
    const size_t in_64 = k % 64, quad = in_64 / 4, byte = size_t(4 * row) + k % 4;
    const uint8_t* second =
        chunk + layout.scale_bytes + k % layout.chunk_k / 64 * 128 * (layout.code_bits + layout.plane_bits);
    const uint8_t* codes = second + size_t{128} * layout.plane_bits;
    const auto pair = [&](const uint8_t* plane) { return plane[quad % 4 * 64 + byte] >> (2 * (quad / 4)) & 3; };
    int code = 0;
    if (layout.code_bits == 8) code = codes[quad * 64 + byte];
    if (layout.code_bits == 4) code = codes[(quad / 8 * 4 + quad % 4) * 64 + byte] >> (4 * (quad % 8 / 4)) & 15;
    if (layout.code_bits == 2) code = pair(codes);
    if (layout.plane_bits == 2) code |= pair(second) << layout.code_bits;
    if (layout.plane_bits == 1) code |= (second[quad * 8 + byte / 8] >> (byte % 8) & 1) << layout.code_bits;
    return code;
}

template <DType type>
void check_codes() {
    using Block = blocks::Block<type>;
    CAPTURE(dtype_name(type));
    const PackLayout& layout = *pack_layout(type);
    std::mt19937 random(7);
    for (const int n_rows : {1, 5, 16}) {
        for (const size_t n_blocks : {1, 2, 3, 7}) {
            const size_t k = n_blocks * Block::n, stride = row_bytes(type, k);
            std::vector<std::byte> rows(stride * size_t(n_rows));
            for (std::byte& b : rows) b = static_cast<std::byte>(random());
            std::vector<std::byte> group(layout.group_bytes(k), std::byte{0xa5}), again(group.size(), std::byte{0x5a});
            pack_group(layout, rows.data(), stride, n_rows, k, group.data());
            pack_group(layout, rows.data(), stride, n_rows, k, again.data());
            CHECK(group == again);
            int wrong = 0;
            for (int row = 0; row < pack_rows; ++row) {
                for (size_t i = 0; i < k; ++i) {
                    const int code = code_at(layout, group.data(), row, i);
                    if (row >= n_rows) {
                        wrong += code != 0;
                        continue;
                    }
                    const auto* source = reinterpret_cast<const uint8_t*>(rows.data()) + size_t(row) * stride;
                    const Block block(source + i / Block::n * dtype_info(type).block_bytes);
                    int expected = block.q[i % Block::n];
                    int found = code;
                    if (type == DType::iq4_nl || type == DType::iq4_xs) found = blocks::iq4_values[code] + 128;
                    if (type == DType::mxfp4) found = blocks::mxfp4_values[code] + 128;
                    if constexpr (Block::offset == blocks::grid_offset) {
                        found = blocks::grid_values<type>[code] + Block::offset;
                    }
                    wrong += found != expected;
                }
            }
            CHECK(wrong == 0);
        }
    }
}

// Groups of [k / together][16 rows][together].
template <class T>
void check_floats(DType type, size_t together) {
    const size_t k = 37, n = (k + together - 1) / together * together;
    std::vector<T> rows(5 * k);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<T>(i + 1);
    std::vector<T> group(16 * n, T(9));
    const PackLayout& layout = *pack_layout(type);
    REQUIRE(layout.group_bytes(k) == group.size() * sizeof(T));
    pack_group(layout, reinterpret_cast<const std::byte*>(rows.data()), k * sizeof(T), 5, k,
               reinterpret_cast<std::byte*>(group.data()));
    for (size_t i = 0; i < n; ++i)
        for (size_t row = 0; row < 16; ++row)
            CHECK(group[(i / together * 16 + row) * together + i % together] ==
                  (row < 5 && i < k ? rows[row * k + i] : T(0)));
}

}  // namespace

TEST_CASE("pack: codes lie where the layout says") {
    check_codes<DType::q4_0>(), check_codes<DType::q4_1>(), check_codes<DType::q5_0>(), check_codes<DType::q5_1>();
    check_codes<DType::q8_0>(), check_codes<DType::iq4_nl>(), check_codes<DType::mxfp4>();
    check_codes<DType::q2_k>(), check_codes<DType::q3_k>(), check_codes<DType::q4_k>(), check_codes<DType::q5_k>();
    check_codes<DType::q6_k>(), check_codes<DType::iq4_xs>();
    check_codes<DType::iq2_xxs>(), check_codes<DType::iq2_xs>(), check_codes<DType::iq2_s>();
    check_codes<DType::iq3_xxs>(), check_codes<DType::iq3_s>(), check_codes<DType::iq1_s>();
    check_codes<DType::iq1_m>(), check_codes<DType::tq1_0>(), check_codes<DType::tq2_0>();
}

TEST_CASE("pack: floats are transposed and padded") {
    check_floats<uint32_t>(DType::f32, 1);
    check_floats<uint16_t>(DType::f16, 1);
    check_floats<uint16_t>(DType::bf16, 2);
}
