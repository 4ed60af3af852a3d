#include "jinja/python/args.hpp"

#include <algorithm>

namespace elver::jinja {

Bound::Bound(Env& env, std::string_view function, Args& args, std::initializer_list<std::string_view> params,
             size_t n_required)
    : env_(env), function_(function), params_(params), values_(params.size()) {
    if (args.positional.size() > params_.size()) {
        env.fail(
            cat(function_, "() takes at most ", params_.size(), " arguments (", args.positional.size(), " given)"));
        args.positional.resize(params_.size());
    }
    // A name without a value may be passed on: it gets a message, to differ from what was not passed.
    const auto present = [](Value v) {
        return v.is_missing() ? Value(Undefined{std::make_shared<const std::string>("an undefined value is used")})
                              : std::move(v);
    };
    for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = present(std::move(args.positional[i]));
    for (auto& [name, value] : args.named) {
        const auto it = std::find(params_.begin(), params_.end(), name);
        if (it == params_.end()) {
            env.fail(cat(function_, "() got an unexpected keyword argument '", name, "'"));
            return;
        }
        Value& slot = values_[static_cast<size_t>(it - params_.begin())];
        if (!slot.is_missing()) env.fail(cat(function_, "() got multiple values for argument '", name, "'"));
        slot = present(std::move(value));
    }
    for (size_t i = 0; i < n_required; ++i) {
        if (!has(i)) env.fail(cat(function_, "() missing required argument '", params_[i], "'"));
    }
}

Int Bound::integer(size_t i, Int otherwise) const {
    return has(i) && !values_[i].is_none() ? to_int(env_, values_[i], cat(function_, "() argument '", params_[i], "'"))
                                           : otherwise;
}

const Text& Bound::whole(size_t i) const {
    static const Text none;
    if (const Str* s = values_[i].str()) return s->whole;
    if (values_[i].is_undefined())
        env_.fail_undefined(values_[i]);
    else
        env_.fail(cat(function_, "() argument '", params_[i], "' must be str, not ", type_name(values_[i])));
    return none;
}

}  // namespace elver::jinja
