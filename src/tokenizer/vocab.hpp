// A vocabulary as a model file gives it, and as the tokenizers use it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"

namespace elver {

// What a file says, untouched. Views are borrowed until Tokenizer::make returns.
struct VocabSource {
    std::string name;          // the file's, for messages
    std::string architecture;  // general.architecture
    std::string model;         // tokenizer.ggml.model: gpt2, llama, bert, gemma4
    std::string pre;           // tokenizer.ggml.pre; empty where the file has none
    std::vector<std::string_view> tokens;
    std::vector<std::string_view> merges;
    std::vector<float> scores;
    std::vector<int32_t> types;
    std::optional<int32_t> bos, eos, eot, eom, unk, sep, pad, cls, mask;
    std::optional<bool> add_bos, add_eos, add_sep, add_space_prefix, remove_extra_whitespaces;
};

// tokenizer.ggml.token_type
enum class TokenType : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct Token {
    std::string_view text;  // as the file spells it
    float score;
    TokenType type;
};

class Vocab {
  public:
    // Copies the source; a duplicate or empty vocabulary, counts that disagree or ids out of range are errors.
    static Result<Vocab> make(const VocabSource& source);

    int size() const noexcept { return static_cast<int>(tokens_.size()); }
    const Token& token(int32_t id) const noexcept { return tokens_[static_cast<size_t>(id)]; }
    bool has(int32_t id) const noexcept { return id >= 0 && id < size(); }
    // -1 when absent.
    int32_t find(std::string_view text) const noexcept {
        const auto it = by_text_.find(text);
        return it == by_text_.end() ? -1 : it->second;
    }
    // The token of a byte, spelled <0xXX>; -1 when absent.
    int32_t byte_token(uint8_t byte) const noexcept;
    std::optional<int32_t> bos, eos, eot, eom, unk, sep, pad, cls, mask;

  private:
    std::vector<char> arena_;  // the tokens' texts
    std::vector<Token> tokens_;
    std::unordered_map<std::string_view, int32_t> by_text_;
};

}  // namespace elver
