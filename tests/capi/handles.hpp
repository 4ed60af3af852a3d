// What the tests of the ABI share: owners of handles, and the error of a call.
#pragma once

#include <doctest/doctest.h>
#include <elver/elver.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "files.hpp"

namespace capi_test {

struct Release {
    void operator()(elver_error* h) const { elver_error_release(h); }
    void operator()(elver_model* h) const { elver_model_release(h); }
    void operator()(elver_session* h) const { elver_session_release(h); }
    void operator()(elver_tokenizer* h) const { elver_tokenizer_release(h); }
    void operator()(elver_text* h) const { elver_text_release(h); }
    void operator()(elver_ids* h) const { elver_ids_release(h); }
    void operator()(elver_detokenizer* h) const { elver_detokenizer_release(h); }
};
template <class T>
using Own = std::unique_ptr<T, Release>;

struct Failure {
    elver_status status = ELVER_OK;
    std::string message, object;
};

// Runs call(&error). A failure has an error object with the same status, a success leaves the pointer alone.
template <class Call>
Failure failure(Call&& call) {
    auto* untouched = reinterpret_cast<elver_error*>(0x10);
    elver_error* error = untouched;
    Failure f;
    f.status = call(&error);
    if (f.status == ELVER_OK) {
        CHECK(error == untouched);
        return f;
    }
    const Own<elver_error> owned(error);
    CHECK(elver_error_status(error) == f.status);
    f.message = elver_error_message(error);
    f.object = elver_error_object(error);
    CHECK(!f.message.empty());
    CHECK(f.message.find('\n') == std::string::npos);
    return f;
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

inline elver_source path_source(const std::string& path) {
    elver_source source = ELVER_SOURCE_INIT;
    source.path = path.data();
    source.path_size = path.size();
    return source;
}
inline elver_source memory_source(const Bytes& bytes) {
    elver_source source = ELVER_SOURCE_INIT;
    source.memory = bytes.data();
    source.memory_size = bytes.size();
    return source;
}

inline Own<elver_model> open(const elver_source& source, const elver_model_options* options = nullptr) {
    elver_model* model = nullptr;
    const Failure f = failure([&](elver_error** e) { return elver_model_open(&source, options, &model, e); });
    REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
    return Own<elver_model>(model);
}
// The tiny model, ready, on two threads.
inline Own<elver_model> load(const elver_source& source) {
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = 2;
    Own<elver_model> model = open(source, &options);
    REQUIRE(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    return model;
}
inline Own<elver_session> session(const elver_model* model, int32_t n_ctx = 0, int32_t max_batch = 0) {
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = n_ctx;
    options.max_batch = max_batch;
    elver_session* out = nullptr;
    const Failure f = failure([&](elver_error** e) { return elver_session_open(model, &options, &out, e); });
    REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
    return Own<elver_session>(out);
}

inline elver_input ids_input(const int32_t* ids, size_t n) {
    elver_input input = ELVER_INPUT_INIT;
    input.ids = ids;
    input.n_ids = n;
    return input;
}
inline elver_input text_input(const std::string& text, uint32_t flags = 0) {
    elver_input input = ELVER_INPUT_INIT;
    input.kind = ELVER_INPUT_TEXT;
    input.flags = flags;
    input.text = text.data();
    input.text_size = text.size();
    return input;
}
inline elver_input rows_input(const std::vector<float>& rows, size_t width) {
    elver_input input = ELVER_INPUT_INIT;
    input.kind = ELVER_INPUT_EMBEDDINGS;
    input.embeddings = rows.data();
    input.n_rows = rows.size() / width;
    input.width = width;
    return input;
}
inline elver_status prefill_ids(elver_session* s, const int32_t* ids, size_t n,
                                const elver_prefill_options* options = nullptr, elver_error** error = nullptr) {
    const elver_input input = ids_input(ids, n);
    return elver_session_prefill(s, &input, options, error);
}
inline elver_status begin_completion(elver_session* s, const std::string& request, elver_progress progress = nullptr,
                                     void* context = nullptr, elver_error** error = nullptr) {
    elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
    options.progress = progress;
    options.context = context;
    return elver_session_complete(s, request.data(), request.size(), &options, error);
}

}  // namespace capi_test
