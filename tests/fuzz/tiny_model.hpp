// The tiny llama of the goldens, as fuzz targets use it.
#pragma once

#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "base/utf8.hpp"
#include "engine/model.hpp"
#include "formats/gguf_writer.hpp"

namespace elver::test {

inline void check(bool holds) {
    if (!holds) std::abort();
}

// An error is one line of UTF-8, and never "internal".
inline void check_error(const Error& error) {
    check(error.status() != Status::internal && !error.message().empty());
    check(error.message().size() < 4096 && error.message().find('\n') == std::string::npos);
    check(is_valid_utf8(error.message()) && is_valid_utf8(error.object()));
}

template <class T>
T need(Result<T> result) {
    check(static_cast<bool>(result));
    return *std::move(result);
}

// Loaded, its metadata changed by `change`. Once in a program.
inline std::shared_ptr<Model> tiny_model(const std::function<void(GgufWriter&)>& change = {}) {
    const Gguf file = need(Gguf::parse(need(ByteSource::map_path(ELVER_FUZZ_MODEL))));
    GgufWriter writer;
    for (const auto& [key, value] : file.metadata()) writer.copy(key, value);
    if (change) change(writer);
    for (const GgufTensor& t : file.tensors()) writer.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    static const std::vector<std::byte> bytes = need(writer.write_memory());
    ModelOptions options;
    options.n_threads = 1;
    auto model = need(Model::open(ByteSource::borrow(bytes), options));
    check(static_cast<bool>(model->load({}, nullptr)));
    return model;
}

}  // namespace elver::test
