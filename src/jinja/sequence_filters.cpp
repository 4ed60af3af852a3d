// Filters of lists and dicts. Where jinja2 returns a generator these return an iterator: true even if empty, without a
// length, and empty once it has been read.
#include <algorithm>
#include <functional>

#include "jinja/builtins.hpp"
#include "jinja/filters.hpp"
#include "jinja/python/args.hpp"
#include "jinja/python/methods.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {
namespace {

// Reads attribute paths such as "function.name" or "0.id"; without one, the value itself.
class Getter {
  public:
    Getter(const Value& attribute, Value otherwise) : otherwise_(std::move(otherwise)) {
        if (attribute.is_missing() || attribute.is_none()) return;
        if (!attribute.str()) {
            parts_.push_back(attribute);
            return;
        }
        std::string_view rest = attribute.str()->text;
        for (bool more = true; more;) {
            const size_t dot = rest.find('.');
            const std::string_view part = rest.substr(0, dot);
            const bool number =
                !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
            const auto index = number ? parse_int(part) : std::nullopt;
            parts_.push_back(index ? Value(*index) : Value(template_str(std::string(part))));
            more = dot != std::string_view::npos;
            if (more) rest.remove_prefix(dot + 1);
        }
    }

    Value operator()(Env& env, Value v) const {
        for (const Value& part : parts_) {
            v = get_item(env, v, part);
            if (v.is_undefined() && !otherwise_.is_missing()) v = otherwise_;
        }
        return v;
    }

  private:
    Values parts_;
    Value otherwise_;
};

// What sorting compares: texts in small letters unless case matters.
Value sort_key(Env& env, Value v, bool case_sensitive) {
    return v.str() && !case_sensitive ? env.str(lower(v.str()->text)) : v;
}

// Sorts values by keys, and the keys with them. Merge sort: stable, and its comparisons may fail.
void sort_by(Env& env, Values& keys, Values& values, bool reverse) {
    const size_t n = keys.size();
    std::vector<size_t> order(n), merged(n);
    for (size_t i = 0; i < n; ++i) order[i] = i;
    const auto before = [&](size_t a, size_t b) {
        return reverse ? less(env, keys[b], keys[a], "<") : less(env, keys[a], keys[b], "<");
    };
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            const size_t mid = std::min(low + width, n), high = std::min(low + 2 * width, n);
            for (size_t k = low, i = low, j = mid; k < high; ++k) {
                const bool right = i == mid || (j < high && before(order[j], order[i]));
                merged[k] = order[right ? j++ : i++];
            }
        }
        std::swap(order, merged);
    }
    for (Values* each : {&keys, &values}) {
        Values out;
        for (size_t i : order) out.push_back((*each)[i]);
        *each = std::move(out);
    }
}

// An iterator over what step makes of each item; a failure is raised when the items before it have been read.
using Step = std::function<void(const Value& item, Values& out)>;
Value lazily(Env& env, const Value& over, const Step& step) {
    Values out;
    std::shared_ptr<const Error> failure;
    if (env.failed()) return {};
    for (const Value& item : iterate(env, over)) {
        step(item, out);
        if (env.failed()) break;
    }
    if (env.failed() && env.budget.error()->status() != Status::over_budget) {
        failure = std::make_shared<const Error>(*env.budget.error());
        env.budget.forget_error();
    }
    return env.iterator(std::move(out), std::move(failure));
}

// The name of a filter or test and its arguments, out of those of map, select and the like.
Value take_first(Args& args) {
    Value first = args.positional.front();
    args.positional.erase(args.positional.begin());
    return first;
}

