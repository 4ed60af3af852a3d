// Filters of texts and numbers.
#include "jinja/filters.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "jinja/args.hpp"
#include "jinja/methods.hpp"
#include "jinja/python_text.hpp"

namespace elver::jinja {

// What a filter that wants a text gets: str(value), where Markup stays Markup.
Value soft_text(Env& env, const Value& v) {
    return v.str() ? v : env.str(to_text(env, v));
}

namespace {

bool safe(const Value& v) {
    return v.str() && v.str()->safe;
}
Value like(Env& env, const Value& v, Text text) {
    return env.str(std::move(text), safe(v));
}
bool any_typed(const Value& v) {
    return !v.str() || v.str()->whole.any_typed();
}

template <std::string (*F)(std::string_view)>
Value cased(Env& env, const Value& v, Args& args) {
    Bound(env, "filter", args, {});
    const Value text = soft_text(env, v);
    env.budget.work(text.str()->text.size());
    return like(env, v, Text::computed(F(text.str()->text), any_typed(v)));
}

// Every word begins large, where words end at white space and at - ( [ { <.
std::string title_words(std::string_view text) {
    std::u32string out;
    std::u32string word;
    const auto flush = [&] {
        if (word.empty()) return;
        out += decode(upper(encode(word.substr(0, 1)))) + decode(lower(encode(word.substr(1))));
        word.clear();
    };
    for (char32_t c : decode(text)) {
        if (is_space(c) || std::u32string_view(U"-([{<").find(c) != std::u32string_view::npos) {
            flush();
            out.push_back(c);
        } else {
            word.push_back(c);
        }
    }
    flush();
    return encode(out);
}

Value trim(Env& env, const Value& v, Args& args) {
    const Bound b(env, "trim", args, {"chars"});
    const Value text = soft_text(env, v);
    const std::string* set = b.has(0) && !b[0].is_none() ? &b.text(0) : nullptr;
    if (set) env.budget.work(text.str()->text.size() / 8 * (set->size() + 1));
    return env.part(*text.str(), strip(text.str()->text, Side::both, set));
}

Value replace(Env& env, const Value& v, Args& args) {
    const Bound b(env, "replace", args, {"old", "new", "count"}, 2);
    return env.str(replace_text(env, to_text(env, v), to_str(env, b[0]), to_text(env, b[1]), b.integer(2, -1)));
}

Value string(Env& env, const Value& v, Args& args) {
    Bound(env, "string", args, {});
    return soft_text(env, v);
}

Value mark_safe(Env& env, const Value& v, Args& args) {
    Bound(env, "safe", args, {});
    return env.str(to_text(env, v), true);
}

Value escape(Env& env, const Value& v, Args& args) {
    Bound(env, "escape", args, {});
    return safe(v) ? v : env.str(html_escape(to_text(env, v)), true);
}

Value force_escape(Env& env, const Value& v, Args& args) {
    Bound(env, "forceescape", args, {});
    return env.str(html_escape(to_text(env, v)), true);
}

Value tojson(Env& env, const Value& v, Args& args) {
    const Bound b(env, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ascii = b.flag(0, false);
    style.sort_keys = b.flag(3, false);
    if (b.has(1) && !b[1].is_none()) {
        style.indent = b[1].str() ? b[1].str()->text : repeat_text(env, " ", std::min(b.integer(1, 0), Int{1000}));
        style.item_separator.assign(1, ',');
    }
    if (b.has(2) && !b[2].is_none()) {
        const Values separators = iterate(env, b[2]);
        if (separators.size() != 2 || !separators[0].str() || !separators[1].str())
            return env.fail("tojson: separators must be two texts");
        style.item_separator = separators[0].str()->text;
        style.key_separator = separators[1].str()->text;
    }
    std::string out;
    append_json(env, out, v, style);
    return env.str(std::move(out));
}

Values lines_of(Env& env, const Value& text) {
    Args none;
    const Value split = method(env, text, "splitlines");
    const Value lines = split.object()->call(env, std::move(none));
    return lines.seq() ? lines.seq()->items : Values();
}

Value indent(Env& env, const Value& v, Args& args) {
    const Bound b(env, "indent", args, {"width", "first", "blank"});
    if (!v.str()) {
        if (v.is_undefined()) return env.fail_undefined(v);
        return env.fail(cat("indent takes a text, not ", type_name(v)));
    }
    Text margin =
        b.has(0) && b[0].str() ? b[0].str()->whole : Text::of_template(repeat_text(env, " ", b.integer(0, 4)));
    if (safe(v) && !(b.has(0) && safe(b[0])) && b.has(0) && b[0].str()) margin = html_escape(margin);
    const bool blank = b.flag(2, false);
    Text out = b.flag(1, false) ? margin : Text(), text = v.str()->whole;
    text.append_own("\n");
    bool first = true;
    for (const Value& line : lines_of(env, env.str(std::move(text)))) {
        if (!std::exchange(first, false)) {
            out.append_own("\n");
            if (blank || !line.str()->text.empty()) env.budget.append(out, margin);
        }
        env.budget.append(out, line.str()->whole);
    }
    return like(env, v, std::move(out));
}

Value truncate(Env& env, const Value& v, Args& args) {
    const Bound b(env, "truncate", args, {"length", "killwords", "end", "leeway"});
    const Text end = b.has(2) ? b.whole(2) : Text::of_template("...");
    const Int length = b.integer(0, 255), leeway = b.integer(3, 5), n_end = static_cast<Int>(count_chars(end.bytes));
    if (length < n_end) return env.fail(cat("expected length >= ", int_text(n_end), ", got ", int_text(length)));
    if (leeway < 0) return env.fail("expected leeway >= 0");
    if (static_cast<Int>(elver::jinja::length(env, v)) <= length + leeway) return v;
    if (!v.str()) return env.fail(cat("truncate shortens a str, not ", type_name(v)));
    const Str& s = *v.str();
    std::string_view kept = char_range(s, 0, static_cast<size_t>(length - n_end));
    if (!b.flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
    Text out = s.whole.cut(kept);
    out.append(end);
    return like(env, v, std::move(out));
}

Value center(Env& env, const Value& v, Args& args) {
    const Bound b(env, "center", args, {"width"});
    Args width;
    width.positional.push_back(b.get(0, 80));
    return method(env, soft_text(env, v), "center").object()->call(env, std::move(width));
}

Value word_count(Env& env, const Value& v, Args& args) {
    Bound(env, "wordcount", args, {});
    size_t n = 0;
    bool in_word = false;
    for (char32_t c : decode(to_str(env, v))) {
        const bool word = c == '_' || is_alpha(c) || is_numeric(c) || is_digit(c);
        n += word && !in_word;
        in_word = word;
    }
    return Value(n);
}

Value format(Env& env, const Value& v, Args& args) {
    if (!args.positional.empty() && !args.named.empty())
        return env.fail("can't handle positional and keyword arguments at the same time");
    const Value text = soft_text(env, v);
    Value values;
    if (args.named.empty()) {
        values = env.seq(SeqKind::tuple, std::move(args.positional));
    } else {
        Pairs pairs;
        for (auto& [name, value] : args.named) pairs.emplace_back(env.str(name), std::move(value));
        values = env.dict(std::move(pairs));
    }
    return like(env, v, percent_format(env, *text.str(), values));
}

Value urlencode(Env& env, const Value& v, Args& args) {
    Bound(env, "urlencode", args, {});
    if (v.dict() || (v.seq() && !v.str())) return env.fail_unsupported("urlencode of a list or dict is not supported");
    std::string out;
    for (char c : to_str(env, v)) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           std::string_view("_.-~/").find(c) != std::string_view::npos;
        if (plain)
            out.push_back(c);
        else
            out += {'%', "0123456789ABCDEF"[(c >> 4) & 15], "0123456789ABCDEF"[c & 15]};
    }
    return env.str(std::move(out));
}

Value abs(Env& env, const Value& v, Args& args) {
    Bound(env, "abs", args, {});
    if (const double* d = v.as<double>()) return Value(std::fabs(*d));
    const Int i = to_int(env, v, "the value of abs()");
    return Value(i < 0 ? -i : i);
}

std::optional<Int> int_of(double d) {
    if (!(std::fabs(d) < 1e38)) return std::nullopt;
    return static_cast<Int>(d);
}

Value to_integer(Env& env, const Value& v, Args& args) {
    const Bound b(env, "int", args, {"default", "base"});
    if (v.is_undefined() && v.as<Undefined>()->message) return env.fail_undefined(v);
    std::optional<Int> out;
    if (const Str* s = v.str()) {
        out = parse_int(s->text, static_cast<int>(b.integer(1, 10)));
        const auto real = out ? std::nullopt : parse_float(s->text);
        if (real) out = int_of(*real);
    } else if (is_number(v)) {
        out = v.as<double>() ? int_of(*v.as<double>()) : to_int(env, v, "");
    }
    return out ? Value(*out) : b.get(0, 0);
}

Value to_float(Env& env, const Value& v, Args& args) {
    const Bound b(env, "float", args, {"default"});
    if (v.is_undefined()) return env.fail_undefined(v);
    if (is_number(v)) return Value(to_double(v));
    const auto parsed = v.str() ? parse_float(v.str()->text) : std::nullopt;
    return parsed ? Value(*parsed) : b.get(0, 0.0);
}

Value round(Env& env, const Value& v, Args& args) {
    const Bound b(env, "round", args, {"precision", "method"});
    const std::string how = b.has(1) ? b.text(1) : "common";
    const Int precision = b.integer(0, 0);
    if (how != "common" && how != "ceil" && how != "floor") return env.fail("method must be common, ceil or floor");
    if (v.is_undefined()) return env.fail_undefined(v);
    if (!is_number(v)) return env.fail(cat("type ", type_name(v), " doesn't define __round__ method"));
    if (precision > 100 || precision < -100) return env.fail_unsupported("a precision beyond 100 is not supported");
    const double d = to_double(v), scale = std::pow(10.0, static_cast<double>(precision));
    if (how != "common") {
        if (!std::isfinite(d * scale)) return env.fail("cannot convert a float that is not finite to an integer");
        const double whole = how == "ceil" ? std::ceil(d * scale) : std::floor(d * scale);
        return Value(whole / scale + 0.0);  // an integer in between: -0.0 is lost
    }
    if (!v.as<double>() && precision >= 0) return Value(to_int(env, v, ""));
    if (!std::isfinite(d) || precision < 0) {
        const double rounded = std::nearbyint(d * scale) / scale;
        return v.as<double>() ? Value(rounded) : Value(static_cast<Int>(rounded));
    }
    char buffer[512];
    const int n = std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), d);
    std::string text(buffer, static_cast<size_t>(std::min(n, 511)));
    std::replace(text.begin(), text.end(), ',', '.');
    return Value(parse_float(text).value_or(d));
}

constexpr NamedFilter table[] = {
    {"abs", abs},
    {"capitalize", cased<capitalize>},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"float", to_float},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"lower", cased<lower>},
    {"replace", replace},
    {"round", round},
    {"safe", mark_safe},
    {"string", string},
    {"title", cased<title_words>},
    {"tojson", tojson},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", cased<upper>},
    {"urlencode", urlencode},
    {"wordcount", word_count},
};

}  // namespace

std::span<const NamedFilter> text_filters() {
    return table;
}

}  // namespace elver::jinja
