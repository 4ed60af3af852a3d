// One engine and many texts: what they share, what they are given, and that threads which each pull a text share
// passes.
#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <mutex>
#include <random>
#include <thread>

#include "message_of.hpp"
#include "models/tiny_models.hpp"

using namespace elver;
using elver::test::message_of;

namespace {

TinyModel opened(const std::string& name, uint64_t page_bytes = 0, int n_threads = 1) {
    auto source = ByteSource::map_path(tiny_model(name).string());
    REQUIRE(source);
    ModelOptions options;
    options.n_threads = n_threads;
    options.page_bytes = page_bytes;
    auto model = Model::open(*std::move(source), options);
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    return *model;
}

std::unique_ptr<Session> session_of(const TinyModel& model, int n_ctx = 512, int max_batch = 64) {
    auto session = Session::make(model, {.n_ctx = n_ctx, .max_batch = max_batch, .cache_type = {}});
    REQUIRE_MESSAGE(session, message_of(session));
    return *std::move(session);
}

std::vector<int32_t> text_of(uint32_t seed, size_t n, int n_vocab) {
    std::mt19937 random(seed);
    std::vector<int32_t> ids;
    while (ids.size() < n) ids.push_back(static_cast<int32_t>(random() % static_cast<uint32_t>(n_vocab)));
    return ids;
}

std::vector<float> logits_of(const Session& s) {
    return {s.logits().begin(), s.logits().end()};
}

// In an engine that has seen nothing else.
std::vector<float> fresh(const std::string& name, std::span<const int32_t> ids) {
    const auto model = opened(name);
    const auto session = session_of(model);
    REQUIRE(session->prefill(ids));
    return logits_of(*session);
}

}  // namespace

TEST_CASE("engine: requests over one system prompt compute it once, while others live and after they are gone") {
    for (const char* name : {"llama", "gemma3", "mixtral"}) {
        CAPTURE(name);
        const auto model = opened(name);
        const int n_vocab = model->spec().n_vocab;
        const auto prompt = text_of(1, 333, n_vocab);
        std::vector<std::unique_ptr<Session>> live;
        uint64_t before = model->engine().n_computed();
        for (uint32_t i = 0; i < 30; ++i) {
            auto ids = prompt;
            const auto own = text_of(100 + i, 5, n_vocab);
            ids.insert(ids.end(), own.begin(), own.end());
            auto session = session_of(model);
            REQUIRE(session->prefill(ids));
            const uint64_t now = model->engine().n_computed();
            CAPTURE(i);
            // Two tails may begin alike by chance.
            CHECK(now - before <= (i == 0 ? 338 : 5));
            CHECK(now - before >= (i == 0 ? 338 : 1));
            before = now;
            if (i % 10 == 0) CHECK(logits_of(*session) == fresh(name, ids));
            if (i % 3 == 0) live.push_back(std::move(session));
        }
    }
}

TEST_CASE("engine: a fork takes no page, and what both write behind it is their own") {
    const auto model = opened("llama");
    const int n_vocab = model->spec().n_vocab;
    const auto ids = text_of(2, 300, n_vocab);
    const auto session = session_of(model);
    REQUIRE(session->prefill(ids));
    const size_t before = model->engine().held().pages;
    std::vector<std::unique_ptr<Session>> forks;
    for (int i = 0; i < 16; ++i) {
        auto fork = session->fork();
        REQUIRE(fork);
        forks.push_back(*std::move(fork));
    }
    CHECK(model->engine().held().pages == before);
    const size_t page = before / 5;  // 300 positions stand in five pages of 64
    for (int32_t i = 0; i < 16; ++i) {
        const int32_t id = i % n_vocab;
        REQUIRE(forks[static_cast<size_t>(i)]->prefill(std::span(&id, 1)));
    }
    CHECK(model->engine().held().pages <= before + 16 * page);
    auto longer = ids;
    longer.push_back(3);
    CHECK(logits_of(*forks[3]) == fresh("llama", longer));
    forks.clear();
    const int32_t id = 7;
    REQUIRE(session->prefill(std::span(&id, 1)));
    longer.back() = 7;
    CHECK(logits_of(*session) == fresh("llama", longer));
}

