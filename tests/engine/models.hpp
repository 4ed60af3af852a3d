// Models that the tests of this folder run: SmolLM2, whose path `./dev test` gives, and the tiny ones beside the
// goldens.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/session.hpp"
#include "message_of.hpp"

namespace elver::test {

inline std::string smollm2_path() {
    const char* path = std::getenv("ELVER_TEST_MODEL");
    if (path == nullptr) FAIL("ELVER_TEST_MODEL: expected the path of SmolLM2's GGUF; ./dev test sets it");
    return path;
}

inline std::string tiny_path(const std::string& name) {
    return std::string(ELVER_TEST_DATA) + "/golden/archs/" + name + ".gguf";
}

inline nlohmann::json golden(const std::string& file) {
    std::ifstream in(std::string(ELVER_TEST_DATA) + "/golden/" + file);
    REQUIRE(in.good());
    return nlohmann::json::parse(in);
}

inline std::shared_ptr<Model> load(const std::string& path, int n_threads, const std::string& isa = "") {
    auto source = ByteSource::map_path(path);
    REQUIRE(source);
    ModelOptions options;
    options.n_threads = n_threads;
    options.isa = isa;
    auto model = Model::open(*std::move(source), options);
    REQUIRE_MESSAGE(model, message_of(model));
    const auto loaded = (*model)->load({}, nullptr);
    REQUIRE_MESSAGE(loaded, message_of(loaded));
    return *model;
}

inline std::unique_ptr<Session> open_session(std::shared_ptr<const Model> model, const SessionOptions& options) {
    auto session = Session::make(std::move(model), options);
    REQUIRE_MESSAGE(session, message_of(session));
    return *std::move(session);
}

// Logits after every token, [n][n_vocab].
inline std::vector<float> all_logits(Session& session, std::span<const int32_t> ids) {
    std::vector<float> out;
    const auto done = session.prefill(
        ids, [&](size_t, std::span<const float> logits) { out.insert(out.end(), logits.begin(), logits.end()); });
    REQUIRE_MESSAGE(done, message_of(done));
    return out;
}

inline std::vector<int32_t> random_ids(int n, int n_vocab) {
    std::vector<int32_t> ids;
    uint32_t state = 12345;
    for (int i = 0; i < n; ++i) {
        state = state * 1664525u + 1013904223u;
        ids.push_back(static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(n_vocab)));
    }
    return ids;
}

}  // namespace elver::test
