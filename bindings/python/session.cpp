// Sessions: one call at a time, each of which Ctrl-C in the main thread stops.
#include <ctime>
#include <span>
#include <vector>

#include "common.hpp"

namespace elver::python {

namespace {

// Signals are looked for this often. Asking needs the GIL, which another thread may hold for some milliseconds.
constexpr int64_t signal_interval_ms = 15;

// Milliseconds by the system's last tick where it tells them so: asked hundreds of times a token.
int64_t now_ms() noexcept {
#if defined(CLOCK_MONOTONIC_COARSE)
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1000000;
#else
    using std::chrono::steady_clock;
    return std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
#endif
}

// Stops the call that it is given to, set from any thread before or while that works.
struct Stop {
    std::atomic<bool> set{false};
};

// What elver asks while a call works in a session: whether to stop it.
class Interruption {
  public:
    // Before a call, under the GIL. The stop, if there is one, must outlive the call.
    void begin(const Stop* stop) {
        static const unsigned long main_thread =
            py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
        sees_signals_ = PyThread_get_thread_ident() == main_thread;
        stop_ = stop;
        raised_ = nullptr;
        next_look_ = now_ms() + signal_interval_ms;
    }
    // From any thread: stops the call that is at work and every later one.
    void close() noexcept { closed_.store(true); }
    bool stopped() const noexcept { return closed_.load() || (stop_ != nullptr && stop_->set.load()); }
    // Raises what a signal handler raised meanwhile.
    void rethrow() const {
        if (raised_) std::rethrow_exception(raised_);
    }

    static int go_on(void* context) {
        auto& self = *static_cast<Interruption*>(context);
        if (self.stopped()) return 0;
        if (!self.sees_signals_) return 1;
        const int64_t now = now_ms();
        if (now < self.next_look_) return 1;
        self.next_look_ = now + signal_interval_ms;
        const py::gil_scoped_acquire locked;
        if (PyErr_CheckSignals() == 0) return 1;
        self.raised_ = std::make_exception_ptr(py::error_already_set());
        return 0;
    }

  private:
    bool sees_signals_ = false;
    std::atomic<bool> closed_{false};
    const Stop* stop_ = nullptr;
    std::exception_ptr raised_;
    int64_t next_look_ = 0;
};

class Session {
    // Runs a body with the session for its own. What a signal handler raised meanwhile goes before anything else.
    template <class Body>
    auto call(Body&& body, const Stop* stop = nullptr) {
        const auto session = handle_.get();
        if (in_use_.exchange(true)) throw Failure{ELVER_BUSY, "the session is used by another thread now", "session"};
        const struct Leave {
            std::atomic<bool>& in_use;
            ~Leave() { in_use.store(false); }
        } leave{in_use_};
        interruption_->begin(stop);
        if (interruption_->stopped()) throw Failure{ELVER_CANCELLED, "the call was cancelled", "session"};
        try {
            if constexpr (std::is_void_v<decltype(body(session.get()))>) {
                body(session.get());
                interruption_->rethrow();
            } else {
                auto out = body(session.get());
                interruption_->rethrow();
                return out;
            }
        } catch (const Failure&) {
            interruption_->rethrow();
            throw;
        }
    }

  public:
    Session(const Model& model, int n_ctx, int max_batch, int cache_type, int priority, int context_policy, int n_keep)
        : model_(model.handle.get()) {
        elver_session_options options = session_options(n_ctx, max_batch, cache_type, priority, context_policy, n_keep);
        options.go_on = Interruption::go_on;
        options.context = interruption_.get();
        elver_session* out = nullptr;
        check([&](elver_error** e) { return elver_session_open(model_.get(), &options, &out, e); });
        take(out);
    }
    std::unique_ptr<Session> fork() {
        std::unique_ptr<Session> other(new Session(model_));
        call([&](elver_session* s) {
            elver_session* out = nullptr;
            check([&](elver_error** e) {
                return elver_session_fork(s, Interruption::go_on, other->interruption_.get(), &out, e);
            });
            other->take(out);
        });
        return other;
    }

