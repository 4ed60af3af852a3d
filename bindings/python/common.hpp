// What the classes of the extension share: errors as exceptions, handles that may be closed while a call runs, sources
// of bytes, callbacks into Python, and Ctrl-C.
#pragma once

#include <elver/elver.h>
#include <elver/elver_experimental.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace elver::python {

namespace py = pybind11;

// An elver_status on its way to the exception class of its number.
struct Failure {
    elver_status status;
    std::string message, object;
};

template <auto release>
struct Releaser {
    template <class T>
    void operator()(T* handle) const noexcept {
        release(handle);
    }
};
template <class T, auto release>
using Handle = std::unique_ptr<T, Releaser<release>>;

// Runs a C call, which takes an error last and is over at once.
template <class Call>
void check_locked(Call&& call) {
    elver_error* raw = nullptr;
    const elver_status status = call(&raw);
    if (status == ELVER_OK) return;
    const Handle<elver_error, elver_error_release> error(raw);
    throw Failure{status, raw == nullptr ? "out of memory" : elver_error_message(raw), elver_error_object(raw)};
}
// The same without the GIL.
template <class Call>
void check(Call&& call) {
    check_locked([&](elver_error** error) {
        const py::gil_scoped_release unlocked;
        return call(error);
    });
}

inline py::str take(elver_text* raw) {
    const Handle<elver_text, elver_text_release> text(raw);
    return py::str(elver_text_data(raw), elver_text_size(raw));
}

[[noreturn]] inline void fail(std::string message, std::string object) {
    throw Failure{ELVER_INVALID_ARGUMENT, std::move(message), std::move(object)};
}

// A C handle that calls borrow a share of, so that close() in another thread never takes it from under them. After
// fork() the child has none of the threads that the handle counts on: it may neither use nor release it.
template <class T, auto release>
class Owned {
  public:
    explicit Owned(const char* name) : name_(name) {}
    // keeps: what must outlive the handle.
    void reset(T* handle, std::shared_ptr<void> keeps = {}) {
        const pid_t made_in = getpid();
        std::shared_ptr<T> made(handle, [made_in, keeps = std::move(keeps)](T* h) {
            if (getpid() == made_in) release(h);
        });
        const std::lock_guard lock(mutex_);
        handle_ = std::move(made);
        made_in_ = made_in;
    }
    std::shared_ptr<T> get() const {
        const std::lock_guard lock(mutex_);
        if (handle_ == nullptr) fail(std::string("the ") + name_ + " is closed", name_);
        if (getpid() != made_in_)
            fail(std::string("the ") + name_ + " was made before a fork(); open the model again in this process",
                 name_);
        return handle_;
    }
    void close() {
        std::shared_ptr<T> last;
        {
            const std::lock_guard lock(mutex_);
            last = std::move(handle_);
        }
    }
    bool closed() const {
        const std::lock_guard lock(mutex_);
        return handle_ == nullptr;
    }

  private:
    const char* name_;
    mutable std::mutex mutex_;
    std::shared_ptr<T> handle_;
    pid_t made_in_ = 0;
};

// Text from Python: borrowed, and refused where it is none.
class Text {
  public:
    Text(const py::object& given, const char* name);
    const char* data() const noexcept { return data_; }
    size_t size() const noexcept { return static_cast<size_t>(size_); }

  private:
    const char* data_;
    Py_ssize_t size_ = 0;
};

// Bytes to open a model from, as _files.py gives them: a path as bytes, (descriptor, position), or a memoryview, whose
// buffer is kept and not copied.
class Source {
  public:
    explicit Source(const py::object& given);
    const elver_source* c() const noexcept { return &source_; }
    // What must live as long as the handle made from it.
    std::shared_ptr<void> keeps() const { return keeps_; }

  private:
    elver_source source_ = ELVER_SOURCE_INIT;
    std::string path_;
    std::shared_ptr<void> keeps_;
};

// Something in Python to be called from within a C call. What it raises stops that call and is raised by rethrow().
class Callback {
  public:
    explicit Callback(py::object function) : function_(std::move(function)) {}
    bool given() const { return !function_.is_none(); }

