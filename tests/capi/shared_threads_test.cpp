// Models that share threads: each makes a pass in turn, with the bits that it has alone; none holds up another's
// cancel, and from within a pass of one the others are busy, since they would wait for it.
#include <elver/elver_experimental.h>
#include <elver/elver_ops.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

struct ReleaseThreads {
    void operator()(elver_threads* threads) const { elver_threads_release(threads); }
};
using OwnThreads = std::unique_ptr<elver_threads, ReleaseThreads>;

OwnThreads threads_of(int32_t n) {
    elver_threads* out = nullptr;
    const Failure f = failure([&](elver_error** e) { return elver_threads_create(n, &out, e); });
    REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
    CHECK(elver_threads_count(out) == n);
    return OwnThreads(out);
}

Own<elver_model> load_on(elver_threads* threads, const std::string& name) {
    const std::string path = ELVER_TEST_DATA "/golden/archs/" + name + ".gguf";
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.threads = threads;
    if (threads == nullptr) options.n_threads = 2;
    Own<elver_model> model = open(path_source(path), &options);
    REQUIRE(elver_model_load(model.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    return model;
}

elver_status prefill(elver_session* s, std::vector<int32_t> ids, elver_error** error = nullptr) {
    return prefill_ids(s, ids.data(), ids.size(), nullptr, error);
}

// Calls f within the pass, with its first logits.
elver_status prefill_with(elver_session* s, std::vector<int32_t> ids, std::function<void()> f) {
    elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
    options.context = &f;
    options.on_logits = [](size_t index, const float*, size_t, void* context) {
        if (index == 0) (*static_cast<std::function<void()>*>(context))();
        return 1;
    };
    return prefill_ids(s, ids.data(), ids.size(), &options, nullptr);
}

std::vector<float> generate(const elver_model* model, int seed) {
    const auto s = session(model, 48, 3);
    std::vector<float> all;
    for (int round = 0; round < 6; ++round) {
        std::vector<int32_t> ids;
        for (int i = 0; i < 7; ++i) ids.push_back((seed * 7 + round * 3 + i * 5) % 61);
        REQUIRE(prefill(s.get(), ids) == ELVER_OK);
        size_t n = 0;
        const float* logits = elver_session_logits(s.get(), &n);
        all.insert(all.end(), logits, logits + n);
    }
    return all;
}

}  // namespace

TEST_CASE("shared threads: models at work at once give the bits that each gives with threads of its own") {
    const char* names[] = {"llama", "mistral", "mamba"};
    std::vector<float> expected[6], found[6];
    for (int i = 0; i < 6; ++i) expected[i] = generate(load_on(nullptr, names[i % 3]).get(), i);
    Own<elver_model> models[3];
    {
        const OwnThreads threads = threads_of(2);  // models keep them
        for (int i = 0; i < 3; ++i) models[i] = load_on(threads.get(), names[i]);
    }
    for (int round = 0; round < 3; ++round) {
        std::vector<std::thread> workers;
        for (int i = 0; i < 6; ++i) {
            workers.emplace_back([&, i] { found[i] = generate(models[i % 3].get(), i); });
        }
        for (std::thread& t : workers) t.join();
        for (int i = 0; i < 6; ++i) {
            CAPTURE(i);
            CHECK(found[i] == expected[i]);
        }
    }
}

TEST_CASE("shared threads: who waits for another model's pass can be cancelled, in both ways") {
    const OwnThreads threads = threads_of(2);
    const auto first = load_on(threads.get(), "llama"), second = load_on(threads.get(), "mistral");
    const auto holds = session(first.get()), waits = session(second.get());
    std::atomic<int> asked{0};
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.context = &asked;
    options.go_on = [](void* context) { return ++*static_cast<std::atomic<int>*>(context) < 3 ? 1 : 0; };
    elver_session* raw = nullptr;
    REQUIRE(elver_session_open(second.get(), &options, &raw, nullptr) == ELVER_OK);
    const Own<elver_session> asks(raw);

    std::atomic<bool> reached{false}, open{false};
    std::thread holder([&] {
        CHECK(prefill_with(holds.get(), {1, 2, 3}, [&] {
                  reached = true;
                  while (!open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
              }) == ELVER_OK);
    });
    while (!reached) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<bool> ended{false};
    std::thread waiter([&] {
        CHECK(prefill(waits.get(), {4, 5}) == ELVER_CANCELLED);
        ended = true;
    });
    while (!ended) {
        elver_session_cancel(waits.get());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    waiter.join();
    CHECK(prefill(asks.get(), {4, 5}) == ELVER_CANCELLED);
    CHECK(asked == 3);
    CHECK(elver_session_position(asks.get()) == 0);
    open = true;
    holder.join();
    CHECK(prefill(waits.get(), {4, 5}) == ELVER_OK);
    CHECK(elver_session_position(holds.get()) == 3);
}

TEST_CASE("shared threads: from within a pass every model that shares them is busy, and none hangs") {
    const OwnThreads threads = threads_of(2);
    const auto first = load_on(threads.get(), "llama"), second = load_on(threads.get(), "mistral");
    const auto apart = load_on(nullptr, "mistral");
    const auto s = session(first.get()), other = session(second.get()), free = session(apart.get());
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.threads = threads.get();
    const auto unloaded = open(path_source(tiny_path()), &options);
    elver_ops_options ops_options = ELVER_OPS_OPTIONS_INIT;
    ops_options.threads = threads.get();
    elver_ops* ops = nullptr;
    REQUIRE(elver_ops_open(&ops_options, &ops, nullptr) == ELVER_OK);
    int n_calls = 0;
    REQUIRE(prefill_with(s.get(), {1, 2, 3}, [&] {
                ++n_calls;
                elver_session* opened = nullptr;
                elver_machine machine = ELVER_MACHINE_INIT;
                elver_sink sink = ELVER_SINK_INIT;
                sink.write = [](const void*, size_t, void*) { return 1; };
                float x[32] = {1};
                unsigned char rows[34];
                const Failure f = failure([&](elver_error** e) { return prefill(other.get(), {4}, e); });
                CHECK(f.status == ELVER_BUSY);
                CHECK(contains(f.message, "shares its threads"));
                CHECK(elver_session_open(second.get(), nullptr, &opened, nullptr) == ELVER_BUSY);
                CHECK(elver_model_load(unloaded.get(), nullptr, nullptr, nullptr) == ELVER_BUSY);
                CHECK(elver_model_measure(second.get(), &machine, nullptr) == ELVER_BUSY);
                CHECK(elver_model_pack(second.get(), &sink, nullptr, nullptr) == ELVER_BUSY);
                CHECK(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, 1, 32, 32, rows, sizeof rows, nullptr) ==
                      ELVER_BUSY);
                CHECK(prefill(free.get(), {4}) == ELVER_OK);
            }) == ELVER_OK);
    CHECK(n_calls == 1);
    CHECK(prefill(other.get(), {4}) == ELVER_OK);
    CHECK(elver_model_load(unloaded.get(), nullptr, nullptr, nullptr) == ELVER_OK);
    elver_ops_release(ops);
}

TEST_CASE("shared threads: a number of threads beside them is an error") {
    const OwnThreads threads = threads_of(2);
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.threads = threads.get();
    options.n_threads = 2;
    const std::string path = tiny_path();
    const elver_source source = path_source(path);
    elver_model* model = nullptr;
    const Failure f = failure([&](elver_error** e) { return elver_model_open(&source, &options, &model, e); });
    CHECK(f.status == ELVER_INVALID_ARGUMENT);
    CHECK(contains(f.message, "n_threads: expected 0"));
    elver_ops_options ops_options = ELVER_OPS_OPTIONS_INIT;
    ops_options.threads = threads.get();
    ops_options.n_threads = 1;
    elver_ops* ops = nullptr;
    CHECK(elver_ops_open(&ops_options, &ops, nullptr) == ELVER_INVALID_ARGUMENT);
}
