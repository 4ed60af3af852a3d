// Splits text into the words that BPE works on, by the regular expressions of the model's family.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace elver {

// What a tokenizer.ggml.pre name stands for.
struct PreTokenizerRule {
    const char* name;
    const char* const* patterns;  // null-ended; each splits what the ones before it left, matches and the text between them apart
    bool ignore_merges = false;   // a word that is a token is that token
    bool add_bos = false;         // where the file does not say
    bool nfc = false;             // text is normalised to NFC first
};

// Null for an unknown name.
const PreTokenizerRule* find_pre_tokenizer(std::string_view name) noexcept;

class PreTokenizer {
  public:
    static Result<PreTokenizer> make(const PreTokenizerRule& rule);
    PreTokenizer(PreTokenizer&&) noexcept;
    ~PreTokenizer();
    // Views into text, in order, covering it. text is valid UTF-8.
    Result<std::vector<std::string_view>> split(std::string_view text) const;

  private:
    struct Compiled;
    PreTokenizer() = default;
    std::vector<std::unique_ptr<Compiled>> patterns_;
};

}  // namespace elver
