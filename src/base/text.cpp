#include "base/text.hpp"

#include <clocale>
#include <cmath>
#include <cstdlib>

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

std::string decimal_text(double value, int exponent_from) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char buffer[40];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    const std::string_view text(buffer, static_cast<size_t>(end - buffer));
    const size_t e = text.find('e');
    const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
    std::string out, digits;
    for (const char c : text.substr(0, e)) {
        if (c == '-')
            out = "-";
        else if (c != '.')
            digits.push_back(c);
    }
    const int n = static_cast<int>(digits.size());
    if (exponent < -4 || exponent >= exponent_from) {
        out += digits[0];
        if (n > 1) out.append(".").append(digits, 1);
        const int magnitude = std::abs(exponent);
        return cat(out, exponent < 0 ? "e-" : "e+", magnitude < 10 ? "0" : "", magnitude);
    }
    if (exponent < 0) return out.append("0.").append(static_cast<size_t>(-exponent - 1), '0').append(digits);
    if (n <= exponent + 1) digits.append(static_cast<size_t>(exponent + 2 - n), '0');
    const auto point = static_cast<size_t>(exponent + 1);
    return out.append(digits, 0, point).append(".").append(digits, point);
}

std::optional<double> parse_decimal(std::string_view text) {
    const bool plain = text.find_first_not_of("0123456789.e+-E") == std::string_view::npos;
    if (!plain || text.empty() || text[0] == '+' || text[0] == '-') return std::nullopt;
    std::string local(text);
    if (const size_t point = local.find('.'); point != std::string::npos)
        local.replace(point, 1, std::localeconv()->decimal_point);
    char* end = nullptr;
    const double value = std::strtod(local.c_str(), &end);
    if (end != local.c_str() + local.size()) return std::nullopt;
    return value;
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
