// Special tokens: which tokens of a vocabulary steer the model or end an answer, and where they stand in a text. What
// people type never becomes a token that steers the model.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ranges.hpp"
#include "tokenizer/trie.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

// White space that special tokens take from the text beside them.
struct SpaceEaters {
    std::optional<int32_t> left;                 // this token takes what stands before it
    bool right = false;                          // all take what stands behind them,
    std::vector<std::string_view> right_except;  // but these
};

// Gives tokens the type they have in truth where the file's differs.
// Control: tokens known by their text to be so, and those named as BOS, EOS and the like whose text is in brackets.
// Marker: user-defined tokens of the form <|...|>, and those in brackets that one of the file's chat templates spells,
// as <tool_call>. Other user-defined tokens, as runs of spaces or <table>, stay what plain text may become.
void correct_types(Vocab& vocab, std::span<const std::string_view> templates);

class SpecialTokens {
  public:
    struct Piece {
        size_t begin, end;  // of the text
        int32_t id;         // -1: plain text
    };

    SpecialTokens() = default;
    SpecialTokens(const Vocab& vocab, SpaceEaters eaters);

    // Hidden in an answer, and found only in text that was not typed.
    bool is_control(int32_t id) const noexcept { return control_[static_cast<size_t>(id)]; }
    bool is_end(int32_t id) const noexcept { return end_[static_cast<size_t>(id)]; }

    // The longest over the whole text first, then the next longest, from the left among equals. User-defined tokens are
    // always found, those that steer the model only where no byte of them was typed. Plain pieces are never empty.
    std::vector<Piece> split(std::string_view text, const Ranges& typed) const;

  private:
    struct Hit;
    std::vector<Piece> find(std::string_view text, const ByteTrie& tokens, const Ranges& typed) const;
    bool eats_right(int32_t id) const noexcept;

    std::vector<bool> control_, steers_, end_, keeps_right_;  // [n_vocab]
    ByteTrie all_, user_defined_;
    SpaceEaters eaters_;
};

}  // namespace elver