    void prefill(const py::object& given, bool add_special, bool parse_special, py::object on_logits,
                 const py::object& wanted, py::object progress) {
        const Input input(given, text_flags(add_special, parse_special));
        struct Both {
            Callback logits, progress;
        } both{Callback(std::move(on_logits)), Callback(std::move(progress))};
        elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
        options.context = &both;
        options.progress = [](double fraction, void* context) {
            return Callback::progress(fraction, &static_cast<Both*>(context)->progress);
        };
        if (both.logits.given()) {
            options.on_logits = [](size_t index, const float* logits, size_t n, void* context) {
                return static_cast<Both*>(context)->logits.run([&](const py::object& function) -> py::object {
                    return function(index, py::array_t<float>(static_cast<py::ssize_t>(n), logits));
                });
            };
        }
        std::vector<size_t> indices;
        if (!wanted.is_none()) {
            for (const Ids list(wanted, "wanted"); const int32_t i : std::span(list.data(), list.size()))
                indices.push_back(i < 0 ? SIZE_MAX : static_cast<size_t>(i));
            static const size_t none = 0;
            options.wanted = indices.empty() ? &none : indices.data();
            options.n_wanted = indices.size();
        }
        call([&](elver_session* s) {
            const auto prefill = [&](elver_error** e) { return elver_session_prefill(s, input.c(), &options, e); };
            check(both.progress, prefill, both.logits);
        });
    }
    // A copy: what C lends would change with the next call.
    py::object logits() {
        return call([&](elver_session* s) -> py::object {
            size_t n = 0;
            const float* logits = elver_session_logits(s, &n);
            return logits == nullptr ? py::none() : py::object(py::array_t<float>(static_cast<py::ssize_t>(n), logits));
        });
    }
    py::array_t<float> embed(const py::object& given, bool add_special, bool parse_special, int pooling,
                             py::object progress) {
        const Input input(given, text_flags(add_special, parse_special));
        Callback callback(std::move(progress));
        elver_embed_options options = ELVER_EMBED_OPTIONS_INIT;
        options.pooling = pooling;
        options.progress = Callback::progress;
        options.context = &callback;
        return call([&](elver_session* s) {
            py::array_t<float> out(elver_model_width(elver_session_model(s)));
            float* values = out.mutable_data();
            const auto n = static_cast<size_t>(out.size());
            check(callback, [&](elver_error** e) { return elver_session_embed(s, input.c(), &options, values, n, e); });
            return out;
        });
    }
    void save(const py::object& given) {
        Sink sink(given);
        call([&](elver_session* s) {
            check(sink.callback(), [&](elver_error** e) { return elver_session_save(s, sink.c(), e); });
        });
    }
    void restore(const py::object& given) {
        const Source source(given);
        call(
            [&](elver_session* s) { check([&](elver_error** e) { return elver_session_restore(s, source.c(), e); }); });
    }
    void rewind(int position) {
        call([&](elver_session* s) { check([&](elver_error** e) { return elver_session_rewind(s, position, e); }); });
    }
    // (number of the answer, tokens of its prompt)
    py::tuple begin(decltype(elver_session_chat)* function, const py::object& json, py::object progress,
                    const Stop* stop) {
        const Text request(json, "request");
        Callback callback(std::move(progress));
        elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
        options.progress = Callback::progress;
        options.context = &callback;
        return call(
            [&](elver_session* s) {
                check(callback,
                      [&](elver_error** e) { return function(s, request.data(), request.size(), &options, e); });
                return py::make_tuple(++answer_, elver_session_position(s));
            },
            stop);
    }
    // The next step of the answer with this number: (kind, text, id, finish, logprob, [(id, logprob, bytes), ...],
    // bytes, seed, (tokens of the prompt, cached, of the answer, drafted, accepted), (seconds of the prompt, of the
    // answer))
    py::tuple next(uint64_t answer, const Stop* stop) {
        return call(
            [&](elver_session* s) {
                if (answer != answer_) fail("the answer is over: another was begun in its session", "session");
                elver_event event = ELVER_EVENT_INIT;
                check([&](elver_error** e) { return elver_session_next(s, &event, e); });
                py::list top(event.n_top);
                for (size_t i = 0; i < event.n_top; ++i) {
                    const auto& t = *reinterpret_cast<const elver_logprob*>(reinterpret_cast<const char*>(event.top) +
                                                                            i * event.top_stride);
                    top[i] = py::make_tuple(t.id, t.logprob, py::bytes(t.bytes, t.n_bytes));
                }
                return py::make_tuple(event.kind, py::str(event.text, event.text_size), event.id, event.finish,
                                      event.logprob, std::move(top), py::bytes(event.bytes, event.n_bytes), event.seed,
                                      py::make_tuple(event.n_prompt, event.n_cached, event.n_generated, event.n_drafted,
                                                     event.n_accepted),
                                      py::make_tuple(event.prompt_seconds, event.generation_seconds));
            },
            stop);
    }
    int position() {
        return call([](elver_session* s) { return elver_session_position(s); });
    }
    int n_ctx() const { return elver_session_n_ctx(handle_.get().get()); }
    void cancel() const { elver_session_cancel(handle_.get().get()); }
    void close() {
        interruption_->close();
        handle_.close();
    }
    bool closed() const { return handle_.closed(); }

