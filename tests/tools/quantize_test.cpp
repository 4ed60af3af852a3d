// A model in another type: what is encoded and what is kept, what the result is read as, and what stops it.
#include <unistd.h>
#include <cmath>
#include <filesystem>

#include "base/file_writer.hpp"
#include "base/text.hpp"
#include "engine/models.hpp"
#include "formats/gguf_writer.hpp"
#include "message_of.hpp"
#include "quant/decode.hpp"
#include "tools/quantize.hpp"

using namespace elver;
using namespace elver::test;

namespace {

Result<void> quantize_to(ByteSource source, const std::string& path, const QuantizeOptions& options,
                         const Progress& progress) {
    return write_file(path,
                      [&](const ByteSink& sink) { return quantize_model(std::move(source), sink, options, progress); });
}

struct Folder {
    std::filesystem::path path = std::filesystem::temp_directory_path() / cat("elver_quantize_", ::getpid());
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    size_t n_files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path), {})); }
};

ByteSource map(const std::string& path) {
    auto source = ByteSource::map_path(path);
    REQUIRE_MESSAGE(source, message_of(source));
    return *std::move(source);
}

std::vector<float> decoded(const TensorView& view) {
    std::vector<float> out(static_cast<size_t>(view.shape.n_elements()));
    decoder(view.type)(view.bytes.data(), out.data(), out.size());
    return out;
}

}  // namespace

TEST_CASE("quantize: matrices change their type, all else stays, and the model runs") {
    const Folder folder;
    const std::string out = folder.path / "out.gguf", in = tiny_path("llama-q8_0");
    const auto before = Gguf::parse(map(in));
    REQUIRE(before);
    for (const DType type : {DType::f16, DType::q4_0, DType::q5_1, DType::q4_k, DType::f32}) {
        CAPTURE(std::string(dtype_name(type)));
        std::vector<double> fractions;
        const auto done = quantize_to(map(in), out, {type, 2}, [&](double f) { return fractions.push_back(f), true; });
        REQUIRE_MESSAGE(done, message_of(done));
        CHECK(std::is_sorted(fractions.begin(), fractions.end()));
        CHECK(fractions.back() == 1.0);
        const auto after = Gguf::parse(map(out));
        REQUIRE_MESSAGE(after, message_of(after));
        CHECK(*after->get_string("general.architecture") == *before->get_string("general.architecture"));
        REQUIRE(after->tensors().size() == before->tensors().size());
        size_t n_changed = 0;
        for (size_t i = 0; i < after->tensors().size(); ++i) {
            const GgufTensor &a = after->tensors()[i], &b = before->tensors()[i];
            CAPTURE(a.name);
            CHECK(a.name == b.name);
            CHECK(a.view.shape == b.view.shape);
            if (a.view.type == b.view.type) {
                CHECK(std::equal(a.view.bytes.begin(), a.view.bytes.end(), b.view.bytes.begin(), b.view.bytes.end()));
                continue;
            }
            ++n_changed;
            CHECK(b.view.shape.rank() == 2);
            const auto x = decoded(b.view), y = decoded(a.view);
            double error = 0, all = 0;
            for (size_t j = 0; j < x.size(); ++j) error += std::pow(double(x[j]) - y[j], 2), all += x[j] * double(x[j]);
            CHECK(error <= all * (type == DType::f32 ? 0 : 0.02));
        }
        CHECK(n_changed >= 5);
        load(out, 1);
    }
}

TEST_CASE("quantize: no infinity is written, and huge numbers that a type holds stay what they are") {
    const Folder folder;
    const std::string in = folder.path / "in.gguf", out = folder.path / "out.gguf";
    const auto quantize = [&](float value, DType type) {
        std::vector<float> numbers(64 * 256, value / 4);
        numbers[3 * 256 + 7] = value;
        GgufWriter writer;
        writer.set_string("general.architecture", "llama");
        writer.add_tensor("w.weight", DType::f32, {64, 256}, std::as_bytes(std::span(numbers)));
        REQUIRE(writer.write_file(in));
        return quantize_to(map(in), out, {type, 1}, {});
    };
    struct Row {
        float value;
        DType type;
        bool fits;
    };
    std::vector<Row> rows = {
        {65504.0f, DType::f16, true},  {65520.0f, DType::f16, false}, {-1e30f, DType::f16, false},
        {3.39e38f, DType::bf16, true}, {3.4e38f, DType::bf16, false}, {3e38f, DType::f32, true},
        {9e17f, DType::mxfp4, true},   {-9e17f, DType::mxfp4, true},  {1e19f, DType::mxfp4, false},
    };
    // Times the greatest f16: what a block's codes reach, and half as much again.
    for (const auto& [type, codes] : std::initializer_list<std::pair<DType, float>>{{DType::q4_0, 8},
                                                                                    {DType::q4_1, 1},
                                                                                    {DType::q5_0, 16},
                                                                                    {DType::q5_1, 1},
                                                                                    {DType::q8_0, 127},
                                                                                    {DType::iq4_nl, 113},
                                                                                    {DType::q2_k, 15},
                                                                                    {DType::q3_k, 93},
                                                                                    {DType::q4_k, 63},
                                                                                    {DType::q5_k, 63},
                                                                                    {DType::q6_k, 127 * 31}}) {
        for (const float sign : {1.0f, -1.0f}) {
            rows.push_back({sign * codes * 65504.0f, type, true});
            rows.push_back({sign * codes * 65504.0f * 1.5f, type, false});
            rows.push_back({sign * 1e30f, type, false});
            rows.push_back({sign * 1e-40f, type, true});
        }
    }
    for (const Row& row : rows) {
        CAPTURE(row.value);
        CAPTURE(std::string(dtype_name(row.type)));
        const auto done = quantize(row.value, row.type);
        CHECK(bool(done) == row.fits);
        if (!done) {
            CHECK(done.error().status() == Status::unsupported);
            CHECK(done.error().object() == "w.weight");
            CHECK(done.error().message().find(cat("is beyond the range of ", dtype_name(row.type))) !=
                  std::string::npos);
            CHECK(folder.n_files() == 1);
            continue;
        }
        const auto file = Gguf::parse(map(out));
        REQUIRE(file);
        const auto again = decoded(file->tensors().front().view);
        if (std::fabs(row.value) > 1e-30f) CHECK(again[3 * 256 + 7] == doctest::Approx(row.value).epsilon(0.25));
        for (const float v : again) REQUIRE(std::isfinite(v));
        std::filesystem::remove(out);
    }
}

TEST_CASE("quantize: an error or a caller who has enough leaves no file") {
    const Folder folder;
    const std::string out = folder.path / "out.gguf", in = tiny_path("llama-q8_0");
    const auto stopped = quantize_to(map(in), out, {DType::q4_0, 1}, [](double f) { return f < 0.5; });
    REQUIRE(!stopped);
    CHECK(stopped.error().status() == Status::cancelled);
    const auto type = quantize_to(map(in), out, {DType::iq1_s, 1}, {});
    REQUIRE(!type);
    CHECK(type.error().status() == Status::unsupported);
    CHECK(type.error().message().find("IQ1_S") != std::string::npos);
    const auto nowhere = quantize_to(map(in), folder.path / "no" / "out.gguf", {DType::q4_0, 1}, {});
    REQUIRE(!nowhere);
    CHECK(nowhere.error().status() == Status::io);
    CHECK_THROWS_AS((void)quantize_to(map(in), out, {DType::q4_0, 1}, [](double) -> bool { throw 7; }), int);
    CHECK(folder.n_files() == 0);
}
