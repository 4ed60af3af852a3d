// Filters of texts and numbers.
#include "jinja/filters.hpp"

#include <algorithm>
#include <cmath>

#include "base/json.hpp"
#include "jinja/json_value.hpp"
#include "jinja/python/args.hpp"
#include "jinja/python/methods.hpp"
#include "jinja/python/print.hpp"

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

std::optional<Int> int_of(double d) {
    if (!(std::fabs(d) < 1e38)) return std::nullopt;
    return static_cast<Int>(d);
}

Value to_integer(Env& env, const Value& v, Args& args) {
    const Bound b(env, "int", args, {"default"});
    if (v.is_undefined() && v.as<Undefined>()->message) return env.fail_undefined(v);
    std::optional<Int> out;
    if (const Str* s = v.str()) {
        out = parse_int(strip(s->text, Side::both));
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

// What json.loads reads: some templates take the arguments of a call apart with it.
Value from_json(Env& env, const Value& v, Args& args) {
    Bound(env, "from_json", args, {});
    if (!v.str()) return env.fail(cat("from_json takes a text, not ", type_name(v)));
    env.budget.work(v.str()->text.size());
    const auto json = parse_json(v.str()->text, "from_json");
    if (!json) return env.fail(json.error().message());
    return to_value(env, *json);
}

constexpr NamedFilter table[] = {
    {"capitalize", cased<capitalize>},
    {"float", to_float},
    {"from_json", from_json},
    {"indent", indent},
    {"int", to_integer},
    {"lower", cased<lower>},
    {"replace", replace},
    {"safe", mark_safe},
    {"string", string},
    {"title", cased<title_words>},
    {"tojson", tojson},
    {"trim", trim},
    {"upper", cased<upper>},
};

}  // namespace

std::span<const NamedFilter> text_filters() {
    return table;
}

}  // namespace elver::jinja
