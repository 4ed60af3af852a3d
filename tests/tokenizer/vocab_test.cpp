// A file's vocabulary is hostile until it is checked: what is wrong is an error that names its key.
#include <cmath>

#include "engine/session.hpp"
#include "formats/gguf_writer.hpp"
#include "message_of.hpp"
#include "vocabularies.hpp"

using namespace elver;
using namespace elver::test;

namespace {

void fails(const VocabSource& source, Status status, const char* key, const char* names) {
    const auto made = Tokenizer::make(source);
    REQUIRE(!made);
    const std::string& message = made.error().message();
    CAPTURE(message);
    CHECK(made.error().status() == status);
    CHECK(message.find("small.gguf") == 0);
    CHECK(message.find(key) != std::string::npos);
    CHECK(message.find(names) != std::string::npos);
}

SmallVocab small_bpe() {
    return {"gpt2", "gpt-2", {"a", "b", "c", "ab", "abc"}, {"a b", "ab c"}, {}, {1, 1, 1, 1, 1}};
}

}  // namespace

TEST_CASE("vocabularies: the small ones of this test are sound") {
    const auto spm = Tokenizer::make(small_spm().source());
    REQUIRE(spm);
    CHECK((*spm)->decode(*(*spm)->encode("ab aaaa zz \u00e9")) == "ab aaaa zz \u00e9");
    const auto bpe = Tokenizer::make(small_bpe().source());
    REQUIRE(bpe);
    CHECK(*(*bpe)->encode("abcab") == std::vector<int32_t>{4, 3});
}

TEST_CASE("vocabularies: tokens that are wrong are named") {
    SmallVocab v = small_spm();
    v.tokens[270] = "a\xFF";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.tokens", "token 270: expected UTF-8");
    v = small_spm();
    v.tokens[270] = std::string(5000, 'x');
    fails(v.source(), Status::bad_file, "tokenizer.ggml.tokens", "token 270: expected up to 4096 bytes");
    v.tokens[270] = "y";
    for (int i = 0; i < 17000; ++i) {
        v.tokens.push_back(std::to_string(i) + std::string(4000, 'x'));
        v.types.push_back(1), v.scores.push_back(0);
    }
    fails(v.source(), Status::bad_file, "tokenizer.ggml.tokens", "of all tokens");
    v = small_spm();
    v.tokens.clear();
    fails(v.source(), Status::bad_file, "tokenizer.ggml.tokens", "found 0");
    v = small_spm();
    v.scores.pop_back();
    fails(v.source(), Status::bad_file, "tokenizer.ggml.scores", "one a token");
    v = small_spm();
    v.scores.clear();
    fails(v.source(), Status::bad_file, "tokenizer.ggml.scores", "found none");
    v = small_spm();
    v.scores[9] = std::nanf("");
    fails(v.source(), Status::bad_file, "tokenizer.ggml.scores", "NaN");
    v = small_spm();
    v.types.push_back(1);
    fails(v.source(), Status::bad_file, "tokenizer.ggml.token_type", "one a token");
    v = small_spm();
    v.types[4] = 7;
    fails(v.source(), Status::bad_file, "tokenizer.ggml.token_type", "found 7");
    v = small_spm();
    v.types[4] = -1;
    fails(v.source(), Status::bad_file, "tokenizer.ggml.token_type", "found -1");
}

TEST_CASE("vocabularies: of tokens that share a text, text becomes the last, and each is that text") {
    const auto check = [](const SmallVocab& v, const char* text, std::vector<int32_t> ids) {
        const auto made = Tokenizer::make(v.source());
        REQUIRE_MESSAGE(made, message_of(made));
        CHECK(*(*made)->encode(text, {.add_special = false, .parse_special = false}) == ids);
        for (size_t i = 0; i < v.tokens.size(); ++i) {
            if (v.tokens[i] == "ab") CHECK((*made)->decode(std::vector{static_cast<int32_t>(i)}, true) == "ab");
        }
    };
    const auto with = [](SmallVocab v, const char* token, int32_t type) {
        v.tokens.push_back(token), v.types.push_back(type);
        if (!v.scores.empty()) v.scores.push_back(-1.0f);
        return v;
    };
    constexpr int32_t normal = 1, control = 3;
    const SmallVocab bpe = small_bpe(), spm = small_spm(), rwkv{"rwkv", "", {"a", "b", "ab"}, {}, {}, {1, 1, 1}};
    const auto n = static_cast<int32_t>(spm.tokens.size());
    check(with(bpe, "ab", normal), "abcab", {4, 5});
    check(with(spm, "ab", normal), "ab", {n - 4, n});
    check(with(rwkv, "ab", normal), "aab", {0, 3});
    // Plain text never becomes a control token.
    check(with(bpe, "ab", control), "abcab", {4, 3});
    check(with(with(spm, "ab", control), "ab", normal), "ab", {n - 4, n + 1});
    check(with(with(spm, "ab", normal), "ab", control), "ab", {n - 4, n});
}

