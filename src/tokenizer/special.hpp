// Special tokens: which tokens of a vocabulary steer the model or end an answer, and where they stand in a text.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/trie.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

// White space that special tokens take from the text beside them.
struct SpaceEaters {
    std::optional<int32_t> left;                 // this token takes what stands before it
    bool right = false;                          // all take what stands behind them,
    std::vector<std::string_view> right_except;  // but these
};

class SpecialTokens {
  public:
    struct Piece {
        size_t begin, end;  // of the text
        int32_t id;         // -1: plain text
    };

    SpecialTokens() = default;
    SpecialTokens(const Vocab& vocab, SpaceEaters eaters);

    // Hidden in an answer, and found in text only when special tokens are parsed.
    bool is_control(int32_t id) const noexcept { return control_[static_cast<size_t>(id)]; }
    bool is_end(int32_t id) const noexcept { return end_[static_cast<size_t>(id)]; }

    // The longest over the whole text first, then the next longest, from the left among equals. User-defined tokens are
    // always found, control and unknown ones when parse_special. Plain pieces are never empty.
    std::vector<Piece> split(std::string_view text, bool parse_special) const;

  private:
    struct Hit;
    std::vector<Piece> find(std::string_view text, const ByteTrie& tokens) const;
    bool eats_right(int32_t id) const noexcept;

    std::vector<bool> control_, end_, keeps_right_;  // [n_vocab]
    ByteTrie all_, user_defined_;
    SpaceEaters eaters_;
};

}  // namespace elver
