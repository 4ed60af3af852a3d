#include "base/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver {

namespace {

constexpr int deepest = 200;
// Objects of more keys than this have an index while they are read.
constexpr size_t few_keys = 16;

bool digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    // Whether the text is one value and nothing else.
    bool run(Json& out) {
        if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
        if (!value(out, 0)) return false;
        skip_space();
        return at_ == text_.size();
    }
    size_t at() const noexcept { return at_; }
    bool too_deep() const noexcept { return too_deep_; }

  private:
    char now() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool skip(char c) noexcept { return at_ < text_.size() && text_[at_] == c && (++at_, true); }
    void skip_space() noexcept {
        while (at_ < text_.size() && (now() == ' ' || now() == '\t' || now() == '\n' || now() == '\r')) ++at_;
    }
    bool word(std::string_view expected) noexcept {
        for (const char c : expected) {
            if (!skip(c)) return false;
        }
        return true;
    }

    bool value(Json& out, int depth) {
        skip_space();
        switch (now()) {
            case '{':
            case '[':
                too_deep_ = depth == deepest;
                if (too_deep_) return false;
                return skip('{') ? object(out, depth + 1) : skip('[') && array(out, depth + 1);
            case '"': {
                std::string text;
                if (!string(text)) return false;
                out = Json(std::move(text));
                return true;
            }
            case 't':
                out = Json(true);
                return word("true");
            case 'f':
                out = Json(false);
                return word("false");
            case 'n':
                out = Json();
                return word("null");
            default:
                return number(out);
        }
    }

    bool array(Json& out, int depth) {
        Json::Array items;
        skip_space();
        if (!skip(']')) {
            do {
                if (!value(items.emplace_back(), depth)) return false;
                skip_space();
            } while (skip(','));
            if (!skip(']')) return false;
        }
        out = Json(std::move(items));
        return true;
    }

    bool object(Json& out, int depth) {
        Json::Object members;
        std::unordered_map<std::string, size_t> places;  // of an object with many keys
        skip_space();
        if (!skip('}')) {
            do {
                std::string key;
                skip_space();
                if (!string(key)) return false;
                skip_space();
                if (!skip(':')) return false;
                if (!value(slot(members, places, std::move(key)), depth)) return false;
                skip_space();
            } while (skip(','));
            if (!skip('}')) return false;
        }
        out = Json(std::move(members));
        return true;
    }

    // The place of a key's value, which may be there already.
    static Json& slot(Json::Object& members, std::unordered_map<std::string, size_t>& places, std::string key) {
        size_t i = members.size();
        if (i < few_keys) {
            i = static_cast<size_t>(
                std::find_if(members.begin(), members.end(), [&](auto& m) { return m.first == key; }) -
                members.begin());
        } else {
            if (places.empty()) {
                for (size_t k = 0; k < i; ++k) places.emplace(members[k].first, k);
            }
            i = places.emplace(key, i).first->second;
        }
        if (i == members.size()) members.emplace_back(std::move(key), Json());
        return members[i].second;
    }

    bool string(std::string& out) {
        if (!skip('"')) return false;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '"') return ++at_, true;
            if (c == '\\') {
                if (!escape(out)) return false;
                continue;
            }
            const DecodedChar d = decode_utf8(text_.substr(at_));
            if (!d.valid || d.code_point < 0x20) return false;
            out.append(text_.substr(at_, static_cast<size_t>(d.n_bytes)));
            at_ += static_cast<size_t>(d.n_bytes);
        }
        return false;
    }

    bool escape(std::string& out) {
        static constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
        ++at_;
        if (const size_t known = from.find(now()); at_ < text_.size() && known != std::string_view::npos) {
            out.push_back(to[known]);
            ++at_;
            return true;
        }
        char32_t c = 0, low = 0;
        if (!hex(c)) return false;
        if (c >= 0xDC00 && c < 0xE000) return false;
        if (c >= 0xD800 && c < 0xDC00) {  // the first half of a pair
            if (!skip('\\') || !hex(low) || low < 0xDC00 || low >= 0xE000) return false;
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        }
        append_utf8(out, c);
        return true;
    }

    // "uNNNN"
    bool hex(char32_t& out) {
        if (!skip('u')) return false;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char c = now(), low = static_cast<char>(c | 0x20);
            if (!digit(c) && (low < 'a' || low > 'f')) return false;
            out = out * 16 + static_cast<char32_t>(digit(c) ? c - '0' : low - 'a' + 10);
        }
        return true;
    }

    bool digits() {
        const size_t first = at_;
        while (digit(now())) ++at_;
        return at_ > first;
    }
    bool number(Json& out) {
        const size_t first = at_;
        skip('-');
        if (!skip('0') && !digits()) return false;
        bool whole = true;
        if (skip('.')) {
            whole = false;
            if (!digits()) return false;
        }
        if (skip('e') || skip('E')) {
            whole = false;
            if (!skip('+')) skip('-');
            if (!digits()) return false;
        }
        const std::string_view text = text_.substr(first, at_ - first);
        const char *begin = text.data(), *end = begin + text.size();
        int64_t integer;
        uint64_t large;
        if (whole && std::from_chars(begin, end, integer).ec == std::errc()) return out = Json(integer), true;
        if (whole && std::from_chars(begin, end, large).ec == std::errc()) return out = Json(large), true;
        const bool negative = text[0] == '-';
        const auto real = parse_decimal(text.substr(negative));
        if (!real || std::isinf(*real)) return false;
        out = Json(negative ? -*real : *real);
        return true;
    }

    std::string_view text_;
    size_t at_ = 0;
    bool too_deep_ = false;
};

