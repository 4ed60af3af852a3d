// Values of the JSON library that tests are written with, as elver's.
#pragma once

#include <nlohmann/json.hpp>

#include "base/json.hpp"

namespace elver::test {

inline Json ours(const nlohmann::ordered_json& json) {
    if (json.is_boolean()) return Json(json.get<bool>());
    if (json.is_number_unsigned()) return Json(json.get<uint64_t>());
    if (json.is_number_integer()) return Json(json.get<int64_t>());
    if (json.is_number()) return Json(json.get<double>());
    if (json.is_string()) return Json(json.get<std::string>());
    if (json.is_array()) {
        Json out = Json::array();
        for (const auto& item : json) out.push_back(ours(item));
        return out;
    }
    if (!json.is_object()) return {};
    Json out = Json::object();
    for (const auto& [key, value] : json.items()) out[key] = ours(value);
    return out;
}

}  // namespace elver::test
