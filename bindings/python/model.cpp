// Models and tokenizers.
#include "common.hpp"

namespace elver::python {

namespace {

// A function of Python that takes the lines of a model's log. What it raises is printed, as all that nobody can catch.
struct LogFunction {
    py::object function;

    static void take(int32_t level, const char* line, size_t size, void* context) noexcept {
        const py::gil_scoped_acquire locked;
        try {
            // The numbers of the module logging: DEBUG is 10, INFO 20, WARNING 30.
            static_cast<LogFunction*>(context)->function(10 * (level + 1), py::str(line, size));
        } catch (py::error_already_set& raised) {
            raised.discard_as_unraisable("elver's log");
        } catch (...) {
        }
    }
    static std::shared_ptr<LogFunction> make(py::object function) {
        return {new LogFunction{std::move(function)}, [](LogFunction* log) {
                    const py::gil_scoped_acquire locked;
                    delete log;
                }};
    }
};

std::unique_ptr<Model> open_model(const py::object& given, int n_threads, const Threads* threads, uint64_t budget_bytes,
                                  uint64_t page_bytes, int pass_tokens, int pass_sessions, double prompt_gap, int n_ctx,
                                  int max_batch, int cache_type, py::object log) {
    const Source source(given);
    const elver_session_options session = session_options(n_ctx, max_batch, cache_type);
    const std::shared_ptr<elver_threads> shared = threads == nullptr ? nullptr : threads->handle.get();
    struct Keeps {
        std::shared_ptr<void> source;
        std::shared_ptr<LogFunction> log;
    };
    const auto keeps = std::make_shared<Keeps>(Keeps{source.keeps(), {}});
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = n_threads;
    options.threads = shared.get();
    options.budget_bytes = budget_bytes;
    options.page_bytes = page_bytes;
    options.pass_tokens = pass_tokens;
    options.pass_sessions = pass_sessions;
    options.prompt_gap = static_cast<float>(prompt_gap);
    options.session = &session;
    if (!log.is_none()) {
        keeps->log = LogFunction::make(std::move(log));
        options.log = LogFunction::take;
        options.log_context = keeps->log.get();
    }
    elver_model* out = nullptr;
    check([&](elver_error** e) { return elver_model_open(source.c(), &options, &out, e); });
    auto model = std::make_unique<Model>();
    model->handle.reset(out, keeps);
    return model;
}

py::tuple fit(const Model& self, uint64_t budget_bytes, int n_sessions, int n_ctx, int max_batch, int cache_type) {
    const auto model = self.handle.get();
    const elver_session_options options = session_options(n_ctx, max_batch, cache_type);
    elver_fit f = ELVER_FIT_INIT;
    check([&](elver_error** e) { return elver_model_fit(model.get(), budget_bytes, &options, n_sessions, &f, e); });
    return py::make_tuple(f.n_ctx, f.n_sessions, f.total, f.least);
}

void load(const Model& self, py::object progress) {
    const auto model = self.handle.get();
    Callback callback(std::move(progress));
    check(callback, [&](elver_error** e) { return elver_model_load(model.get(), Callback::progress, &callback, e); });
}

py::tuple plan(const Model& self, int n_ctx, int max_batch, int cache_type) {
    const auto model = self.handle.get();
    const elver_session_options options = session_options(n_ctx, max_batch, cache_type);
    elver_plan p = ELVER_PLAN_INIT;
    check([&](elver_error** e) { return elver_model_plan(model.get(), &options, &p, e); });
    return py::make_tuple(p.weights, p.kv_cache, p.scratch, p.total, p.n_ctx, p.max_batch, p.cache_type,
                          p.token_weights);
}

py::str describe(const Model& self, int what) {
    const auto model = self.handle.get();
    elver_text* out = nullptr;
    check(
        [&](elver_error** e) { return elver_model_describe(model.get(), static_cast<elver_describe>(what), &out, e); });
    return take(out);
}

py::tuple measure(const Model& self) {
    const auto model = self.handle.get();
    elver_machine machine = ELVER_MACHINE_INIT;
    check([&](elver_error** e) { return elver_model_measure(model.get(), &machine, e); });
    return py::make_tuple(machine.dot_ops_per_s, machine.read_bytes_per_s);
}

// Runs a C call that writes to a sink and tells its progress as the options say; what Python raised in either goes
// first.
template <class Options, class Call>
void write_to(const py::object& given, py::object progress, Options& options, Call&& call) {
    Sink sink(given);
    Callback callback(std::move(progress));
    options.progress = Callback::progress;
    options.context = &callback;
    check(
        callback, [&](elver_error** e) { return call(sink.c(), e); }, sink.callback());
}

void pack(const Model& self, const py::object& sink, py::object progress) {
    const auto model = self.handle.get();
    elver_pack_options options = ELVER_PACK_OPTIONS_INIT;
    write_to(sink, std::move(progress), options,
             [&](const elver_sink* to, elver_error** e) { return elver_model_pack(model.get(), to, &options, e); });
}

void write_synth(const py::object& given, int n_layers, const py::object& sink, py::object progress) {
    const Text name(given, "name");
    elver_synth_options options = ELVER_SYNTH_OPTIONS_INIT;
    options.name = name.data();
    options.name_size = name.size();
    options.n_layers = n_layers;
    write_to(sink, std::move(progress), options,
             [&](const elver_sink* to, elver_error** e) { return elver_model_synth(to, &options, e); });
}

void quantize(const py::object& given, const py::object& sink, const py::object& given_type, int n_threads,
              py::object progress) {
    const Source source(given);
    const Text type(given_type, "type");
    elver_quantize_options options = ELVER_QUANTIZE_OPTIONS_INIT;
    options.type = type.data();
    options.type_size = type.size();
    options.n_threads = n_threads;
    write_to(sink, std::move(progress), options,
             [&](const elver_sink* to, elver_error** e) { return elver_model_quantize(source.c(), to, &options, e); });
}

std::unique_ptr<Tokenizer> open_tokenizer(const py::object& given) {
    const Source source(given);
    elver_tokenizer* out = nullptr;
    check([&](elver_error** e) { return elver_tokenizer_open(source.c(), &out, e); });
    return std::make_unique<Tokenizer>(out, source.keeps());
}

py::list encode(const Tokenizer& self, const py::object& given, bool add_special, bool parse_special) {
    const auto t = self.handle.get();
    const Text text(given, "text");
    elver_ids* raw = nullptr;
    check([&](elver_error** e) {
        return elver_tokenizer_encode(t.get(), text.data(), text.size(), text_flags(add_special, parse_special), &raw,
                                      e);
    });
    const Handle<elver_ids, elver_ids_release> ids(raw);
    py::list out(elver_ids_size(raw));
    for (size_t i = 0; i < out.size(); ++i) out[i] = elver_ids_data(raw)[i];
    return out;
}

py::str decode(const Tokenizer& self, const py::object& given, bool special) {
    const auto t = self.handle.get();
    const Ids ids(given);
    elver_text* out = nullptr;
    check([&](elver_error** e) {
        return elver_tokenizer_decode(t.get(), ids.data(), ids.size(), show_flag(special), &out, e);
    });
    return take(out);
}

// (bytes, kind, is_control, is_end)
py::tuple token(const Tokenizer& self, int id) {
    const auto t = self.handle.get();
    elver_token out = ELVER_TOKEN_INIT;
    check([&](elver_error** e) { return elver_tokenizer_token(t.get(), id, &out, e); });
    return py::make_tuple(py::bytes(out.bytes, out.n_bytes), out.kind, out.is_control != 0, out.is_end != 0);
}

int find(const Tokenizer& self, const py::object& given) {
    const auto t = self.handle.get();
    const Text text(given, "text");
    return elver_tokenizer_find(t.get(), text.data(), text.size());
}

// A stream of tokens that become text.
class Detokenizer {
  public:
    Detokenizer(const Tokenizer& tokenizer, bool special) {
        const auto t = tokenizer.handle.get();
        elver_detokenizer* out = nullptr;
        check([&](elver_error** e) { return elver_detokenizer_open(t.get(), show_flag(special), &out, e); });
        handle_.reset(out);
    }
    void follow(const py::object& given) {
        const auto d = handle_.get();
        const Ids ids(given);
        check([&](elver_error** e) { return elver_detokenizer_follow(d.get(), ids.data(), ids.size(), e); });
    }
    py::str push(int id) {
        return text([id](elver_detokenizer* d, const char** out, size_t* size, elver_error** e) {
            return elver_detokenizer_push(d, id, out, size, e);
        });
    }
    py::str finish() { return text(elver_detokenizer_finish); }
    void close() { handle_.close(); }
    bool closed() const { return handle_.closed(); }

