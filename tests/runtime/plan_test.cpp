// What plan says is what is taken.
#include "memory.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

TEST_CASE("plan: resident memory after load and a session's use is within 16 MiB of it") {
    const Resident before = resident();
    if (before.all == 0) return;
    const auto model = load(smollm2_path(), 2);
    const SessionOptions options{.n_ctx = 512, .max_batch = 128, .cache_type = {}};
    const Plan plan = *model->plan(options);
    const int64_t after_load = resident().all - before.all;
    MESSAGE("after load ", after_load, ", weights planned ", plan.weights);
    CHECK(after_load <= int64_t(plan.weights) + (16 << 20));
    const auto session = open_session(model, options);
    REQUIRE(session->prefill(random_ids(500, model->spec().n_vocab)));
    const int64_t after_use = resident().own - before.own;
    MESSAGE("after use ", after_use, ", planned ", plan.total());
    CHECK(after_use <= int64_t(plan.total()) + (16 << 20));
}

TEST_CASE("plan: a budget too small is refused with the least that is needed") {
    ModelOptions options;
    options.budget_bytes = 1 << 20;
    auto source = ByteSource::map_path(smollm2_path());
    REQUIRE(source);
    const auto model = Model::open(*std::move(source), options);
    REQUIRE(!model);
    CHECK(model.error().status() == Status::over_budget);
    CHECK(model.error().message().find("1048576") != std::string::npos);
}

TEST_CASE("plan: cache types and windows take what their layout says") {
    const auto model = load(smollm2_path(), 1);
    const auto bytes = [&](CacheType type) {
        return model->plan({.n_ctx = 1024, .max_batch = 64, .cache_type = type})->kv_cache;
    };
    const uint64_t f16 = bytes(CacheType::f16);
    CHECK(f16 == uint64_t(30) * 3 * (64 + 64) * 2 * 1024);
    CHECK(bytes(CacheType::f32) == 2 * f16);
    CHECK(bytes(CacheType::q8_0) * 32 * 2 == f16 * 34);
    CHECK(bytes(CacheType::q4_0) * 32 * 2 == f16 * 18);
}
