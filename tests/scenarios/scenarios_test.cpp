// The table of tests/scenarios through C and through C++; README.md tells what a row means.
#include <doctest/doctest.h>
#include <elver/elver_ops.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "door.hpp"

namespace scenarios {

namespace {

const std::map<std::string, int, std::less<>>& statuses() {
    static const std::map<std::string, int, std::less<>> all{
        {"ok", ELVER_OK},
        {"invalid_argument", ELVER_INVALID_ARGUMENT},
        {"not_found", ELVER_NOT_FOUND},
        {"io", ELVER_IO},
        {"bad_file", ELVER_BAD_FILE},
        {"unsupported", ELVER_UNSUPPORTED},
        {"over_budget", ELVER_OVER_BUDGET},
        {"out_of_memory", ELVER_OUT_OF_MEMORY},
        {"cancelled", ELVER_CANCELLED},
        {"context_full", ELVER_CONTEXT_FULL},
        {"mismatch", ELVER_MISMATCH},
        {"busy", ELVER_BUSY},
        {"internal", ELVER_INTERNAL},
    };
    return all;
}

int named(const json& given, std::initializer_list<std::pair<std::string_view, int>> names) {
    if (given.is_number()) return given.get<int>();
    for (const auto& [name, number] : names)
        if (given == name) return number;
    throw std::out_of_range(given.dump());
}

// The row's file; empty if the machine lacks it.
std::string file_of(const json& file, const std::filesystem::path& folder) {
    if (file.contains("environment")) {
        const char* path = std::getenv(file["environment"].get<std::string>().c_str());
        return path == nullptr ? "" : path;
    }
    const std::filesystem::path golden = std::filesystem::path(ELVER_TEST_DATA) / "golden" / file.value("golden", "");
    if (file.contains("golden") && !file.contains("first_bytes")) return golden.string();
    const auto path = folder / file.value("name", "cut.gguf");
    if (file.contains("golden")) {
        std::ifstream in(golden, std::ios::binary);
        std::string head(file["first_bytes"].get<size_t>(), '\0');
        in.read(head.data(), static_cast<std::streamsize>(head.size()));
        std::ofstream(path, std::ios::binary) << head;
    } else if (file.contains("content")) {
        std::ofstream(path, std::ios::binary) << file["content"].get<std::string>();
    }
    return path.string();
}

bool near(const json& found, const json& expected, double within) {
    return found.is_number() && std::abs(found.get<double>() - expected.get<double>()) <= within;
}

bool same(const json& found, const json& expected, double within) {
    if (!expected.is_object()) return found == expected;
    if (expected.contains("values")) {
        const json &a = found.at("values"), &b = expected["values"];
        if (found.at("shape") != expected["shape"] || a.size() != b.size()) return false;
        return std::equal(a.begin(), a.end(), b.begin(),
                          [&](const json& x, const json& y) { return near(x, y, within); });
    }
    for (const auto& [index, value] : expected.items())
        if (!near(found.at(std::stoul(index)), value, within)) return false;
    return true;
}

std::string replaced(std::string text, const std::string& path) {
    if (const size_t at = text.find("{file}"); at != std::string::npos) text.replace(at, 6, path);
    return text;
}

void run(const json& row, Door& door, const std::string& path) {
    size_t number = 0;
    for (const json& step : row["steps"]) {
        const std::string call = step["do"];
        ++number;
        INFO("step ", number, ", ", call);
        const json with = step.value("with", json::object()), gives = step.value("gives", json::object());
        try {
            const json found = door.take(call, with);
            CHECK_MESSAGE(!step.contains("fails"), "expected an error");
            for (const auto& [key, expected] : gives.items()) {
                INFO(key, ": found ", found.contains(key) ? found[key].dump().substr(0, 400) : "nothing");
                CHECK_MESSAGE((found.contains(key) && same(found[key], expected, step.value("within", 0.0))),
                              "expected ", expected.dump().substr(0, 400));
            }
        } catch (const Failure& f) {
            INFO("found: ", f.message);
            REQUIRE_MESSAGE(step.contains("fails"), "expected no error");
            const json& fails = step["fails"];
            CHECK(f.status == statuses().at(fails["status"]));
            if (fails["object"].is_string()) CHECK(f.object == replaced(fails["object"], path));
            for (const std::string words : fails["says"])
                CHECK_MESSAGE(f.message.find(replaced(words, path)) != std::string::npos, "expected: ", words);
        }
    }
}

void run_all(std::unique_ptr<Door> (*open)(std::string)) {
    std::ifstream in(ELVER_TEST_DATA "/scenarios/scenarios.json");
    const json table = json::parse(in);
    const auto folder = std::filesystem::temp_directory_path() / ("elver-scenarios-" + std::to_string(std::rand()));
    std::filesystem::create_directories(folder);
    int n_run = 0;
    for (const json& row : table["scenarios"]) {
        const std::string name = row["name"];
        INFO("scenario: ", name);
        const std::string path = row.contains("file") ? file_of(table["files"][row["file"]], folder) : "";
        if (path.empty() && row.contains("file")) continue;
        run(row, *open(path), path);
        ++n_run;
    }
    std::filesystem::remove_all(folder);
    MESSAGE(n_run, " of ", table["scenarios"].size(), " scenarios");
    CHECK(n_run > 0);
}

}  // namespace

Tensor tensor(const json& given) {
    return {given.at("shape"), given.at("values")};
}
std::vector<std::byte> bytes(const json& given) {
    std::vector<std::byte> out;
    for (const int value : given.at("values")) out.push_back(static_cast<std::byte>(value));
    return out;
}
json json_of(const std::vector<int64_t>& shape, const std::vector<float>& values) {
    return {{"shape", shape}, {"values", values}};
}
json json_of(const std::vector<int64_t>& shape, const std::vector<std::byte>& values) {
    json out = {{"shape", shape}, {"values", json::array()}};
    for (const std::byte value : values) out["values"].push_back(static_cast<int>(value));
    return out;
}

int dtype(const json& name) {
    return named(name, {{"f32", ELVER_DTYPE_F32},
                        {"bf16", ELVER_DTYPE_BF16},
                        {"q4_1", ELVER_DTYPE_Q4_1},
                        {"q8_0", ELVER_DTYPE_Q8_0},
                        {"q4_k", ELVER_DTYPE_Q4_K},
                        {"iq1_s", ELVER_DTYPE_IQ1_S}});
}
int cache_type(const json& with) {
    return named(with.value("cache_type", json(0)), {{"f32", 1}, {"f16", 2}, {"q8_0", 3}, {"q4_0", 4}});
}
int context_policy(const json& with) {
    return named(with.value("context_policy", json(0)), {{"stop", ELVER_CONTEXT_STOP}, {"slide", ELVER_CONTEXT_SLIDE}});
}
int score(const json& with) {
    return named(with.value("score", json(0)), {{"softmax", 0}, {"sigmoid", 1}, {"softmax_chosen", 2}});
}
AttentionLayer attention_layer(const json& with) {
    AttentionLayer layer;
    elver_attention_options& a = layer.options;
    a.n_heads = with.at("n_heads");
    a.n_kv_heads = with.at("n_kv_heads");
    a.head_dim = with.at("head_dim");
    a.v_head_dim = with.value("v_head_dim", 0);
    a.causal = with.value("causal", true);
    a.window = with.value("window", 0);
    a.scale = with.value("scale", 0.0F);
    a.soft_cap = with.value("soft_cap", 0.0F);
    const auto values = [&](const char* name) {
        return with.contains(name) ? tensor(with[name]).values : std::vector<float>();
    };
    layer.alibi_slopes = values("alibi_slopes");
    layer.sinks = values("sinks");
    if (!layer.alibi_slopes.empty()) a.alibi_slopes = layer.alibi_slopes.data();
    if (!layer.sinks.empty()) a.sinks = layer.sinks.data();
    return layer;
}

int pooling(const json& with) {
    return named(with.value("pooling", json(0)), {{"mean", 1}, {"first", 2}, {"last", 3}});
}
Given::Given(const json& with) {
    if (with.contains("text")) {
        kind = ELVER_INPUT_TEXT;
        text = with["text"];
        flags = text_flags(with);
    } else if (with.contains("rows")) {
        kind = ELVER_INPUT_EMBEDDINGS;
        rows = tensor(with["rows"]);
    } else {
        ids = with.at("ids").get<std::vector<int32_t>>();
    }
}
uint32_t text_flags(const json& with) {
    return (with.value("add_special", true) ? uint32_t{ELVER_TEXT_ADD_SPECIAL} : 0U) |
           (with.value("parse_special", false) ? uint32_t{ELVER_TEXT_PARSE_SPECIAL} : 0U);
}
uint32_t show_flag(const json& with) {
    return with.value("special", false) ? uint32_t{ELVER_TEXT_SHOW_SPECIAL} : 0U;
}
int special(const json& name) {
    return named(name, {{"bos", ELVER_SPECIAL_BOS}, {"eos", ELVER_SPECIAL_EOS}, {"fim_mid", ELVER_SPECIAL_FIM_MID}});
}
std::string_view token_kind_name(int kind) {
    constexpr std::string_view names[] = {"",       "normal", "unknown", "control", "user_defined",
                                          "unused", "byte",   "marker"};
    return names[kind];
}
std::string_view event_kind_name(int kind) {
    constexpr std::string_view names[] = {"text", "end", "progress", "reasoning", "tool_call"};
    return names[kind];
}
json best_of(std::span<float> logits, const json& with) {
    for (const size_t id : with.value("forbid", std::vector<size_t>()))
        logits[id] = -std::numeric_limits<float>::infinity();
    return {{"id", std::max_element(logits.begin(), logits.end()) - logits.begin()}};
}
std::string_view cache_type_name(int type) {
    constexpr std::string_view names[] = {"default", "f32", "f16", "q8_0", "q4_0"};
    return names[type];
}
std::string_view finish_name(int finish) {
    constexpr std::string_view names[] = {"none", "stop", "length", "cancelled"};
    return names[finish];
}

TEST_CASE("scenarios: through elver.h") {
    run_all(c_door);
}
TEST_CASE("scenarios: through elver.hpp") {
    run_all(cpp_door);
}

}  // namespace scenarios
