// What plan says is what is taken.
#include "formats/gguf.hpp"
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

TEST_CASE("plan: a budget too small is refused with the least that is needed, which is enough") {
    const auto open = [](uint64_t budget, const SessionOptions& session) {
        auto source = ByteSource::map_path(smollm2_path());
        REQUIRE(source);
        ModelOptions options;
        options.n_threads = 2;
        options.budget_bytes = budget;
        options.session = session;
        return Model::open(*std::move(source), options);
    };
    const SessionOptions sessions[] = {{},
                                       {.n_ctx = 512, .max_batch = 32, .cache_type = {}},
                                       {.n_ctx = 1, .max_batch = 1, .cache_type = CacheType::q4_0},
                                       {.n_ctx = 8192, .max_batch = 1000, .cache_type = CacheType::f32}};
    for (const SessionOptions& session : sessions) {
        CAPTURE(session.n_ctx);
        const auto refused = open(1 << 20, session);
        REQUIRE(!refused);
        CHECK(refused.error().status() == Status::over_budget);
        const std::string& message = refused.error().message();
        CAPTURE(message);
        CHECK(message.find("the budget is 1048576") != std::string::npos);
        const size_t at = message.find("needs ");
        REQUIRE(at != std::string::npos);
        const uint64_t least = std::stoull(message.substr(at + 6));
        const auto model = open(least, session);
        REQUIRE_MESSAGE(model, message_of(model));
        REQUIRE((*model)->load({}, nullptr));
        CHECK((*model)->plan(session)->total() == least);
        CHECK(open_session(*model, session)->prefill(random_ids(1, (*model)->spec().n_vocab)));
        CHECK(!open(least - 1, session));
        const std::string_view of_one = "with a session of one position it needs ";
        const uint64_t smallest = std::stoull(message.substr(message.find(of_one) + of_one.size()));
        const SessionOptions one{.n_ctx = 1, .max_batch = 1, .cache_type = session.cache_type};
        CHECK(open(smallest, one));
        CHECK(!open(smallest - 1, one));
    }
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

TEST_CASE("plan: a token reads the matrices that it meets, of experts the chosen ones") {
    for (const char* name : {"llama", "mixtral"}) {
        CAPTURE(name);
        auto source = ByteSource::map_path(tiny_path(name));
        REQUIRE(source);
        const auto file = Gguf::open(*std::move(source));
        REQUIRE(file);
        uint64_t expected = 0;
        bool own_head = false;
        const GgufTensor* embedding = nullptr;
        for (const GgufTensor& t : file->tensors()) {
            const uint64_t n_bytes = t.view.bytes.size();
            own_head = own_head || t.name == "output.weight";
            if (t.name == "token_embd.weight")
                embedding = &t;
            else if (t.view.shape.rank() == 3)
                expected += n_bytes / static_cast<uint64_t>(*file->get_int("llama.expert_count")) *
                            static_cast<uint64_t>(*file->get_int("llama.expert_used_count"));
            else if (t.view.shape.rank() == 2)
                expected += n_bytes;
        }
        REQUIRE(embedding != nullptr);
        if (!own_head) expected += embedding->view.bytes.size();
        const auto model = load(tiny_path(name), 1, "reference");  // matrices as in the file
        const Plan plan = *model->plan({});
        CHECK(plan.token_weights == expected);
    }
}
