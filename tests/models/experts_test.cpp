// Sparse FFNs beyond the goldens: other ways a file may hold experts, logits of a router that are no numbers, MXFP4.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include "formats/gguf_writer.hpp"
#include "kernels/select.hpp"
#include "message_of.hpp"
#include "quant/decode.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

using Bytes = std::vector<std::byte>;

// A tensor that a changed file holds instead of others.
struct Part {
    std::string name;
    DType type;
    Shape shape;
    Bytes bytes;
};

// What stands in a tensor's place; nothing said: itself.
using Parts = std::optional<std::vector<Part>>;

// The tiny model's file with each tensor as change() gives it.
template <class Change>
Bytes changed(const std::string& name, const Change& change) {
    auto source = ByteSource::map_path(tiny_model(name).string());
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    GgufWriter out;
    for (const auto& [key, value] : file->metadata()) out.copy(key, value);
    std::vector<std::vector<Part>> kept;
    for (const GgufTensor& t : file->tensors()) {
        Parts parts = change(t);
        if (!parts) {
            out.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
            continue;
        }
        kept.push_back(*std::move(parts));
        for (const Part& p : kept.back()) out.add_tensor(p.name, p.type, p.shape, p.bytes);
    }
    auto bytes = out.write_memory();
    REQUIRE(bytes);
    return *std::move(bytes);
}

TinyModel opened(const Bytes& bytes, const std::string& isa) {
    auto model = open_tiny(ByteSource::borrow(bytes, "changed.gguf"), isa);
    REQUIRE_MESSAGE(model, elver::test::message_of(model));
    return *model;
}

std::vector<float> logits(const TinyModel& model, int max_batch = 7) {
    const std::vector<int32_t> ids = {3, 17, 44, 9, 60, 9, 1, 28, 30, 52, 11, 4, 58, 21, 5, 40, 2, 33, 49, 13};
    auto out = logits_of(model, ids, 0, max_batch);
    REQUIRE_MESSAGE(out, elver::test::message_of(out));
    return *std::move(out);
}

std::vector<float> logits_of_tiny(const std::string& name, const std::string& isa) {
    const auto model = open_tiny(tiny_model(name), isa);
    REQUIRE(model);
    return logits(*model);
}

// Expert e of a tensor of all.
Part one_expert(const GgufTensor& t, const std::string& name, int64_t e, int64_t n_experts) {
    const int64_t rows = t.view.shape.rows() / n_experts;
    const auto bytes =
        t.view.bytes.subspan(static_cast<size_t>(e) * t.view.bytes.size() / static_cast<size_t>(n_experts),
                             t.view.bytes.size() / static_cast<size_t>(n_experts));
    return {name, t.view.type, Shape{rows, t.view.shape.columns()}, Bytes(bytes.begin(), bytes.end())};
}

bool is_experts(const GgufTensor& t) {
    return t.name.find("_exps.") != std::string_view::npos;
}

}  // namespace

TEST_CASE("experts: one tensor each, as old files have them, gives the bits of one tensor for all") {
    for (const char* isa : available_kernels()) {
        for (const auto& [name, n_experts] : {std::pair{"mixtral", 5}, {"mixtral-q8_0", 3}}) {
            CAPTURE(isa);
            const Bytes old = changed(name, [n = n_experts](const GgufTensor& t) -> Parts {
                std::vector<Part> parts;
                std::string stem(t.name);
                if (!is_experts(t)) return {};
                stem.resize(stem.find("_exps."));
                for (int e = 0; e < n; ++e)
                    parts.push_back(one_expert(t, stem + "." + std::to_string(e) + ".weight", e, n));
                return parts;
            });
            CHECK(logits(opened(old, isa)) == logits_of_tiny(name, isa));
        }
    }
}

TEST_CASE("experts: gate and up in one tensor give the bits of two") {
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        Bytes gate, up;
        Shape shape;
        (void)changed("mixtral", [&](const GgufTensor& t) {
            Bytes bytes(t.view.bytes.begin(), t.view.bytes.end());
            if (t.name.find("ffn_gate_exps") != std::string_view::npos) gate = bytes, shape = t.view.shape;
            if (t.name.find("ffn_up_exps") != std::string_view::npos) up = bytes;
            return Parts();
        });
        Part both{"blk.0.ffn_gate_up_exps.weight", DType::f32, Shape{shape[0], 2 * shape[1], shape[2]}, {}};
        const size_t each = gate.size() / static_cast<size_t>(shape[0]);
        for (size_t e = 0; e < static_cast<size_t>(shape[0]); ++e) {
            for (const Bytes* part : {&gate, &up})
                both.bytes.insert(both.bytes.end(), part->begin() + static_cast<std::ptrdiff_t>(e * each),
                                  part->begin() + static_cast<std::ptrdiff_t>((e + 1) * each));
        }
        const Bytes fused = changed("mixtral", [&](const GgufTensor& t) -> Parts {
            if (t.name.find("ffn_gate_exps") != std::string_view::npos) return {{both}};
            if (t.name.find("ffn_up_exps") != std::string_view::npos) return {std::vector<Part>()};
            return {};
        });
        CHECK(logits(opened(fused, isa)) == logits_of_tiny("mixtral", isa));
    }
}

