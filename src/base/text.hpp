// cat(): joins strings and numbers into a message. Used for error texts; hostile bytes are shown through in_quotes().
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace elver {

namespace detail {
inline void append(std::string& out, std::string_view text) {
    out.append(text);
}
inline void append(std::string& out, const char* text) {
    out.append(text);
}
inline void append(std::string& out, const std::string& text) {
    out.append(text);
}
inline void append(std::string& out, char c) {
    out.push_back(c);
}
inline void append(std::string& out, bool value) {
    out.append(value ? "true" : "false");
}
template <class T>
    requires std::is_arithmetic_v<T>
void append(std::string& out, T value) {
    // Floats with as few digits as tell them apart: 0.01, 1e+300.
    char buffer[64];
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
}  // namespace detail

template <class... Parts>
std::string cat(const Parts&... parts) {
    std::string out;
    (detail::append(out, parts), ...);
    return out;
}

// The text in double quotes, with control characters, quotes and invalid UTF-8 as \xNN, cut after max_bytes.
std::string in_quotes(std::string_view text, size_t max_bytes = 80);

// The number as few digits tell it apart, with a point, or with an exponent below 1e-4 and from 10^exponent_from on:
// "0.1", "3.0", "1e+20", "-inf", "nan".
std::string decimal_text(double value, int exponent_from);
// A decimal number without a sign, "1.5" or "2e-3", and nothing else; infinity where it is too large. "." and ","
// of the host's locale make no difference.
std::optional<double> parse_decimal(std::string_view text);

// "[2, 3, 4]"
std::string join_shape(std::span<const int64_t> dims);

}  // namespace elver
