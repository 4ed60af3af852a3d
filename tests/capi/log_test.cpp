// A model's log: what was chosen and noticed, told to its host alone and with no lock held.
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

struct Lines {
    std::vector<std::pair<int32_t, std::string>> all;
    std::function<void(const std::string&)> then;

    static void take(int32_t level, const char* line, size_t size, void* context) {
        auto& lines = *static_cast<Lines*>(context);
        CHECK(std::strlen(line) == size);
        lines.all.emplace_back(level, line);
        if (lines.then) lines.then(line);
    }
    int count(int32_t level, const std::string& part) const {
        int n = 0;
        for (const auto& [l, line] : all) n += l == level && contains(line, part);
        return n;
    }
};

Own<elver_model> open_with(Lines& lines, const elver_source& source, uint64_t page_bytes = 0) {
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = 2;
    options.page_bytes = page_bytes;
    options.log = Lines::take;
    options.log_context = &lines;
    return open(source, &options);
}

elver_status prefill(elver_session* s, int first, int n) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back((first + i) % 61);
    return prefill_ids(s, ids.data(), ids.size(), nullptr, nullptr);
}

}  // namespace

TEST_CASE("log: opening, loading and sessions say what was chosen") {
    Lines lines;
    const auto model = open_with(lines, path_source(tiny_path()));
    REQUIRE(lines.all.size() == 1);
    CHECK(lines.count(ELVER_LOG_INFO, "llama.gguf: llama, ") == 1);
    CHECK(lines.count(ELVER_LOG_INFO, "kernels, 2 threads") == 1);
    REQUIRE(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    elver_plan plan = ELVER_PLAN_INIT;
    REQUIRE(elver_model_plan(model.get(), nullptr, &plan, nullptr) == ELVER_OK);
    CHECK(lines.count(ELVER_LOG_INFO, "weights of " + std::to_string(plan.weights) + " bytes are ready") == 1);
    const auto s = session(model.get(), 48, 3);
    CHECK(lines.count(ELVER_LOG_DEBUG, "a session of 48 positions, passes of 3 tokens, cache as ") == 1);
    CHECK(lines.all.size() == 3);
    REQUIRE(prefill(s.get(), 0, 40) == ELVER_OK);
    CHECK(lines.all.size() == 3);
}

TEST_CASE("log: what of a file is not used is told") {
    Lines lines;
    const Bytes bytes = changed(ELVER_TEST_DATA "/golden/encoders/bert.gguf", "{% for", "cls.output.weight");
    const auto model = open_with(lines, memory_source(bytes));
    CHECK(lines.count(ELVER_LOG_WARNING, "\"tokenizer.chat_template\"") == 1);
    CHECK(lines.count(ELVER_LOG_INFO, "tensors that are not used: 1, \"cls.output.weight\"") == 1);
    CHECK(lines.all.size() == 3);
}

TEST_CASE("log: a text that is set aside is told without a lock: the function may compute") {
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = 64;
    elver_plan plan = ELVER_PLAN_INIT;
    REQUIRE(elver_model_plan(open(path_source(tiny_path())).get(), &options, &plan, nullptr) == ELVER_OK);
    Lines lines;
    const auto model = open_with(lines, path_source(tiny_path()), plan.kv_cache);
    REQUIRE(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    const auto a = session(model.get(), 64), b = session(model.get(), 64), c = session(model.get(), 64);
    REQUIRE(prefill(a.get(), 0, 60) == ELVER_OK);
    elver_status own = ELVER_OK, other = ELVER_INTERNAL;
    bool first = true;
    lines.then = [&](const std::string&) {
        if (!std::exchange(first, false)) return;
        own = prefill(b.get(), 7, 1);
        other = prefill(c.get(), 20, 5);
    };
    REQUIRE(prefill(b.get(), 30, 60) == ELVER_OK);
    CHECK(own == ELVER_BUSY);
    CHECK(other == ELVER_OK);
    CHECK(lines.count(ELVER_LOG_DEBUG, "a text of 60 tokens is set aside") == 2);  // a for b, b for c
}

TEST_CASE("log: what its function throws goes nowhere") {
    Lines lines;
    lines.then = [](const std::string&) { throw std::runtime_error("the host's own trouble"); };
    const auto model = open_with(lines, path_source(tiny_path()));
    CHECK(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    CHECK(lines.all.size() == 2);
}
