// The two tables of filters, for builtins.hpp's find_filter.
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "jinja/python/value.hpp"

namespace elver::jinja {

using NamedFilter = std::pair<std::string_view, Native>;
std::span<const NamedFilter> text_filters();
std::span<const NamedFilter> sequence_filters();

Value soft_text(Env& env, const Value& v);

}  // namespace elver::jinja
