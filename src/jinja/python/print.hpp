// How Python writes and reads text: str(), repr(), json.dumps, numbers, and the Unicode properties behind str's
// methods.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "jinja/python/value.hpp"

namespace elver::jinja {

std::string int_text(Int i);
std::string float_repr(double d);
void append_str(Env& env, std::string& out, const Value& value);  // str(value)
void append_text(Env& env, Text& out, const Value& value);  // what {{ value }} prints: str(value) with its origins
void append_repr(Env& env, std::string& out, const Value& value);  // inside a list
std::string to_str(Env& env, const Value& value);
Text to_text(Env& env, const Value& value);

struct JsonStyle {
    bool ascii = false, sort_keys = false;
    std::optional<std::string> indent;  // one level of it; none: a single line
    std::string item_separator = ", ", key_separator = ": ";
};
void append_json(Env& env, std::string& out, const Value& value, const JsonStyle& style, int level = 0);

std::string html_escape(std::string_view text);
Text html_escape(const Text& text);

// A sign, digits and nothing else, that fit.
std::optional<Int> parse_int(std::string_view text);
// float() of a text; nothing where Python raises ValueError, and for digits with underscores between them.
std::optional<double> parse_float(std::string_view text);

bool is_space(char32_t c) noexcept;  // str.isspace
bool is_digit(char32_t c) noexcept;
bool is_upper(char32_t c) noexcept;
bool is_lower(char32_t c) noexcept;
bool is_printable(char32_t c) noexcept;

std::u32string decode(std::string_view text);
std::string encode(std::u32string_view text);
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);

enum class Side { left, right, both };
// str.strip: without set, white space.
std::string_view strip(std::string_view text, Side side, const std::string* set = nullptr);
size_t count_chars(std::string_view text) noexcept;

}  // namespace elver::jinja
