// Threads through the ABI: a busy session and a model being loaded say so; two sessions of one model run at once.
#include <elver/elver_experimental.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

// A callback that waits until it may go on.
struct Gate {
    std::atomic<bool> reached{false}, open{false};
    static int wait(double, void* context) {
        auto& gate = *static_cast<Gate*>(context);
        gate.reached = true;
        while (!gate.open) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return 1;
    }
    void await() const {
        while (!reached) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
};

const int32_t ids[] = {3, 14, 15, 9, 26, 5, 35, 8};

std::vector<float> generate(const elver_model* model, int seed) {
    const auto s = session(model, 48, 3);
    std::vector<float> all;
    for (int round = 0; round < 5; ++round) {
        REQUIRE(elver_session_rewind(s.get(), 0, nullptr) == ELVER_OK);
        for (int i = 0; i < 12; ++i) {
            const int32_t id = (seed * 7 + i * 5) % 61;
            REQUIRE(prefill_ids(s.get(), &id, 1, nullptr, nullptr) == ELVER_OK);
        }
        REQUIRE(prefill_ids(s.get(), ids, 8, nullptr, nullptr) == ELVER_OK);
        all.insert(all.end(), elver_session_logits(s.get(), nullptr), elver_session_logits(s.get(), nullptr) + 61);
    }
    return all;
}

}  // namespace

TEST_CASE("threads: while one thread works in a session, every call of another is busy") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    Gate gate;
    std::thread worker([&] {
        elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
        options.progress = Gate::wait;
        options.context = &gate;
        CHECK(prefill_ids(s.get(), ids, 8, &options, nullptr) == ELVER_OK);
    });
    gate.await();
    const std::string request = R"({"ids": [1]})";
    elver_event event = ELVER_EVENT_INIT;
    const Failure f = failure([&](elver_error** e) { return prefill_ids(s.get(), ids, 1, nullptr, e); });
    CHECK(f.status == ELVER_BUSY);
    CHECK(contains(f.message, "another thread"));
    CHECK(elver_session_rewind(s.get(), 0, nullptr) == ELVER_BUSY);
    CHECK(elver_session_next(s.get(), &event, nullptr) == ELVER_BUSY);
    CHECK(begin_completion(s.get(), request) == ELVER_BUSY);
    CHECK(elver_session_chat(s.get(), request.data(), request.size(), nullptr, nullptr) == ELVER_BUSY);
    gate.open = true;
    worker.join();
    CHECK(elver_session_position(s.get()) == 8);
    CHECK(elver_session_rewind(s.get(), 0, nullptr) == ELVER_OK);
}

TEST_CASE("threads: while one thread loads a model, what needs its weights or plan is busy") {
    const auto model = open(path_source(tiny_path()));
    Gate gate;
    std::thread worker([&] { CHECK(elver_model_load(model.get(), Gate::wait, &gate, nullptr) == ELVER_OK); });
    gate.await();
    const Failure f = failure([&](elver_error** e) { return elver_model_load(model.get(), nullptr, nullptr, e); });
    CHECK(f.status == ELVER_BUSY);
    elver_plan plan = ELVER_PLAN_INIT;
    CHECK(elver_model_plan(model.get(), nullptr, &plan, nullptr) == ELVER_BUSY);
    elver_session* s = nullptr;
    CHECK(elver_session_open(model.get(), nullptr, &s, nullptr) == ELVER_BUSY);
    elver_text* text = nullptr;
    CHECK(elver_model_describe(model.get(), ELVER_DESCRIBE_PROGRAM, &text, nullptr) == ELVER_BUSY);
    elver_machine machine = ELVER_MACHINE_INIT;
    CHECK(elver_model_measure(model.get(), &machine, nullptr) == ELVER_BUSY);
    CHECK(elver_model_n_vocab(model.get()) == 61);
    elver_tokenizer* tokenizer = nullptr;
    CHECK(elver_model_tokenizer(model.get(), &tokenizer, nullptr) == ELVER_OK);
    elver_tokenizer_release(tokenizer);
    gate.open = true;
    worker.join();
    CHECK(elver_model_plan(model.get(), nullptr, &plan, nullptr) == ELVER_OK);
}

TEST_CASE("threads: a callback that calls into its own session or model gets busy") {
    const auto model = open(path_source(tiny_path()));
    const auto reenter = [](double, void* context) {
        elver_plan plan = ELVER_PLAN_INIT;
        CHECK(elver_model_plan(static_cast<elver_model*>(context), nullptr, &plan, nullptr) == ELVER_BUSY);
        return 1;
    };
    CHECK(elver_model_load(model.get(), reenter, model.get(), nullptr) == ELVER_OK);

    elver_sink sink = ELVER_SINK_INIT;
    sink.context = model.get();
    sink.write = [](const void*, size_t, void* context) {
        auto* packed = static_cast<elver_model*>(context);
        elver_plan plan = ELVER_PLAN_INIT;
        CHECK(elver_model_plan(packed, nullptr, &plan, nullptr) == ELVER_BUSY);
        CHECK(elver_model_load(packed, nullptr, nullptr, nullptr) == ELVER_BUSY);
        return 1;
    };
    CHECK(elver_model_pack(model.get(), &sink, nullptr, nullptr) == ELVER_OK);
}

TEST_CASE("threads: two sessions of one model at once give the bits that each gives alone") {
    const auto model = load(path_source(tiny_path()));
    std::vector<float> expected[2], found[2];
    for (int i = 0; i < 2; ++i) expected[i] = generate(model.get(), i);
    std::thread threads[2];
    for (int i = 0; i < 2; ++i) threads[i] = std::thread([&, i] { found[i] = generate(model.get(), i); });
    for (std::thread& t : threads) t.join();
    for (int i = 0; i < 2; ++i) CHECK(found[i] == expected[i]);
}

TEST_CASE("threads: cancel from another thread, again and again, never breaks a session") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done) {
            elver_session_cancel(s.get());
            std::this_thread::sleep_for(std::chrono::microseconds(30));
        }
    });
    // The scheduler alone decides when `other` runs: as many rounds as it takes until a cancel meets a prefill.
    int cancelled = 0;
    for (int i = 0; i < 100 || (cancelled == 0 && i < 1'000'000); ++i) {
        const elver_status status = prefill_ids(s.get(), ids, 8, nullptr, nullptr);
        cancelled += status == ELVER_CANCELLED;
        CHECK((status == ELVER_OK || status == ELVER_CANCELLED));
        const elver_status back = elver_session_rewind(s.get(), 0, nullptr);
        CHECK(back == ELVER_OK);
    }
    done = true;
    other.join();
    CHECK(cancelled > 0);
    while (prefill_ids(s.get(), ids, 8, nullptr, nullptr) == ELVER_CANCELLED) {
    }
    CHECK(elver_session_position(s.get()) == 8);
}
