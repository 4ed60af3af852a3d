// Every allocation, and every call to the system about files, made to fail once in every operation: an error comes back
// (or the operation does without), nothing leaks, files appear whole or not at all, and what was there before is
// usable.
#include <elver/elver_experimental.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <vector>

#include "faults.hpp"
#include "handles.hpp"

using namespace capi_test;
using faults::Kind;

namespace {

namespace fs = std::filesystem;

constexpr int32_t prompt[] = {3, 14, 15, 9, 26, 5, 35, 8};
const std::string completion = R"({"ids": [3, 14, 15, 9], "max_tokens": 5, "temperature": 0.8, "seed": 7,
    "ignore_eos": true, "stop": ["never"], "top_logprobs": 3, "logprobs": true})";

fs::path scratch_file() {
    return fs::temp_directory_path() / ("elver_faults_" + std::to_string(::getpid()));
}

// One run of an operation: made before the faults are watched, called under them, and asked afterwards.
struct Run {
    std::function<elver_status(elver_error**)> call;
    std::function<void(elver_status)> check = [](elver_status) {};
};

bool is_expected(Kind kind, elver_status status) {
    if (status == ELVER_OK || status == ELVER_OUT_OF_MEMORY) return true;
    return kind == Kind::system && (status == ELVER_IO || status == ELVER_BAD_FILE);
}

// Makes a run again and again, each time with the next call of the kind failing, until none is left to fail. Returns
// how many have.
int fail_each(const std::string& name, Kind kind, const std::function<Run()>& make) {
    CAPTURE(name);
    const auto once = [&](int64_t n) {
        const Run run = make();
        elver_error* error = nullptr;
        elver_status status;
        bool failed;
        {
            const faults::Watch watch(kind, n);
            status = run.call(&error);
            failed = watch.failed();
        }
        const Own<elver_error> owned(error);
        const std::string message = elver_error_message(error);
        CHECK_MESSAGE(is_expected(kind, status), "call ", n, ": ", message);
        if (!failed || kind == Kind::partial) CHECK_MESSAGE(status == ELVER_OK, message);
        if (status != ELVER_OK && kind == Kind::system) CHECK(message != "");
        run.check(status);
        return failed;
    };
    once(-1), once(0);  // what is made on first use stays
    int n_failed = 0;
    for (;; ++n_failed) {
        const faults::Held before = faults::held();
        const bool failed = once(n_failed);
        const faults::Held after = faults::held();
        CHECK_MESSAGE(after.blocks == before.blocks, "call ", n_failed);
        CHECK_MESSAGE(after.mapped == before.mapped, "call ", n_failed);
        CHECK_MESSAGE(after.descriptors == before.descriptors, "call ", n_failed);
        if (!failed) return n_failed;
    }
}

template <class Make>
void fail_each_of_all_kinds(const char* name, Make make) {
    CHECK(fail_each(name, Kind::memory, make) > 0);
    fail_each(name, Kind::system, make);
}

