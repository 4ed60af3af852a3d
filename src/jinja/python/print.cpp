#include "jinja/python/print.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace elver::jinja {

std::string int_text(Int i) {
    __extension__ unsigned __int128 rest =
        i < 0 ? -static_cast<unsigned __int128>(i) : static_cast<unsigned __int128>(i);
    std::string out;
    do {
        out.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
        rest /= 10;
    } while (rest > 0);
    if (i < 0) out.push_back('-');
    std::reverse(out.begin(), out.end());
    return out;
}

std::string float_repr(double d) {
    return decimal_text(d, 16);
}

namespace {

void append_hex(std::string& out, const char* prefix, char32_t c, int n_digits) {
    out += prefix;
    for (int shift = 4 * (n_digits - 1); shift >= 0; shift -= 4) out.push_back("0123456789abcdef"[(c >> shift) & 15]);
}

void append_str_repr(std::string& out, const std::string& text) {
    const bool double_quoted = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
    const char quote = double_quoted ? '"' : '\'';
    out.push_back(quote);
    for (std::string_view rest = text; !rest.empty();) {
        const DecodedChar d = decode_utf8(rest);
        const char32_t c = d.code_point;
        if (c == static_cast<char32_t>(quote) || c == '\\') {
            out.push_back('\\');
            out.push_back(static_cast<char>(c));
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (is_printable(c)) {
            out += rest.substr(0, static_cast<size_t>(d.n_bytes));
        } else if (c < 0x100) {
            append_hex(out, "\\x", c, 2);
        } else if (c < 0x10000) {
            append_hex(out, "\\u", c, 4);
        } else {
            append_hex(out, "\\U", c, 8);
        }
        rest.remove_prefix(static_cast<size_t>(d.n_bytes));
    }
    out.push_back(quote);
}

void append_items(Env& env, std::string& out, const char* open, const Values& items, const char* close) {
    out += open;
    for (size_t i = 0; i < items.size() && !env.failed(); ++i) {
        if (i > 0) out += ", ";
        append_repr(env, out, items[i]);
    }
    out += close;
}

void append_seq(Env& env, std::string& out, const Seq& s) {
    switch (s.kind) {
        case SeqKind::list:
            return append_items(env, out, "[", s.items, "]");
        case SeqKind::tuple:
            return append_items(env, out, "(", s.items, s.items.size() == 1 ? ",)" : ")");
        case SeqKind::dict_items:
            return append_items(env, out, "dict_items([", s.items, "])");
        case SeqKind::dict_keys:
            return append_items(env, out, "dict_keys([", s.items, "])");
        case SeqKind::dict_values:
            return append_items(env, out, "dict_values([", s.items, "])");
        case SeqKind::range:
            out += cat("range(", int_text(s.start), ", ", int_text(s.stop));
            if (s.step != 1) out += ", " + int_text(s.step);
            out += ")";
            return;
        case SeqKind::iterator:
            out += "<generator object>";
            return;
    }
}

// What a growing text has taken since a mark; called per item, so that shared lists cannot make it grow unseen.
void charge_growth(Env& env, const std::string& out, size_t before) {
    env.budget.work(out.size() - before + 1);
    env.budget.grow(out, 0);
}

}  // namespace

void append_repr(Env& env, std::string& out, const Value& v) {
    const size_t before = out.size();
    if (const Str* s = v.str()) {
        if (s->safe) out += "Markup(";
        append_str_repr(out, s->text);
        if (s->safe) out += ")";
    } else if (v.is_undefined()) {
        out += "Undefined";
    } else {
        append_str(env, out, v);
        return;
    }
    charge_growth(env, out, before);
}

void append_str(Env& env, std::string& out, const Value& v) {
    env.budget.work(1);
    if (const Str* s = v.str()) {
        env.budget.append(out, s->text);
    } else if (v.is_none()) {
        out += "None";
    } else if (const bool* b = v.as<bool>()) {
        out += *b ? "True" : "False";
    } else if (const Int* i = v.as<Int>()) {
        out += int_text(*i);
    } else if (const double* d = v.as<double>()) {
        out += float_repr(*d);
    } else if (const Seq* q = v.seq()) {
        append_seq(env, out, *q);
    } else if (const Dict* dict = v.dict()) {
        out += "{";
        for (size_t k = 0; k < dict->items.size() && !env.failed(); ++k) {
            if (k > 0) out += ", ";
            append_repr(env, out, dict->items[k].first);
            out += ": ";
            append_repr(env, out, dict->items[k].second);
        }
        out += "}";
    } else if (const Object* o = v.object()) {
        out += o->repr();
    }
}

void append_text(Env& env, Text& out, const Value& v) {
    if (const Str* s = v.str())
        env.budget.append(out, s->whole);
    else
        env.budget.append(out, Text::of_people(to_str(env, v)));
}

Text to_text(Env& env, const Value& v) {
    return v.str() ? v.str()->whole : Text::of_people(to_str(env, v));
}

std::string to_str(Env& env, const Value& v) {
    std::string out;
    append_str(env, out, v);
    return out;
}

namespace {

void append_json_string(std::string& out, const std::string& text, bool ascii) {
    out.push_back('"');
    for (std::string_view rest = text; !rest.empty();) {
        const DecodedChar d = decode_utf8(rest);
        const char32_t c = d.code_point;
        static constexpr std::string_view from = "\"\\\n\r\t\b\f", to = "\"\\nrtbf";
        const size_t known = c < 0x80 ? from.find(static_cast<char>(c)) : std::string_view::npos;
        if (known != std::string_view::npos) {
            out.push_back('\\');
            out.push_back(to[known]);
        } else if (c < 0x20 || (ascii && c >= 0x7F && c < 0x10000)) {
            append_hex(out, "\\u", c, 4);
        } else if (ascii && c >= 0x10000) {
            append_hex(out, "\\u", 0xD800 + ((c - 0x10000) >> 10), 4);
            append_hex(out, "\\u", 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
        } else {
            out += rest.substr(0, static_cast<size_t>(d.n_bytes));
        }
        rest.remove_prefix(static_cast<size_t>(d.n_bytes));
    }
    out.push_back('"');
}

std::string json_float(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return float_repr(d);
}

std::string json_key(Env& env, const Value& key) {
    if (const Str* s = key.str()) return s->text;
    if (const bool* b = key.as<bool>()) return *b ? "true" : "false";
    if (const Int* i = key.as<Int>()) return int_text(*i);
    if (const double* d = key.as<double>()) return json_float(*d);
    if (key.is_none()) return "null";
    return env.fail(cat("keys must be str, int, float, bool or None, not ", type_name(key)));
}

void new_line(Env& env, std::string& out, const JsonStyle& style, int level) {
    if (!style.indent) return;
    out.push_back('\n');
    for (int i = 0; i < level; ++i) env.budget.append(out, *style.indent);
}

}  // namespace

void append_json(Env& env, std::string& out, const Value& v, const JsonStyle& style, int level) {
    charge_growth(env, out, out.size());
    if (const Str* s = v.str()) {
        env.budget.work(s->text.size());
        append_json_string(out, s->text, style.ascii);
    } else if (v.is_none()) {
        out += "null";
    } else if (const bool* truth_value = v.as<bool>()) {
        out += *truth_value ? "true" : "false";
    } else if (const Int* i = v.as<Int>()) {
        out += int_text(*i);
    } else if (const double* d = v.as<double>()) {
        out += json_float(*d);
    } else if (const Seq* q = v.seq(); q && (q->kind == SeqKind::list || q->kind == SeqKind::tuple)) {
        if (q->items.empty()) {
            out += "[]";
            return;
        }
        out.push_back('[');
        for (size_t k = 0; k < q->items.size() && !env.failed(); ++k) {
            if (k > 0) out += style.item_separator;
            new_line(env, out, style, level + 1);
            append_json(env, out, q->items[k], style, level + 1);
        }
        new_line(env, out, style, level);
        out.push_back(']');
    } else if (const Dict* dict = v.dict()) {
        if (dict->items.empty()) {
            out += "{}";
            return;
        }
        std::vector<const Pairs::value_type*> items;
        for (const auto& item : dict->items) items.push_back(&item);
        if (style.sort_keys) {
            for (const auto* item : items) {
                if (item != items[0])
                    less(env, items[0]->first, item->first, "<");  // fails for keys of different types
            }
            std::stable_sort(items.begin(), items.end(),
                             [&](auto* a, auto* b) { return less(env, a->first, b->first, "<"); });
        }
        out.push_back('{');
        for (size_t k = 0; k < items.size() && !env.failed(); ++k) {
            if (k > 0) out += style.item_separator;
            new_line(env, out, style, level + 1);
            append_json_string(out, json_key(env, items[k]->first), style.ascii);
            out += style.key_separator;
            append_json(env, out, items[k]->second, style, level + 1);
        }
        new_line(env, out, style, level);
        out.push_back('}');
    } else {
        env.fail(cat("Object of type ", type_name(v), " is not JSON serializable"));
    }
}

std::string html_escape(std::string_view text) {
    std::string out;
    for (char c : text) {
        switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '\'':
                out += "&#39;";
                break;
            case '"':
                out += "&#34;";
                break;
            default:
                out.push_back(c);
        }
    }
    return out;
}

Text html_escape(const Text& text) {
    return Text::computed(html_escape(text.bytes), text.any_typed());
}

std::optional<Int> parse_int(std::string_view text) {
    const bool negative = !text.empty() && text[0] == '-';
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    if (text.empty()) return std::nullopt;
    Int value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, Int{10}, &value) ||
            __builtin_add_overflow(value, Int{c - '0'}, &value))
            return std::nullopt;
    }
    return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
    text = strip(text, Side::both);
    const bool negative = !text.empty() && text[0] == '-';
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    const std::string low = lower(text);
    std::optional<double> value = parse_decimal(low);
    if (low == "inf" || low == "infinity") value = INFINITY;
    if (low == "nan") value = NAN;
    if (value && negative) *value = -*value;
    return value;
}

}  // namespace elver::jinja