TEST_CASE("experts: a router's logit that is no number stops the pass with an error, and the session goes on") {
    constexpr int32_t poison = 7;
    const Bytes bytes = changed("qwen2moe", [&](const GgufTensor& t) -> Parts {
        std::vector<Part> parts;
        if (t.name != "token_embd.weight") return {};
        parts.push_back(
            {std::string(t.name), t.view.type, t.view.shape, Bytes(t.view.bytes.begin(), t.view.bytes.end())});
        const float nan = NAN;
        std::memcpy(parts[0].bytes.data() + poison * t.view.shape.columns() * 4, &nan, 4);
        return parts;
    });
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        const auto model = opened(bytes, isa);
        const auto session = Session::make(model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}}),
                   fresh = Session::make(model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}});
        REQUIRE(session);
        REQUIRE(fresh);
        const std::vector<int32_t> good = {1, 2, 3}, bad = {4, 5, poison, 6}, more = {8, 9};
        REQUIRE((*session)->prefill(good));
        const auto failed = (*session)->prefill(bad);
        REQUIRE(!failed);
        CHECK(failed.error().status() == Status::bad_file);
        CHECK(failed.error().message().find("changed.gguf: layer 0: the router's logit of expert") == 0);
        // The token's own position, or that of one whose attention shares a tile with it: no number times 0 is none.
        const size_t at = failed.error().message().find("at position ");
        REQUIRE(at != std::string::npos);
        const int position = std::stoi(failed.error().message().substr(at + 12));
        CHECK(position >= 3);
        CHECK(position <= 5);
        CHECK((*session)->n_past() == 3);
        REQUIRE((*session)->prefill(more));
        REQUIRE((*fresh)->prefill(good));
        REQUIRE((*fresh)->prefill(more));
        const auto a = (*session)->logits(), b = (*fresh)->logits();
        CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    }
}

TEST_CASE("experts: MXFP4 ones give what the same numbers in F32 give") {
    const auto mxfp4 = [](const GgufTensor& t) {
        std::mt19937 random(static_cast<unsigned>(t.name.size() + t.name[6]));
        Bytes bytes(static_cast<size_t>(t.view.shape.rows()) * row_bytes(DType::mxfp4, 32));
        for (size_t i = 0; i < bytes.size(); ++i)  // a block begins with its exponent
            bytes[i] = static_cast<std::byte>(i % 17 == 0 ? 123 + random() % 3 : random());
        return bytes;
    };
    const Bytes small = changed("mixtral-q8_0", [&](const GgufTensor& t) -> Parts {
        if (!is_experts(t)) return {};
        return {{Part{std::string(t.name), DType::mxfp4, t.view.shape, mxfp4(t)}}};
    });
    const Bytes large = changed("mixtral-q8_0", [&](const GgufTensor& t) -> Parts {
        if (!is_experts(t)) return {};
        std::vector<float> values(static_cast<size_t>(t.view.shape.n_elements()));
        decoder(DType::mxfp4)(mxfp4(t).data(), values.data(), values.size());
        const auto* begin = reinterpret_cast<const std::byte*>(values.data());
        return {{Part{std::string(t.name), DType::f32, t.view.shape, Bytes(begin, begin + values.size() * 4)}}};
    });
    const auto expected = logits(opened(large, "reference"));
    double spread = 0;
    for (const float v : expected) spread += double(v) * v / static_cast<double>(expected.size());
    for (const char* isa : available_kernels()) {
        CAPTURE(isa);
        const auto model = opened(small, isa);
        const auto found = logits(model);
        double worst = 0;
        for (size_t i = 0; i < found.size(); ++i)
            worst = std::max(worst, double(std::fabs(found[i] - expected[i])) / std::sqrt(spread));
        CHECK(worst < (std::string(isa) == "reference" ? 1e-5 : 0.15));
        CHECK(logits(model, 1) == found);
    }
}

TEST_CASE("experts: what a file says of them is checked, and the error names it") {
    const auto error_of = [](const std::string& key, uint32_t value) {
        auto source = ByteSource::map_path(tiny_model("dots1").string());
        REQUIRE(source);
        const auto file = Gguf::parse(*std::move(source));
        REQUIRE(file);
        GgufWriter out;
        for (const auto& [name, old] : file->metadata()) {
            if (name != key) out.copy(name, old);
        }
        out.set_u32(key, value);
        for (const GgufTensor& t : file->tensors()) out.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
        const auto bytes = out.write_memory();
        REQUIRE(bytes);
        const auto model = open_tiny(ByteSource::borrow(*bytes, "changed.gguf"), "reference");
        return model ? std::string() : model.error().message();
    };
    CHECK(error_of("dots1.expert_used_count", 2).empty());
    CHECK(error_of("dots1.expert_used_count", 0).find("top_k") != std::string::npos);
    CHECK(error_of("dots1.expert_used_count", 6).find("top_k") != std::string::npos);
    CHECK(error_of("dots1.expert_count", 4).find("ffn_gate_inp") != std::string::npos);
    CHECK(error_of("dots1.expert_group_count", 2).find("n_groups") != std::string::npos);
    CHECK(error_of("dots1.expert_feed_forward_length", 16).find("exps") != std::string::npos);
}
