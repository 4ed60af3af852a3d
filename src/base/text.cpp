#include "base/text.hpp"

#include "base/utf8.hpp"

namespace elver {

std::string in_quotes(std::string_view text, size_t max_bytes) {
    static const char hex[] = "0123456789abcdef";
    std::string out = "\"";
    size_t i = 0;
    while (i < text.size() && i < max_bytes) {
        const DecodedChar c = decode_utf8(text.substr(i));
        const bool plain = c.valid && c.code_point >= 0x20 && c.code_point != 0x7f && c.code_point != '"';
        for (int b = 0; b < c.n_bytes; ++b, ++i) {
            const unsigned char byte = static_cast<unsigned char>(text[i]);
            if (plain) {
                out.push_back(text[i]);
            } else {
                out.append("\\x").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
            }
        }
    }
    out.append(i < text.size() ? "\"..." : "\"");
    return out;
}

std::string join_shape(std::span<const int64_t> dims) {
    std::string out = "[";
    for (size_t i = 0; i < dims.size(); ++i) {
        if (i > 0) out += ", ";
        detail::append(out, dims[i]);
    }
    return out + "]";
}

}  // namespace elver
