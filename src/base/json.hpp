// JSON from outside, read in time linear in its length: objects with many keys and deep nesting are no way to hang or
// crash.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.hpp"

namespace elver {

// Any JSON value; objects keep the order of their keys. Of a key that comes twice the last value counts, at the first
// one's place, as in Python. `what` names the text in errors: what is no JSON (the byte is told), and more than 200
// arrays and objects inside each other.
Result<nlohmann::ordered_json> parse_json(std::string_view text, std::string_view what);

}  // namespace elver
