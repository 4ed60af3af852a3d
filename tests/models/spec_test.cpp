// The JSON form of a spec: what is read is what was written, errors name the field, and a file that carries its spec
// needs no architecture that elver knows.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "formats/gguf_writer.hpp"
#include "message_of.hpp"
#include "models/model_spec.hpp"
#include "tiny_models.hpp"

using namespace elver;
using Given = nlohmann::ordered_json;

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
    return text;
}

// The file with an architecture that nobody has heard of, tensors under other names, and a spec that says it all.
std::vector<std::byte> own_spec_file(const Gguf& file, const std::string& spec) {
    GgufWriter out;
    for (const auto& [key, value] : file.metadata()) {
        if (key != "general.architecture") out.copy(key, value);
    }
    out.set_string("general.architecture", "unheard-of");
    out.set_string("elver.spec", replaced(spec, "blk.{layer}.", "model.layers.{layer}.self."));
    for (const GgufTensor& t : file.tensors()) {
        std::string name(t.name);
        if (name.rfind("blk.", 0) == 0) {
            const size_t dot = name.find('.', 4);
            name = "model.layers." + name.substr(4, dot - 4) + ".self" + name.substr(dot);
        }
        out.add_tensor(name, t.view.type, t.view.shape, t.view.bytes);
    }
    auto bytes = out.write_memory();
    REQUIRE(bytes);
    return *std::move(bytes);
}

std::string error_of(const Given& spec) {
    const auto read = ModelSpec::from_json(spec.dump());
    return read ? "" : read.error().message();
}

Given llama() {
    return Given::parse(R"({"architecture": "own", "n_vocab": 61, "width": 20, "n_layers": 3, "n_ctx_train": 64,
        "rope": {"pairing": "adjacent", "tables": [{"dims": 10, "base": 500}]},
        "layers": [{"n_heads": 2, "n_kv_heads": 1, "head_dim": 10, "v_head_dim": 10, "rope": 0, "ffn_width": 14}]})");
}

}  // namespace

TEST_CASE("spec: every tiny model runs by the spec it carries, under names that elver does not know, to the bit") {
    int n_equal = 0;
    for (const fs::path& path : tiny_models()) {
        CAPTURE(path.filename().string());
        const auto gold = golden(path);
        const auto model = open_tiny(path, "reference");
        if (!model) continue;
        const std::string spec = (*model)->spec().to_json();
        const auto again = ModelSpec::from_json(spec);
        REQUIRE_MESSAGE(again, elver::test::message_of(again));
        CHECK(again->to_json() == spec);
        const auto bytes = own_spec_file((*model)->file(), spec);
        const auto own = open_tiny(ByteSource::borrow(bytes, "own"), "reference");
        REQUIRE_MESSAGE(own, elver::test::message_of(own));
        const auto ids = gold["tokens"].get<std::vector<int32_t>>();
        const auto expected = logits_of(*model, ids), found = logits_of(*own, ids);
        REQUIRE(expected);
        REQUIRE(found);
        CHECK(*found == *expected);
        ++n_equal;
    }
    CHECK(n_equal >= 62);
}

TEST_CASE("spec: the JSON of docs/add-an-architecture.md gives the logits of its oracle") {
    std::ifstream page(fs::path(ELVER_TEST_DATA).parent_path() / "docs" / "add-an-architecture.md");
    const std::string text((std::istreambuf_iterator<char>(page)), {});
    const size_t begin = text.find("```json\n"), end = text.find("```", begin + 8);
    REQUIRE(begin != std::string::npos);
    REQUIRE(end != std::string::npos);
    const auto path = tiny_model("starcoder2");
    auto source = ByteSource::map_path(path.string());
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    GgufWriter out;
    for (const auto& [key, value] : file->metadata()) {
        if (key.find("starcoder2") == std::string_view::npos && key != "general.architecture") out.copy(key, value);
    }
    out.set_string("general.architecture", "starcoder2-by-hand");
    out.set_string("elver.spec", text.substr(begin + 8, end - begin - 8));
    for (const GgufTensor& t : file->tensors()) out.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const auto bytes = out.write_memory();
    REQUIRE(bytes);
    const auto model = open_tiny(ByteSource::borrow(*bytes, "own"), "reference");
    REQUIRE_MESSAGE(model, elver::test::message_of(model));
    const auto gold = golden(path);
    const auto logits = logits_of(*model, gold["tokens"].get<std::vector<int32_t>>());
    REQUIRE(logits);
    std::vector<float> expected(logits->size());
    std::ifstream oracle(fs::path(path).replace_extension(".f32"), std::ios::binary);
    oracle.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(expected.size() * 4));
    REQUIRE(oracle.good());
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i)
        worst = std::max(worst, std::fabs(double((*logits)[i]) - double(expected[i])));
    CHECK(worst < 1e-4 * gold["logit_std"].get<double>());
}