  private:
    // Under the GIL: what the call lends is gone with the next one, which another thread may make.
    template <class Call>
    py::str text(Call&& call) {
        const auto d = handle_.get();
        const char* out = nullptr;
        size_t size = 0;
        check_locked([&](elver_error** e) { return call(d.get(), &out, &size, e); });
        return py::str(out, size);
    }

    Owned<elver_detokenizer, elver_detokenizer_release> handle_{"detokenizer"};
};

py::str render(const Tokenizer& self, const py::object& json) {
    const auto t = self.handle.get();
    const Text variables(json, "variables");
    elver_text* out = nullptr;
    check([&](elver_error** e) {
        return elver_tokenizer_render(t.get(), nullptr, 0, variables.data(), variables.size(), &out, e);
    });
    return take(out);
}

}  // namespace

Threads::Threads(int n_threads) {
    elver_threads* out = nullptr;
    check([&](elver_error** e) { return elver_threads_create(n_threads, &out, e); });
    handle.reset(out);
}

std::unique_ptr<Tokenizer> tokenizer_of(std::shared_ptr<elver_model> model) {
    elver_tokenizer* out = nullptr;
    check([&](elver_error** e) { return elver_model_tokenizer(model.get(), &out, e); });
    return std::make_unique<Tokenizer>(out, std::move(model));
}

void bind_model(py::module_& m) {
    m.def("quantize", &quantize, py::arg("source"), py::arg("sink"), py::arg("type"), py::arg("n_threads"),
          py::arg("progress"));
    m.def("write_synth", &write_synth, py::arg("name"), py::arg("n_layers"), py::arg("sink"), py::arg("progress"));
    py::class_<Threads>(m, "Threads")
        .def(py::init<int>(), py::arg("n_threads"))
        .def("count", [](const Threads& self) { return elver_threads_count(self.handle.get().get()); })
        .def("close", [](Threads& self) { self.handle.close(); })
        .def("closed", [](const Threads& self) { return self.handle.closed(); });
    py::class_<Model>(m, "Model")
        .def(py::init(&open_model), py::arg("source"), py::arg("n_threads"), py::arg("threads"),
             py::arg("budget_bytes"), py::arg("page_bytes"), py::arg("pass_tokens"), py::arg("pass_sessions"),
             py::arg("prompt_gap"), py::arg("n_ctx"), py::arg("max_batch"), py::arg("cache_type"), py::arg("log"))
        .def("load", &load, py::arg("progress"))
        .def("plan", &plan, py::arg("n_ctx"), py::arg("max_batch"), py::arg("cache_type"))
        .def("fit", &fit, py::arg("budget_bytes"), py::arg("n_sessions"), py::arg("n_ctx"), py::arg("max_batch"),
             py::arg("cache_type"))
        .def("describe", &describe, py::arg("what"))
        .def("measure", &measure)
        .def("tokenizer", [](const Model& self) { return tokenizer_of(self.handle.get()); })
        .def("pack", &pack, py::arg("sink"), py::arg("progress"))
        .def("width", [](const Model& self) { return elver_model_width(self.handle.get().get()); })
        .def("n_vocab", [](const Model& self) { return elver_model_n_vocab(self.handle.get().get()); })
        .def("n_ctx_train", [](const Model& self) { return elver_model_n_ctx_train(self.handle.get().get()); })
        .def("close", [](Model& self) { self.handle.close(); })
        .def("closed", [](const Model& self) { return self.handle.closed(); });
    py::class_<Tokenizer>(m, "Tokenizer")
        .def(py::init(&open_tokenizer), py::arg("source"))
        .def("encode", &encode, py::arg("text"), py::arg("add_special"), py::arg("parse_special"))
        .def("decode", &decode, py::arg("ids"), py::arg("special"))
        .def("render", &render, py::arg("variables"))
        .def("token", &token, py::arg("id"))
        .def("find", &find, py::arg("text"))
        .def(
            "special",
            [](const Tokenizer& self, int which) {
                return elver_tokenizer_special(self.handle.get().get(), static_cast<elver_special>(which));
            },
            py::arg("which"))
        .def("n_vocab", [](const Tokenizer& self) { return elver_tokenizer_n_vocab(self.handle.get().get()); })
        .def(
            "is_end",
            [](const Tokenizer& self, int id) { return elver_tokenizer_is_end(self.handle.get().get(), id) != 0; },
            py::arg("id"))
        .def("close", [](Tokenizer& self) { self.handle.close(); })
        .def("closed", [](const Tokenizer& self) { return self.handle.closed(); });
    py::class_<Detokenizer>(m, "Detokenizer")
        .def(py::init<const Tokenizer&, bool>(), py::arg("tokenizer"), py::arg("special"))
        .def("follow", &Detokenizer::follow, py::arg("ids"))
        .def("push", &Detokenizer::push, py::arg("id"))
        .def("finish", &Detokenizer::finish)
        .def("close", &Detokenizer::close)
        .def("closed", &Detokenizer::closed);
}

}  // namespace elver::python
