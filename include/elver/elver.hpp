// elver for C++20, header-only over elver.h: handles as move-only objects, errors as exceptions of one type. It adds no
// symbols and copies nothing that the C calls do not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "elver/elver.h"

namespace elver::api {

// Keeps the status, the message and the file, tensor, key or field it speaks of.
class Error : public std::exception {
  public:
    Error(elver_status status, std::string message, std::string object)
        : status_(status), message_(std::move(message)), object_(std::move(object)) {}
    elver_status status() const noexcept { return status_; }
    const std::string& object() const noexcept { return object_; }
    const char* what() const noexcept override { return message_.c_str(); }

  private:
    elver_status status_;
    std::string message_, object_;
};

namespace detail {

template <auto release>
struct Releaser {
    template <class T>
    void operator()(T* handle) const noexcept {
        release(handle);
    }
};
template <class T, auto release>
using Handle = std::unique_ptr<T, Releaser<release>>;

// Runs a C call that takes an error last and throws what it says.
template <class Call>
void check(Call&& call) {
    elver_error* raw = nullptr;
    const elver_status status = call(&raw);
    if (status == ELVER_OK) return;
    const Handle<elver_error, elver_error_release> error(raw);
    throw Error(status, raw == nullptr ? "out of memory" : elver_error_message(raw), elver_error_object(raw));
}

inline std::string take(elver_text* raw) {
    const Handle<elver_text, elver_text_release> text(raw);
    return std::string(elver_text_data(raw), elver_text_size(raw));
}

inline elver_source path_source(std::string_view path) {
    elver_source source = ELVER_SOURCE_INIT;
    source.path = path.data();
    source.path_size = path.size();
    return source;
}

// The address of a std::function<bool(double)> as context.
inline int report(double fraction, void* context) {
    return (*static_cast<std::function<bool(double)>*>(context))(fraction) ? 1 : 0;
}

}  // namespace detail

using Progress = std::function<bool(double)>;  // fraction done -> false to cancel

class Tokenizer {
  public:
    static Tokenizer open(std::string_view path) {
        const elver_source source = detail::path_source(path);
        elver_tokenizer* out = nullptr;
        detail::check([&](elver_error** e) { return elver_tokenizer_open(&source, &out, e); });
        return Tokenizer(out);
    }
    std::vector<int32_t> encode(std::string_view text, bool add_special = true, bool parse_special = false) const {
        elver_ids* raw = nullptr;
        detail::check([&](elver_error** e) {
            return elver_tokenizer_encode(c(), text.data(), text.size(), add_special, parse_special, &raw, e);
        });
        const detail::Handle<elver_ids, elver_ids_release> ids(raw);
        return {elver_ids_data(raw), elver_ids_data(raw) + elver_ids_size(raw)};
    }
    std::string decode(std::span<const int32_t> ids, bool special = false) const {
        elver_text* out = nullptr;
        detail::check(
            [&](elver_error** e) { return elver_tokenizer_decode(c(), ids.data(), ids.size(), special, &out, e); });
        return detail::take(out);
    }
    // Through the chat template of the tokenizer's file.
    std::string render(std::string_view variables) const {
        elver_text* out = nullptr;
        detail::check(
            [&](elver_error** e) { return elver_tokenizer_render(c(), variables.data(), variables.size(), &out, e); });
        return detail::take(out);
    }
    elver_tokenizer* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    friend class Model;
    explicit Tokenizer(elver_tokenizer* handle) : handle_(handle) {}
    detail::Handle<elver_tokenizer, elver_tokenizer_release> handle_;
};

class Model {
  public:
    // Opens and checks; load() makes it ready for sessions.
    static Model open(std::string_view path, const elver_model_options& options = ELVER_MODEL_OPTIONS_INIT) {
        const elver_source source = detail::path_source(path);
        elver_model* out = nullptr;
        detail::check([&](elver_error** e) { return elver_model_open(&source, &options, &out, e); });
        return Model(out);
    }
    void load(Progress progress = {}) {
        detail::check(
            [&](elver_error** e) { return elver_model_load(c(), progress ? detail::report : nullptr, &progress, e); });
    }
    elver_plan plan(const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT) const {
        elver_plan out = ELVER_PLAN_INIT;
        detail::check([&](elver_error** e) { return elver_model_plan(c(), &options, &out, e); });
        return out;
    }
    std::string describe(elver_describe what) const {
        elver_text* out = nullptr;
        detail::check([&](elver_error** e) { return elver_model_describe(c(), what, &out, e); });
        return detail::take(out);
    }
    elver_machine measure() const {
        elver_machine out = ELVER_MACHINE_INIT;
        detail::check([&](elver_error** e) { return elver_model_measure(c(), &out, e); });
        return out;
    }
    Tokenizer tokenizer() const {
        elver_tokenizer* out = nullptr;
        detail::check([&](elver_error** e) { return elver_model_tokenizer(c(), &out, e); });
        return Tokenizer(out);
    }
    std::string render(std::string_view variables) const {
        elver_text* out = nullptr;
        detail::check([&](elver_error** e) {
            return elver_template_render(c(), nullptr, 0, variables.data(), variables.size(), &out, e);
        });
        return detail::take(out);
    }
    int32_t n_vocab() const noexcept { return elver_model_n_vocab(c()); }
    elver_model* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    explicit Model(elver_model* handle) : handle_(handle) {}
    detail::Handle<elver_model, elver_model_release> handle_;
};
static_assert(sizeof(Model) == sizeof(void*));

// Renders a template's source alone.
inline std::string render_template(std::string_view source, std::string_view variables) {
    elver_text* out = nullptr;
    detail::check([&](elver_error** e) {
        return elver_template_render(nullptr, source.data(), source.size(), variables.data(), variables.size(), &out,
                                     e);
    });
    return detail::take(out);
}

// An event's text and alternatives are borrowed until the next call in the session.
struct Event {
    std::string_view text;
    int32_t id;
    elver_finish finish;
    float logprob;
    std::span<const elver_logprob> top;
    bool last() const noexcept { return finish != ELVER_FINISH_NONE; }
};

class Session {
  public:
    explicit Session(const Model& model, const elver_session_options& options = ELVER_SESSION_OPTIONS_INIT) {
        elver_session* out = nullptr;
        detail::check([&](elver_error** e) { return elver_session_open(model.c(), &options, &out, e); });
        handle_.reset(out);
    }
    // Calls on_logits(index, logits) for each token when given.
    void prefill(std::span<const int32_t> ids, std::function<void(size_t, std::span<const float>)> on_logits = {}) {
        const elver_on_logits call = [](size_t index, const float* logits, size_t n, void* context) {
            (*static_cast<std::function<void(size_t, std::span<const float>)>*>(context))(index, {logits, n});
        };
        detail::check([&](elver_error** e) {
            return elver_session_prefill(c(), ids.data(), ids.size(), on_logits ? call : nullptr, &on_logits, e);
        });
    }
    void chat(std::string_view request, Progress progress = {}) {
        detail::check([&](elver_error** e) {
            return elver_session_chat(c(), request.data(), request.size(), progress ? detail::report : nullptr,
                                      &progress, e);
        });
    }
    void complete(std::string_view request, Progress progress = {}) {
        detail::check([&](elver_error** e) {
            return elver_session_complete(c(), request.data(), request.size(), progress ? detail::report : nullptr,
                                          &progress, e);
        });
    }
    Event next() {
        elver_event e = ELVER_EVENT_INIT;
        detail::check([&](elver_error** error) { return elver_session_next(c(), &e, error); });
        return {{e.text, e.text_size}, e.id, e.finish, e.logprob, {e.top, e.n_top}};
    }
    void rewind(int32_t position) {
        detail::check([&](elver_error** e) { return elver_session_rewind(c(), position, e); });
    }
    int32_t position() const noexcept { return elver_session_position(c()); }
    void cancel() noexcept { elver_session_cancel(c()); }        // from any thread
    elver_session* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_session, elver_session_release> handle_;
};
static_assert(sizeof(Session) == sizeof(void*));

}  // namespace elver::api
