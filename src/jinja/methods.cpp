#include "jinja/methods.hpp"

#include <algorithm>
#include <cmath>

#include "base/utf8.hpp"
#include "jinja/args.hpp"
#include "jinja/python_text.hpp"

namespace elver::jinja {
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

template <Side side>
Value stripped(Env& env, const Value& self, Args& args) {
    const Bound b(env, "strip", args, {"chars"});
    const std::string* set = b.has(0) && !b[0].is_none() ? &b.text(0) : nullptr;
    if (set) env.budget.work(text_of(self).text.size() / 8 * (set->size() + 1));
    return env.part(text_of(self), strip(text_of(self).text, side, set));
}

bool affix(std::string_view text, std::string_view part, bool at_start) {
    if (part.size() > text.size()) return false;
    return at_start ? text.starts_with(part) : text.ends_with(part);
}

template <bool at_start>
Value has_affix(Env& env, const Value& self, Args& args) {
    const Bound b(env, at_start ? "startswith" : "endswith", args, {"prefix", "start", "end"}, 1);
    const auto n = static_cast<Int>(text_of(self).n_chars);
    const auto clamp = [&](Int i) { return std::clamp(i < 0 ? i + n : i, Int{0}, n); };
    const Int start = b.integer(1, 0), end = clamp(b.integer(2, n));
    if (start > n || clamp(start) > end) return Value(false);
    const std::string_view text =
        char_range(text_of(self), static_cast<size_t>(clamp(start)), static_cast<size_t>(end));
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

template <bool from_right>
Value split(Env& env, const Value& self, Args& args) {
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

template <bool from_right>
Value partition(Env& env, const Value& self, Args& args) {
    const Bound b(env, "partition", args, {"sep"}, 1);
    const std::string& separator = b.text(0);
    const std::string_view text = text_of(self).text;
    if (separator.empty()) return env.fail("empty separator");
    env.budget.search(text.size(), separator.size());
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    const auto part = [&](std::string_view s) { return env.part(text_of(self), s); };
    if (at == std::string::npos) {
        if (from_right) return env.seq(SeqKind::tuple, {part(text.substr(0, 0)), part(text.substr(0, 0)), self});
        return env.seq(SeqKind::tuple, {self, part(text.substr(0, 0)), part(text.substr(0, 0))});
    }
    return env.seq(SeqKind::tuple, {part(text.substr(0, at)), part(text.substr(at, separator.size())),
                                    part(text.substr(at + separator.size()))});
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

// find, rfind, index, rindex.
template <bool from_right, bool must>
Value find(Env& env, const Value& self, Args& args) {
    const Bound b(env, "find", args, {"sub", "start", "end"}, 1);
    const std::string& sub = b.text(0);
    if (const auto range = search_range(env, text_of(self), b)) {
        const size_t at = from_right ? range->text.rfind(sub) : range->text.find(sub);
        if (at != std::string_view::npos)
            return Value(range->first + static_cast<Int>(count_chars(range->text.substr(0, at))));
    }
    if (must) return env.fail("substring not found");
    return Value(-1);
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

template <bool prefix>
Value remove_affix(Env& env, const Value& self, Args& args) {
    const Bound b(env, prefix ? "removeprefix" : "removesuffix", args, {"affix"}, 1);
    const std::string_view text = text_of(self).text, part = b.text(0);
    if (!affix(text, part, prefix)) return self;
    return env.part(text_of(self), prefix ? text.substr(part.size()) : text.substr(0, text.size() - part.size()));
}

enum class Align { left, right, centre, zeros };
template <Align align>
Value justify(Env& env, const Value& self, Args& args) {
    const Bound b(env, "justify", args, {"width", "fillchar"}, 1);
    const Int n = static_cast<Int>(text_of(self).n_chars), width = b.integer(0, 0);
    const Text fill = align == Align::zeros ? Text::of_template("0") : b.has(1) ? b.whole(1) : Text::of_template(" ");
    if (count_chars(fill.bytes) != 1) return env.fail("The fill character must be exactly one character long");
    if (width <= n) return self;
    const Int pad = width - n;
    const Int left = align == Align::left ? 0 : align == Align::centre ? pad / 2 + (pad & width & 1) : pad;
    const std::string_view text = text_of(self).text;
    const bool sign = align == Align::zeros && !text.empty() && (text[0] == '-' || text[0] == '+');
    Text out = text_of(self).whole.cut(text.substr(0, sign));
    out.append(repeat_text(env, fill, left));
    out.append(text_of(self).whole, text.substr(sign));
    out.append(repeat_text(env, fill, pad - left));
    return like(env, self, std::move(out));
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

template <bool (*F)(char32_t)>
Value all_chars(Env& env, const Value& self, Args& args) {
    Bound(env, "str method", args, {});
    const std::u32string s = decode(text_of(self).text);
    return Value(!s.empty() && std::all_of(s.begin(), s.end(), F));
}
bool alnum(char32_t c) {
    return is_alpha(c) || is_decimal(c) || is_digit(c) || is_numeric(c);
}
bool ascii(char32_t c) {
    return c < 0x80;
}

template <bool want_upper>
Value all_case(Env& env, const Value& self, Args& args) {
    Bound(env, "str method", args, {});
    bool cased = false;
    for (char32_t c : decode(text_of(self).text)) {
        if (want_upper ? is_lower(c) : is_upper(c)) return Value(false);
        cased = cased || (want_upper ? is_upper(c) : is_lower(c));
    }
    return Value(cased);
}

Value istitle(Env& env, const Value& self, Args& args) {
    Bound(env, "istitle", args, {});
    bool in_word = false, cased = false;
    for (char32_t c : decode(text_of(self).text)) {
        if (is_upper(c) == in_word && (is_upper(c) || is_lower(c))) return Value(false);
        in_word = is_upper(c) || is_lower(c);
        cased = cased || in_word;
    }
    return Value(cased);
}

Value expandtabs(Env& env, const Value& self, Args& args) {
    const Bound b(env, "expandtabs", args, {"tabsize"});
    const Int size = b.integer(0, 8);
    std::string out;
    Int column = 0;
    for (char c : text_of(self).text) {
        if (env.failed()) return {};
        if (c == '\t') {
            const Int n = size > 0 ? size - column % size : 0;
            env.budget.append(out, repeat_text(env, std::string(" "), n));
            column += n;
            continue;
        }
        out.push_back(c);
        if (c == '\n' || c == '\r')
            column = 0;
        else if ((c & 0xC0) != 0x80)
            ++column;
    }
    return computed(env, self, std::move(out));
}

Value format(Env& env, const Value& self, Args& args) {
    return like(env, self, brace_format(env, text_of(self), args));
}

constexpr Method str_methods[] = {
    {"capitalize", cased<capitalize>},
    {"casefold", cased<lower>},
    {"center", justify<Align::centre>},
    {"count", count},
    {"endswith", has_affix<false>},
    {"expandtabs", expandtabs},
    {"find", find<false, false>},
    {"format", format},
    {"index", find<false, true>},
    {"isalnum", all_chars<alnum>},
    {"isalpha", all_chars<is_alpha>},
    {"isascii", all_chars<ascii>},
    {"isdecimal", all_chars<is_decimal>},
    {"isdigit", all_chars<is_digit>},
    {"islower", all_case<false>},
    {"isnumeric", all_chars<is_numeric>},
    {"isprintable", all_chars<is_printable>},
    {"isspace", all_chars<is_space>},
    {"istitle", istitle},
    {"isupper", all_case<true>},
    {"join", join},
    {"ljust", justify<Align::left>},
    {"lower", cased<lower>},
    {"lstrip", stripped<Side::left>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"replace", replace},
    {"rfind", find<true, false>},
    {"rindex", find<true, true>},
    {"rjust", justify<Align::right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", stripped<Side::right>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<true>},
    {"strip", stripped<Side::both>},
    {"swapcase", cased<swapcase>},
    {"title", cased<title>},
    {"upper", cased<upper>},
    {"zfill", justify<Align::zeros>},
};

Value dict_get(Env& env, const Value& self, Args& args) {
    if (!args.named.empty()) return env.fail("dict.get() takes no keyword arguments");
    const Bound b(env, "get", args, {"key", "default"}, 1);
    const Value* found = self.dict()->find(env.budget, b[0]);
    return found ? *found : b.get(1, None{});
}

template <SeqKind kind>
Value dict_view(Env& env, const Value& self, Args& args) {
    Bound(env, "dict view", args, {});
    Values out;
    for (const auto& [key, value] : self.dict()->items) {
        if (kind == SeqKind::dict_keys)
            out.push_back(key);
        else if (kind == SeqKind::dict_values)
            out.push_back(value);
        else
            out.push_back(env.seq(SeqKind::tuple, {key, value}));
    }
    return env.seq(kind, std::move(out));
}

Value copy(Env& env, const Value& self, Args& args) {
    Bound(env, "copy", args, {});
    if (const Dict* d = self.dict()) return env.dict(d->items);
    return env.list(self.seq()->items);
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

Value is_integer(Env&, const Value& self, Args&) {
    return Value(std::floor(to_double(self)) == to_double(self));
}

constexpr Method dict_methods[] = {
    {"copy", copy},
    {"get", dict_get},
    {"items", dict_view<SeqKind::dict_items>},
    {"keys", dict_view<SeqKind::dict_keys>},
    {"values", dict_view<SeqKind::dict_values>},
};
constexpr Method seq_methods[] = {{"count", seq_count}, {"index", seq_index}, {"copy", copy}};
constexpr Method float_methods[] = {{"is_integer", is_integer}};

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
        static constexpr std::string_view others[] = {"encode", "format_map", "isidentifier", "maketrans", "translate"};
        if (in(others)) return env.fail_unsupported(cat("str.", name, " is not supported"));
        return lookup(str_methods);
    }
    if (self.dict()) return lookup(dict_methods);
    if (self.seq() && self.seq()->indexable() && (list || name != "copy")) return lookup(seq_methods);
    if (self.as<double>()) return lookup(float_methods);
    return {};
}

}  // namespace elver::jinja
