// Sessions: bad input changes nothing, cancelling stops soon and leaves the session whole, two sessions share a model.
#include <atomic>
#include <chrono>
#include <thread>

#include "message_of.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

TEST_CASE("session: bad ids and too long a text are errors and change nothing") {
    const auto model = load(tiny_path("llama"), 1);
    const auto session = open_session(model, {.n_ctx = 16, .max_batch = 8, .cache_type = {}});
    const auto status = [&](std::vector<int32_t> ids) { return session->prefill(ids).error().status(); };
    CHECK(status({1, 2, -1}) == Status::invalid_argument);
    CHECK(status({1, 61}) == Status::invalid_argument);
    CHECK(status(std::vector<int32_t>(17, 1)) == Status::context_full);
    CHECK(session->n_past() == 0);
    CHECK(session->rewind(1).error().status() == Status::invalid_argument);
    CHECK(session->rewind(-1).error().status() == Status::invalid_argument);
    REQUIRE(session->prefill(random_ids(16, 61)));
    CHECK(session->prefill(random_ids(1, 61)).error().status() == Status::context_full);
    CHECK(session->n_past() == 16);
    CHECK(Session::make(model, {.n_ctx = -1, .max_batch = 0, .cache_type = {}}).error().status() ==
          Status::invalid_argument);
}

TEST_CASE("session: cancelled from another thread in a long prefill, whole afterwards") {
    const auto model = load(smollm2_path(), 2);
    const auto ids = random_ids(2000, model->spec().n_vocab);
    const auto session = open_session(model, {.n_ctx = 2048, .max_batch = 500, .cache_type = {}});
    std::atomic<int64_t> asked{0};
    const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
    std::thread other;
    int n_passes = 0;
    const auto cancelled = session->prefill(ids, {}, [&](double) {
        if (++n_passes == 2) {
            other = std::thread([&] {
                std::this_thread::sleep_for(std::chrono::milliseconds(20));
                asked = now();
                session->cancel();
            });
        }
        return true;
    });
    const int64_t returned = now();
    other.join();
    REQUIRE(!cancelled);
    CHECK(cancelled.error().status() == Status::cancelled);
    MESSAGE("cancelled in ", double(returned - asked) * 1e-6, " ms");
    CHECK(session->n_past() == 1000);
    REQUIRE(session->prefill(std::span(ids).subspan(1000)));
    const auto whole = open_session(model, {.n_ctx = 2048, .max_batch = 512, .cache_type = {}});
    REQUIRE(whole->prefill(ids));
    CHECK(std::equal(whole->logits().begin(), whole->logits().end(), session->logits().begin()));
}

TEST_CASE("session: cancelled at any moment by another thread, every worker stops at the same phase") {
    const auto model = load(tiny_path("llama"), 4);
    const auto ids = random_ids(8, model->spec().n_vocab);
    const auto session = open_session(model, {.n_ctx = 16, .max_batch = 8, .cache_type = {}});
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done) {
            session->cancel();
            std::this_thread::yield();
        }
    });
    int n_cancelled = 0;
    for (int i = 0; i < 3000 || (n_cancelled == 0 && i < 1'000'000); ++i) {
        if (!session->prefill(ids)) ++n_cancelled;
        REQUIRE(session->rewind(0));
    }
    done = true;
    other.join();
    CHECK(n_cancelled > 0);
}

TEST_CASE("session: whoever watches is asked at least once a layer on the thread of the call, and may stop it") {
    struct Watcher {
        std::thread::id thread = std::this_thread::get_id();
        int n_asked = 0, stop_at = -1;
        bool elsewhere = false;
        static int go_on(void* context) {
            auto& self = *static_cast<Watcher*>(context);
            self.elsewhere |= std::this_thread::get_id() != self.thread;
            return self.n_asked++ != self.stop_at;
        }
    };
    for (const int n_threads : {1, 2}) {
        CAPTURE(n_threads);
        const auto model = load(tiny_path("llama"), n_threads);
        Watcher watcher;
        const auto session = open_session(
            model, {.n_ctx = 16, .max_batch = 8, .cache_type = {}, .go_on = Watcher::go_on, .context = &watcher});
        const auto ids = random_ids(8, 61);
        REQUIRE(session->prefill(ids));
        CHECK(watcher.n_asked >= model->spec().n_layers);
        CHECK(!watcher.elsewhere);
        REQUIRE(session->rewind(0));
        // Of two threads the other may take more of the work another time, and this one is asked less.
        const int n_sure = n_threads == 1 ? watcher.n_asked : model->spec().n_layers;
        for (int i = 0; i < n_sure; ++i) {
            watcher = {.n_asked = 0, .stop_at = i};
            const auto stopped = session->prefill(ids);
            REQUIRE(!stopped);
            CHECK(stopped.error().status() == Status::cancelled);
            CHECK(session->n_past() == 0);
        }
        watcher = {.n_asked = 0, .stop_at = -1};
        CHECK(session->prefill(ids));
    }
}

TEST_CASE("session: load cancelled leaves nothing, and load may be called again") {
    auto source = ByteSource::map_path(smollm2_path());
    REQUIRE(source);
    auto model = Model::open(*std::move(source), {});
    REQUIRE(model);
    CHECK((*model)->load([](double) { return false; }, nullptr).error().status() == Status::cancelled);
    CHECK(!(*model)->loaded());
    CHECK(Session::make(*model, {}).error().status() == Status::invalid_argument);
    CancelToken token;
    token.cancel();
    CHECK((*model)->load({}, &token).error().status() == Status::cancelled);
    REQUIRE((*model)->load({}, nullptr));
    REQUIRE(Session::make(*model, {.n_ctx = 64, .max_batch = 8, .cache_type = {}}));
}

TEST_CASE("session: two on one model in two threads give what each gives alone") {
    const auto model = load(tiny_path("mistral"), 2);
    std::vector<std::vector<float>> alone(2), together(2);
    const auto work = [&](size_t i, std::vector<std::vector<float>>& out) {
        const auto session = Session::make(model, {.n_ctx = 64, .max_batch = 8, .cache_type = {}});
        auto ids = random_ids(60, model->spec().n_vocab);
        std::rotate(ids.begin(), ids.begin() + long(i), ids.end());
        std::vector<float>& logits = out[i];
        if (!session || !(*session)->prefill(ids, [&](size_t, std::span<const float> row) {
                logits.insert(logits.end(), row.begin(), row.end());
            }))
            logits.clear();
    };
    work(0, alone), work(1, alone);
    std::thread a(work, 0, std::ref(together)), b(work, 1, std::ref(together));
    a.join(), b.join();
    CHECK(!alone[0].empty());
    CHECK(alone == together);
}
