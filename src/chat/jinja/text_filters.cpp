// Filters of texts and numbers.
#include "chat/jinja/filters.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.hpp"
#include "chat/jinja/args.hpp"
#include "chat/jinja/methods.hpp"
#include "chat/jinja/python_text.hpp"

namespace elver::jinja {

// What a filter that wants a text gets: str(value), where Markup stays Markup.
Value soft_text(Env& env, const Value& v) {
    return v.str() ? v : env.str(to_str(env, v));
}

namespace {

bool safe(const Value& v) {
    return v.str() && v.str()->safe;
}
Value like(Env& env, const Value& v, std::string text) {
    return env.str(std::move(text), safe(v));
}

template <std::string (*F)(std::string_view)>
Value cased(Env& env, const Value& v, Args& args) {
    Bound("filter", args, {});
    const Value text = soft_text(env, v);
    env.budget.work(text.str()->text.size());
    return like(env, v, F(text.str()->text));
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
    const Bound b("trim", args, {"chars"});
    const Value text = soft_text(env, v);
    const std::string* set = b.has(0) && !b[0].is_none() ? &b.text(0) : nullptr;
    if (set) env.budget.work(text.str()->text.size() / 8 * (set->size() + 1));
    return like(env, v, std::string(strip(text.str()->text, Side::both, set)));
}

Value replace(Env& env, const Value& v, Args& args) {
    const Bound b("replace", args, {"old", "new", "count"}, 2);
    return env.str(replace_text(env, to_str(env, v), to_str(env, b[0]), to_str(env, b[1]), b.integer(2, -1)));
}

Value string(Env& env, const Value& v, Args& args) {
    Bound("string", args, {});
    return soft_text(env, v);
}

Value mark_safe(Env& env, const Value& v, Args& args) {
    Bound("safe", args, {});
    return env.str(to_str(env, v), true);
}

Value escape(Env& env, const Value& v, Args& args) {
    Bound("escape", args, {});
    return safe(v) ? v : env.str(html_escape(to_str(env, v)), true);
}

Value force_escape(Env& env, const Value& v, Args& args) {
    Bound("forceescape", args, {});
    return env.str(html_escape(to_str(env, v)), true);
}

Value tojson(Env& env, const Value& v, Args& args) {
    const Bound b("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
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
            fail("tojson: separators must be two texts");
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
    return split.object()->call(env, std::move(none)).seq()->items;
}

Value indent(Env& env, const Value& v, Args& args) {
    const Bound b("indent", args, {"width", "first", "blank"});
    if (!v.str()) {
        if (v.is_undefined()) fail_undefined(v);
        fail(cat("indent takes a text, not ", type_name(v)));
    }
    std::string margin = b.has(0) && b[0].str() ? b[0].str()->text : repeat_text(env, " ", b.integer(0, 4));
    if (safe(v) && !(b.has(0) && safe(b[0])) && b.has(0) && b[0].str()) margin = html_escape(margin);
    const bool blank = b.flag(2, false);
    std::string out = b.flag(1, false) ? margin : std::string();
    bool first = true;
    for (const Value& line : lines_of(env, env.str(v.str()->text + "\n"))) {
        if (!std::exchange(first, false)) {
            out.push_back('\n');
            if (blank || !line.str()->text.empty()) env.budget.append(out, margin);
        }
        env.budget.append(out, line.str()->text);
    }
    return like(env, v, std::move(out));
}

Value truncate(Env& env, const Value& v, Args& args) {
    const Bound b("truncate", args, {"length", "killwords", "end", "leeway"});
    const std::string end = b.has(2) ? b.text(2) : "...";
    const Int length = b.integer(0, 255), leeway = b.integer(3, 5), n_end = static_cast<Int>(count_chars(end));
    if (length < n_end) fail(cat("expected length >= ", int_text(n_end), ", got ", int_text(length)));
    if (leeway < 0) fail("expected leeway >= 0");
    if (static_cast<Int>(elver::jinja::length(v)) <= length + leeway) return v;
    if (!v.str()) fail(cat("truncate shortens a str, not ", type_name(v)));
    const Str& s = *v.str();
    std::string kept(char_range(s, 0, static_cast<size_t>(length - n_end)));
    if (!b.flag(1, false)) kept = kept.substr(0, kept.rfind(' '));
    return like(env, v, kept + end);
}

Value center(Env& env, const Value& v, Args& args) {
    const Bound b("center", args, {"width"});
    Args width;
    width.positional.push_back(b.get(0, 80));
    return method(env, soft_text(env, v), "center").object()->call(env, std::move(width));
}

Value word_count(Env& env, const Value& v, Args& args) {
    Bound("wordcount", args, {});
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
        fail("can't handle positional and keyword arguments at the same time");
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
    Bound("urlencode", args, {});
    if (v.dict() || (v.seq() && !v.str())) fail_unsupported("urlencode of a list or dict is not supported");
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

Value abs(Env&, const Value& v, Args& args) {
    Bound("abs", args, {});
    if (const double* d = v.as<double>()) return Value(std::fabs(*d));
    const Int i = to_int(v, "the value of abs()");
    return Value(i < 0 ? -i : i);
}

std::optional<Int> int_of(double d) {
    if (!(std::fabs(d) < 1e38)) return std::nullopt;
    return static_cast<Int>(d);
}

Value to_integer(Env&, const Value& v, Args& args) {
    const Bound b("int", args, {"default", "base"});
    if (v.is_undefined() && v.as<Undefined>()->message) fail_undefined(v);
    std::optional<Int> out;
    if (const Str* s = v.str()) {
        out = parse_int(s->text, static_cast<int>(b.integer(1, 10)));
        const auto real = out ? std::nullopt : parse_float(s->text);
        if (real) out = int_of(*real);
    } else if (is_number(v)) {
        out = v.as<double>() ? int_of(*v.as<double>()) : to_int(v, "");
    }
    return out ? Value(*out) : b.get(0, 0);
}

Value to_float(Env&, const Value& v, Args& args) {
    const Bound b("float", args, {"default"});
    if (v.is_undefined()) fail_undefined(v);
    if (is_number(v)) return Value(to_double(v));
    const auto parsed = v.str() ? parse_float(v.str()->text) : std::nullopt;
    return parsed ? Value(*parsed) : b.get(0, 0.0);
}

Value round(Env&, const Value& v, Args& args) {
    const Bound b("round", args, {"precision", "method"});
    const std::string how = b.has(1) ? b.text(1) : "common";
    const Int precision = b.integer(0, 0);
    if (how != "common" && how != "ceil" && how != "floor") fail("method must be common, ceil or floor");
    if (v.is_undefined()) fail_undefined(v);
    if (!is_number(v)) fail(cat("type ", type_name(v), " doesn't define __round__ method"));
    if (precision > 100 || precision < -100) fail_unsupported("a precision beyond 100 is not supported");
    const double d = to_double(v), scale = std::pow(10.0, static_cast<double>(precision));
    if (how != "common") {
        if (!std::isfinite(d * scale)) fail("cannot convert a float that is not finite to an integer");
        const double whole = how == "ceil" ? std::ceil(d * scale) : std::floor(d * scale);
        return Value(whole / scale + 0.0);  // an integer in between: -0.0 is lost
    }
    if (!v.as<double>() && precision >= 0) return Value(to_int(v, ""));
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
