// A model in another type: what is encoded and what is kept, what the result is read as, and what stops it.
#include <unistd.h>
#include <cmath>
#include <filesystem>

#include "base/text.hpp"
#include "message_of.hpp"
#include "models.hpp"
#include "quant/decode.hpp"
#include "runtime/quantize.hpp"

using namespace elver;
using namespace elver::test;

namespace {

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
        const auto done =
            quantize_file(map(in), out, {type, 2}, [&](double f) { return fractions.push_back(f), true; });
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

TEST_CASE("quantize: an error or a caller who has enough leaves no file") {
    const Folder folder;
    const std::string out = folder.path / "out.gguf", in = tiny_path("llama-q8_0");
    const auto stopped = quantize_file(map(in), out, {DType::q4_0, 1}, [](double f) { return f < 0.5; });
    REQUIRE(!stopped);
    CHECK(stopped.error().status() == Status::cancelled);
    const auto type = quantize_file(map(in), out, {DType::iq1_s, 1}, {});
    REQUIRE(!type);
    CHECK(type.error().status() == Status::unsupported);
    CHECK(type.error().message().find("IQ1_S") != std::string::npos);
    const auto nowhere = quantize_file(map(in), folder.path / "no" / "out.gguf", {DType::q4_0, 1}, {});
    REQUIRE(!nowhere);
    CHECK(nowhere.error().status() == Status::io);
    CHECK_THROWS_AS((void)quantize_file(map(in), out, {DType::q4_0, 1}, [](double) -> bool { throw 7; }), int);
    CHECK(folder.n_files() == 0);
}
