// Vocabularies for tests: those of tests/golden/tokenizer, and small ones written in the test itself.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "formats/gguf.hpp"
#include "message_of.hpp"
#include "models/gguf_vocab.hpp"

namespace elver::test {

inline std::string golden_path(const std::string& name) {
    return ELVER_TEST_DATA "/golden/tokenizer/" + name;
}

inline nlohmann::json golden_json(const std::string& name) {
    std::ifstream in(golden_path(name));
    return nlohmann::json::parse(in);
}

inline std::shared_ptr<const Tokenizer> golden_tokenizer(const std::string& name) {
    auto bytes = ByteSource::map_path(golden_path(name + ".gguf"));
    REQUIRE(bytes);
    const auto file = Gguf::parse(*std::move(bytes));
    REQUIRE(file);
    auto tokenizer = tokenizer_from_gguf(*file);
    REQUIRE_MESSAGE(tokenizer, message_of(tokenizer));
    return *tokenizer;
}

// A vocabulary in the making. The strings live here; source() borrows them.
struct SmallVocab {
    std::string model, pre;
    std::vector<std::string> tokens, merges;
    std::vector<float> scores;
    std::vector<int32_t> types;

    VocabSource source() const {
        VocabSource s;
        s.name = "small.gguf";
        s.architecture = "llama";
        s.model = model;
        s.pre = pre;
        s.tokens.assign(tokens.begin(), tokens.end());
        s.merges.assign(merges.begin(), merges.end());
        s.scores = scores;
        s.types = types;
        return s;
    }
};

// a to z, "ab", the bytes, as SentencePiece's BPE has them.
inline SmallVocab small_spm() {
    SmallVocab v{"llama", "", {"<unk>", "<s>", "</s>"}, {}, {0, 0, 0}, {2, 3, 3}};
    const char hex[] = "0123456789ABCDEF";
    const auto add = [&](std::string text, float score, int32_t type) {
        v.tokens.push_back(std::move(text));
        v.scores.push_back(score);
        v.types.push_back(type);
    };
    for (int b = 0; b < 256; ++b) add({'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'}, 0, 6);
    for (char c = 'a'; c <= 'z'; ++c) add(std::string(1, c), -50.0f, 1);
    add("\u2581", -40.0f, 1);
    add("ab", -1.0f, 1);
    add("aa", -2.0f, 1);
    add("aaaa", -3.0f, 1);
    return v;
}

}  // namespace elver::test
