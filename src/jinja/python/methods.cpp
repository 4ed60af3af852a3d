#include "jinja/python/methods.hpp"

#include <algorithm>

#include "base/utf8.hpp"
#include "jinja/python/args.hpp"
#include "jinja/python/print.hpp"

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

struct Method {
    std::string_view name;
    Native native;
};

const Str& text_of(const Value& self) {
    return *self.str();
}

// Results of the same kind, str or Markup, as self. One that is computed as a whole has self's origins at worst.
Value like(Env& env, const Value& self, Text text) {
    return env.str(std::move(text), text_of(self).safe);
}
Value computed(Env& env, const Value& self, std::string text) {
    return like(env, self, Text::computed(std::move(text), text_of(self).whole.any_typed()));
}

// An argument on its way into self: escaped if self is Markup and it is not.
Text into(const Value& self, const Value& argument) {
    const Str* s = argument.str();
    return text_of(self).safe && s && !s->safe ? html_escape(s->whole) : s ? s->whole : Text();
}

template <std::string (*F)(std::string_view)>
Value cased(Env& env, const Value& self, Args& args) {
    Bound(env, "str method", args, {});
    env.budget.work(text_of(self).text.size());
    return computed(env, self, F(text_of(self).text));
}

Value stripped(Env& env, const Value& self, Args& args, Side side) {
    const Bound b(env, "strip", args, {"chars"});
    const std::string* set = b.has(0) && !b[0].is_none() ? &b.text(0) : nullptr;
    if (set) env.budget.work(text_of(self).text.size() / 8 * (set->size() + 1));
    return env.part(text_of(self), strip(text_of(self).text, side, set));
}
template <Side side>
Value strip_method(Env& env, const Value& self, Args& args) {
    return stripped(env, self, args, side);
}

bool affix(std::string_view text, std::string_view part, bool at_start) {
    if (part.size() > text.size()) return false;
    return at_start ? text.starts_with(part) : text.ends_with(part);
}

Value has_affix(Env& env, const Value& self, Args& args, bool at_start) {
    const Bound b(env, at_start ? "startswith" : "endswith", args, {"affix"}, 1);
    const std::string_view text = text_of(self).text;
    if (const Seq* s = b[0].seq(); s && s->kind == SeqKind::tuple) {
        for (const Value& v : s->items) {
            if (!v.str())
                return env.fail(cat(at_start ? "startswith" : "endswith", "() takes strings, not ", type_name(v)));
            if (affix(text, v.str()->text, at_start)) return Value(true);
        }
        return Value(false);
    }
    return Value(affix(text, b.text(0), at_start));
}
Value startswith(Env& env, const Value& self, Args& args) {
    return has_affix(env, self, args, true);
}
Value endswith(Env& env, const Value& self, Args& args) {
    return has_affix(env, self, args, false);
}

Value replace(Env& env, const Value& self, Args& args) {
    const Bound b(env, "replace", args, {"old", "new", "count"}, 2);
    b.text(0), b.text(1);
    return like(env, self,
                replace_text(env, text_of(self).whole, into(self, b[0]).bytes, into(self, b[1]), b.integer(2, -1)));
}

Value split_on_space(Env& env, const Value& self, Int limit, bool from_right) {
    std::string_view rest = strip(text_of(self).text, from_right ? Side::right : Side::left);
    Values out;
    const auto keep = [&](std::string_view part) { out.push_back(env.part(text_of(self), part)); };
    while (!rest.empty() && !env.failed()) {
        if (limit-- == 0) {
            keep(strip(rest, from_right ? Side::left : Side::right).empty() ? rest
                 : from_right                                               ? strip(rest, Side::right)
                                                                            : rest);
            break;
        }
        size_t n = 0;
        if (!from_right) {
            while (n < rest.size() && !is_space(decode_utf8(rest.substr(n)).code_point))
                n += static_cast<size_t>(decode_utf8(rest.substr(n)).n_bytes);
            keep(rest.substr(0, n));
            rest = strip(rest.substr(n), Side::left);
        } else {
            n = rest.size();
            while (n > 0) {
                size_t start = n - 1;
                while (start > 0 && (rest[start] & 0xC0) == 0x80) --start;
                if (is_space(decode_utf8(rest.substr(start)).code_point)) break;
                n = start;
            }
            keep(rest.substr(n));
            rest = strip(rest.substr(0, n), Side::right);
        }
    }
    if (from_right) std::reverse(out.begin(), out.end());
    return env.list(std::move(out));
}

