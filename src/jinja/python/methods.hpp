// The methods of Python's str, dict, list and tuple that templates call.
#pragma once

#include "jinja/python/value.hpp"

namespace elver::jinja {

// The method bound to self, or an undefined value that fails when it is used for one that changes its object; missing
// where there is none.
Value method(Env& env, const Value& self, std::string_view name);

// str.replace; count below zero: all. And str * n.
Text replace_text(Env& env, const Text& text, const std::string& from, const Text& to, Int count);
Text repeat_text(Env& env, const Text& text, Int n);
std::string repeat_text(Env& env, const std::string& text, Int n);

}  // namespace elver::jinja