TEST_CASE("vocabularies: merges that are wrong are named") {
    SmallVocab v = small_bpe();
    v.merges[1] = "abc";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.merges", "merge 1");
    v.merges[1] = "";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.merges", "merge 1");
    v.merges[1] = "ab ";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.merges", "merge 1");
    v.merges[1] = "ab x";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.merges", "\"x\"");
    v.merges[1] = "b c";
    fails(v.source(), Status::bad_file, "tokenizer.ggml.merges", "\"bc\"");
}

TEST_CASE("vocabularies: ids out of range are named, an unknown family or rule is unsupported") {
    const SmallVocab v = small_spm();
    for (const int32_t id : {-5, static_cast<int32_t>(v.tokens.size()), INT32_MAX}) {
        VocabSource s = v.source();
        s.bos = id;
        fails(s, Status::bad_file, "tokenizer.ggml.bos_token_id", std::to_string(id).c_str());
    }
    SmallVocab other = small_bpe();
    other.model = "quantum";
    fails(other.source(), Status::unsupported, "tokenizer.ggml.model", "\"quantum\"");
    other = small_bpe();
    other.pre = "quantum";
    fails(other.source(), Status::unsupported, "tokenizer.ggml.pre", "\"quantum\"");
}

TEST_CASE("vocabularies: a character map that is wrong is named, one whose table leads astray does no harm") {
    SmallVocab v = small_spm();
    const auto with_map = [&](std::vector<uint8_t> bytes) {
        VocabSource s = v.source();
        static std::vector<uint8_t> kept;
        kept = std::move(bytes);
        s.charsmap = std::as_bytes(std::span(kept));
        return s;
    };
    fails(with_map({1, 2}), Status::bad_file, "precompiled_charsmap", "4 bytes");
    fails(with_map({255, 255, 255, 255, 0}), Status::bad_file, "precompiled_charsmap", "table");
    fails(with_map({3, 0, 0, 0, 0, 0, 0}), Status::bad_file, "precompiled_charsmap", "words of 4");
    fails(with_map({4, 0, 0, 0, 0, 0, 0, 0, 'x'}), Status::bad_file, "precompiled_charsmap", "open end");
    std::vector<uint8_t> wild{0, 4, 0, 0};
    for (uint32_t i = 0; i < 1024; ++i) wild.push_back(static_cast<uint8_t>(i * 2654435761u >> 13));
    wild.push_back(0);
    const auto made = Tokenizer::make(with_map(wild));
    REQUIRE(made);
    CHECK((*made)->encode("any text \u00e9\U0001F680"));
}

TEST_CASE("vocabularies: holes, and tokens of one letter repeated, are no error") {
    SmallVocab v = small_spm();
    for (int n : {8, 16, 32, 64, 500, 4096}) {
        v.tokens.push_back(std::string(static_cast<size_t>(n), 'a'));
        v.scores.push_back(-4);
        v.types.push_back(1);
    }
    for (int i = 0; i < 3; ++i) v.tokens.emplace_back(), v.scores.push_back(0), v.types.push_back(5);
    for (const char* model : {"llama", "t5"}) {
        v.model = model;
        const auto made = Tokenizer::make(v.source());
        REQUIRE(made);
        const std::string text(100000, 'a');
        const auto ids = (*made)->encode(text, {.add_special = false});
        REQUIRE(ids);
        CHECK((*made)->decode(*ids) == text);
    }
}