TEST_CASE("engine: what a fit says is what its sessions hold, to the byte") {
    for (const char* name : {"llama", "gemma3"}) {
        CAPTURE(name);
        const auto model = opened(name);
        const SessionOptions options{.n_ctx = 50, .max_batch = 20};
        const Plan plan = *model->plan(options);
        const auto fit = model->fit(plan.total(5) + plan.kv_cache / 2, options, 0);
        REQUIRE(fit);
        CHECK(fit->n_sessions == 5);
        std::vector<std::unique_ptr<Session>> sessions;
        for (int i = 0; i < fit->n_sessions; ++i) {
            sessions.push_back(session_of(model, 50, 20));
            REQUIRE(sessions.back()->prefill(text_of(static_cast<uint32_t>(40 + i), 50, model->spec().n_vocab)));
        }
        const auto held = model->engine().held();
        CHECK(held.pages == 5 * plan.kv_cache);
        CHECK(fit->total == plan.weights + held.scratch + held.pages + 5 * plan.logits);
    }
}

TEST_CASE("engine: scratch is there once, and closed sessions leave no bytes behind but what is kept for later ones") {
    const auto model = opened("gemma3");
    const auto ids = text_of(3, 100, model->spec().n_vocab);
    size_t scratch = 0, reserved = 0;
    for (int i = 0; i < 1000; ++i) {
        std::vector<std::unique_ptr<Session>> some;
        for (int j = 0; j < 1 + i % 3; ++j) some.push_back(session_of(model));
        for (const auto& session : some) REQUIRE(session->prefill(std::span(ids).subspan(static_cast<size_t>(i) % 50)));
        some.clear();
        const auto held = model->engine().held();
        if (i == 10) scratch = held.scratch, reserved = held.reserved;
        if (i < 10) continue;
        CHECK(held.scratch == scratch);
        CHECK(held.pages <= model->plan({})->kv_cache);
        CHECK(held.reserved <= 2 * reserved + model->plan({})->kv_cache);
    }
}

TEST_CASE("engine: texts that do not fit together are set aside and computed anew; one too large alone is refused") {
    const auto whole = opened("llama");
    const size_t one = whole->plan({.n_ctx = 512, .max_batch = 64, .cache_type = {}})->kv_cache;
    const auto model = opened("llama", one + one / 2);
    const int n_vocab = model->spec().n_vocab;
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::vector<int32_t>> texts;
    for (uint32_t i = 0; i < 4; ++i)
        sessions.push_back(session_of(model)), texts.push_back(text_of(40 + i, 300, n_vocab));
    for (size_t i = 0; i < 4; ++i) REQUIRE(sessions[i]->prefill(texts[i]));
    for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < 4; ++i) {
            const auto id = static_cast<int32_t>(i) + round;
            texts[i].push_back(id);
            const auto done = sessions[i]->prefill(std::span(&id, 1));
            REQUIRE_MESSAGE(done, message_of(done));
            CHECK(model->engine().held().pages <= one + one / 2);
        }
    }
    for (size_t i = 0; i < 4; ++i) CHECK(logits_of(*sessions[i]) == fresh("llama", texts[i]));
    const auto large = Session::make(model, {.n_ctx = 4096, .max_batch = 64, .cache_type = {}});
    REQUIRE(!large);
    CHECK(large.error().status() == Status::over_budget);
    CHECK(large.error().message().find(std::to_string(one + one / 2)) != std::string::npos);
}

TEST_CASE("engine: of texts that do nothing, those of a higher priority are set aside last") {
    const auto whole = opened("llama");
    const size_t one = whole->plan({.n_ctx = 512, .max_batch = 64, .cache_type = {}})->kv_cache;
    for (const int first : {1, -1}) {
        CAPTURE(first);
        const auto model = opened("llama", one + one / 2);
        std::vector<std::unique_ptr<Session>> sessions;
        for (uint32_t i = 0; i < 3; ++i) {
            auto made =
                Session::make(model, {.n_ctx = 512, .max_batch = 64, .cache_type = {}, .priority = i == 0 ? first : 0});
            REQUIRE(made);
            sessions.push_back(*std::move(made));
            REQUIRE(sessions.back()->prefill(text_of(50 + i, 300, model->spec().n_vocab)));
        }
        // There is room for two, one of which is the one that was read last.
        const size_t kept = first > 0 ? 0 : 1;
        const int32_t id = 7;
        const uint64_t before = model->engine().n_computed();
        REQUIRE(sessions[kept]->prefill(std::span(&id, 1)));
        CHECK(model->engine().n_computed() - before == 1);
        REQUIRE(sessions[1 - kept]->prefill(std::span(&id, 1)));
        CHECK(model->engine().n_computed() - before == 1 + 301);
    }
}

