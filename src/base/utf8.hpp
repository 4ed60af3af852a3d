// UTF-8: decoding with strict validation (no overlong forms, surrogates or values above U+10FFFF), encoding, and the
// split of a byte stream into whole sequences. Source: RFC 3629.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace elver {

struct DecodedChar {
    char32_t code_point;  // U+FFFD where invalid
    int n_bytes;          // bytes to move on: 1 to 4; for an invalid sequence the maximal invalid prefix (WHATWG)
    bool valid;
};

// The character at the start of text, which must not be empty.
DecodedChar decode_utf8(std::string_view text) noexcept;

// Appends c, or U+FFFD if c is a surrogate or above U+10FFFF.
void append_utf8(std::string& out, char32_t c);

bool is_valid_utf8(std::string_view text) noexcept;

// How many bytes at the end of text are the start of a sequence that more bytes could complete (0 to 3).
size_t incomplete_utf8_suffix(std::string_view text) noexcept;

// The text with each maximal invalid sequence replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace elver
