#include "jinja/json_value.hpp"

#include "base/utf8.hpp"

namespace elver::jinja {

// Json is never nested more than twice as deep as parse_json() reads; Budget has its own bound for values.
Value to_value(Env& env, const Json& json) {
    if (json.is_null()) return Value(None{});
    if (json.is_boolean()) return Value(json.boolean());
    if (json.is_integer()) return Value(json.fits_int64() ? Int{json.int64()} : Int{json.uint64()});
    if (json.is_number()) return Value(json.number());
    if (json.is_string()) return env.str(replace_invalid_utf8(json.text()));
    if (json.is_array()) {
        Values items;
        for (const Json& item : json.items()) items.push_back(to_value(env, item));
        return env.list(std::move(items));
    }
    Pairs pairs;
    for (const auto& [key, value] : json.members())
        pairs.emplace_back(env.str(replace_invalid_utf8(key)), to_value(env, value));
    return env.dict(std::move(pairs));
}

}  // namespace elver::jinja
