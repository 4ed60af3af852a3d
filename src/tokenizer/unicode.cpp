// Thin calls into utf8proc and the white-space scans of both ends of a text.
#include "tokenizer/unicode.hpp"

#include <utf8proc.h>

#include <cstdlib>

#include "base/utf8.hpp"

namespace elver {

size_t leading_white_space(std::string_view text) noexcept {
    size_t n = 0;
    while (n < text.size()) {
        const DecodedChar c = decode_utf8(text.substr(n));
        if (!is_white_space(c.code_point)) break;
        n += static_cast<size_t>(c.n_bytes);
    }
    return n;
}

size_t trailing_white_space(std::string_view text) noexcept {
    size_t end = text.size();
    while (end > 0) {
        size_t begin = end - 1;
        while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
        if (!is_white_space(decode_utf8(text.substr(begin)).code_point)) break;
        end = begin;
    }
    return text.size() - end;
}

std::string to_nfc(std::string_view text) {
    utf8proc_uint8_t* composed = nullptr;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                static_cast<utf8proc_ssize_t>(text.size()), &composed, options);
    std::string out =
        n >= 0 ? std::string(reinterpret_cast<const char*>(composed), static_cast<size_t>(n)) : std::string(text);
    std::free(composed);
    return out;
}

std::string to_lower(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const DecodedChar c = decode_utf8(text);
        append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code_point))));
        text.remove_prefix(static_cast<size_t>(c.n_bytes));
    }
    return out;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string out;
    out.reserve(text.size());
    for (size_t at; (at = text.find(from)) != std::string_view::npos; text.remove_prefix(at + from.size())) {
        out.append(text.substr(0, at)).append(to);
    }
    return out.append(text);
}

}  // namespace elver