void append_string(std::string& out, std::string_view text) {
    out.push_back('"');
    while (!text.empty()) {
        const DecodedChar d = decode_utf8(text);
        const auto n = static_cast<size_t>(d.n_bytes);
        static constexpr std::string_view from = "\"\\\b\f\n\r\t", to = "\"\\bfnrt";
        const size_t known = d.code_point < 0x80 ? from.find(text[0]) : std::string_view::npos;
        if (!d.valid) {
            append_utf8(out, 0xFFFD);
        } else if (known != std::string_view::npos) {
            out += {'\\', to[known]};
        } else if (d.code_point < 0x20) {
            out.append("\\u00").append(1, "01"[d.code_point >> 4]).append(1, "0123456789abcdef"[d.code_point & 15]);
        } else {
            out.append(text.substr(0, n));
        }
        text.remove_prefix(n);
    }
    out.push_back('"');
}

}  // namespace

Json::Json(const Json& other) {
    if (other.is_string())
        value_ = std::string(other.text());
    else if (other.is_array())
        value_ = Array(other.items());
    else if (other.is_object())
        value_ = Object(other.members());
    else if (other.is_boolean())
        value_ = other.boolean();
    else if (other.fits_int64())
        value_ = other.int64();
    else if (other.is_integer())
        value_ = other.uint64();
    else if (other.is_number())
        value_ = other.number();
}

const char* Json::type_name() const noexcept {
    static constexpr const char* names[] = {"null",   "boolean", "number", "number",
                                            "number", "string",  "array",  "object"};
    return names[value_.index()];
}

double Json::number() const noexcept {
    if (holds<double>()) return std::get<double>(value_);
    return fits_int64() ? static_cast<double>(int64()) : static_cast<double>(uint64());
}

const Json* Json::find(std::string_view key) const noexcept {
    for (const auto& [name, value] : members()) {
        if (name == key) return &value;
    }
    return nullptr;
}

Json& Json::operator[](std::string_view key) {
    if (is_null()) value_ = Object();
    if (Json* found = find(key)) return *found;
    return members().emplace_back(std::string(key), Json()).second;
}

void Json::erase(std::string_view key) {
    std::erase_if(members(), [&](auto& member) { return member.first == key; });
}

std::string Json::dump(int indent) const {
    std::string out;
    append(out, indent, 0);
    return out;
}

void Json::append(std::string& out, int indent, int level) const {
    const auto line = [&](int at) {
        if (indent >= 0) out.append(1, '\n').append(static_cast<size_t>(indent * at), ' ');
    };
    if (is_boolean()) {
        out += boolean() ? "true" : "false";
    } else if (fits_int64()) {
        out += cat(int64());
    } else if (is_integer()) {
        out += cat(uint64());
    } else if (is_number() && std::isfinite(number())) {
        out += decimal_text(number(), 15);
    } else if (is_string()) {
        append_string(out, text());
    } else if (is_array() || is_object()) {
        out.push_back(is_array() ? '[' : '{');
        bool first = true;
        const auto next = [&] {
            if (!std::exchange(first, false)) out.push_back(',');
            line(level + 1);
        };
        for (const Json& item : items()) {
            next();
            item.append(out, indent, level + 1);
        }
        for (const auto& [key, value] : members()) {
            next();
            append_string(out, key);
            out += indent >= 0 ? ": " : ":";
            value.append(out, indent, level + 1);
        }
        if (!first) line(level);
        out.push_back(is_array() ? ']' : '}');
    } else {
        out += "null";
    }
}

Result<Json> parse_json(std::string_view text, std::string_view what) {
    Json json;
    Parser parser(text);
    if (parser.run(json)) return json;
    if (parser.too_deep())
        return Error(Status::invalid_argument, cat(what, ": nested more than ", deepest, " deep"), std::string(what));
    const size_t at = parser.at(), from = at > 19 ? at - 19 : 0;
    return Error(Status::invalid_argument,
                 cat(what, ": not valid JSON at byte ", at + 1, ", near ", in_quotes(text.substr(from, 40))),
                 std::string(what));
}

}  // namespace elver
