// Builds the syntax tree of a template. What Jinja has and elver does not run (inheritance, includes, imports,
// translations) is an error naming it and its line.
#pragma once

#include <string_view>

#include "jinja/syntax.hpp"

namespace elver::jinja {

// source is valid UTF-8. The names are not yet bound: see scopes.hpp.
Result<Syntax> parse(std::string_view source);

}  // namespace elver::jinja