TEST_CASE(
    "engine: threads that each pull a text give the bits that each gives alone, whatever is cancelled meanwhile") {
    for (const char* name : {"llama", "gemma3", "mixtral", "rwkv7", "jamba", "lfm2"}) {
        CAPTURE(name);
        constexpr size_t n_threads = 8, n_tokens = 40;
        const auto model = opened(name, 0, 2), alone = opened(name);
        const int n_vocab = model->spec().n_vocab;
        std::vector<std::vector<float>> expected(n_threads), found(n_threads);
        const auto go = [&](const TinyModel& m, size_t i, std::vector<float>& out) -> Result<void> {
            const auto session = session_of(m);
            if (auto done = session->prefill(text_of(static_cast<uint32_t>(i), 90 + 7 * i, n_vocab)); !done)
                return done;
            for (size_t t = 0; t < n_tokens; ++t) {
                const auto logits = session->logits();
                out.insert(out.end(), logits.begin(), logits.end());
                const auto id = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
                if (auto done = session->prefill(std::span(&id, 1)); !done) return done;
            }
            return {};
        };
        for (size_t i = 0; i < n_threads; ++i) REQUIRE(go(alone, i, expected[i]));
        std::vector<Result<void>> results(n_threads);
        std::vector<std::thread> threads;
        for (size_t i = 0; i < n_threads; ++i) threads.emplace_back([&, i] { results[i] = go(model, i, found[i]); });
        // Beside them texts that come, are cancelled, and go.
        std::atomic<bool> over{false};
        std::thread other([&] {
            for (uint32_t round = 0; !over; ++round) {
                const auto session = session_of(model);
                std::thread stop([&] {
                    std::this_thread::sleep_for(std::chrono::microseconds(50 * (round % 20)));
                    session->cancel();
                });
                (void)session->prefill(text_of(1000 + round, 200, n_vocab));
                stop.join();
            }
        });
        for (std::thread& t : threads) t.join();
        over = true;
        other.join();
        for (size_t i = 0; i < n_threads; ++i) {
            CAPTURE(i);
            CHECK_MESSAGE(results[i], message_of(results[i]));
            CHECK(found[i] == expected[i]);
        }
    }
}

TEST_CASE("engine: a prompt beside a text that is being written comes in pieces, and alone in large ones") {
    const auto model = opened("llama");
    const int n_vocab = model->spec().n_vocab;
    const auto writer = session_of(model), reader = session_of(model);
    const auto ids = text_of(9, 400, n_vocab);
    int n_passes = 0;
    REQUIRE(reader->prefill(ids, {}, [&](double) { return ++n_passes > 0; }));
    CHECK(n_passes == 7);  // of 64
    REQUIRE(writer->prefill(text_of(10, 8, n_vocab)));
    const int32_t id = 1;
    for (int i = 0; i < 5; ++i) REQUIRE(writer->prefill(std::span(&id, 1)));
    n_passes = 0;
    REQUIRE(reader->rewind(0));
    const auto other = text_of(11, 400, n_vocab);
    REQUIRE(reader->prefill(other, {}, [&](double) { return ++n_passes > 0; }));
    CHECK(n_passes > 7);
    CHECK(logits_of(*reader) == fresh("llama", other));
}

TEST_CASE("engine: options bound the tokens of a pass; those out of range are errors") {
    const auto with = [](auto change) {
        auto source = ByteSource::map_path(tiny_model("llama").string());
        REQUIRE(source);
        ModelOptions options;
        options.n_threads = 1;
        change(options);
        return Model::open(*std::move(source), options);
    };
    const auto model = with([](ModelOptions& o) { o.pass_tokens = 16; });
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    const auto session = session_of(*model);
    int n_passes = 0;
    const auto ids = text_of(15, 400, (*model)->spec().n_vocab);
    REQUIRE(session->prefill(ids, {}, [&](double) { return ++n_passes > 0; }));
    CHECK(n_passes == 25);
    CHECK(logits_of(*session) == fresh("llama", ids));
    for (const double gap : {0.9, -1.0, std::numeric_limits<double>::quiet_NaN(), 1e9})
        CHECK(with([&](ModelOptions& o) { o.gap = gap; }).error().status() == Status::invalid_argument);
    CHECK(with([](ModelOptions& o) { o.pass_tokens = -1; }).error().status() == Status::invalid_argument);
    CHECK(with([](ModelOptions& o) { o.pass_sessions = -1; }).error().status() == Status::invalid_argument);
}

