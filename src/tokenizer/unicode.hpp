// The few facts about characters that several tokenizers share. Tables come from utf8proc; white space is Unicode's
// White_Space.
#pragma once

#include <string>
#include <string_view>

namespace elver {

constexpr bool is_white_space(char32_t c) noexcept {
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

// The bytes of white space that text (valid UTF-8) begins and ends with.
size_t leading_white_space(std::string_view text) noexcept;
size_t trailing_white_space(std::string_view text) noexcept;

// Normalisation form C of valid UTF-8.
std::string to_nfc(std::string_view text);
// Each character's simple lower-case mapping.
std::string to_lower(std::string_view text);

// Every from becomes to.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// U+2581, which SentencePiece and vocabularies like it write for a space.
inline constexpr std::string_view space_mark = "\xe2\x96\x81";

}  // namespace elver
