// Splits text into the words that BPE works on, by the regular expressions of the model's family. The rules are data
// (pre_tokenizer_rules.cpp); the work is PCRE2's.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace elver {

struct VocabSource;

// What becomes of a match. The text between matches is always a part of its own.
enum class Cut : uint8_t {
    apart,   // the match is a part
    thirds,  // the match is cut into threes, counted from its end
    inside,  // the match stays with its neighbours, but is cut into threes, counted from its end
};

// One pass over all parts that the passes before it left. In the pattern \s and \S mean Unicode's White_Space.
struct SplitStep {
    const char* pattern;
    Cut cut = Cut::apart;
};

// How a vocabulary spells the bytes of a text.
enum class Spelling : uint8_t {
    byte_level,  // each byte a printable character (GPT-2)
    marked,      // plain UTF-8, U+2581 for a space, <0xXX> for bytes that are no token
    plain,       // plain UTF-8 with the same fallback
};

// What a tokenizer.ggml.pre name stands for.
struct PreTokenizerRule {
    const char* name;
    std::span<const SplitStep> steps;
    bool ignore_merges = false;           // a word that is a token is that token
    bool add_bos = false;                 // where the file does not say
    bool nfc = false;                     // text is normalised to NFC first
    bool mask_eats_space_before = false;  // the mask token takes the white space to its left
    bool whole_newlines = false;          // a run of newlines that is a token is that token
    bool drops_white_space = false;       // parts that are white space are left out
    bool ranks_by_id = false;             // without merges: the pair whose token has the lowest id joins first
    Spelling spelling = Spelling::byte_level;
};

// Null for an unknown name.
const PreTokenizerRule* find_pre_tokenizer(std::string_view name) noexcept;
// Of a vocabulary: by its name, or its family's where the file gives none. An unknown name is an error.
Result<const PreTokenizerRule*> pre_tokenizer_of(const VocabSource& source);
// All of them, for tests.
std::span<const PreTokenizerRule> pre_tokenizer_rules() noexcept;

class PreTokenizer {
  public:
    static Result<PreTokenizer> make(const PreTokenizerRule& rule);
    PreTokenizer(PreTokenizer&&) noexcept;
    ~PreTokenizer();
    // Views into text, in order, covering it. text is valid UTF-8. Any thread. A text that a pattern cannot match
    // within its limits of steps and memory is an error.
    Result<std::vector<std::string_view>> split(std::string_view text) const;

  private:
    struct Pass;
    PreTokenizer();
    std::vector<std::unique_ptr<Pass>> passes_;
};

}  // namespace elver
