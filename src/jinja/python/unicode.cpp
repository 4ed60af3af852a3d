// The part of print.hpp that rests on the Unicode tables (utf8proc): classes of characters and case.
// Source: Unicode Standard 3.13 (default case algorithms), SpecialCasing.txt.
#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {

namespace {
utf8proc_category_t category(char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
char32_t simple_upper(char32_t c) {
    return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t simple_lower(char32_t c) {
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t simple_title(char32_t c) {
    return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

// Letters whose upper case is longer than one character.
struct Expansion {
    char32_t from;
    const char32_t *upper, *title;
};
constexpr Expansion expansions[] = {
    {0xDF, U"SS", U"Ss"},
    {0x149, U"\u02BCN", U"\u02BCN"},
    {0x1F0, U"J\u030C", U"J\u030C"},
    {0x587, U"\u0535\u0552", U"\u0535\u0582"},
    {0xFB00, U"FF", U"Ff"},
    {0xFB01, U"FI", U"Fi"},
    {0xFB02, U"FL", U"Fl"},
    {0xFB03, U"FFI", U"Ffi"},
    {0xFB04, U"FFL", U"Ffl"},
    {0xFB05, U"ST", U"St"},
    {0xFB06, U"ST", U"St"},
    {0x1E96, U"H\u0331", U"H\u0331"},
};

void append_upper(std::u32string& out, char32_t c, bool title) {
    const auto* e = std::find_if(std::begin(expansions), std::end(expansions), [&](auto& x) { return x.from == c; });
    if (e != std::end(expansions)) {
        out += title ? e->title : e->upper;
    } else {
        out.push_back(title ? simple_title(c) : simple_upper(c));
    }
}

bool is_cased(char32_t c) {
    return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT;
}

// A sigma at the end of a word has its own small letter.
bool final_sigma(const std::u32string& s, size_t i) {
    const auto ignorable = [](char32_t c) {
        const auto k = category(c);
        return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
               k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' ||
               c == 0xB7 || c == 0x2019;
    };
    size_t before = i;
    while (before > 0 && ignorable(s[before - 1])) --before;
    if (before == 0 || !is_cased(s[before - 1])) return false;
    size_t after = i + 1;
    while (after < s.size() && ignorable(s[after])) ++after;
    return after == s.size() || !is_cased(s[after]);
}

void append_lower(std::u32string& out, const std::u32string& s, size_t i) {
    if (s[i] == 0x130) {
        out += U"i\u0307";
    } else if (s[i] == 0x3A3) {
        out.push_back(final_sigma(s, i) ? 0x3C2 : 0x3C3);
    } else {
        out.push_back(simple_lower(s[i]));
    }
}
}  // namespace

bool is_space(char32_t c) noexcept {
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_digit(char32_t c) noexcept {
    return category(c) == UTF8PROC_CATEGORY_ND || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
           (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) || (c >= 0x2460 && c <= 0x2468);
}
bool is_upper(char32_t c) noexcept {
    return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0;
}
bool is_lower(char32_t c) noexcept {
    return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0;
}
bool is_printable(char32_t c) noexcept {
    if (c == ' ') return true;
    switch (category(c)) {
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_ZS:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
            return false;
        default:
            return true;
    }
}

std::u32string decode(std::string_view text) {
    std::u32string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const DecodedChar d = decode_utf8(text);
        out.push_back(d.code_point);
        text.remove_prefix(static_cast<size_t>(d.n_bytes));
    }
    return out;
}

std::string encode(std::u32string_view text) {
    std::string out;
    out.reserve(text.size());
    for (char32_t c : text) append_utf8(out, c);
    return out;
}

size_t count_chars(std::string_view text) noexcept {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string upper(std::string_view text) {
    std::u32string out;
    for (char32_t c : decode(text)) append_upper(out, c, false);
    return encode(out);
}

std::string lower(std::string_view text) {
    const std::u32string s = decode(text);
    std::u32string out;
    for (size_t i = 0; i < s.size(); ++i) append_lower(out, s, i);
    return encode(out);
}

std::string capitalize(std::string_view text) {
    const std::u32string s = decode(text);
    std::u32string out;
    for (size_t i = 0; i < s.size(); ++i) {
        if (i == 0)
            append_upper(out, s[i], true);
        else
            append_lower(out, s, i);
    }
    return encode(out);
}

std::string title(std::string_view text) {
    const std::u32string s = decode(text);
    std::u32string out;
    bool in_word = false;
    for (size_t i = 0; i < s.size(); ++i) {
        if (in_word)
            append_lower(out, s, i);
        else
            append_upper(out, s[i], true);
        in_word = is_cased(s[i]);
    }
    return encode(out);
}

std::string_view strip(std::string_view text, Side side, const std::string* set) {
    const std::u32string chars = set ? decode(*set) : std::u32string();
    const auto drop = [&](char32_t c) { return set ? chars.find(c) != std::u32string::npos : is_space(c); };
    if (side != Side::right) {
        while (!text.empty()) {
            const DecodedChar d = decode_utf8(text);
            if (!drop(d.code_point)) break;
            text.remove_prefix(static_cast<size_t>(d.n_bytes));
        }
    }
    if (side != Side::left) {
        while (!text.empty()) {
            size_t start = text.size() - 1;
            while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
            if (!drop(decode_utf8(text.substr(start)).code_point)) break;
            text = text.substr(0, start);
        }
    }
    return text;
}

}  // namespace elver::jinja