TEST_CASE("engine: of texts that do not fit together, that of the lowest priority is set aside") {
    const auto whole = opened("llama");
    const size_t one = whole->plan({.n_ctx = 512, .max_batch = 64, .cache_type = {}})->kv_cache;
    const auto model = opened("llama", 2 * one);
    const int n_vocab = model->spec().n_vocab;
    const auto open = [&](int priority) {
        SessionOptions options;
        options.n_ctx = 512, options.max_batch = 64, options.priority = priority;
        auto session = Session::make(model, options);
        REQUIRE_MESSAGE(session, message_of(session));
        return *std::move(session);
    };
    const auto high = open(2), low = open(-1), middle = open(0);
    REQUIRE(high->prefill(text_of(30, 400, n_vocab)));  // the least recently used
    REQUIRE(low->prefill(text_of(31, 400, n_vocab)));
    REQUIRE(middle->prefill(text_of(32, 400, n_vocab)));
    // What a next token computes tells who was set aside.
    const auto computed_by = [&](Session& session) {
        const uint64_t before = model->engine().n_computed();
        const int32_t id = 1;
        REQUIRE(session.prefill(std::span(&id, 1)));
        return model->engine().n_computed() - before;
    };
    CHECK(computed_by(*high) == 1);
    CHECK(computed_by(*middle) == 1);
    CHECK(computed_by(*low) > 300);
    CHECK(computed_by(*high) == 1);
}

TEST_CASE("engine: what a callback throws leaves the text where it was, and the engine goes on") {
    const auto model = opened("llama");
    const int n_vocab = model->spec().n_vocab;
    const auto session = session_of(model), other = session_of(model);
    const auto ids = text_of(12, 100, n_vocab);
    REQUIRE(session->prefill(std::span(ids).first(10)));
    CHECK_THROWS_AS((void)session->prefill(std::span(ids).subspan(10),
                                           [](size_t i, auto) {
                                               if (i == 70) throw 1;
                                           }),
                    int);
    CHECK(session->n_past() == 10);
    CHECK_THROWS_AS((void)session->prefill(std::span(ids).subspan(10), {}, [](double) -> bool { throw 2; }), int);
    CHECK(session->n_past() == 10);
    REQUIRE(other->prefill(ids));
    REQUIRE(session->prefill(std::span(ids).subspan(10)));
    CHECK(logits_of(*session) == fresh("llama", ids));
    CHECK(logits_of(*other) == logits_of(*session));
}

TEST_CASE("engine: a function that a pass calls gets BUSY of the model's other texts, and never waits for itself") {
    const auto model = opened("llama");
    const auto ids = text_of(13, 40, model->spec().n_vocab);
    const auto other = session_of(model);
    std::vector<Status> seen;
    const auto status = [](const auto& result) { return result ? Status::ok : result.error().status(); };
    const auto on_logits = [&](size_t index, std::span<const float>) {
        if (index != 20) return;
        seen.push_back(status(other->prefill(ids)));
        seen.push_back(status(Session::make(model, {.n_ctx = 100'000, .max_batch = 600, .cache_type = {}})));
        seen.push_back(status(other->embed(ids)));
        seen.push_back(status(other->rewind(0)));
    };
    const auto session = session_of(model);
    REQUIRE(session->prefill(ids, on_logits));
    CHECK(seen == std::vector<Status>{Status::busy, Status::busy, Status::busy, Status::ok});
    // Between passes it may use them.
    seen.clear();
    const auto third = session_of(model, 512, 8);
    REQUIRE(third->prefill(text_of(14, 40, model->spec().n_vocab), {}, [&](double) {
        seen.push_back(status(other->rewind(0)));
        seen.push_back(status(other->prefill(ids)));
        return true;
    }));
    CHECK(seen.size() >= 4);  // the calls in it make passes too, with pieces of this prompt in them
    CHECK(std::all_of(seen.begin(), seen.end(), [](Status s) { return s == Status::ok; }));
}

TEST_CASE("engine: a text that is being saved is not set aside, and others that need room are served") {
    const auto whole = opened("llama");
    const size_t one = whole->plan({.n_ctx = 512, .max_batch = 64, .cache_type = {}})->kv_cache;
    const auto model = opened("llama", one);
    const int n_vocab = model->spec().n_vocab;
    const auto a = session_of(model), b = session_of(model);
    REQUIRE(a->prefill(text_of(20, 250, n_vocab)));
    std::vector<std::byte> saved;
    bool refused = false;
    const auto sink = [&](std::span<const std::byte> bytes) -> Result<void> {
        saved.insert(saved.end(), bytes.begin(), bytes.end());
        const auto done = b->prefill(text_of(21, 400 - static_cast<size_t>(b->n_past()), n_vocab));
        refused = refused || (!done && done.error().status() == Status::over_budget);
        return {};
    };
    REQUIRE(a->save(sink));
    CHECK(refused);
    const auto c = session_of(whole, 512, 64);
    CHECK(c->restore(saved, "saved"));
    CHECK(logits_of(*c) == fresh("llama", a->ids()));
    REQUIRE(b->prefill(text_of(21, 100, n_vocab)));
}
