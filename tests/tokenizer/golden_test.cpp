// Ids and texts are those of the reference tokenizers (Hugging Face tokenizers, sentencepiece, rwkv), over vocabularies
// that tests/golden/tokenizer/make.py trained.
#include <set>

#include "base/utf8.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "vocabularies.hpp"

using namespace elver;
using namespace elver::test;

namespace {

const char* const names[] = {"bpe", "gemma4", "spm", "spm-phi3", "unigram", "wordpiece", "rwkv"};

std::string spaces_for_marks(std::string text) {
    const std::string mark = "\u2581";
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; ++at) text.replace(at, mark.size(), 1, ' ');
    return text;
}

// The stream that a chat shows, token by token.
std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
    Detokenizer stream(tokenizer);
    std::string out;
    for (const int32_t id : ids) {
        const std::string part = stream.push(id);
        CHECK(is_valid_utf8(part));
        out += part;
    }
    const std::string rest = stream.finish();
    CHECK(is_valid_utf8(rest));
    return out + rest;
}

}  // namespace

TEST_CASE("tokenizers: ids of texts are those of the reference") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto tokenizer = golden_tokenizer(name);
        const auto golden = golden_json(std::string(name) + ".json");
        for (const bool special : {false, true}) {
            const auto& rows = golden[special ? "special" : "plain"];
            CHECK(rows.size() >= 60);
            for (const auto& row : rows) {
                const auto text = row[0].get<std::string>();
                CAPTURE(text);
                const auto ids = tokenizer->encode(text, {.parse_special = special});
                REQUIRE(ids);
                CHECK(*ids == row[1].get<std::vector<int32_t>>());
            }
        }
    }
}

TEST_CASE("tokenizers: texts of ids are those of the reference, and a stream of them is whole UTF-8") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto tokenizer = golden_tokenizer(name);
        const auto golden = golden_json(std::string(name) + ".json");
        for (const auto& row : golden["back"]) {
            const auto ids = row[0].get<std::vector<int32_t>>();
            CAPTURE(row[0]);
            CHECK(tokenizer->decode(ids) == row[1].get<std::string>());
            CHECK(streamed(*tokenizer, ids) == row[1].get<std::string>());
        }
    }
}

TEST_CASE("tokenizers: what keeps every byte gives a text back") {
    for (const std::string name : {"bpe", "gemma4", "spm", "spm-phi3", "rwkv"}) {
        CAPTURE(name);
        const bool marks_spaces = name != "bpe" && name != "rwkv";
        size_t n = 0;
        const auto tokenizer = golden_tokenizer(name);
        const auto golden = golden_json(name + ".json");
        for (const auto& row : golden["plain"]) {
            const auto text = row[0].get<std::string>();
            CAPTURE(text);
            const auto ids = tokenizer->encode(text, {.add_special = false});
            REQUIRE(ids);
            // Three kinds spell a space as U+2581, so that one in the text comes back as a space.
            CHECK(tokenizer->decode(*ids) == (marks_spaces ? spaces_for_marks(text) : text));
            ++n;
        }
        CHECK(n > 100);
    }
}

TEST_CASE("tokenizers: each rule of splitting words gives the ids of its reference") {
    const auto golden = golden_json("pre.json");
    const auto base = golden_tokenizer("bpe");
    auto bytes = ByteSource::map_path(golden_path("bpe.gguf"));
    REQUIRE(bytes);
    const auto file = Gguf::parse(*std::move(bytes));
    REQUIRE(file);
    SmallVocab v;
    v.model = "gpt2";
    const GgufValue *tokens = file->find("tokenizer.ggml.tokens"), *merges = file->find("tokenizer.ggml.merges");
    REQUIRE(tokens);
    REQUIRE(merges);
    for (size_t i = 0; i < tokens->size(); ++i) v.tokens.emplace_back(tokens->string_element(i));
    for (size_t i = 0; i < merges->size(); ++i) v.merges.emplace_back(merges->string_element(i));
    for (int32_t id = 0; id < base->n_vocab(); ++id)
        v.types.push_back(static_cast<int32_t>(base->vocab().token(id).type));
    std::set<std::vector<std::vector<int32_t>>> different;
    for (const auto& rule : golden["rules"]) {
        v.pre = rule["pre"].get<std::string>();
        CAPTURE(v.pre);
        const auto tokenizer = Tokenizer::make(v.source());
        REQUIRE(tokenizer);
        const auto expected = rule["ids"].get<std::vector<std::vector<int32_t>>>();
        different.insert(expected);
        for (size_t i = 0; i < expected.size(); ++i) {
            const auto text = golden["texts"][i].get<std::string>();
            CAPTURE(text);
            const auto ids = (*tokenizer)->encode(text, {.add_special = false});
            REQUIRE(ids);
            CHECK(*ids == expected[i]);
        }
    }
    CHECK(different.size() == golden["n_kinds"].get<size_t>());
    CHECK(different.size() >= 25);  // the texts tell the rules apart
}

