// Types as gguf has them (tests/golden/base/make.py), shapes and views.
#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>

#include <doctest/doctest.h>

#include "tensor/tensor.hpp"

using namespace elver;

TEST_CASE("dtype: numbers, blocks and sizes are those of gguf") {
    std::ifstream in(ELVER_TEST_DATA "/golden/base/base.json");
    const auto types = nlohmann::json::parse(in)["types"];
    size_t n_known = 0;
    std::string unknown;
    for (const auto& [name, row] : types.items()) {
        CAPTURE(name);
        const auto type = dtype_from_gguf(row[0].get<uint32_t>());
        CHECK(dtype_from_name(name) == type);
        if (!type) {
            unknown += name + " ";
            continue;
        }
        ++n_known;
        const DTypeInfo& info = dtype_info(*type);
        CHECK(info.type == *type);
        CHECK(std::string(info.name) == name);
        CHECK(info.block_size == row[1].get<uint32_t>());
        CHECK(info.block_bytes == row[2].get<uint32_t>());
        CHECK(row_bytes(*type, 5 * info.block_size) == 5 * info.block_bytes);
        std::string lower = name;
        for (char& c : lower) c = static_cast<char>(std::tolower(c));
        CHECK(dtype_from_name(lower) == type);
    }
    size_t n_rows = 0;
#define ELVER_DTYPE(...) ++n_rows;
#include "tensor/dtypes.inc"
#undef ELVER_DTYPE
    CHECK(n_known == n_rows);
    CHECK(unknown == "NVFP4 Q1_0 Q8_1 Q8_K ");  // the last two are of activations and stand in no file
    for (const uint32_t id : {4u, 5u, 31u, 1000u, ~0u}) CHECK(!dtype_from_gguf(id));
    for (const char* name : {"", "Q4", "Q4_0 ", "q4_00", "F32\n"}) CHECK(!dtype_from_name(name));
}

TEST_CASE("shape: rows, columns and elements") {
    CHECK(Shape().rank() == 0);
    CHECK(Shape().n_elements() == 1);
    CHECK(Shape().columns() == 1);
    CHECK(Shape{7}.rows() == 1);
    CHECK(Shape{7}.columns() == 7);
    const Shape s{2, 3, 4, 5};
    CHECK(s.rank() == 4);
    CHECK(s.n_elements() == 120);
    CHECK(s.rows() == 24);
    CHECK(s.columns() == 5);
    CHECK(s[1] == 3);
    CHECK(s.text() == "[2, 3, 4, 5]");
    CHECK(Shape{4, 0}.rows() == 0);
    CHECK(Shape{0, 4}.rows() == 0);
    CHECK(Shape{2, 3} == Shape{2, 3});
    CHECK(!(Shape{2, 3} == Shape{3, 2}));
    CHECK(!(Shape{2, 3} == Shape{2, 3, 1}));
    CHECK(Shape{int64_t{1} << 31, int64_t{1} << 31}.n_elements() == int64_t{1} << 62);
}

TEST_CASE("view: a row's bytes are where its type and columns say") {
    std::byte bytes[3 * 2 * 36] = {};
    const TensorView view{DType::q4_0, {3, 2, 64}, bytes};
    for (int64_t i = 0; i < 6; ++i) CHECK(view.row(i) == bytes + i * 36);
}
