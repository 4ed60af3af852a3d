// Python's two ways to format text: "%s" % value and "{}".format(value).
// Source: the "printf-style String Formatting" and "Format String Syntax" chapters of the Python library reference.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "jinja/methods.hpp"
#include "jinja/python_text.hpp"

namespace elver::jinja {

Text replace_text(Env& env, const Text& whole, const std::string& from, const Text& to, Int count) {
    const std::string_view text = whole.bytes;
    Text out;
    size_t at = 0;
    env.budget.search(text.size(), from.size());
    if (from.empty()) {  // between all characters
        for (; count != 0 && !env.failed(); --count) {
            env.budget.append(out, to);
            if (at == text.size()) return out;
            const size_t n = static_cast<size_t>(decode_utf8(text.substr(at)).n_bytes);
            out.append(whole, text.substr(at, n));
            at += n;
        }
        env.budget.append(out, whole, text.substr(at));
        return out;
    }
    for (; count != 0 && !env.failed(); --count) {
        const size_t found = text.find(from, at);
        if (found == std::string::npos) break;
        env.budget.append(out, whole, text.substr(at, found - at));
        env.budget.append(out, to);
        at = found + from.size();
    }
    env.budget.append(out, whole, text.substr(at));
    return out;
}

std::string repeat_text(Env& env, const std::string& text, Int n) {
    if (n <= 0 || text.empty()) return {};
    if (n > static_cast<Int>(env.budget.max_text() / text.size()))
        return env.over_budget("the template makes too long a text");
    env.budget.work(text.size() * static_cast<size_t>(n) / 8 + 1);
    std::string out;
    out.reserve(text.size() * static_cast<size_t>(n));
    for (Int i = 0; i < n; ++i) out += text;
    return out;
}

Text repeat_text(Env& env, const Text& text, Int n) {
    if (!text.any_typed()) return Text::of_template(repeat_text(env, text.bytes, n));
    Text out;
    if (text.bytes.size() == 0 || n <= 0) return out;
    if (n > static_cast<Int>(env.budget.max_text() / text.bytes.size()))
        return env.over_budget("the template makes too long a text");
    for (Int i = 0; i < n && !env.failed(); ++i) env.budget.append(out, text);
    return out;
}

namespace {

struct Spec {
    std::string fill = " ";
    char align = 0, sign = '-', type = 0;
    bool alternate = false, comma = false, zero = false;
    Int width = 0, precision = -1;
};

Int read_number(Env& env, std::string_view& text, Int otherwise) {
    if (text.empty() || text[0] < '0' || text[0] > '9') return otherwise;
    Int n = 0;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
        n = n * 10 + (text[0] - '0');
        if (n > 1'000'000) return env.fail("a width or precision is too large");
        text.remove_prefix(1);
    }
    return n;
}

std::string c_format(Env& env, char type, int precision, bool alternate, double d) {
    const std::string pattern = cat("%", alternate ? "#" : "", ".*", type);
    char buffer[512];
    const int n = std::snprintf(buffer, sizeof buffer, pattern.c_str(), precision, d);
    if (n < 0 || n >= static_cast<int>(sizeof buffer)) return env.fail_unsupported("a number is too long to format");
    std::string out(buffer, static_cast<size_t>(n));
    for (char& c : out) {
        if (c == ',') c = '.';  // the host may have set a locale with a decimal comma
    }
    return out;
}

// The digits of |d|; sign apart.
std::string float_digits(Env& env, double d, const Spec& spec) {
    d = std::fabs(d);
    const char lower_type = static_cast<char>(spec.type | 0x20);
    if (std::isnan(d) || std::isinf(d)) {
        const std::string text = std::isnan(d) ? "nan" : "inf";
        return spec.type && spec.type < 'a' && spec.type != '%' ? upper(text) : text;
    }
    if (spec.precision > 100) return env.fail_unsupported("a precision above 100 is not supported");
    if (spec.type == 0 && spec.precision < 0) return float_repr(d);
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    if (spec.type == '%') return c_format(env, 'f', precision, spec.alternate, d * 100) + "%";
    if (spec.type == 0) {
        std::string text = c_format(env, 'g', std::max(precision, 1), false, d);
        return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
    }
    if (lower_type == 'n') return c_format(env, 'g', precision, spec.alternate, d);
    return c_format(env, spec.type, precision, spec.alternate, d);
}

std::string int_digits(Int i, int base, bool upper_case) {
    if (base == 10) return int_text(i < 0 ? -i : i);
    const std::string_view digits = upper_case ? "0123456789ABCDEF" : "0123456789abcdef";
    std::string out;
    Int rest = i < 0 ? -i : i;
    do {
        out.push_back(digits[static_cast<size_t>(rest % base)]);
        rest /= base;
    } while (rest > 0);
    std::reverse(out.begin(), out.end());
    return out;
}

std::string group_thousands(std::string digits) {
    size_t end = digits.find_first_not_of("0123456789");
    if (end == std::string::npos) end = digits.size();
    for (size_t i = end; i > 3; i -= 3) digits.insert(i - 3, 1, ',');
    return digits;
}

std::string pad(Env& env, const std::string& sign, const std::string& body, const Spec& spec, char otherwise) {
    const Int missing = spec.width - static_cast<Int>(count_chars(sign) + count_chars(body));
    if (missing <= 0) return sign + body;
    const char align = spec.align ? spec.align : spec.zero ? '=' : otherwise;
    const std::string fill = spec.zero && !spec.align ? "0" : spec.fill;
    if (align == '<') return sign + body + repeat_text(env, fill, missing);
    if (align == '>') return repeat_text(env, fill, missing) + sign + body;
    if (align == '=') return sign + repeat_text(env, fill, missing) + body;
    return repeat_text(env, fill, missing / 2) + sign + body + repeat_text(env, fill, missing - missing / 2);
}

std::string sign_of(bool negative, const Spec& spec) {
    return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string format_float(Env& env, double d, const Spec& spec) {
    std::string digits = float_digits(env, d, spec);
    if (spec.comma) digits = group_thousands(std::move(digits));
    return pad(env, sign_of(std::signbit(d) && !std::isnan(d), spec), digits, spec, '>');
}

std::string format_int(Env& env, Int i, const Spec& spec) {
    const char low = static_cast<char>(spec.type | 0x20);
    const int base = low == 'x' ? 16 : low == 'o' ? 8 : low == 'b' ? 2 : 10;
    std::string digits = int_digits(i, base, spec.type == 'X');
    if (spec.comma) digits = group_thousands(std::move(digits));
    std::string sign = sign_of(i < 0, spec);
    if (spec.alternate && base != 10) sign += cat("0", spec.type);
    return pad(env, sign, digits, spec, '>');
}

Spec parse_spec(Env& env, std::string_view text) {
    Spec spec;
    const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const size_t first = text.empty() ? 0 : static_cast<size_t>(decode_utf8(text).n_bytes);
    if (first < text.size() && is_align(text[first])) {
        spec.fill = std::string(text.substr(0, first));
        spec.align = text[first];
        text.remove_prefix(first + 1);
    } else if (!text.empty() && is_align(text[0])) {
        spec.align = text[0];
        text.remove_prefix(1);
    }
    const auto skip = [&](char c) { return !text.empty() && text[0] == c && (text.remove_prefix(1), true); };
    for (char c : {'+', '-', ' '}) {
        if (skip(c)) {
            spec.sign = c;
            break;
        }
    }
    spec.alternate = skip('#');
    spec.zero = skip('0');
    spec.width = read_number(env, text, 0);
    spec.comma = skip(',');
    if (skip('.')) {
        spec.precision = read_number(env, text, -1);
        if (spec.precision < 0) return env.fail("Format specifier missing precision");
    }
    if (!text.empty()) {
        spec.type = text[0];
        text.remove_prefix(1);
    }
    if (!text.empty()) return env.fail("Invalid format specifier");
    return spec;
}

}  // namespace

std::string format_value(Env& env, const Value& value, std::string_view text) {
    if (text.empty()) return to_str(env, value);
    const Spec spec = parse_spec(env, text);
    static constexpr std::string_view float_types = "eEfFgGn%", int_types = "dxXobn";
    const auto in = [&](std::string_view types) {
        return spec.type != 0 && types.find(spec.type) != std::string_view::npos;
    };
    if (is_number(value)) {
        if (value.as<bool>() && spec.type == 0) return pad(env, "", to_str(env, value), spec, '<');
        if (value.as<double>() ? (spec.type == 0 || in(float_types)) : (in(float_types) && spec.type != 'n')) {
            return format_float(env, to_double(value), spec);
        }
        if (!value.as<double>() && (spec.type == 0 || in(int_types)))
            return format_int(env, to_int(env, value, ""), spec);
    } else if (value.str() && (spec.type == 0 || spec.type == 's')) {
        const Str& s = *value.str();
        const auto n = spec.precision < 0 ? s.n_chars : std::min(s.n_chars, static_cast<size_t>(spec.precision));
        if (spec.align == '=') return env.fail("'=' alignment not allowed in string format specifier");
        return pad(env, "", std::string(char_range(s, 0, n)), spec, '<');
    }
    if (!is_number(value) && !value.str())
        return env.fail(cat("unsupported format string passed to ", type_name(value), ".__format__"));
    return env.fail(cat("Unknown format code '", spec.type, "' for object of type '", type_name(value), "'"));
}

namespace {

// What a value has become in a format: the value's own text keeps its origins if nothing was changed.
Text placed(const Value& value, std::string text) {
    const Str* s = value.str();
    if (s && s->text == text) return s->whole;
    return Text::computed(std::move(text), !s || s->whole.any_typed());
}

// One conversion of "%": the value as text, before padding.
std::string convert(Env& env, const Value& value, Spec& spec, bool safe) {
    switch (spec.type) {
        case 's':
        case 'r':
        case 'a': {
            std::string text;
            if (spec.type == 's')
                append_str(env, text, value);
            else
                append_repr(env, text, value);
            if (safe && !(value.str() && value.str()->safe)) text = html_escape(text);
            if (spec.precision >= 0) {
                const Value whole = env.str(text);
                text = std::string(
                    char_range(*whole.str(), 0, std::min(static_cast<size_t>(spec.precision), whole.str()->n_chars)));
            }
            spec.zero = false;
            return pad(env, "", text, spec, '>');
        }
        case 'd':
        case 'i':
        case 'u':
            if (!is_number(value))
                return env.fail(cat("%", spec.type, " format: a real number is required, not ", type_name(value)));
            spec.type = 'd';
            if (value.as<double>()) {
                if (!(std::fabs(to_double(value)) < 1e18)) return env.fail("a number is too large for %d");
                return format_int(env, static_cast<Int>(to_double(value)), spec);
            }
            return format_int(env, to_int(env, value, ""), spec);
        case 'x':
        case 'X':
        case 'o':
            return format_int(env, to_int(env, value, cat("%", spec.type, " format: the value")), spec);
        case 'e':
        case 'E':
        case 'f':
        case 'F':
        case 'g':
        case 'G':
            if (!is_number(value)) return env.fail(cat("must be real number, not ", type_name(value)));
            return format_float(env, to_double(value), spec);
        case 'c':
            if (value.str() && value.str()->n_chars == 1) return pad(env, "", value.str()->text, spec, '>');
            if (value.as<Int>() && *value.as<Int>() >= 0 && *value.as<Int>() < 0xD800) {
                std::string text;
                append_utf8(text, static_cast<char32_t>(*value.as<Int>()));
                return pad(env, "", text, spec, '>');
            }
            return env.fail("%c requires int or char");
        default:
            return env.fail(cat("unsupported format character '", spec.type, "'"));
    }
}

}  // namespace

Text percent_format(Env& env, const Str& format, const Value& value) {
    const Seq* tuple = value.seq() && value.seq()->kind == SeqKind::tuple ? value.seq() : nullptr;
    size_t next = 0;
    bool by_name = false;
    const auto argument = [&]() -> Value {
        if (!tuple && next == 0 && !by_name) {
            ++next;
            return value;
        }
        if (!tuple || next >= tuple->items.size()) return env.fail("not enough arguments for format string");
        return tuple->items[next++];
    };
    Text out;
    for (std::string_view rest = format.text; !rest.empty() && !env.failed();) {
        const size_t at = rest.find('%');
        env.budget.append(out, format.whole, rest.substr(0, at));
        if (at == std::string_view::npos) break;
        rest.remove_prefix(at + 1);
        Value named;
        const bool has_name = !rest.empty() && rest[0] == '(';
        if (has_name) {
            const size_t close = rest.find(')');
            if (!value.dict()) return env.fail("format requires a mapping");
            if (close == std::string_view::npos) return env.fail("incomplete format key");
            const Value* found = value.dict()->find(rest.substr(1, close - 1));
            if (!found) return env.fail(cat("format: no key ", in_quotes(rest.substr(1, close - 1))));
            named = *found;
            by_name = true;
            rest.remove_prefix(close + 1);
        }
        Spec spec;
        for (bool flag = true; flag && !rest.empty();) {
            switch (rest[0]) {
                case '-':
                    spec.align = '<';
                    break;
                case '+':
                    spec.sign = '+';
                    break;
                case ' ':
                    spec.sign = spec.sign == '+' ? '+' : ' ';
                    break;
                case '0':
                    spec.zero = true;
                    break;
                case '#':
                    spec.alternate = true;
                    break;
                default:
                    flag = false;
                    continue;
            }
            rest.remove_prefix(1);
        }
        spec.width = read_number(env, rest, 0);
        if (!rest.empty() && rest[0] == '.') {
            rest.remove_prefix(1);
            spec.precision = read_number(env, rest, 0);
        }
        if (rest.empty()) return env.fail("incomplete format");
        spec.type = rest[0];
        rest.remove_prefix(1);
        const Value field = spec.type == '%' ? Value() : has_name ? named : argument();
        env.budget.append(
            out, spec.type == '%' ? Text::of_template("%") : placed(field, convert(env, field, spec, format.safe)));
        env.budget.work(out.bytes.size() / 64 + 1);
    }
    const size_t given = tuple ? tuple->items.size() : 1;
    const bool by_key = value.dict() || value.is_undefined() || (value.seq() && value.seq()->indexable() && !tuple);
    const bool may_be_left = by_name || (by_key && next == 0);  // as Python has it for all that has keys
    if (next < given && !may_be_left) return env.fail("not all arguments converted during string formatting");
    return out;
}

namespace {

// The value of a field such as "0", "name.attribute" or "items[2]".
Value field_value(Env& env, std::string_view field, const Args& args, size_t& next) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    const std::string_view first = field.substr(0, end);
    const bool number =
        !first.empty() && std::all_of(first.begin(), first.end(), [](char c) { return c >= '0' && c <= '9'; });
    Value value;
    if (first.empty() || number) {
        std::string_view digits = first;
        const size_t i = number ? static_cast<size_t>(read_number(env, digits, 0)) : next++;
        if (i >= args.positional.size())
            return env.fail(cat("Replacement index ", i, " out of range for positional args tuple"));
        value = args.positional[i];
    } else {
        const auto it = std::find_if(args.named.begin(), args.named.end(), [&](auto& n) { return n.first == first; });
        if (it == args.named.end()) return env.fail(cat("format: no argument ", in_quotes(first)));
        value = it->second;
    }
    for (std::string_view rest = field.substr(end); !rest.empty();) {
        const bool item = rest[0] == '[';
        const size_t stop = item ? rest.find(']') : std::min(rest.find_first_of(".[", 1), rest.size());
        if (stop == std::string_view::npos) return env.fail("Missing ']' in format string");
        const std::string_view key = rest.substr(1, stop - 1);
        const auto index = item ? parse_int(key, 10) : std::nullopt;
        value = !item ? get_attribute(env, value, key)
                      : get_item(env, value, index ? Value(*index) : env.str(std::string(key)));
        rest.remove_prefix(item ? stop + 1 : stop);
    }
    return value;
}

}  // namespace

