// The methods of Python's str, dict, list, tuple, int and float that a sandboxed template may call.
#pragma once

#include "jinja/value.hpp"

namespace elver::jinja {

// The method bound to self, or an undefined value that fails when it is used for one that changes its object; missing
// where there is none.
Value method(Env& env, const Value& self, std::string_view name);

// "%s and %d" % value, and "{} and {name}".format(args). safe: the format is Markup, and what goes in is escaped.
Text percent_format(Env& env, const Str& format, const Value& value);
Text brace_format(Env& env, const Str& format, const Args& args);
// format(value, spec) of one value.
std::string format_value(Env& env, const Value& value, std::string_view spec);

// str.replace; count below zero: all. And str * n.
Text replace_text(Env& env, const Text& text, const std::string& from, const Text& to, Int count);
Text repeat_text(Env& env, const Text& text, Int n);
std::string repeat_text(Env& env, const std::string& text, Int n);

}  // namespace elver::jinja
