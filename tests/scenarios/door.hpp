// A door into the library, as a scenario's steps need it: one call by its name, its arguments and its answer in JSON.
#pragma once

#include <elver/elver_ops.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
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
int context_policy(const json& with);
int score(const json& with);
int pooling(const json& with);
// Options, and what they point to: it may be moved, not copied.
struct AttentionLayer {
    elver_attention_options options = ELVER_ATTENTION_OPTIONS_INIT;
    std::vector<float> alibi_slopes, sinks;
};
AttentionLayer attention_layer(const json& with);
// What a session is to read: the ids, the text with its flags, or the rows of a step.
struct Given {
    std::vector<int32_t> ids;
    std::string text;
    Tensor rows;
    uint32_t flags = 0;
    elver_input_kind kind = ELVER_INPUT_IDS;
    explicit Given(const json& with);
};
uint32_t text_flags(const json& with);  // of add_special and parse_special
uint32_t show_flag(const json& with);   // of special
int special(const json& name);
std::string_view token_kind_name(int kind);
std::string_view event_kind_name(int kind);
// The likeliest of the logits but for those that the step forbids, which are edited away.
json best_of(std::span<float> logits, const json& with);
std::string_view cache_type_name(int type);
std::string_view finish_name(int finish);

}  // namespace scenarios
