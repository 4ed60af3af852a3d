// Binds each name of a template to a slot of a frame, as jinja2 does when it compiles: a name belongs to the first
// frame that mentions it, and one that a frame stores before it reads is without a value at the frame's start, even
// where the caller passed it. Filters and tests that do not exist are found here too.
#pragma once

#include "jinja/syntax.hpp"

namespace elver::jinja {

// Fills the frames and slots.
Result<void> bind_names(Syntax& syntax);
// Whether the template mentions a variable.
bool reads(const Syntax& syntax, std::string_view variable);

}  // namespace elver::jinja