Value map(Env& env, const Value& v, Args& args) {
    if (!truth(v)) return env.iterator({});
    if (args.positional.empty()) {
        const Bound b(env, "map", args, {"attribute", "default"});
        if (!b.has(0)) return env.fail("map requires a filter argument");
        const Getter getter(b[0], b.has(1) ? b[1] : Value());
        return lazily(env, v, [&](const Value& item, Values& out) {
            Value found = getter(env, item);
            if (!env.failed()) out.push_back(std::move(found));
        });
    }
    const Value name = take_first(args);
    const Native filter = name.str() ? find_filter(name.str()->text) : nullptr;
    if (!filter) return env.fail_unsupported(cat("filter ", in_quotes(to_str(env, name)), " is not supported"));
    return lazily(env, v, [&](const Value& item, Values& out) {
        Args own = args;
        env.charge_call(item, own);
        Value made = filter(env, item, own);
        if (!env.failed()) out.push_back(std::move(made));
    });
}

Value choose(Env& env, const Value& v, Args& args, bool want, bool by_attribute) {
    if (!truth(v)) return env.iterator({});
    Value attribute;
    if (by_attribute) {
        if (args.positional.empty()) return env.fail("Missing parameter for attribute name");
        attribute = take_first(args);
    }
    const Getter getter(attribute, {});
    Test test = nullptr;
    if (!args.positional.empty()) {
        const Value name = take_first(args);
        test = name.str() ? find_test(name.str()->text) : nullptr;
        if (!test) return env.fail_unsupported(cat("test ", in_quotes(to_str(env, name)), " is not supported"));
    }
    return lazily(env, v, [&](const Value& item, Values& out) {
        const Value tested = getter(env, item);
        Args own = args;
        env.charge_call(tested, own);
        if ((test ? test(env, tested, own) : truth(tested)) == want && !env.failed()) out.push_back(item);
    });
}

template <bool want, bool by_attribute>
Value select(Env& env, const Value& v, Args& args) {
    return choose(env, v, args, want, by_attribute);
}

Value default_value(Env& env, const Value& v, Args& args) {
    const Bound b(env, "default", args, {"default_value", "boolean"});
    const bool replaced = v.is_undefined() || (b.flag(1, false) && !truth(v));
    return replaced ? b.get(0, env.str("")) : v;
}

Value join(Env& env, const Value& v, Args& args) {
    const Bound b(env, "join", args, {"d", "attribute"});
    const Text separator = b.has(0) ? to_text(env, b[0]) : Text();
    const Getter getter(b.has(1) ? b[1] : Value(), {});
    Text out;
    bool first = true;
    for (const Value& item : iterate(env, v)) {
        if (!std::exchange(first, false)) {
            env.budget.append(out, separator);
        }
        append_text(env, out, getter(env, item));
    }
    return env.str(std::move(out));
}

Value count(Env& env, const Value& v, Args& args) {
    Bound(env, "length", args, {});
    return Value(length(env, v));
}

Value list(Env& env, const Value& v, Args& args) {
    Bound(env, "list", args, {});
    return env.list(iterate(env, v));
}

Value first(Env& env, const Value& v, Args& args) {
    Bound(env, "first", args, {});
    if (Seq* s = v.seq(); s && s->kind == SeqKind::iterator && s->next < s->items.size()) return s->items[s->next++];
    const Values items = iterate(env, v);
    return items.empty() ? env.undefined("No first item, sequence was empty.") : items.front();
}

void need_reversible(Env& env, const Value& v) {
    const bool no = v.object() || is_number(v) || v.is_none() || (v.seq() && v.seq()->kind == SeqKind::iterator);
    if (no) env.fail(cat("'", type_name(v), "' object is not reversible"));
}

Value last(Env& env, const Value& v, Args& args) {
    Bound(env, "last", args, {});
    need_reversible(env, v);
    if (v.str() && v.str()->n_chars > 0) return get_item(env, v, Value(-1));
    const Values items = iterate(env, v);
    return items.empty() ? env.undefined("No last item, sequence was empty.") : items.back();
}