TEST_CASE("spec: a layer's pattern repeats, and what is not given keeps its default") {
    Given json = llama();
    json["layers"].push_back(json["layers"][0]);
    json["layers"][1]["window"] = 7;
    const auto spec = ModelSpec::from_json(json.dump());
    REQUIRE_MESSAGE(spec, elver::test::message_of(spec));
    REQUIRE(spec->layers.size() == 3);
    CHECK(spec->layers[0].window == 0);
    CHECK(spec->layers[1].window == 7);
    CHECK(spec->layers[2] == spec->layers[0]);
    CHECK(spec->norm == NormKind::rms);
    CHECK(spec->tensors.of("attn_q", 2) == "blk.2.attn_q");
    CHECK(Given::parse(spec->to_json())["layers"].size() == 2);
}

TEST_CASE("spec: an error names the field") {
    struct Row {
        const char* pointer;
        Given value;
        const char* names;
    };
    const Row rows[] = {
        {"/n_vocab", 0, "n_vocab: expected 1"},
        {"/n_vocab", 1.5, "n_vocab: expected an integer"},
        {"/n_vocab", 1ull << 40, "n_vocab: expected an integer"},
        {"/width", "20", "width: expected an integer"},
        {"/colour", 1, "\"colour\": elver knows no such field"},
        {"/norm", 3, "norm: expected an object, found \"3\""},
        {"/norm", Given{{"kind", "batch"}}, "norm.kind: expected one of rms, layer, found"},
        {"/norm", Given{{"eps", -1}}, "norm.eps: expected a number of 0 or more"},
        {"/attention", Given{{"softcap", 1}}, "\"attention.softcap\": elver knows no such field"},
        {"/attention", Given{{"soft_cap", nullptr}}, "attention.soft_cap: expected a number"},
        {"/rope/tables/0/dims", 9, "rope.tables[0].dims: expected an even number"},
        {"/rope/tables/0/dims", 12, "layers[0].rope: expected at most head_dim, 10, dims, found 12"},
        {"/rope/tables/0/base", 0, "rope.tables[0].base: expected a number above 0"},
        {"/rope/tables/0/scaling", "dynamic", "rope.tables[0].scaling: expected one of none, linear, yarn"},
        {"/rope/tables", Given::object(), "rope.tables: expected a list, found object"},
        {"/layers", Given::array(), "n_layers: expected layers, found none"},
        {"/layers/0/rope", 1, "layers[0].rope: expected -1 to 0, found 1"},
        {"/layers/0/n_kv_heads", 3, "layers[0].n_kv_heads: expected 1 to 2, found 3"},
        {"/layers/0/head_dim", 0, "layers[0].head_dim: expected 1"},
        {"/layers/0/windows", 1, "\"layers[0].windows\": elver knows no such field"},
        {"/n_layers", 1 << 30, "n_layers: expected 1 to 4096"},
        {"/tensors", Given{{"attn_x", "a"}}, "\"tensors.attn_x\": elver knows no such field"},
        {"/tensors", Given{{"attn_q", 1}}, "tensors.attn_q: expected a text"},
    };
    CHECK(error_of(llama()) == "");
    for (const Row& row : rows) {
        CAPTURE(row.pointer);
        Given json = llama();
        json[Given::json_pointer(row.pointer)] = row.value;
        const std::string found = error_of(json);
        CAPTURE(found);
        CHECK(found.find(row.names) != std::string::npos);
    }
    CHECK(ModelSpec::from_json("{").error().message().find("not valid JSON") != std::string::npos);
    CHECK(ModelSpec::from_json("[]").error().message() == "the spec: expected an object, found array");
    // As deep as a file can make it.
    const std::string deep = "{\"norm\": " + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}";
    CHECK(ModelSpec::from_json(deep).error().message() == "the spec: nested more than 200 deep");
}

TEST_CASE("spec: a tensor that the spec has no place for is an error that names it") {
    const auto path = tiny_model("llama");
    const auto model = open_tiny(path, "reference");
    REQUIRE(model);
    const std::string spec = (*model)->spec().to_json();
    const auto unnamed =
        own_spec_file((*model)->file(), replaced(spec, "\"attn_norm\": \"blk", "\"attn_norm\": \"none"));
    const auto opened = open_tiny(ByteSource::borrow(unnamed, "own"), "reference");
    REQUIRE(!opened);
    CHECK(opened.error().status() == Status::unsupported);
    CHECK(opened.error().message().find("\"model.layers.0.self.attn_norm.weight\"") != std::string::npos);
    const auto missing = own_spec_file((*model)->file(), replaced(spec, "{layer}.ffn_down", "{layer}.ffn_dawn"));
    const auto again = open_tiny(ByteSource::borrow(missing, "own"), "reference");
    REQUIRE(!again);
    CHECK(again.error().status() == Status::bad_file);
    CHECK(again.error().message().find("ffn_dawn.weight") != std::string::npos);
    const auto broken = own_spec_file((*model)->file(), replaced(spec, "\"width\"", "\"widht\""));
    const auto third = open_tiny(ByteSource::borrow(broken, "own"), "reference");
    REQUIRE(!third);
    CHECK(third.error().message() == "own: key \"elver.spec\": \"widht\": elver knows no such field");
}
