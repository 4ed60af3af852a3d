// What the ABI's opaque handles hold, and how calls end: no exception and no unchecked argument passes.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <shared_mutex>
#include <string>

#include "answer/generate.hpp"
#include "base/byte_sink.hpp"
#include "base/text.hpp"
#include "elver/elver.h"
#include "engine/session.hpp"

struct elver_error {
    elver_status status;
    std::string message, object;
};
struct elver_text {
    std::string text;
};
struct elver_ids {
    std::vector<int32_t> ids;
};
struct elver_threads {
    std::shared_ptr<elver::ThreadPool> pool;
};
struct elver_model {
    std::shared_ptr<elver::Model> model;
    // Loading replaces what other calls read: it holds the mutex alone, and they say busy while it does.
    mutable std::shared_mutex mutex;
    std::atomic<bool> loading{false};
};
struct elver_tokenizer {
    std::shared_ptr<const elver::Tokenizer> tokenizer;
    std::shared_ptr<elver::Model> keeps;             // a model's own tokenizer lives in it
    std::optional<elver::ModelTemplates> templates;  // of a file that is no open model
};
struct elver_detokenizer {
    std::shared_ptr<const elver::Tokenizer> tokenizer;
    std::shared_ptr<elver::Model> keeps;
    elver::Detokenizer stream;
    std::string text{};  // what the last call gave
    std::atomic<bool> in_use{false};
};
struct elver_session {
    elver_model model;  // its own handle: the host may release the one that it opened the session with
    std::unique_ptr<elver::Session> session;
    std::optional<elver::Generator> generator;
    elver::GenerateEvent event;
    std::string bytes;                   // of the event's token
    std::vector<std::string> top_bytes;  // of its alternatives
    std::vector<elver_logprob> top;
    double prompt_seconds = 0, generation_seconds = 0;  // of the answer
    std::atomic<bool> in_use{false};
};

namespace elver::capi {

// Puts the error where the caller wants it and answers its status.
elver_status fail(elver_error** out, const Error& error) noexcept;
elver_status null_argument(elver_error** out, const char* name) noexcept;

elver_status fail_text(elver_error** out, Status status, const char* message) noexcept;

// Runs a call's body: an exception (memory, mostly, or one out of a callback of the caller's) becomes a status.
template <class Body>
elver_status guarded(elver_error** error, Body&& body) noexcept {
    try {
        const Result<void> done = body();
        return done ? ELVER_OK : fail(error, done.error());
    } catch (const std::bad_alloc&) {
        return fail_text(error, Status::out_of_memory, "out of memory");
    } catch (const std::exception& e) {
        return fail_text(error, Status::internal, e.what());
    } catch (...) {
        return fail_text(error, Status::internal, "a callback threw what is no std::exception");
    }
}

// The number that a caller's enum holds, which may be none of the enum's.
template <class Enum>
int number_of(const Enum& value) noexcept {
    int number = 0;
    static_assert(sizeof number == sizeof value);
    std::memcpy(&number, &value, sizeof number);
    return number;
}

// Reads a struct of the caller's, smaller or larger than ours: what an older host lacks keeps our default, what a newer
// one has beyond ours must be zero, and so must reserved fields.
template <class T>
Result<T> read_struct(const T* given, T defaults, const char* name) {
    if (given == nullptr) return defaults;
    const size_t size = given->struct_size;
    if (size < sizeof(size_t) || size > 4096) {
        return Error(Status::invalid_argument,
                     cat(name, ": struct_size: expected ", sizeof(T), ", found ", size, "; initialise with its _INIT"),
                     name);
    }
    std::memcpy(static_cast<void*>(&defaults), given, size < sizeof(T) ? size : sizeof(T));
    defaults.struct_size = sizeof(T);
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    for (size_t i = sizeof(T); i < size; ++i) {
        if (bytes[i] != 0)
            return Error(Status::invalid_argument,
                         cat(name, ": this version of elver does not know the option at byte ", i), name);
    }
    if constexpr (requires { defaults.reserved; }) {
        if (defaults.reserved != 0) return Error(Status::invalid_argument, cat(name, ": reserved: expected 0"), name);
    }
    return defaults;
}

// Fills a struct of the caller's as far as it knows the fields; it was read with read_struct() before.
template <class T>
void write_struct(T* out, T full) noexcept {
    full.struct_size = out->struct_size;
    std::memcpy(static_cast<void*>(out), &full, full.struct_size < sizeof(T) ? full.struct_size : sizeof(T));
}

Result<ByteSource> open_source(const elver_source* source);
// Runs body with the sink; a path's file appears when it succeeds.
Result<void> with_sink(const elver_sink* sink, const std::function<Result<void>(const ByteSink&)>& body);
// Nothing for ELVER_CACHE_DEFAULT.
Result<std::optional<CacheType>> cache_type_of(int number);
// Null: the defaults.
Result<SessionOptions> session_options(const elver_session_options* options);
Progress progress_of(elver_progress progress, void* context);
Result<void> check_n_threads(int n_threads, const elver_threads* shared = nullptr);

inline std::shared_ptr<ThreadPool> pool_of(const elver_threads* threads) {
    return threads == nullptr ? nullptr : threads->pool;
}

// The models that this thread's calls are at work in: a function of the host's that they call may not use those.
class AtWork {
  public:
    explicit AtWork(const elver_model* model) noexcept : model_(model), outer_(innermost) { innermost = this; }
    ~AtWork() { innermost = outer_; }
    AtWork(const AtWork&) = delete;
    AtWork& operator=(const AtWork&) = delete;
    static bool in(const elver_model* model) noexcept {
        const AtWork* w = innermost;
        while (w != nullptr && w->model_ != model) w = w->outer_;
        return w != nullptr;
    }

