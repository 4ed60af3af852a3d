// Opening from a path, a descriptor and memory; plan and budget; loading, cancelled and done; what a model says of
// itself.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

std::vector<float> last_logits(const elver_model* model) {
    const auto s = session(model);
    const int32_t ids[] = {3, 14, 15, 9, 2, 6};
    REQUIRE(prefill_ids(s.get(), ids, 6, nullptr, nullptr) == ELVER_OK);
    size_t n = 0;
    const float* logits = elver_session_logits(s.get(), &n);
    REQUIRE(n == static_cast<size_t>(elver_model_n_vocab(model)));
    return {logits, logits + n};
}

Failure open_failure(const elver_source& source, const elver_model_options* options = nullptr) {
    auto* untouched = reinterpret_cast<elver_model*>(0x10);
    elver_model* model = untouched;
    const Failure f = failure([&](elver_error** e) { return elver_model_open(&source, options, &model, e); });
    CHECK(model == untouched);
    return f;
}

struct File {
    std::string path = "/tmp/elver_capi_XXXXXX";
    int fd = mkstemp(path.data());
    ~File() {
        close(fd);
        std::remove(path.c_str());
    }
};

}  // namespace

TEST_CASE("capi: a path, a descriptor with an offset and memory open the same model") {
    const Bytes bytes = read_bytes(tiny_path());
    const auto by_path = load(path_source(tiny_path()));
    const auto by_memory = load(memory_source(bytes));
    File file;
    const std::string before(4096 + 13, 'x');
    REQUIRE(write(file.fd, before.data(), before.size()) == static_cast<ssize_t>(before.size()));
    REQUIRE(write(file.fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    REQUIRE(write(file.fd, before.data(), before.size()) == static_cast<ssize_t>(before.size()));
    elver_source source = ELVER_SOURCE_INIT;
    source.fd = open(file.path.c_str(), O_RDONLY);
    source.offset = before.size();
    source.length = bytes.size();
    const auto opened = open(source);
    close(source.fd);  // the model does not need it any more
    REQUIRE(elver_model_load(opened.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    const auto expected = last_logits(by_path.get());
    CHECK(last_logits(by_memory.get()) == expected);
    CHECK(last_logits(opened.get()) == expected);
}

TEST_CASE("capi: a source that cannot be is an error which says why") {
    const Bytes bytes = read_bytes(tiny_path());
    elver_source none = ELVER_SOURCE_INIT;
    CHECK(contains(open_failure(none).message, "found 0"));
    elver_source both = memory_source(bytes);
    both.fd = 0;
    CHECK(contains(open_failure(both).message, "found 2"));
    const Failure missing = open_failure(path_source("/no/such/model.gguf"));
    CHECK(missing.status == ELVER_NOT_FOUND);
    CHECK(contains(missing.message, "/no/such/model.gguf"));
    CHECK(missing.object == "/no/such/model.gguf");
    CHECK(open_failure(path_source("/tmp")).status != ELVER_OK);
    elver_source closed = ELVER_SOURCE_INIT;
    closed.fd = 12345;
    CHECK(open_failure(closed).status == ELVER_IO);
    File file;
    REQUIRE(write(file.fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    elver_source beyond = ELVER_SOURCE_INIT;
    beyond.fd = file.fd;
    for (const auto& [offset, length] : std::vector<std::pair<uint64_t, uint64_t>>{
             {bytes.size() + 1, 0}, {1, bytes.size()}, {~uint64_t{0}, 2}, {2, ~uint64_t{0}}}) {
        beyond.offset = offset;
        beyond.length = length;
        CAPTURE(offset);
        CAPTURE(length);
        CHECK(open_failure(beyond).status != ELVER_OK);
    }
    elver_source nothing = ELVER_SOURCE_INIT;
    nothing.memory = bytes.data();
    CHECK(open_failure(nothing).status == ELVER_BAD_FILE);
    std::string nul = tiny_path();
    nul[3] = '\0';
    CHECK(open_failure(path_source(nul)).status != ELVER_OK);
}

TEST_CASE("capi: every truncation of a model is an error, and none crashes") {
    const Bytes bytes = read_bytes(tiny_path());
    for (size_t n = 1; n < bytes.size(); n += n < 3000 ? 37 : 1999) {
        const Bytes part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
        CAPTURE(n);
        CHECK(open_failure(memory_source(part)).status == ELVER_BAD_FILE);
    }
}

TEST_CASE("capi: options out of range name themselves") {
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    elver_session_options s = ELVER_SESSION_OPTIONS_INIT;
    options.session = &s;
    const auto message = [&] {
        const Failure f = open_failure(path_source(tiny_path()), &options);
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        return f.message;
    };
    options.n_threads = -1;
    CHECK(contains(message(), "n_threads: expected 0 to 1024, found -1"));
    options.n_threads = 1025;
    CHECK(contains(message(), "found 1025"));
    options.n_threads = 0;
    options.pass_tokens = -1;
    CHECK(contains(message(), "pass_tokens"));
    options.pass_tokens = 0;
    options.pass_sessions = -1;
    CHECK(contains(message(), "pass_sessions"));
    options.pass_sessions = 0;
    for (const float gap : {0.9f, -2.0f, 1001.0f, std::numeric_limits<float>::quiet_NaN()}) {
        options.prompt_gap = gap;
        CHECK(contains(message(), "gap: expected 0 or more, and 1 to 1000, found "));
    }
    options.prompt_gap = 0;
    s.n_ctx = -2;
    CHECK(contains(message(), "n_ctx: expected 0 or more, found -2"));
    s.n_ctx = 0;
    s.max_batch = -3;
    CHECK(contains(message(), "max_batch"));
    s.max_batch = 0;
    s.cache_type = 5;
    CHECK(contains(message(), "cache_type"));
    s.cache_type = 0;
    s.context_policy = 2;
    CHECK(contains(message(), "context_policy: expected an elver_context_policy, 0 or 1, found 2"));
    s.context_policy = ELVER_CONTEXT_SLIDE;
    s.n_keep = -1;
    CHECK(contains(message(), "n_keep: expected 0 or more, found -1"));
    s.n_ctx = 32;
    s.n_keep = 31;
    CHECK(contains(message(), "n_keep"));
}

TEST_CASE("capi: the plan is exact, and a budget below it is refused with the least that is needed") {
    elver_session_options s = ELVER_SESSION_OPTIONS_INIT;
    s.n_ctx = 48;
    s.cache_type = ELVER_CACHE_F16;
    elver_plan plan = ELVER_PLAN_INIT;
    const auto model = open(path_source(tiny_path()));
    REQUIRE(elver_model_plan(model.get(), &s, &plan, nullptr) == ELVER_OK);
    CHECK(plan.total == plan.weights + plan.kv_cache + plan.scratch);
    CHECK(plan.n_ctx == 48);
    CHECK(plan.max_batch == 48);
    CHECK(plan.cache_type == ELVER_CACHE_F16);
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.session = &s;
    options.budget_bytes = plan.total;
    open(path_source(tiny_path()), &options);
    options.budget_bytes = plan.total - 1;
    const Failure f = open_failure(path_source(tiny_path()), &options);
    CHECK(f.status == ELVER_OVER_BUDGET);
    CHECK(contains(f.message, std::to_string(plan.total)));
}

TEST_CASE("capi: loading is reported, can be cancelled and begun again, and done twice is done once") {
    const auto model = open(path_source(tiny_path()));
    elver_session* none = nullptr;
    const Failure early = failure([&](elver_error** e) { return elver_session_open(model.get(), nullptr, &none, e); });
    CHECK(early.status == ELVER_INVALID_ARGUMENT);
    CHECK(contains(early.message, "not loaded"));
    const auto stop = [](double, void*) { return 0; };
    CHECK(failure([&](elver_error** e) { return elver_model_load(model.get(), stop, nullptr, e); }).status ==
          ELVER_CANCELLED);
    std::vector<double> seen;
    const auto note = [](double fraction, void* context) {
        static_cast<std::vector<double>*>(context)->push_back(fraction);
        return 1;
    };
    REQUIRE(elver_model_load(model.get(), note, &seen, nullptr) == ELVER_OK);
    REQUIRE(!seen.empty());
    CHECK(std::is_sorted(seen.begin(), seen.end()));
    CHECK(seen.back() == 1.0);
    CHECK(elver_model_load(model.get(), stop, nullptr, nullptr) == ELVER_OK);
    CHECK(last_logits(model.get()).size() == 61);
}

TEST_CASE("capi: a model says what it is") {
    const auto model = open(path_source(tiny_path()));
    const auto describe = [&](elver_describe what) {
        elver_text* text = nullptr;
        const Failure f = failure([&](elver_error** e) { return elver_model_describe(model.get(), what, &text, e); });
        REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
        const Own<elver_text> owned(text);
        CHECK(std::strlen(elver_text_data(text)) == elver_text_size(text));
        return std::string(elver_text_data(text), elver_text_size(text));
    };
    using nlohmann::json;
    CHECK(json::parse(describe(ELVER_DESCRIBE_METADATA))["general.architecture"] == "llama");
    const auto tensors = json::parse(describe(ELVER_DESCRIBE_TENSORS));
    CHECK(tensors[0]["name"] == "token_embd.weight");
    CHECK(tensors[0]["shape"] == json({61, 30}));
    CHECK(json::parse(describe(ELVER_DESCRIBE_SPEC)).is_object());
    CHECK(!describe(ELVER_DESCRIBE_PROGRAM).empty());
    CHECK(describe(ELVER_DESCRIBE_TEMPLATE).empty());
    CHECK(elver_model_n_vocab(model.get()) == 61);
    CHECK(elver_model_n_ctx_train(model.get()) == 64);

    elver_text* text = nullptr;
    REQUIRE(elver_machine_describe(&text, nullptr) == ELVER_OK);
    const Own<elver_text> owned(text);
    const auto machine = json::parse(elver_text_data(text));
    CHECK(machine["usable_cores"] >= 1);
    const auto levels = machine["available_isas"].get<std::vector<std::string>>();
    CHECK(std::find(levels.begin(), levels.end(), machine["isa"]) != levels.end());
    CHECK(levels.back() == "reference");
    CHECK(json::parse(describe(ELVER_DESCRIBE_MACHINE))["isa"] == machine["isa"]);
    CHECK(std::string(elver_version()) == ELVER_CMAKE_VERSION);
    CHECK(elver_version_number() == ELVER_VERSION_NUMBER);
    const int32_t number = elver_version_number();
    CHECK(std::to_string(number / 1000000) + "." + std::to_string(number / 1000 % 1000) + "." +
              std::to_string(number % 1000) ==
          ELVER_CMAKE_VERSION);
}

TEST_CASE("capi: a tokenizer outlives its model and checks its ids") {
    elver_tokenizer* raw = nullptr;
    {
        const auto model = open(path_source(tiny_path()));
        REQUIRE(elver_model_tokenizer(model.get(), &raw, nullptr) == ELVER_OK);
    }
    const Own<elver_tokenizer> tokenizer(raw);
    CHECK(elver_tokenizer_n_vocab(raw) == 61);
    CHECK(elver_tokenizer_is_end(raw, 0) == 1);
    CHECK(elver_tokenizer_is_end(raw, 1) == 0);
    for (const int32_t id : {-1, 61, INT32_MAX, INT32_MIN}) CHECK(elver_tokenizer_is_end(raw, id) == 0);
    elver_ids* ids = nullptr;
    REQUIRE(elver_tokenizer_encode(raw, "the bed", 7, ELVER_TEXT_ADD_SPECIAL, &ids, nullptr) == ELVER_OK);
    const Own<elver_ids> owned(ids);
    REQUIRE(elver_ids_size(ids) > 1);
    elver_text* text = nullptr;
    REQUIRE(elver_tokenizer_decode(raw, elver_ids_data(ids), elver_ids_size(ids), 0, &text, nullptr) == ELVER_OK);
    const Own<elver_text> back(text);
    CHECK(std::string(elver_text_data(text)) == "the bed");
    for (const int32_t id : {-1, 61, INT32_MAX, INT32_MIN}) {
        const int32_t list[] = {1, id};
        const Failure f = failure([&](elver_error** e) { return elver_tokenizer_decode(raw, list, 2, 0, &text, e); });
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        CHECK(contains(f.message, "token 1: expected an id from 0 to 60, found " + std::to_string(id)));
    }
}

TEST_CASE("capi: tokens tell what they are; a detokenizer gives what decoding gives, and keeps what it needs") {
    elver_detokenizer* raw_stream = nullptr;
    std::string whole;
    std::vector<int32_t> ids;
    {
        const auto model = open(path_source(tiny_path()));
        elver_tokenizer* raw = nullptr;
        REQUIRE(elver_model_tokenizer(model.get(), &raw, nullptr) == ELVER_OK);
        const Own<elver_tokenizer> tokenizer(raw);
        elver_token token = ELVER_TOKEN_INIT;
        for (int32_t id = 0; id < 61; ++id) {
            REQUIRE(elver_tokenizer_token(raw, id, &token, nullptr) == ELVER_OK);
            CHECK(token.is_end == elver_tokenizer_is_end(raw, id));
            CHECK(token.is_control == (token.kind == ELVER_TOKEN_CONTROL || token.kind == ELVER_TOKEN_UNKNOWN));
            // Behind another token, so that no space is taken off.
            const int32_t pair[] = {5, id};
            elver_text* texts[2] = {nullptr, nullptr};
            for (size_t n = 1; n <= 2; ++n)
                REQUIRE(elver_tokenizer_decode(raw, pair, n, ELVER_TEXT_SHOW_SPECIAL, &texts[n - 1], nullptr) ==
                        ELVER_OK);
            const Own<elver_text> first(texts[0]), both(texts[1]);
            const std::string added = std::string(elver_text_data(texts[1])).substr(elver_text_size(texts[0]));
            const std::string bytes(token.bytes, token.n_bytes);
            if (token.kind != ELVER_TOKEN_BYTE) CHECK(bytes == added);
            ids.push_back(id);
        }
        CHECK(elver_tokenizer_special(raw, ELVER_SPECIAL_EOS) == 0);
        CHECK(elver_tokenizer_is_end(raw, elver_tokenizer_special(raw, ELVER_SPECIAL_EOS)) == 1);
        CHECK(elver_tokenizer_special(raw, ELVER_SPECIAL_FIM_SEP) == -1);
        elver_text* text = nullptr;
        REQUIRE(elver_tokenizer_decode(raw, ids.data(), ids.size(), 0, &text, nullptr) == ELVER_OK);
        const Own<elver_text> decoded(text);
        whole = elver_text_data(text);
        REQUIRE(elver_detokenizer_open(raw, 0, &raw_stream, nullptr) == ELVER_OK);
    }
    const Own<elver_detokenizer> stream(raw_stream);
    for (int round = 0; round < 2; ++round) {
        std::string joined;
        const char* piece = nullptr;
        size_t size = 0;
        for (const int32_t id : ids) {
            REQUIRE(elver_detokenizer_push(raw_stream, id, &piece, &size, nullptr) == ELVER_OK);
            joined.append(piece, size);
        }
        REQUIRE(elver_detokenizer_finish(raw_stream, &piece, &size, nullptr) == ELVER_OK);
        joined.append(piece, size);
        CHECK(joined == whole);
    }
}
