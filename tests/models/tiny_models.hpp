// The tiny models of tests/golden/archs: their files, what their oracles say, and their logits by elver.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/session.hpp"
#include "formats/gguf_writer.hpp"

namespace fs = std::filesystem;

inline fs::path tiny_model(const std::string& name) {
    return fs::path(ELVER_TEST_DATA) / "golden" / "archs" / (name + ".gguf");
}

inline std::vector<fs::path> tiny_models() {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(std::string(ELVER_TEST_DATA) + "/golden/archs")) {
        if (entry.path().extension() == ".gguf") out.push_back(entry.path());
    }
    std::sort(out.begin(), out.end());
    return out;
}

inline nlohmann::json golden(fs::path path) {
    std::ifstream in(path.replace_extension(".json"));
    return nlohmann::json::parse(in);
}

using TinyModel = std::shared_ptr<elver::Model>;

// Loaded. Threads are what a test says: waiting for each other is slow on a busy machine.
inline elver::Result<TinyModel> open_tiny(elver::ByteSource source, const std::string& isa, int n_threads = 1) {
    elver::ModelOptions options;
    options.n_threads = n_threads;
    options.isa = isa;
    auto model = elver::Model::open(std::move(source), options);
    if (!model) return model.error();
    if (const auto loaded = (*model)->load({}, nullptr); !loaded) return loaded.error();
    return model;
}
inline elver::Result<TinyModel> open_tiny(const fs::path& path, const std::string& isa, int n_threads = 1) {
    auto source = elver::ByteSource::map_path(path.string());
    if (!source) return source.error();
    return open_tiny(*std::move(source), isa, n_threads);
}

// The bytes of a tiny model's file, with a sliding window (or chunks) of another length; 0: as they are.
inline elver::Result<std::vector<std::byte>> with_window(const fs::path& path, int window) {
    auto source = elver::ByteSource::map_path(path.string());
    if (!source) return source.error();
    const auto file = elver::Gguf::parse(*std::move(source));
    if (!file) return file.error();
    const auto architecture = file->get_string("general.architecture");
    if (!architecture) return architecture.error();
    const std::string key = std::string(*architecture) + ".attention.sliding_window";
    elver::GgufWriter writer;
    for (const auto& [name, value] : file->metadata()) {
        if (window == 0 || name != key) writer.copy(name, value);
    }
    if (window > 0) writer.set_u32(key, static_cast<uint32_t>(window));
    for (const elver::GgufTensor& t : file->tensors())
        writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    return writer.write_memory();
}

// Of every token, [n_tokens, n_vocab]; by default in a session just as long.
inline elver::Result<std::vector<float>> logits_of(const TinyModel& model, const std::vector<int32_t>& ids,
                                                   int n_ctx = 0, int max_batch = 7) {
    auto session = elver::Session::make(model, {.n_ctx = n_ctx > 0 ? n_ctx : static_cast<int>(ids.size()),
                                                .max_batch = max_batch,
                                                .cache_type = elver::CacheType::f32});
    if (!session) return session.error();
    std::vector<float> out;
    const auto done = (*session)->prefill(
        ids, [&](size_t, std::span<const float> row) { out.insert(out.end(), row.begin(), row.end()); });
    if (!done) return done.error();
    return out;
}
