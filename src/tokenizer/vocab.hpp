// A vocabulary as a model file gives it (VocabSource) and as the tokenizers use it (Vocab). Reading files is left to
// others; what they found is checked here. Keys: GGUF's "tokenizer.ggml." (gguf-py/gguf/constants.py in the ggml
// repositories).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"

namespace elver {

// What a file says, untouched. Views are borrowed until Tokenizer::make returns. Key names are in the comments where
// they differ from "tokenizer.ggml.FIELD" or "tokenizer.ggml.FIELD_token_id".
struct VocabSource {
    std::string name;          // the file's, for messages
    std::string architecture;  // general.architecture
    std::string model;         // the family: gpt2, llama, bert, t5, rwkv, gemma4, plamo2 …
    std::string pre;           // how words are split before BPE; empty where the file does not say
    std::vector<std::string_view> tokens;
    std::vector<std::string_view> merges;
    std::vector<float> scores;
    std::vector<int32_t> types;           // token_type
    std::span<const std::byte> charsmap;  // precompiled_charsmap
    std::optional<int32_t> bos, eos, eot, eom, pad, cls, mask;
    std::optional<int32_t> unk, sep;  // unknown, seperator
    std::optional<int32_t> fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
    std::optional<bool> add_bos, add_eos, add_sep;  // add_bos_token, …
    std::optional<bool> add_space_prefix, remove_extra_whitespaces;
    std::optional<bool> lowercase, strip_accents;  // normalizer.lowercase, normalizer.strip_accents
    std::vector<std::string_view> templates;       // tokenizer.chat_template and the named ones beside it
};

// tokenizer.ggml.token_type, and marker, which no file says: a user-defined token that chat templates write to steer
// the model (special.hpp says which). It shows in an answer as a user-defined one does.
enum class TokenType : uint8_t { normal = 1, unknown, control, user_defined, unused, byte, marker };

// Whether a token of this type steers the model, so that plain text never becomes it.
constexpr bool steers(TokenType type) noexcept {
    return type == TokenType::control || type == TokenType::unknown || type == TokenType::marker;
}

struct Token {
    std::string_view text;  // as the file spells it
    float score;
    TokenType type;
};

class Vocab {
  public:
    // Copies the source. Errors name the key, what was expected and what was found: an empty vocabulary, a token that
    // is too long or not UTF-8, counts that disagree, a score that is not a number, an id or type out of range.
    // Several tokens may have one text, as in some published files.
    static Result<Vocab> make(const VocabSource& source);

    int size() const noexcept { return static_cast<int>(tokens_.size()); }
    const Token& token(int32_t id) const noexcept { return tokens_[static_cast<size_t>(id)]; }
    void set_type(int32_t id, TokenType type) noexcept { tokens_[static_cast<size_t>(id)].type = type; }
    bool has(int32_t id) const noexcept { return id >= 0 && id < size(); }
    // Of a token spelled so, whatever its type; -1 when absent. Of several the last that plain text may become, or
    // the last if text may become none of them: other engines keep the last too.
    int32_t find(std::string_view text) const noexcept {
        const auto it = by_text_.find(text);
        return it == by_text_.end() ? -1 : it->second;
    }
    // The same among the tokens that plain text may become: normal and user-defined ones. Tokens that steer the model
    // never come from text that merely looks like them.
    int32_t find_plain(std::string_view text) const noexcept {
        const int32_t id = find(text);
        return id >= 0 && is_plain(id) ? id : -1;
    }
    bool is_plain(int32_t id) const noexcept {
        const TokenType type = token(id).type;
        return type == TokenType::normal || type == TokenType::user_defined;
    }
    // The token of a byte, spelled <0xXX>; -1 when absent.
    int32_t byte_token(uint8_t byte) const noexcept;
    size_t longest_token() const noexcept { return longest_; }  // bytes

    std::optional<int32_t> bos, eos, eot, eom, unk, sep, pad, cls, mask;
    std::optional<int32_t> fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;

  private:
    Result<void> add_tokens(const VocabSource& source);
    Result<void> take_ids(const VocabSource& source);

    std::vector<char> arena_;  // the tokens' texts
    std::vector<Token> tokens_;
    std::unordered_map<std::string_view, int32_t> by_text_;
    size_t longest_ = 0;
};

// "FILE: key "KEY": expected …, found …", for the readers of vocabularies.
Error vocab_error(const VocabSource& source, std::string_view key, std::string_view what);

}  // namespace elver
