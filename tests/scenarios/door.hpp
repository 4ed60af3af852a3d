// A door into the library, as a scenario's steps need it: one call by its name, its arguments and its answer in JSON.
#pragma once

#include <elver/elver_ops.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace scenarios {

using nlohmann::json;

// How a call failed.
struct Failure {
    int status = 0;  // an elver_status
    std::string message, object;
};

class Door {
  public:
    virtual ~Door() = default;
    // Throws Failure.
    virtual json take(const std::string& call, const json& with) = 0;
};

// Over elver.h and elver_ops.h, and over elver.hpp and elver_ops.hpp. `path`: the row's file.
std::unique_ptr<Door> c_door(std::string path);
std::unique_ptr<Door> cpp_door(std::string path);

// What both read out of a step.
struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
    int64_t rows() const { return shape.at(0); }
    int64_t width() const { return shape.at(0) == 0 ? 0 : static_cast<int64_t>(values.size()) / shape.at(0); }
};
Tensor tensor(const json& given);
std::vector<std::byte> bytes(const json& given);
json json_of(const std::vector<int64_t>& shape, const std::vector<float>& values);
json json_of(const std::vector<int64_t>& shape, const std::vector<std::byte>& values);
int dtype(const json& name);       // an elver_dtype; a number stands for itself
int cache_type(const json& with);  // of the key cache_type, if it is there
int score(const json& with);
int pooling(const json& with);
// Options, and what they point to: it may be moved, not copied.
struct AttentionLayer {
    elver_attention_options options = ELVER_ATTENTION_OPTIONS_INIT;
    std::vector<float> alibi_slopes, sinks;
};
AttentionLayer attention_layer(const json& with);
std::string_view cache_type_name(int type);
std::string_view finish_name(int finish);

}  // namespace scenarios
