// Encoded rows, decoded again: the error is no larger than that of llama.cpp's quantiser (tests/golden/quant/rmse.py),
// on random rows and on rows of a real model.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "message_of.hpp"
#include "quant/decode.hpp"
#include "quant/encode.hpp"

using namespace elver;

namespace {

const DType types[] = {DType::f16,  DType::bf16, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1,   DType::q8_0,
                       DType::q2_k, DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::mxfp4};

std::vector<std::byte> encode(DType type, const std::vector<float>& values) {
    std::vector<std::byte> out(row_bytes(type, values.size()));
    encoder(type)(values.data(), out.data(), values.size());
    return out;
}

std::vector<float> decode(DType type, const std::vector<std::byte>& bytes, size_t n) {
    std::vector<float> out(n);
    decoder(type)(bytes.data(), out.data(), n);
    return out;
}

double rmse(DType type, const std::vector<float>& values) {
    const auto back = decode(type, encode(type, values), values.size());
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += std::pow(double(back[i]) - values[i], 2);
    return std::sqrt(sum / static_cast<double>(values.size()));
}

std::vector<float> golden_rows(const std::string& name) {
    std::ifstream in(cat(ELVER_TEST_DATA "/golden/quant/", name, ".f32"), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    REQUIRE(bytes.size() > 1024);
    std::vector<float> out(bytes.size() / sizeof(float));
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
}

std::vector<float> model_rows(const Gguf& file, const std::string& name, int64_t n_rows) {
    const auto tensor = file.tensor(name);
    REQUIRE_MESSAGE(tensor, elver::test::message_of(tensor));
    const TensorView& view = (*tensor)->view;
    std::vector<float> out(static_cast<size_t>(n_rows * view.shape.columns()));
    decoder(view.type)(view.bytes.data(), out.data(), out.size());
    return out;
}

}  // namespace

TEST_CASE("encode: the error is no larger than llama.cpp's") {
    std::ifstream in(ELVER_TEST_DATA "/golden/quant/rmse.json");
    const auto golden = nlohmann::json::parse(in);
    const char* path = std::getenv("ELVER_TEST_MODEL");
    REQUIRE_MESSAGE(path != nullptr, "ELVER_TEST_MODEL: expected the path of SmolLM2's GGUF; ./dev test sets it");
    auto mapped = ByteSource::map_path(path);
    REQUIRE(mapped);
    const auto file = Gguf::parse(*std::move(mapped));
    REQUIRE(file);
    for (const auto& [source, by_type] : golden["rmse"].items()) {
        CAPTURE(source);
        const bool random = source == "normal" || source == "laplace";
        const auto values =
            random ? golden_rows(source) : model_rows(*file, source, golden["rows"][source].get<int64_t>());
        CHECK(by_type.size() == std::size(types));
        for (const DType type : types) {
            CAPTURE(dtype_info(type).name);
            const double found = rmse(type, values), peer = by_type[dtype_name(type)].get<double>();
            CHECK(found <= peer * (1 + 1e-9));
        }
    }
}

TEST_CASE("encode: a row's bytes do not depend on what lies beside it") {
    const auto values = golden_rows("laplace");
    for (const DType type : types) {
        CAPTURE(std::string(dtype_name(type)));
        const auto whole = encode(type, values);
        CHECK(encode(type, values) == whole);
        for (size_t i = 0; i + 256 <= 2048; i += 256) {
            const auto part = encode(type, std::vector<float>(values.begin() + i, values.begin() + i + 256));
            CHECK(std::equal(part.begin(), part.end(), whole.begin() + row_bytes(type, i)));
        }
    }
}

TEST_CASE("encode: constant rows, and rows of one value, come back") {
    for (const DType type : types) {
        CAPTURE(std::string(dtype_name(type)));
        const std::vector<float> zeros(512);
        CHECK(decode(type, encode(type, zeros), 512) == zeros);
        for (const float c : {1.0f, -1.0f, 0.5f, -96.0f}) {
            const auto back = decode(type, encode(type, std::vector<float>(512, c)), 512);
            for (const float v : back) CHECK(v == doctest::Approx(c).epsilon(1e-3));
        }
        // Only one of 256 is not zero; IQ4_NL has no level for zero, its smallest is a 113th of its largest.
        const float close = type == DType::iq4_nl ? 0.03f : 0.003f;
        for (const size_t at : {size_t{0}, size_t{100}, size_t{255}}) {
            std::vector<float> spike(256);
            spike[at] = -3.0f;
            const auto back = decode(type, encode(type, spike), 256);
            for (size_t i = 0; i < 256; ++i) CHECK(std::fabs(back[i] - spike[i]) < close);
        }
    }
}

TEST_CASE("encode: values of any size give finite values no larger than they were") {
    std::mt19937 random(9);
    std::normal_distribution<float> normal;
    for (const DType type : types) {
        CAPTURE(std::string(dtype_name(type)));
        for (const float size : {1e-45f, 1e-38f, 1e-20f, 1e-8f, 1e-4f, 1e4f, 1e6f, 1e20f, 3e37f}) {
            CAPTURE(size);
            std::vector<float> values(512);
            for (float& v : values) v = std::clamp(normal(random), -8.0f, 8.0f) * size;
            if (type == DType::f16 && size > 1e4f) continue;  // infinite, as f16 has it
            const auto back = decode(type, encode(type, values), 512);
            double error = 0, all = 0;
            for (size_t i = 0; i < values.size(); ++i) {
                if (!std::isfinite(back[i])) FAIL_CHECK("element ", i, " is ", back[i]);
                error += std::pow(double(back[i]) - values[i], 2), all += std::pow(double(values[i]), 2);
            }
            CHECK(error <= all * 1.0001);
            if (size >= 1e-4f && size <= 1e4f) CHECK(error <= all * 0.12);
        }
    }
}

TEST_CASE("encode: values that are no numbers are encoded to something, without undefined behaviour") {
    for (const DType type : types) {
        for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::max()}) {
            std::vector<float> values(256, 0.5f);
            values[17] = bad, values[200] = -bad;
            CHECK(encode(type, values).size() == row_bytes(type, 256));
        }
    }
}

TEST_CASE("encode: types that elver cannot write have no encoder") {
    for (const DType type : {DType::i8, DType::i64, DType::iq2_xxs, DType::iq1_m}) CHECK(!encoder(type));
}