Value split_on(Env& env, const Value& self, Args& args, bool from_right) {
    const Bound b(env, from_right ? "rsplit" : "split", args, {"sep", "maxsplit"});
    Int limit = b.integer(1, -1);
    env.budget.work(text_of(self).text.size());
    if (!b.has(0) || b[0].is_none()) return split_on_space(env, self, limit, from_right);
    const std::string& separator = b.text(0);
    if (separator.empty()) return env.fail("empty separator");
    env.budget.search(text_of(self).text.size(), separator.size());
    std::string_view rest = text_of(self).text;
    Values out;
    while (limit-- != 0 && !env.failed()) {
        const size_t at = from_right ? rest.rfind(separator) : rest.find(separator);
        if (at == std::string_view::npos) break;
        const size_t after = at + separator.size();
        out.push_back(env.part(text_of(self), from_right ? rest.substr(after) : rest.substr(0, at)));
        rest = from_right ? rest.substr(0, at) : rest.substr(after);
    }
    out.push_back(env.part(text_of(self), rest));
    if (from_right) std::reverse(out.begin(), out.end());
    return env.list(std::move(out));
}

Value split(Env& env, const Value& self, Args& args) {
    return split_on(env, self, args, false);
}
Value rsplit(Env& env, const Value& self, Args& args) {
    return split_on(env, self, args, true);
}

