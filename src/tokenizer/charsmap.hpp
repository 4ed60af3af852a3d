// SentencePiece's normaliser: replacements of character sequences by a precompiled map (a Darts double array), then the
// handling of white space. Source: sentencepiece, normalizer.cc; darts-clone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "tokenizer/vocab.hpp"

namespace elver {

// The longest prefix of a text that the map knows, and what replaces it.
class Charsmap {
  public:
    struct Match {
        size_t n_bytes = 0;  // 0: none
        std::string_view replacement;
    };

    Charsmap() = default;
    // Sizes and the replacements' ends are checked here, every step of the walk as it is taken.
    static Result<Charsmap> make(const VocabSource& source);
    Match longest(std::string_view text) const noexcept;

  private:
    std::vector<uint32_t> units_;  // empty: no map
    std::string replacements_;     // each ends with NUL
};

class SpmNormaliser {
  public:
    struct Options {
        bool add_space = true;      // before a text that is not empty
        bool remove_extra = false;  // spaces at both ends and after another space
    };
    static Result<SpmNormaliser> make(const VocabSource& source, Options fallback);

    // Valid UTF-8 in, U+2581 for spaces out.
    std::string normalise(std::string_view text) const;
    bool adds_space() const noexcept { return options_.add_space; }

  private:
    Charsmap map_;
    Options options_;
};

}  // namespace elver