Value reverse(Env& env, const Value& v, Args& args) {
    Bound(env, "reverse", args, {});
    if (const Str* s = v.str()) {
        const std::u32string chars = decode(s->text);
        return env.str(Text::computed(encode(std::u32string(chars.rbegin(), chars.rend())), s->whole.any_typed()),
                       s->safe);
    }
    Values items = iterate(env, v);
    std::reverse(items.begin(), items.end());
    return v.seq() && v.seq()->kind == SeqKind::iterator ? env.list(std::move(items)) : env.iterator(std::move(items));
}

Value items_of(Env& env, const Value& v, Args& args) {
    Bound(env, "items", args, {});
    if (v.is_undefined()) return env.iterator({});
    if (!v.dict()) {
        return env.iterator({}, std::make_shared<const Error>(env.budget.at_line(
                                    Status::invalid_argument, "Can only get item pairs from a mapping.")));
    }
    Values out;
    for (const auto& [key, value] : v.dict()->items) out.push_back(env.seq(SeqKind::tuple, {key, value}));
    return env.iterator(std::move(out));
}

Value dictsort(Env& env, const Value& v, Args& args) {
    Bound(env, "dictsort", args, {});
    if (v.is_undefined()) return env.fail_undefined(v);
    if (!v.dict()) return env.fail(cat("dictsort takes a dict, not ", type_name(v)));
    Values keys, values;
    for (const auto& [key, value] : v.dict()->items) {
        keys.push_back(sort_key(env, key, false));
        values.push_back(env.seq(SeqKind::tuple, {key, value}));
    }
    sort_by(env, keys, values, false);
    return env.list(std::move(values));
}

Value sort(Env& env, const Value& v, Args& args) {
    const Bound b(env, "sort", args, {"reverse", "case_sensitive", "attribute"});
    if (b.has(2) && b[2].str() && b[2].str()->text.find(',') != std::string::npos)
        return env.fail_unsupported("sort by several attributes is not supported");
    const Getter getter(b.has(2) ? b[2] : Value(), {});
    Values values = iterate(env, v), keys;
    for (const Value& item : values)  // lists: equal items are never asked which is less
        keys.push_back(env.list({sort_key(env, getter(env, item), b.flag(1, false))}));
    sort_by(env, keys, values, b.flag(0, false));
    return env.list(std::move(values));
}

template <bool largest>
Value extreme(Env& env, const Value& v, Args& args) {
    Bound(env, largest ? "max" : "min", args, {});
    const Values values = iterate(env, v);
    if (values.empty()) return env.undefined("No aggregated item, sequence was empty.");
    Value best = values[0], best_key = sort_key(env, best, false);
    for (size_t i = 1; i < values.size(); ++i) {
        const Value key = sort_key(env, values[i], false);
        if (largest ? less(env, best_key, key, ">") : less(env, key, best_key, "<")) {
            best = values[i];
            best_key = key;
        }
    }
    return best;
}

Value unique(Env& env, const Value& v, Args& args) {
    Bound(env, "unique", args, {});
    Values seen;
    return lazily(env, v, [&](const Value& item, Values& out) {
        const Value key = sort_key(env, item, false);
        need_hashable(env.budget, key);
        const auto known = [&](const Value& other) { return equal(env, other, key); };
        if (std::any_of(seen.begin(), seen.end(), known) || env.failed()) return;
        seen.push_back(key);
        out.push_back(item);
    });
}

constexpr NamedFilter table[] = {
    {"count", count},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dictsort},
    {"first", first},
    {"items", items_of},
    {"join", join},
    {"last", last},
    {"length", count},
    {"list", list},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", select<false, false>},
    {"rejectattr", select<false, true>},
    {"reverse", reverse},
    {"select", select<true, false>},
    {"selectattr", select<true, true>},
    {"sort", sort},
    {"unique", unique},
};

}  // namespace

std::span<const NamedFilter> sequence_filters() {
    return table;
}

Native find_filter(std::string_view name) {
    for (const auto filters : {text_filters(), sequence_filters()}) {
        for (const auto& [known, native] : filters) {
            if (known == name) return native;
        }
    }
    return nullptr;
}

}  // namespace elver::jinja