Own<elver_model> loaded(const elver_source& source) {
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    Own<elver_model> model = open(source, &options);
    REQUIRE(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    return model;
}

std::vector<float> logits_after(elver_session* s, const int32_t* ids, size_t n) {
    REQUIRE(prefill_ids(s, ids, n, nullptr, nullptr) == ELVER_OK);
    size_t n_logits = 0;
    const float* logits = elver_session_logits(s, &n_logits);
    return {logits, logits + n_logits};
}

elver_status answer(elver_session* s, const std::string& request, std::vector<int32_t>& ids, elver_error** error) {
    elver_status status = begin_completion(s, request, nullptr, nullptr, error);
    elver_event event = ELVER_EVENT_INIT;
    while (status == ELVER_OK && event.finish == ELVER_FINISH_NONE) {
        status = elver_session_next(s, &event, error);
        if (status == ELVER_OK && event.id >= 0) ids.push_back(event.id);
    }
    return status;
}

elver_sink path_sink(const std::string& path) {
    elver_sink sink = ELVER_SINK_INIT;
    sink.path = path.data();
    sink.path_size = path.size();
    return sink;
}

// A session of a model of its own that stands behind the prompt, and what it goes on with. A model all of whose layers
// have windows goes on beyond the positions of the session.
struct Standing {
    static constexpr int32_t more[] = {7, 1, 2};
    const char* name;
    Own<elver_model> model;
    Own<elver_session> session;

    explicit Standing(bool with_prompt = true, const char* model_name = "llama")
        : name(model_name),
          model(loaded(path_source(path_of(model_name)))),
          session(capi_test::session(model.get(), 128, 5)) {
        if (with_prompt) REQUIRE(prefill_ids(session.get(), prompt, 8, nullptr, nullptr) == ELVER_OK);
    }
    static std::string path_of(const char* name) {
        return std::string(ELVER_TEST_DATA) + "/golden/archs/" + name + ".gguf";
    }
    // Goes on as a session does that nothing has happened to.
    void check_goes_on() const {
        static std::map<std::string, std::vector<float>> known;
        auto& expected = known[name];
        if (expected.empty()) expected = logits_after(Standing(true, name).session.get(), more, 3);
        CHECK(elver_session_position(session.get()) == 8);
        CHECK(logits_after(session.get(), more, 3) == expected);
    }
};

// The files beside path that begin with its name.
int n_files(const fs::path& path) {
    int n = 0;
    for (const auto& entry : fs::directory_iterator(path.parent_path()))
        n += entry.path().filename().string().find(path.filename().string()) != std::string::npos;
    return n;
}

// An operation that writes a file: it is there and whole, or not there at all.
void fail_each_write(const char* name, const std::function<elver_status(const elver_sink*, elver_error**)>& write) {
    const std::string path = scratch_file().string();
    const elver_sink sink = path_sink(path);
    REQUIRE(write(&sink, nullptr) == ELVER_OK);
    const Bytes expected = read_bytes(path);
    fs::remove(path);
    const auto make = [&] {
        return Run{[&](elver_error** e) { return write(&sink, e); },
                   [&](elver_status status) {
                       // Under a name it is whole, whatever the call says of it (its folder could not be flushed).
                       if (status == ELVER_OK) CHECK(fs::exists(path));
                       if (fs::exists(path)) CHECK(read_bytes(path) == expected);
                       CHECK(n_files(path) == int{fs::exists(path)});
                       fs::remove(path);
                   }};
    };
    fail_each(name, Kind::memory, make);
    CHECK(fail_each(name, Kind::system, make) > 2);
    CHECK(fail_each(name, Kind::partial, make) > 0);
}

}  // namespace

TEST_CASE("faults: opening and loading a model") {
    const std::string path = tiny_path();
    const elver_source source = path_source(path);
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    fail_each_of_all_kinds("open", [&] {
        auto model = std::make_shared<Own<elver_model>>();
        return Run{[&, model](elver_error** e) {
                       elver_model* out = nullptr;
                       const elver_status status = elver_model_open(&source, &options, &out, e);
                       model->reset(out);
                       return status;
                   },
                   [model](elver_status status) { CHECK((*model != nullptr) == (status == ELVER_OK)); }};
    });
    fail_each_of_all_kinds("load", [&] {
        auto model = std::make_shared<Own<elver_model>>(open(source, &options));
        return Run{[model](elver_error** e) { return elver_model_load(model->get(), nullptr, nullptr, e); },
                   [model](elver_status) {
                       REQUIRE(elver_model_load(model->get(), nullptr, nullptr, nullptr) == ELVER_OK);
                       const auto s = session(model->get(), 16, 4);
                       CHECK(logits_after(s.get(), prompt, 8).size() == 61);
                   }};
    });
}