    // Runs body, a callable that may raise, under the GIL: false when it did, or answered False.
    template <class Body>
    int run(Body&& body) noexcept {
        const py::gil_scoped_acquire locked;
        try {
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            const py::object answer = body(function_);
            return answer.ptr() == Py_False ? 0 : 1;
        } catch (...) {
            raised_ = std::current_exception();
            return 0;
        }
    }
    void rethrow() const {
        if (raised_) std::rethrow_exception(raised_);
    }
    static int progress(double fraction, void* context) {
        return static_cast<Callback*>(context)->run([&](const py::object& function) -> py::object {
            return function.is_none() ? py::none() : py::object(function(fraction));
        });
    }

  private:
    py::object function_;
    std::exception_ptr raised_;
};

// Where bytes go, as _files.py gives it: a path as bytes, or a function that takes all of them.
class Sink {
  public:
    explicit Sink(const py::object& given);
    const elver_sink* c() const noexcept { return &sink_; }
    Callback& callback() noexcept { return write_; }

  private:
    elver_sink sink_ = ELVER_SINK_INIT;
    std::string path_;
    Callback write_{py::none()};
};

// Runs a C call that may call back; what Python raised there goes before the call's own error.
template <class Call, class... More>
void check(Callback& callback, Call&& call, More&... more) {
    const auto rethrow = [&] {
        callback.rethrow();
        (more.rethrow(), ...);
    };
    try {
        check(std::forward<Call>(call));
    } catch (const Failure&) {
        rethrow();
        throw;
    }
    rethrow();  // a call whose work was done does not fail
}

// What every call that asks for a session is told of it; priority, context_policy and n_keep where one is opened.
elver_session_options session_options(int n_ctx, int max_batch, int cache_type, int priority = 0,
                                      int context_policy = 0, int n_keep = 0);

struct Tokenizer {
    Tokenizer(elver_tokenizer* owned, std::shared_ptr<void> keeps) { handle.reset(owned, std::move(keeps)); }
    Owned<elver_tokenizer, elver_tokenizer_release> handle{"tokenizer"};
};

struct Threads {
    explicit Threads(int n_threads);
    Owned<elver_threads, elver_threads_release> handle{"threads"};
};

struct Model {
    Owned<elver_model, elver_model_release> handle{"model"};
};

std::unique_ptr<Tokenizer> tokenizer_of(std::shared_ptr<elver_model> model);

// Token ids as Python has them: an int32 array, which is borrowed where it is contiguous, or any sequence of integers.
// Bytes and texts are none.
class Ids {
  public:
    explicit Ids(const py::object& given, const char* name = "ids");
    const int32_t* data() const noexcept { return array_.data(); }
    size_t size() const noexcept { return static_cast<size_t>(array_.size()); }

  private:
    py::array_t<int32_t, py::array::c_style> array_;
};

// What a session reads: a text, a matrix of floats whose rows stand in place of tokens' embeddings, or ids. It borrows
// what Python has.
class Input {
  public:
    // flags: of a text.
    Input(const py::object& given, uint32_t flags);
    const elver_input* c() const noexcept { return &input_; }

  private:
    elver_input input_ = ELVER_INPUT_INIT;
    std::optional<Text> text_;
    std::optional<Ids> ids_;
    py::array_t<float, py::array::c_style | py::array::forcecast> rows_;
};

// Of two flags of Python's.
constexpr uint32_t text_flags(bool add_special, bool parse_special) noexcept {
    return (add_special ? uint32_t{ELVER_TEXT_ADD_SPECIAL} : 0U) |
           (parse_special ? uint32_t{ELVER_TEXT_PARSE_SPECIAL} : 0U);
}
constexpr uint32_t show_flag(bool special) noexcept {
    return special ? uint32_t{ELVER_TEXT_SHOW_SPECIAL} : 0U;
}

void bind_model(py::module_& m);
void bind_session(py::module_& m);
void bind_ops(py::module_& m);

}  // namespace elver::python
