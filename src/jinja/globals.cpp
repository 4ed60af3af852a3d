// The global functions of a template: jinja2's own, and those that transformers adds.
#include <algorithm>

#include "jinja/builtins.hpp"
#include "jinja/objects.hpp"
#include "jinja/python/args.hpp"
#include "jinja/python/print.hpp"

namespace elver::jinja {
namespace {

Value range(Env& env, const Value&, Args& args) {
    const Bound b(env, "range", args, {"start", "stop", "step"}, 1);
    const bool one = !b.has(1);
    const Int start = one ? 0 : to_int(env, b[0], "range() argument"),
              stop = to_int(env, one ? b[0] : b[1], "range() argument");
    const Int step = b.has(2) ? to_int(env, b[2], "range() argument") : 1;
    return make_range(env, start, stop, step);
}

// dict(mapping or pairs, name=value ...): also the arguments of namespace().
Pairs dict_pairs(Env& env, const char* name, Args& args) {
    if (args.positional.size() > 1)
        return env.fail(cat(name, " expected at most 1 argument, got ", args.positional.size()));
    Pairs pairs;
    if (!args.positional.empty()) {
        const Value& from = args.positional[0];
        if (from.dict()) {
            pairs = from.dict()->items;
        } else {
            for (const Value& pair : iterate(env, from)) {
                const Values kv = iterate(env, pair);
                if (kv.size() != 2)
                    return env.fail(cat(name, " update sequence element has length ", kv.size(), "; 2 is required"));
                pairs.emplace_back(kv[0], kv[1]);
            }
        }
    }
    for (auto& [key, value] : args.named) pairs.emplace_back(env.str(key), std::move(value));
    return pairs;
}

Value make_dict(Env& env, const Value&, Args& args) {
    return env.dict(dict_pairs(env, "dict", args));
}

Value make_namespace(Env& env, const Value&, Args& args) {
    const Value unique = env.dict(dict_pairs(env, "namespace", args));
    Pairs pairs = unique.dict()->items;
    for (const auto& [key, value] : pairs) {
        if (!key.str()) return env.fail("the names in a namespace must be strings");
    }
    return env.make_namespace(std::move(pairs));
}

Value raise_exception(Env& env, const Value&, Args& args) {
    const Bound b(env, "raise_exception", args, {"message"}, 1);
    if (!env.failed()) env.budget.stop(Error(Status::invalid_argument, to_str(env, b[0])));
    return {};
}

Value strftime_now(Env& env, const Value&, Args& args) {
    const Bound b(env, "strftime_now", args, {"format"}, 1);
    return env.str(env.strftime_now(b.text(0)));
}

constexpr std::pair<std::string_view, Native> globals[] = {
    {"range", range},
    {"dict", make_dict},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

Value find_global(Env& env, std::string_view name) {
    const auto* g = std::find_if(std::begin(globals), std::end(globals), [&](auto& x) { return x.first == name; });
    return g == std::end(globals) ? Value() : env.bound(g->first, g->second, Value());
}

}  // namespace elver::jinja
