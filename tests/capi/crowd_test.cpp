// Sixteen threads pull the answers of sixteen sessions of one model, while another cancels some of them, and sessions
// are forked and released all the time: an answer that nobody cancelled is the one that its session gives alone.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

constexpr int n_sessions = 16, n_requests = 4;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int n_rounds = 12;
#else
constexpr int n_rounds = 40;
#endif

std::string request(int which) {
    std::string ids = "3";
    for (int i = 0; i < 5 + which * 3; ++i) ids += "," + std::to_string((which * 11 + i * 7) % 61);
    return R"({"ids": [)" + ids + R"(], "max_tokens": 8, "temperature": 0.9, "ignore_eos": true, "seed": )" +
           std::to_string(which) + "}";
}

struct Pulled {
    elver_status status = ELVER_OK;
    bool cancelled = false;
    std::vector<int32_t> ids;
};

Pulled pull(elver_session* s, int which) {
    Pulled out;
    out.status = begin_completion(s, request(which));
    elver_event event = ELVER_EVENT_INIT;
    while (out.status == ELVER_OK && event.finish == ELVER_FINISH_NONE) {
        out.status = elver_session_next(s, &event, nullptr);
        if (out.status == ELVER_OK && event.id >= 0) out.ids.push_back(event.id);
    }
    out.cancelled = out.status == ELVER_CANCELLED || event.finish == ELVER_FINISH_CANCELLED;
    return out;
}

// A session that its thread may replace while another cancels what runs in it.
struct Place {
    std::mutex mutex;
    Own<elver_session> session;

    void replace(Own<elver_session> next) {
        {
            const std::lock_guard lock(mutex);
            session.swap(next);
        }
        next.reset();
    }
    void cancel() {
        const std::lock_guard lock(mutex);
        elver_session_cancel(session.get());
    }
};

}  // namespace

TEST_CASE("crowd: sixteen threads pull sixteen sessions of one model, some cancelled, forked and released") {
    const auto model = load(path_source(tiny_path()));
    const auto opened = [&] {
        elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
        options.n_ctx = 48;
        options.max_batch = 5;
        elver_session* out = nullptr;
        CHECK(elver_session_open(model.get(), &options, &out, nullptr) == ELVER_OK);
        return Own<elver_session>(out);
    };
    std::vector<int32_t> expected[n_requests];
    for (int i = 0; i < n_requests; ++i) {
        expected[i] = pull(opened().get(), i).ids;
        REQUIRE(expected[i].size() == 8);
    }
    Place places[n_sessions];
    for (Place& p : places) p.session = opened();
    std::atomic<int> n_running{n_sessions}, n_whole{0}, n_cancelled{0}, n_wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < n_sessions; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(static_cast<unsigned>(t));
            Place& place = places[t];
            for (int round = 0; round < n_rounds; ++round) {
                const int which = static_cast<int>(random() % n_requests);
                const Pulled found = pull(place.session.get(), which);
                const auto& whole = expected[which];
                const bool begins =
                    found.ids.size() <= whole.size() && std::equal(found.ids.begin(), found.ids.end(), whole.begin());
                const bool right = found.cancelled ? begins : found.status == ELVER_OK && found.ids == whole;
                n_wrong += !right;
                (found.cancelled ? n_cancelled : n_whole) += 1;
                elver_session* fork = nullptr;
                switch (random() % 4) {
                    case 0:
                        place.replace(opened());
                        break;
                    case 1:
                        if (elver_session_fork(place.session.get(), nullptr, nullptr, &fork, nullptr) == ELVER_OK)
                            place.replace(Own<elver_session>(fork));
                        break;
                }
            }
            --n_running;
        });
    }
    std::mt19937 random(99);
    while (n_running > 0) {
        // On a busy machine a cancel would meet every answer: half of them may end as they like.
        if (n_cancelled < n_sessions * n_rounds / 2) places[random() % n_sessions].cancel();
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    }
    for (std::thread& t : threads) t.join();
    CHECK(n_wrong == 0);
    CHECK(n_whole + n_cancelled == n_sessions * n_rounds);
    CHECK(n_whole > 0);
    CHECK(n_cancelled > 0);
}
