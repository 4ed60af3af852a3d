// Loading: what it takes of memory, and what it leaves when it does not finish.
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "memory.hpp"
#include "message_of.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

std::shared_ptr<Model> open(const std::string& path, int n_threads) {
    auto source = ByteSource::map_path(path);
    REQUIRE(source);
    ModelOptions options;
    options.n_threads = n_threads;
    auto model = Model::open(*std::move(source), options);
    REQUIRE_MESSAGE(model, message_of(model));
    return *model;
}

}  // namespace

TEST_CASE("load: cancelled from another thread, or by the progress, leaves nothing allocated") {
    const auto model = open(smollm2_path(), 2);
    const int64_t before = resident().all;
    for (const bool by_token : {true, false}) {
        CAPTURE(by_token);
        CancelToken token;
        std::atomic<double> fraction{0};
        const auto now = [] { return std::chrono::steady_clock::now(); };
        auto asked = now();
        std::thread other([&] {
            while (fraction < 0.3) std::this_thread::yield();
            asked = now();
            if (by_token) token.cancel();
        });
        const auto done = model->load(
            [&](double f) {
                fraction = f;
                return by_token || f < 0.3;
            },
            &token);
        const auto returned = now();
        other.join();
        REQUIRE(!done);
        CHECK(done.error().status() == Status::cancelled);
        CHECK(fraction < 1.0);
        CHECK(!model->loaded());
        if (by_token)
            MESSAGE("cancelled in ", std::chrono::duration<double, std::milli>(returned - asked).count(), " ms");
        if (before > 0) CHECK(resident().all - before < (8 << 20));
    }
    REQUIRE(model->load({}, nullptr));
}

TEST_CASE("load: what the progress throws reaches the caller, and load may be called again") {
    const auto model = open(tiny_path("llama"), 2);
    CHECK_THROWS_AS(model->load([](double) -> bool { throw std::runtime_error("mine"); }, nullptr), std::runtime_error);
    CHECK(!model->loaded());
    REQUIRE(model->load({}, nullptr));
}

TEST_CASE("load: a file that has shrunk since it was opened is an error that names the tensor") {
    const auto path = std::filesystem::temp_directory_path() / ("elver-shrunk-" + std::to_string(getpid()) + ".gguf");
    std::filesystem::copy_file(tiny_path("llama"), path);
    const auto model = open(path.string(), 2);
    std::filesystem::resize_file(path, 4096);
    const auto done = model->load({}, nullptr);
    std::filesystem::remove(path);
    if (done) return;  // a system that cannot tell, whose pages were in memory already
    CHECK(done.error().status() == Status::io);
    CHECK(done.error().message().find("tensor \"") != std::string::npos);
    CHECK(done.error().message().find(path.string()) != std::string::npos);
}

TEST_CASE("load: the peak is the packed weights and little more") {
    const auto model = open(smollm2_path(), 2);
    if (!reset_peak()) return;
    const int64_t before = resident().all;
    REQUIRE(model->load({}, nullptr));
    const int64_t extra = peak() - before - int64_t(model->plan({})->weights);
    MESSAGE("beyond the weights: ", extra);
    CHECK(extra <= (16 << 20));
}