Value splitlines(Env& env, const Value& self, Args& args) {
    const Bound b(env, "splitlines", args, {"keepends"});
    const bool keep = b.flag(0, false);
    const std::string_view text = text_of(self).text;
    Values out;
    size_t begin = 0;
    for (size_t at = 0; at < text.size() && !env.failed();) {
        const DecodedChar d = decode_utf8(text.substr(at));
        const char32_t c = d.code_point;
        const size_t end = at;
        at += static_cast<size_t>(d.n_bytes);
        if (!((c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029))
            continue;
        if (c == '\r' && text.substr(at, 1) == "\n") ++at;
        out.push_back(env.part(text_of(self), text.substr(begin, (keep ? at : end) - begin)));
        begin = at;
    }
    if (begin < text.size()) out.push_back(env.part(text_of(self), text.substr(begin)));
    return env.list(std::move(out));
}

// Where find and count look: from the character first on. None where it begins behind the text or its own end.
struct SearchRange {
    Int first;
    std::string_view text;
};
std::optional<SearchRange> search_range(Env& env, const Str& s, const Bound& b) {
    const auto n = static_cast<Int>(s.n_chars);
    const auto clamp = [&](Int i) { return std::clamp(i < 0 ? i + n : i, Int{0}, n); };
    const Int start = b.integer(1, 0), first = clamp(start), end = clamp(b.integer(2, n));
    env.budget.search(s.text.size(), b.text(0).size());
    if (start > n || first > end) return std::nullopt;
    return SearchRange{first, char_range(s, static_cast<size_t>(first), static_cast<size_t>(end))};
}

// The place of a part of the text; nothing where it is not there.
std::optional<Int> place(Env& env, const Value& self, Args& args, bool from_right) {
    const Bound b(env, "find", args, {"sub", "start", "end"}, 1);
    const std::string& sub = b.text(0);
    const auto range = search_range(env, text_of(self), b);
    if (!range) return std::nullopt;
    const size_t at = from_right ? range->text.rfind(sub) : range->text.find(sub);
    if (at == std::string_view::npos) return std::nullopt;
    return range->first + static_cast<Int>(count_chars(range->text.substr(0, at)));
}
Value find(Env& env, const Value& self, Args& args) {
    return Value(place(env, self, args, false).value_or(-1));
}
Value rfind(Env& env, const Value& self, Args& args) {
    return Value(place(env, self, args, true).value_or(-1));
}
Value index(Env& env, const Value& self, Args& args) {
    const auto at = place(env, self, args, false);
    if (!at) return env.fail("substring not found");
    return Value(*at);
}

Value count(Env& env, const Value& self, Args& args) {
    const Bound b(env, "count", args, {"sub", "start", "end"}, 1);
    const std::string& sub = b.text(0);
    const auto range = search_range(env, text_of(self), b);
    if (!range) return Value(0);
    if (sub.empty()) return Value(count_chars(range->text) + 1);
    size_t n = 0;
    for (size_t at = 0; (at = range->text.find(sub, at)) != std::string_view::npos; at += sub.size()) ++n;
    return Value(n);
}

Value join(Env& env, const Value& self, Args& args) {
    const Bound b(env, "join", args, {"iterable"}, 1);
    Text out;
    bool first = true;
    size_t i = 0;
    for (const Value& v : iterate(env, b[0])) {
        if (!v.str()) return env.fail(cat("sequence item ", i, ": expected str instance, ", type_name(v), " found"));
        if (!std::exchange(first, false)) env.budget.append(out, text_of(self).whole);
        env.budget.append(out, into(self, v));
        ++i;
    }
    return like(env, self, std::move(out));
}

Value isdigit(Env& env, const Value& self, Args& args) {
    Bound(env, "isdigit", args, {});
    const std::u32string s = decode(text_of(self).text);
    return Value(!s.empty() && std::all_of(s.begin(), s.end(), is_digit));
}

// "{} {0} {name}": fields are replaced by arguments as they are, without formats of their own.
Value format(Env& env, const Value& self, Args& args) {
    const Text& format = text_of(self).whole;
    Text out;
    size_t next = 0;
    for (std::string_view rest = format.bytes; !rest.empty() && !env.failed();) {
        const size_t at = rest.find_first_of("{}");
        env.budget.append(out, format, rest.substr(0, at));
        if (at == std::string_view::npos) break;
        const char c = rest[at];
        rest.remove_prefix(at + 1);
        if (!rest.empty() && rest[0] == c) {
            out.append(format, rest.substr(0, 1));
            rest.remove_prefix(1);
            continue;
        }
        if (c == '}') return env.fail("Single '}' encountered in format string");
        const size_t close = rest.find('}');
        if (close == std::string_view::npos) return env.fail("expected '}' before end of string");
        const std::string_view field = rest.substr(0, close);
        rest.remove_prefix(close + 1);
        if (field.find_first_of("{[.:!") != std::string_view::npos)
            return env.fail_unsupported(cat("the field ", in_quotes(field), " of format() is not supported"));
        const auto number = parse_int(field);
        const auto named =
            std::find_if(args.named.begin(), args.named.end(), [&](auto& n) { return n.first == field; });
        const Int i = number ? *number : field.empty() ? static_cast<Int>(next++) : -1;
        if (i < 0 && named == args.named.end()) return env.fail(cat("format: no argument ", in_quotes(field)));
        if (i >= static_cast<Int>(args.positional.size()))
            return env.fail(cat("Replacement index ", int_text(i), " out of range for positional args tuple"));
        const Value& value = i < 0 ? named->second : args.positional[static_cast<size_t>(i)];
        env.budget.append(out, value.str() ? into(self, value) : to_text(env, value));
    }
    return like(env, self, std::move(out));
}

constexpr Method str_methods[] = {
    {"capitalize", cased<capitalize>},
    {"count", count},
    {"endswith", endswith},
    {"find", find},
    {"format", format},
    {"index", index},
    {"isdigit", isdigit},
    {"join", join},
    {"lower", cased<lower>},
    {"lstrip", strip_method<Side::left>},
    {"replace", replace},
    {"rfind", rfind},
    {"rsplit", rsplit},
    {"rstrip", strip_method<Side::right>},
    {"split", split},
    {"splitlines", splitlines},
    {"startswith", startswith},
    {"strip", strip_method<Side::both>},
    {"title", cased<title>},
    {"upper", cased<upper>},
};
// Methods of Python's str that are told from names which no str has.
constexpr std::string_view other_str_methods[] = {
    "casefold", "center",    "encode",     "expandtabs", "format_map",  "isalnum",      "isalpha",
    "isascii",  "isdecimal", "islower",    "isnumeric",  "isprintable", "isidentifier", "isspace",
    "istitle",  "isupper",   "ljust",      "maketrans",  "partition",   "removeprefix", "removesuffix",
    "rindex",   "rjust",     "rpartition", "swapcase",   "translate",   "zfill"};

Value dict_get(Env& env, const Value& self, Args& args) {
    if (!args.named.empty()) return env.fail("dict.get() takes no keyword arguments");
    const Bound b(env, "get", args, {"key", "default"}, 1);
    const Value* found = self.dict()->find(env.budget, b[0]);
    return found ? *found : b.get(1, None{});
}

Value dict_view(Env& env, const Value& self, Args& args, SeqKind kind) {
    Bound(env, "dict view", args, {});
    Values out;
    for (const auto& [key, value] : self.dict()->items) {
        out.push_back(kind == SeqKind::dict_keys     ? key
                      : kind == SeqKind::dict_values ? value
                                                     : env.seq(SeqKind::tuple, {key, value}));
    }
    return env.seq(kind, std::move(out));
}
template <SeqKind kind>
Value view(Env& env, const Value& self, Args& args) {
    return dict_view(env, self, args, kind);
}

Value seq_count(Env& env, const Value& self, Args& args) {
    const Bound b(env, "count", args, {"value"}, 1);
    size_t n = 0;
    for (const Value& v : self.seq()->items) n += same(v, b[0]) || equal(env, v, b[0]);
    return Value(n);
}

Value seq_index(Env& env, const Value& self, Args& args) {
    const Bound b(env, "index", args, {"value"}, 1);
    const Values& items = self.seq()->items;
    for (size_t i = 0; i < items.size(); ++i) {
        if (same(items[i], b[0]) || equal(env, items[i], b[0])) return Value(i);
    }
    return env.fail("value is not in the list");
}

constexpr Method dict_methods[] = {
    {"get", dict_get},
    {"items", view<SeqKind::dict_items>},
    {"keys", view<SeqKind::dict_keys>},
    {"values", view<SeqKind::dict_values>},
};
constexpr Method seq_methods[] = {{"count", seq_count}, {"index", seq_index}};

constexpr std::string_view list_changers[] = {"append", "clear",  "extend",  "insert",
                                              "pop",    "remove", "reverse", "sort"};
constexpr std::string_view dict_changers[] = {"clear", "pop", "popitem", "setdefault", "update"};

}  // namespace

Value method(Env& env, const Value& self, std::string_view name) {
    const auto lookup = [&](auto& table) -> Value {
        const auto* m =
            std::find_if(std::begin(table), std::end(table), [&](const Method& x) { return x.name == name; });
        return m == std::end(table) ? Value() : env.bound(m->name, m->native, self);
    };
    const auto in = [&](auto& names) { return std::find(std::begin(names), std::end(names), name) != std::end(names); };
    const bool list = self.seq() && self.seq()->kind == SeqKind::list;
    if ((list && in(list_changers)) || (self.dict() && in(dict_changers))) {
        return env.undefined(cat("access to attribute '", name, "' of '", type_name(self), "' object is unsafe."),
                             true);
    }
    if (self.str()) {
        if (in(other_str_methods)) return env.fail_unsupported(cat("str.", name, " is not supported"));
        return lookup(str_methods);
    }
    if (self.dict()) return lookup(dict_methods);
    if (self.seq() && self.seq()->indexable()) return lookup(seq_methods);
    return {};
}

}  // namespace elver::jinja