  private:
    static constinit inline thread_local const AtWork* innermost = nullptr;
    const elver_model* model_;
    const AtWork* outer_;
};
inline Error model_busy() {
    return Error(Status::busy, "the model is being loaded by another call, or at work in this one", "model");
}
// What a session of the model is to read: borrowed from the caller, but for a text's tokens, which are put into ids.
Result<Input> read_input(const elver_input* given, const Model& model, std::vector<int32_t>& ids);
// An error names the flags that are not among the allowed.
Result<void> check_flags(uint32_t flags, uint32_t allowed);
Result<void> check_ids(std::span<const int32_t> ids, const Tokenizer& tokenizer);

// Runs a body that reads what loading replaces.
template <class Body>
elver_status with_model(const elver_model* model, elver_error** error, Body&& body) noexcept {
    if (model == nullptr) return null_argument(error, "model");
    return guarded(error, [&]() -> Result<void> {
        if (model->loading.load() || AtWork::in(model)) return model_busy();
        const AtWork here(model);
        const std::shared_lock lock(model->mutex);
        return body(*model->model);
    });
}

// Marks an object as used for the length of a call; false where another thread uses it.
class InUse {
  public:
    explicit InUse(std::atomic<bool>& flag) : flag_(flag), taken_(!flag.exchange(true)) {}
    ~InUse() {
        if (taken_) flag_.store(false);
    }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    explicit operator bool() const noexcept { return taken_; }

  private:
    std::atomic<bool>& flag_;
    bool taken_;
};

// A call in an object, named for errors, that one thread at a time may use.
template <class Object, class Body>
elver_status in_object(Object* object, const char* name, elver_error** error, Body&& body) noexcept {
    if (object == nullptr) return null_argument(error, name);
    return guarded(error, [&]() -> Result<void> {
        const InUse use(object->in_use);
        if (!use) return Error(Status::busy, cat("the ", name, " is used by another thread now"), name);
        return body();
    });
}

}  // namespace elver::capi
