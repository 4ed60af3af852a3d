// JSON as a template's values. Texts count as typed.
#pragma once

#include "base/json.hpp"
#include "jinja/python/value.hpp"

namespace elver::jinja {

Value to_value(Env& env, const Json& json);

}  // namespace elver::jinja
