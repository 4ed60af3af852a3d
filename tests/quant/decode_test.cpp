// Decoded blocks have the bits that PyPI gguf gives them: tests/golden/quant/make.py.
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "quant/decode.hpp"

using namespace elver;

namespace {

// Types whose decoding is a conversion that another test holds to NumPy, or a copy.
bool is_plain(DType type) {
    return type == DType::f32 || type == DType::f64;
}

std::vector<DType> decoded_types() {
    std::vector<DType> out;
#define ELVER_DTYPE(symbol, gguf_id, block_elements, block_bytes) \
    if (decoder(DType::symbol) != nullptr && !is_plain(DType::symbol)) out.push_back(DType::symbol);
#include "tensor/dtypes.inc"
#undef ELVER_DTYPE
    return out;
}

// The same bits, or both NaN: which NaN a product of infinity and zero is depends on the processor.
bool same(float a, float b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

}  // namespace

TEST_CASE("decode: every type that elver decodes has the bits of gguf") {
    CHECK(decoded_types().size() >= 15);
    for (const DType type : decoded_types()) {
        const DTypeInfo& info = dtype_info(type);
        CAPTURE(info.name);
        std::ifstream in(cat(ELVER_TEST_DATA "/golden/quant/", info.name, ".bin"), std::ios::binary);
        REQUIRE(in);
        const std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
        const size_t each = info.block_bytes + info.block_size * sizeof(float), n_blocks = file.size() / each;
        REQUIRE(file.size() == n_blocks * each);
        REQUIRE(n_blocks >= 20);
        std::vector<float> expected(n_blocks * info.block_size), found(expected.size());
        std::memcpy(expected.data(), file.data() + n_blocks * info.block_bytes, expected.size() * sizeof(float));
        decoder(type)(reinterpret_cast<const std::byte*>(file.data()), found.data(), found.size());
        size_t n_wrong = 0, first = 0;
        for (size_t i = expected.size(); i-- > 0;) {
            if (!same(expected[i], found[i])) ++n_wrong, first = i;
        }
        CAPTURE(first / info.block_size);  // block
        CAPTURE(first % info.block_size);  // element
        CAPTURE(expected[first]);
        CAPTURE(found[first]);
        CHECK(n_wrong == 0);
    }
}

TEST_CASE("decode: a row is decoded block by block, whatever its length, and no further") {
    for (const DType type : decoded_types()) {
        const DTypeInfo& info = dtype_info(type);
        CAPTURE(info.name);
        const std::vector<std::byte> blocks(5 * info.block_bytes, std::byte{0x35});
        std::vector<float> whole(5 * info.block_size);
        decoder(type)(blocks.data(), whole.data(), whole.size());
        for (size_t n = 1; n <= 5; ++n) {
            std::vector<float> part(whole.size() + 1, 42.0f);
            decoder(type)(blocks.data(), part.data(), n * info.block_size);
            CHECK(std::memcmp(part.data(), whole.data(), n * info.block_size * sizeof(float)) == 0);
            CHECK(part[n * info.block_size] == 42.0f);
        }
    }
}

TEST_CASE("decode: types that hold no weights have no decoder") {
    for (const DType type : {DType::i8, DType::i16, DType::i32, DType::i64}) CHECK(!decoder(type));
}