TEST_CASE("faults: sessions") {
    fail_each_of_all_kinds("session", [] {
        auto model = std::make_shared<Own<elver_model>>(loaded(path_source(tiny_path())));
        return Run{[model](elver_error** e) {
            elver_session* out = nullptr;
            const elver_status status = elver_session_open(model->get(), nullptr, &out, e);
            CHECK((out != nullptr) == (status == ELVER_OK));
            elver_session_release(out);
            return status;
        }};
    });
    fail_each("prefill", Kind::memory, [] {
        auto s = std::make_shared<Standing>(false);
        return Run{[s](elver_error** e) { return prefill_ids(s->session.get(), prompt, 8, nullptr, e); },
                   [s](elver_status) {
                       const int n = elver_session_position(s->session.get());
                       REQUIRE(prefill_ids(s->session.get(), prompt + n, size_t(8 - n), nullptr, nullptr) == ELVER_OK);
                       s->check_goes_on();
                   }};
    });
    fail_each("fork", Kind::memory, [] {
        auto s = std::make_shared<Standing>();
        auto fork = std::make_shared<Own<elver_session>>();
        return Run{[=](elver_error** e) {
                       elver_session* out = nullptr;
                       const elver_status status = elver_session_fork(s->session.get(), nullptr, nullptr, &out, e);
                       fork->reset(out);
                       return status;
                   },
                   [=](elver_status status) {
                       CHECK((*fork != nullptr) == (status == ELVER_OK));
                       s->check_goes_on();
                   }};
    });
    fail_each("embed", Kind::memory, [] {
        auto s = std::make_shared<Standing>();
        auto out = std::make_shared<std::vector<float>>(static_cast<size_t>(elver_model_width(s->model.get())));
        return Run{[=](elver_error** e) {
                       const elver_input input = ids_input(prompt, 8);
                       return elver_session_embed(s->session.get(), &input, nullptr, out->data(), out->size(), e);
                   },
                   [=](elver_status) {
                       REQUIRE(elver_session_rewind(s->session.get(), 0, nullptr) == ELVER_OK);
                       REQUIRE(prefill_ids(s->session.get(), prompt, 8, nullptr, nullptr) == ELVER_OK);
                       s->check_goes_on();
                   }};
    });
}

TEST_CASE("faults: an answer goes on or can be begun again") {
    std::vector<int32_t> expected;
    {
        const Standing fresh;
        REQUIRE(answer(fresh.session.get(), completion, expected, nullptr) == ELVER_OK);
        REQUIRE(expected.size() == 5);
    }
    fail_each("complete", Kind::memory, [&] {
        auto s = std::make_shared<Standing>();
        auto found = std::make_shared<std::vector<int32_t>>();
        found->reserve(8);
        return Run{[=](elver_error** e) { return answer(s->session.get(), completion, *found, e); },
                   [&, s](elver_status) {
                       std::vector<int32_t> ids;
                       CHECK(answer(s->session.get(), completion, ids, nullptr) == ELVER_OK);
                       CHECK(ids == expected);
                   }};
    });
}

TEST_CASE("faults: a chat, its template and tokens") {
    static const Bytes file = tiny_with_template();
    const auto model = loaded(memory_source(file));
    const std::string request = R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_tokens": 2, "stop": ["a", "b"], "logit_bias": {"1": 2.5, "7": false}, "metadata": {"a": [[1, {"b": "c"}], {}]}})";
    fail_each("chat", Kind::memory, [&] {
        // A model of its own: whether pages of a former answer are kept may depend on the call that failed.
        const auto own = std::make_shared<Own<elver_model>>(loaded(memory_source(file)));
        auto s = std::make_shared<Own<elver_session>>(session(own->get(), 48, 5));
        return Run{[&, s](elver_error** e) {
                       return elver_session_chat(s->get(), request.data(), request.size(), nullptr, e);
                   },
                   [own, s](elver_status) {
                       REQUIRE(elver_session_rewind(s->get(), 0, nullptr) == ELVER_OK);
                       CHECK(logits_after(s->get(), prompt, 8).size() > 0);
                   }};
    });
    elver_tokenizer* tokenizer = nullptr;
    REQUIRE(elver_model_tokenizer(model.get(), &tokenizer, nullptr) == ELVER_OK);
    const Own<elver_tokenizer> owned(tokenizer);
    const std::string text = "Hello, w\xc3\xb6rld";
    fail_each("encode", Kind::memory, [&] {
        return Run{[&](elver_error** e) {
            elver_ids* out = nullptr;
            const elver_status status = elver_tokenizer_encode(
                tokenizer, text.data(), text.size(), ELVER_TEXT_ADD_SPECIAL | ELVER_TEXT_PARSE_SPECIAL, &out, e);
            elver_ids_release(out);
            return status;
        }};
    });
    fail_each("decode", Kind::memory, [&] {
        return Run{[&](elver_error** e) {
            elver_text* out = nullptr;
            const elver_status status = elver_tokenizer_decode(tokenizer, prompt, 8, ELVER_TEXT_SHOW_SPECIAL, &out, e);
            elver_text_release(out);
            return status;
        }};
    });
    for (int what = ELVER_DESCRIBE_METADATA; what <= ELVER_DESCRIBE_PROGRAM; ++what) {
        fail_each("describe", Kind::memory, [&] {
            return Run{[&, what](elver_error** e) {
                elver_text* out = nullptr;
                const elver_status status =
                    elver_model_describe(model.get(), static_cast<elver_describe>(what), &out, e);
                elver_text_release(out);
                return status;
            }};
        });
    }
    fail_each_of_all_kinds("tokenizer", [&] {
        return Run{[](elver_error** e) {
            const elver_source source = memory_source(file);
            elver_tokenizer* out = nullptr;
            const elver_status status = elver_tokenizer_open(&source, &out, e);
            elver_tokenizer_release(out);
            return status;
        }};
    });
}

