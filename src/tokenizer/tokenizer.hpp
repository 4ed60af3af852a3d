// Text to token ids and back, as the model was trained: one class over the families of vocabulary. Immutable and safe to share
// between threads.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

struct EncodeOptions {
    bool add_special = true;     // BOS, EOS, CLS, SEP where the model wants them
    bool parse_special = false;  // control tokens spelled in the text become tokens; user-defined ones always do
};

// How a family splits plain text (no special tokens in it) into ids.
class TextEncoder {
  public:
    virtual ~TextEncoder() = default;
    // Appends the ids of text, which is valid UTF-8. at_start: nothing, or a special token, stands before it.
    virtual Result<void> encode(std::string_view text, bool at_start, std::vector<int32_t>& out) const = 0;
    // The bytes that a normal token stands for.
    virtual std::string bytes_of(const Token& token) const = 0;
};

class Tokenizer {
  public:
    static Result<std::shared_ptr<const Tokenizer>> make(const VocabSource& source);

    // Invalid UTF-8 is read as U+FFFD.
    Result<std::vector<int32_t>> encode(std::string_view text, const EncodeOptions& options = {}) const;

    // The bytes of a token; control tokens only when special. An id out of range has none. May be part of a UTF-8 sequence.
    std::string bytes(int32_t id, bool special = false) const;
    // The text of ids: their bytes joined, the space that SentencePiece puts before a text taken off, invalid UTF-8 as U+FFFD.
    std::string decode(std::span<const int32_t> ids, bool special = false) const;
    // Whether the first text token of a decoded sequence loses a leading space.
    bool strips_first_space() const noexcept { return strips_first_space_; }

    const Vocab& vocab() const noexcept { return vocab_; }
    int n_vocab() const noexcept { return vocab_.size(); }
    bool is_control(int32_t id) const noexcept;
    // Ends an answer: EOS, EOT and the tokens whose text says so.
    bool is_end(int32_t id) const noexcept;
    bool adds_bos() const noexcept { return add_bos_; }

  private:
    Tokenizer() = default;
    // Special tokens by text, longest first, indexed by first byte.
    struct Special {
        std::string_view text;
        int32_t id;
        bool always;  // user-defined: split out even when special tokens are not parsed
    };
    struct Piece {
        size_t begin, end;
        int32_t id;  // -1: plain text
    };
    void index_special();
    std::vector<Piece> split_special(std::string_view text, bool parse_special) const;

    Vocab vocab_;
    std::unique_ptr<TextEncoder> encoder_;
    std::vector<Special> special_;              // sorted by text
    std::vector<bool> control_, end_;           // [n_vocab]
    bool add_bos_ = false, add_eos_ = false, strips_first_space_ = false, trims_after_special_ = false;
};

// Joins tokens as they come into whole UTF-8: bytes that may still become a character wait.
class Detokenizer {
  public:
    explicit Detokenizer(const Tokenizer& tokenizer, bool special = false) : tokenizer_(&tokenizer), special_(special) {}
    // Text that is complete with this token; may be empty.
    std::string push(int32_t id);
    // What waits, as U+FFFD if it is not a character.
    std::string finish();

  private:
    const Tokenizer* tokenizer_;
    bool special_, first_ = true;
    std::string waiting_;
};

// The families. Each checks what it needs of the vocabulary.
Result<std::unique_ptr<TextEncoder>> make_bpe(const VocabSource& source, const Vocab& vocab);
Result<std::unique_ptr<TextEncoder>> make_spm(const VocabSource& source, const Vocab& vocab);
Result<std::unique_ptr<TextEncoder>> make_wordpiece(const VocabSource& source, const Vocab& vocab);

}  // namespace elver
