// The filters, tests and global functions of a template.
#pragma once

#include <string_view>

#include "jinja/python/value.hpp"

namespace elver::jinja {

// A filter takes the filtered value as self. null: there is none of that name.
Native find_filter(std::string_view name);

Test find_test(std::string_view name);

// range, dict, namespace, raise_exception, strftime_now; missing: there is none of that name.
Value find_global(Env& env, std::string_view name);

}  // namespace elver::jinja