Text brace_format(Env& env, const Str& format, const Args& args) {
    Text out;
    size_t next = 0;
    for (std::string_view rest = format.text; !rest.empty() && !env.failed();) {
        const size_t at = rest.find_first_of("{}");
        env.budget.append(out, format.whole, rest.substr(0, at));
        if (at == std::string_view::npos) break;
        const char c = rest[at];
        rest.remove_prefix(at + 1);
        if (!rest.empty() && rest[0] == c) {
            out.append(format.whole, rest.substr(0, 1));
            rest.remove_prefix(1);
            continue;
        }
        if (c == '}') return env.fail("Single '}' encountered in format string");
        const size_t close = rest.find('}');
        if (close == std::string_view::npos) return env.fail("expected '}' before end of string");
        std::string_view field = rest.substr(0, close);
        rest.remove_prefix(close + 1);
        if (field.find('{') != std::string_view::npos)
            return env.fail_unsupported("nested fields in format() are not supported");
        std::string_view spec;
        if (const size_t colon = field.find(':'); colon != std::string_view::npos) {
            spec = field.substr(colon + 1);
            field = field.substr(0, colon);
        }
        char conversion = 0;
        if (const size_t bang = field.find('!'); bang != std::string_view::npos) {
            if (bang + 2 != field.size()) return env.fail("expected ':' after conversion specifier");
            conversion = field[bang + 1];
            field = field.substr(0, bang);
        }
        Value value = field_value(env, field, args, next);
        if (conversion) {
            std::string text;
            if (conversion == 's')
                append_str(env, text, value);
            else if (conversion == 'r')
                append_repr(env, text, value);
            else
                env.fail(cat("Unknown conversion specifier '", conversion, "'"));
            value = env.str(std::move(text));
        }
        std::string text = format_value(env, value, spec);
        if (format.safe && !(value.str() && value.str()->safe)) text = html_escape(text);
        env.budget.append(out, placed(value, std::move(text)));
        env.budget.work(out.bytes.size() / 64 + 1);
    }
    return out;
}

}  // namespace elver::jinja