TEST_CASE("tokenizers: special tokens are read only when asked for, user-defined ones always") {
    const auto bpe = golden_tokenizer("bpe");
    const int32_t control = bpe->find("<|im_start|>"), user = bpe->find("<tool>"), end = bpe->find("<|endoftext|>");
    REQUIRE(control >= 0);
    REQUIRE(user >= 0);
    const std::string text = "a<|im_start|>b<tool>c";
    const auto has = [](const std::vector<int32_t>& ids, int32_t id) {
        return std::count(ids.begin(), ids.end(), id) == 1;
    };
    const auto plain = bpe->encode(text), special = bpe->encode(text, {.parse_special = true});
    REQUIRE(plain);
    REQUIRE(special);
    CHECK(!has(*plain, control));
    CHECK(has(*plain, user));
    CHECK(has(*special, control));
    CHECK(has(*special, user));
    CHECK(bpe->is_control(control));
    CHECK(!bpe->is_control(user));
    CHECK(bpe->is_end(end));
    CHECK(!bpe->is_end(control));
    CHECK(bpe->decode(*special) == "ab<tool>c");
    CHECK(bpe->decode(*special, true) == text);
    CHECK(bpe->bytes(control).empty());
    CHECK(bpe->bytes(-1).empty());
    CHECK(bpe->bytes(bpe->n_vocab()).empty());
}

TEST_CASE("tokenizers: BOS and EOS frame a text where the model wants them, the empty one too") {
    const auto spm = golden_tokenizer("spm"), unigram = golden_tokenizer("unigram"), bpe = golden_tokenizer("bpe");
    CHECK(*spm->encode("") == std::vector<int32_t>{1});
    CHECK(*unigram->encode("") == std::vector<int32_t>{0, 1});
    CHECK(bpe->encode("")->empty());
    CHECK(spm->encode("", {.add_special = false})->empty());
    CHECK(spm->adds_bos());
    CHECK(!spm->adds_eos());
    CHECK(unigram->adds_eos());
}

TEST_CASE("tokenizers: invalid UTF-8 is read as U+FFFD") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto tokenizer = golden_tokenizer(name);
        for (const std::string bad :
             {"\xFF", "a\xC3", "\xE2\x82z", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC0\xAF", "ok\x80\xBFok"}) {
            const auto ids = tokenizer->encode(bad), repaired = tokenizer->encode(replace_invalid_utf8(bad));
            REQUIRE(ids);
            CHECK(*ids == *repaired);
        }
    }
}

TEST_CASE("tokenizers: bytes of one character come out together, what never becomes one is U+FFFD") {
    const auto spm = golden_tokenizer("spm");
    const auto byte = [&](unsigned b) {
        const char hex[] = "0123456789ABCDEF";
        return spm->find(std::string{'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'});
    };
    Detokenizer stream(*spm);
    CHECK(stream.push(byte(0xF0)).empty());
    CHECK(stream.push(byte(0x9F)).empty());
    CHECK(stream.push(byte(0x9A)).empty());
    CHECK(stream.push(byte(0x80)) == "\U0001F680");
    CHECK(stream.push(byte(0xE2)).empty());
    CHECK(stream.push(byte('a')) == "\uFFFDa");
    CHECK(stream.push(byte(0xC3)).empty());
    CHECK(stream.finish() == "\uFFFD");
}