TEST_CASE("vocabularies: a file that has none, or one of an unknown family, runs on ids") {
    GgufWriter writer;
    writer.set_string("general.architecture", "llama");
    const auto parse = [](const std::vector<std::byte>& bytes) {
        return Gguf::parse(ByteSource::borrow(bytes, "small.gguf"));
    };
    const auto bare = writer.write_memory();
    REQUIRE(bare);
    const std::string_view tokens[] = {"a", "b", "</s>"};
    writer.set_string("tokenizer.ggml.model", "quantum");
    writer.set_strings("tokenizer.ggml.tokens", tokens);
    writer.set_u32("tokenizer.ggml.eos_token_id", 2);
    const auto unknown = writer.write_memory();
    REQUIRE(unknown);
    for (const auto* bytes : {&*bare, &*unknown}) {
        const auto file = parse(*bytes);
        REQUIRE(file);
        const auto strict = tokenizer_from_gguf(*file);
        REQUIRE(!strict);
        CHECK(strict.error().status() == Status::unsupported);
        CHECK(strict.error().message().find("tokenizer.ggml.model") != std::string::npos);
        const auto textless = textless_from_gguf(*file);
        REQUIRE(textless);
        const auto ids = (*textless)->encode("a");
        REQUIRE(!ids);
        CHECK(ids.error().message().find("token ids") != std::string::npos);
        CHECK((*textless)->decode(std::vector<int32_t>{0, 1, 2}).empty());
        CHECK((*textless)->is_end(2) == (bytes == &*unknown));
    }
}

TEST_CASE("vocabularies: a model with one of an unknown family opens and answers ids") {
    auto bytes = ByteSource::map_path(ELVER_TEST_DATA "/golden/archs/arcee.gguf");
    REQUIRE(bytes);
    const auto file = Gguf::parse(*std::move(bytes));
    REQUIRE(file);
    GgufWriter writer;
    for (const auto& [key, value] : file->metadata()) {
        if (key != "tokenizer.ggml.model") writer.copy(key, value);
    }
    writer.set_string("tokenizer.ggml.model", "quantum");
    for (const GgufTensor& t : file->tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const auto written = writer.write_memory();
    REQUIRE(written);
    const auto model = Model::open(ByteSource::borrow(*written, "small.gguf"), ModelOptions());
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    auto session = Session::make(*model, SessionOptions());
    REQUIRE(session);
    const std::vector<int32_t> ids{1, 2, 3};
    CHECK((*session)->prefill(ids));
    const auto text = (*model)->tokenizer().encode("a");
    REQUIRE(!text);
    CHECK(text.error().status() == Status::unsupported);
    CHECK(text.error().message().find("\"quantum\"") != std::string::npos);
}

TEST_CASE("vocabularies: keys of the wrong type are named") {
    struct Row {
        const char* key;
        void (*set)(GgufWriter&, const char*);
    };
    const Row rows[] = {
        {"tokenizer.ggml.tokens", [](GgufWriter& w, const char* key) { w.set_string(key, "a"); }},
        {"tokenizer.ggml.scores", [](GgufWriter& w, const char* key) { w.set_u32(key, 1); }},
        {"tokenizer.ggml.model", [](GgufWriter& w, const char* key) { w.set_u32(key, 1); }},
        {"tokenizer.ggml.bos_token_id", [](GgufWriter& w, const char* key) { w.set_string(key, "1"); }},
        {"tokenizer.ggml.add_bos_token", [](GgufWriter& w, const char* key) { w.set_string(key, "yes"); }},
        {"tokenizer.ggml.precompiled_charsmap", [](GgufWriter& w, const char* key) { w.set_string(key, "map"); }},
    };
    for (const Row& row : rows) {
        GgufWriter writer;
        row.set(writer, row.key);
        const auto bytes = writer.write_memory();
        REQUIRE(bytes);
        const auto file = Gguf::parse(ByteSource::borrow(*bytes, "small.gguf"));
        REQUIRE(file);
        const auto made = tokenizer_from_gguf(*file);
        REQUIRE(!made);
        CHECK(made.error().message().find(row.key) != std::string::npos);
    }
}