  private:
    struct Keeps {
        std::shared_ptr<elver_model> model;
        std::shared_ptr<Interruption> interruption;
    };
    explicit Session(std::shared_ptr<elver_model> model) : model_(std::move(model)) {}
    void take(elver_session* opened) { handle_.reset(opened, std::make_shared<Keeps>(Keeps{model_, interruption_})); }

    std::shared_ptr<elver_model> model_;
    std::shared_ptr<Interruption> interruption_ = std::make_shared<Interruption>();
    Owned<elver_session, elver_session_release> handle_{"session"};
    std::atomic<bool> in_use_{false};
    uint64_t answer_ = 0;  // the last that was begun
};

}  // namespace

void bind_session(py::module_& m) {
    py::class_<Stop>(m, "Stop")
        .def(py::init<>())
        .def("set", [](Stop& self) { self.set.store(true); })
        .def("is_set", [](const Stop& self) { return self.set.load(); });
    py::class_<Session>(m, "Session")
        .def(py::init<const Model&, int, int, int, int, int, int>(), py::arg("model"), py::arg("n_ctx"),
             py::arg("max_batch"), py::arg("cache_type"), py::arg("priority"), py::arg("context_policy"),
             py::arg("n_keep"))
        .def("prefill", &Session::prefill, py::arg("input"), py::arg("add_special"), py::arg("parse_special"),
             py::arg("on_logits"), py::arg("wanted"), py::arg("progress"))
        .def("logits", &Session::logits)
        .def("rewind", &Session::rewind, py::arg("position"))
        .def("embed", &Session::embed, py::arg("input"), py::arg("add_special"), py::arg("parse_special"),
             py::arg("pooling"), py::arg("progress"))
        .def("save", &Session::save, py::arg("sink"))
        .def("restore", &Session::restore, py::arg("source"))
        .def("fork", &Session::fork)
        .def(
            "chat",
            [](Session& self, const py::object& request, py::object progress, const Stop* stop) {
                return self.begin(elver_session_chat, request, std::move(progress), stop);
            },
            py::arg("request"), py::arg("progress"), py::arg("stop"))
        .def(
            "complete",
            [](Session& self, const py::object& request, py::object progress, const Stop* stop) {
                return self.begin(elver_session_complete, request, std::move(progress), stop);
            },
            py::arg("request"), py::arg("progress"), py::arg("stop"))
        .def("next", &Session::next, py::arg("answer"), py::arg("stop"))
        .def("position", &Session::position)
        .def("n_ctx", &Session::n_ctx)
        .def("cancel", &Session::cancel)
        .def("close", &Session::close)
        .def("closed", &Session::closed);
}

}  // namespace elver::python