TEST_CASE("faults: files are written whole or not at all") {
    const Standing s;
    fail_each_write(
        "save", [&](const elver_sink* sink, elver_error** e) { return elver_session_save(s.session.get(), sink, e); });
    fail_each_write("pack", [&](const elver_sink* sink, elver_error** e) {
        return elver_model_pack(s.model.get(), sink, nullptr, e);
    });
    const std::string path = tiny_path();
    fail_each_write("quantize", [&](const elver_sink* sink, elver_error** e) {
        const elver_source source = path_source(path);
        elver_quantize_options options = ELVER_QUANTIZE_OPTIONS_INIT;
        options.type = "Q8_0";
        options.type_size = 4;
        options.n_threads = 1;
        return elver_model_quantize(&source, sink, &options, e);
    });
    s.check_goes_on();
}

TEST_CASE("faults: a snapshot is restored whole or changes nothing") {
    const std::string path = scratch_file().string();
    for (const char* name : {"llama", "mistral", "mamba"}) {
        CAPTURE(name);
        // The second has windows alone: it holds more tokens than the session that becomes it has positions.
        const int n_tokens = std::string(name) == "mistral" ? 300 : 60;
        std::vector<int32_t> ids;
        for (int i = 0; i < n_tokens; ++i) ids.push_back(i * i % 61);
        std::vector<float> expected;
        {
            const Standing s(false, name);
            const elver_sink sink = path_sink(path);
            REQUIRE(prefill_ids(s.session.get(), ids.data(), ids.size(), nullptr, nullptr) == ELVER_OK);
            REQUIRE(elver_session_save(s.session.get(), &sink, nullptr) == ELVER_OK);
            expected = logits_after(s.session.get(), prompt, 1);
        }
        const elver_source source = path_source(path);
        fail_each_of_all_kinds("restore", [&] {
            auto s = std::make_shared<Standing>(true, name);
            return Run{[&, s](elver_error** e) { return elver_session_restore(s->session.get(), &source, e); },
                       [&, s](elver_status status) {
                           if (status != ELVER_OK) return s->check_goes_on();
                           CHECK(elver_session_position(s->session.get()) == n_tokens);
                           CHECK(logits_after(s->session.get(), prompt, 1) == expected);
                       }};
        });
        fs::remove(path);
    }
}

TEST_CASE("soak: a thousand sessions of one model, opened, used and released, leave not a byte") {
    const auto model = loaded(path_source(tiny_path()));
    std::vector<Own<elver_session>> open(16);
    const auto use = [&](int i) {
        auto& s = open[static_cast<size_t>(i) % open.size()];
        s = session(model.get(), 48 + i % 3, 5);
        REQUIRE(prefill_ids(s.get(), prompt, 8, nullptr, nullptr) == ELVER_OK);
        std::vector<int32_t> ids;
        REQUIRE(answer(s.get(), completion, ids, nullptr) == ELVER_OK);
        if (i % 5 == 0) {
            elver_session* fork = nullptr;
            REQUIRE(elver_session_fork(s.get(), nullptr, nullptr, &fork, nullptr) == ELVER_OK);
            s.reset(fork);
        }
    };
    const auto round = [&](int n) {
        for (int i = 0; i < n; ++i) use(i);
        for (auto& s : open) s.reset();
        return faults::held();
    };
    const faults::Held before = round(16);
    const faults::Held after = round(1000);
    CHECK(after.blocks == before.blocks);
    CHECK(after.bytes == before.bytes);
    CHECK(after.mapped == before.mapped);
}
