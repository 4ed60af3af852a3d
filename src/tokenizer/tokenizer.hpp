// Text to token ids and back, as the model was trained: one class over the families of vocabulary. Immutable and safe
// to share between threads. How a family encodes is left to its TextEncoder, which tokens are special to SpecialTokens.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tokenizer/special.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

class TextEncoder;
struct Family;

struct EncodeOptions {
    bool add_special = true;  // BOS, EOS, CLS, SEP where the model wants them
    // Tokens that steer the model (special.hpp) are found where the text spells them; user-defined ones always are.
    bool parse_special = false;
    // With parse_special: what people typed, in which no token that steers the model is found, nor one that only begins
    // or ends in it. The ranges are taken as the whole text if that is not valid UTF-8.
    const Ranges* typed = nullptr;
};

class Tokenizer {
  public:
    // Nothing of source is kept. Errors name the file, the key, what was expected and what was found.
    static Result<std::shared_ptr<const Tokenizer>> make(const VocabSource& source);
    // Of a vocabulary that elver cannot use: encoding fails, saying why, and every token's text is empty. Its ids,
    // where the tokens are sound, still say what ends an answer.
    static Result<std::shared_ptr<const Tokenizer>> make_textless(const VocabSource& source);
    ~Tokenizer();
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    // The ids of a text of up to 1 GiB. Invalid UTF-8 is read as U+FFFD. Any thread.
    Result<std::vector<int32_t>> encode(std::string_view text, const EncodeOptions& options = {}) const;

    // The bytes of a token; control tokens only when special. An id out of range has none. May be part of a UTF-8
    // sequence.
    std::string bytes(int32_t id, bool special = false) const;
    // The same of any token, control tokens as they are spelled, as long as the tokenizer lives. The first call makes a
    // table of all tokens. Any thread.
    std::string_view lasting_bytes(int32_t id) const;
    // The text of ids: their bytes joined, the space that the family puts before a text taken off, invalid UTF-8 as
    // U+FFFD.
    std::string decode(std::span<const int32_t> ids, bool special = false) const;
    // Whether the first text token of a decoded sequence loses a leading space.
    bool strips_first_space() const noexcept { return strips_first_space_; }

    const Vocab& vocab() const noexcept { return vocab_; }
    int n_vocab() const noexcept { return vocab_.size(); }
    // The id of a token spelled so in the file, whatever its type; -1 when absent.
    int32_t find(std::string_view text) const noexcept { return vocab_.find(text); }
    // Steers the model: hidden in an answer unless special tokens are asked for.
    bool is_control(int32_t id) const noexcept { return vocab_.has(id) && special_.is_control(id); }
    // Ends an answer: EOS, EOT, EOM and the tokens whose text says so.
    bool is_end(int32_t id) const noexcept { return vocab_.has(id) && special_.is_end(id); }
    // BOS (or CLS), if the model asks for it before every text.
    std::optional<int32_t> adds_bos() const noexcept { return first_; }
    bool adds_eos() const noexcept { return last_.has_value(); }

  private:
    Tokenizer();
    static Result<std::shared_ptr<const Tokenizer>> make(const VocabSource& source, const Family& family);
    void frame(const VocabSource& source);

    Vocab vocab_;
    std::unique_ptr<TextEncoder> encoder_;
    SpecialTokens special_;
    std::optional<int32_t> first_, last_;  // what add_special puts around a text
    bool strips_first_space_ = false;
    // What lasting_bytes() gives: all tokens' bytes, and where each begins.
    mutable std::once_flag bytes_made_;
    mutable std::string all_bytes_;
    mutable std::vector<size_t> bytes_at_;
};

// Joins tokens as they come into whole UTF-8: bytes that may still become a character wait. One a stream; it borrows
// the tokenizer.
class Detokenizer {
  public:
    explicit Detokenizer(const Tokenizer& tokenizer, bool special = false)
        : tokenizer_(&tokenizer), special_(special) {}
    // Takes a token that stands before the stream, as those of a prompt that an answer goes on with: behind a text
    // token a leading space is part of the answer.
    void follow(int32_t id) { first_ = first_ && (tokenizer_->is_control(id) || tokenizer_->bytes(id).empty()); }
    // Text that is complete with this token; may be empty.
    std::string push(int32_t id);
    // What waits, as U+FFFD if it is not a character; the next push begins a new text.
    std::string finish();

  private:
    const Tokenizer* tokenizer_;
    bool special_, first_ = true;
    std::string waiting_;
};

}  // namespace elver
