// Threads that work in step: each runs once, barriers separate phases, runs take turns, and nothing is lost or left.
#include <pthread.h>
#include <atomic>
#include <csignal>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "base/thread_pool.hpp"

using namespace elver;

namespace {

std::unique_ptr<ThreadPool> pool_of(int n) {
    auto pool = ThreadPool::make(n);
    REQUIRE(pool);
    return *std::move(pool);
}

}  // namespace

TEST_CASE("thread pool: a count that is none is refused") {
    for (const int n : {0, -1, 1025, INT32_MAX}) {
        const auto pool = ThreadPool::make(n);
        REQUIRE(!pool);
        CHECK(pool.error().status() == Status::invalid_argument);
        CHECK(pool.error().message() == "n_threads: expected 1 to 1024, found " + std::to_string(n));
    }
}

TEST_CASE("thread pool: in many short runs every worker runs once, and phases do not overlap") {
    for (int n = 1; n <= 8; ++n) {
        CAPTURE(n);
        const auto pool = pool_of(n);
        CHECK(pool->n_threads() == n);
        std::vector<int> cells(static_cast<size_t>(n)), sums(static_cast<size_t>(n));  // plain: a race is TSan's to see
        int n_wrong = 0;
        constexpr int n_runs = 300, n_phases = 3;
        for (int run = 0; run < n_runs; ++run) {
            pool->run([&](int worker) {
                const auto w = static_cast<size_t>(worker);
                for (int phase = 0; phase < n_phases; ++phase) {
                    ++cells[w];
                    pool->barrier();
                    // Behind the barrier everybody's part is there, and nobody is further.
                    sums[w] = std::accumulate(cells.begin(), cells.end(), 0);
                    pool->barrier();
                }
            });
            for (const int sum : sums) n_wrong += sum != n * n_phases * (run + 1);
        }
        CHECK(n_wrong == 0);
        CHECK(cells == std::vector<int>(static_cast<size_t>(n), n_runs * n_phases));
    }
}

TEST_CASE("thread pool: each piece of a phase is taken once, over more phases than there are tags too") {
    for (const int n_threads : {1, 2, 3, 5}) {
        CAPTURE(n_threads);
        const auto pool = pool_of(n_threads);
        for (const int n : {0, 1, 2, 7, 100}) {
            CAPTURE(n);
            std::vector<std::atomic<int>> taken(static_cast<size_t>(n));
            pool->run([&](int worker) {
                for (int phase = 0; phase < 20; ++phase) {
                    if (worker == phase % n_threads) std::this_thread::yield();
                    for (int piece; (piece = pool->take(worker, n)) >= 0;) ++taken[static_cast<size_t>(piece)];
                    pool->barrier();
                }
            });
            for (const auto& count : taken) CHECK(count == 20);
        }
    }
    // A share that only one phase touches may not count again when its tag returns.
    const auto pool = pool_of(2);
    constexpr int n_tags = 0xffff;
    std::atomic<int> n_taken{0};
    pool->run([&](int worker) {
        for (int phase = 0; phase <= n_tags; ++phase) {
            if (phase % n_tags == 0)
                while (pool->take(worker, 2) >= 0) ++n_taken;
            pool->barrier();
        }
    });
    CHECK(n_taken == 4);
}

TEST_CASE("thread pool: a worker goes upwards through its share, and its last pieces go to those that are done") {
    const auto pool = pool_of(2);
    std::vector<int> order[2];
    std::atomic<bool> begun{false}, done{false};
    pool->run([&](int worker) {
        auto& mine = order[worker];
        if (worker == 0) {  // takes one piece and is then kept away
            mine.push_back(pool->take(0, 10));
            begun = true;
            while (!done) std::this_thread::yield();
            mine.push_back(pool->take(0, 10));
        } else {
            while (!begun) std::this_thread::yield();
            for (int piece; (piece = pool->take(1, 10)) >= 0;) mine.push_back(piece);
            done = true;
        }
    });
    CHECK(order[0] == std::vector{0, -1});
    CHECK(order[1] == std::vector{5, 6, 7, 8, 9, 4, 3, 2, 1});
}

TEST_CASE("thread pool: more pieces than 2^24 are each taken once") {
    constexpr int n = (1 << 25) + 12345;
    for (const int n_threads : {1, 3}) {
        CAPTURE(n_threads);
        const auto pool = pool_of(n_threads);
        std::vector<std::atomic<uint8_t>> taken(n);
        pool->run([&](int worker) {
            for (int piece; (piece = pool->take(worker, n)) >= 0;)
                taken[static_cast<size_t>(piece)].fetch_add(1, std::memory_order_relaxed);
        });
        int n_wrong = 0;
        for (const auto& count : taken) n_wrong += count != 1;
        CHECK(n_wrong == 0);
    }
}

TEST_CASE("thread pool: of the most pieces there can be, what a worker leaves is not seen in the next phase") {
    constexpr int n_threads = 2, n_taken = 5;
    const auto pool = pool_of(n_threads);
    std::vector<int> first[n_threads], second[n_threads];
    pool->run([&](int worker) {
        for (int i = 0; i < n_taken; ++i) first[worker].push_back(pool->take(worker, INT32_MAX));
        pool->barrier();
        for (int i = 0; i < n_taken; ++i) second[worker].push_back(pool->take(worker, INT32_MAX));
        pool->barrier();
        CHECK(pool->take(worker, 0) == -1);
    });
    for (int worker = 0; worker < n_threads; ++worker) {
        CHECK(first[worker] == second[worker]);
        for (int i = 1; i < n_taken; ++i) CHECK(first[worker][i] == first[worker][0] + i);
    }
    CHECK(first[0][0] == 0);
    CHECK(std::abs(first[1][0] - (1 << 30)) < 1000);
}

TEST_CASE("thread pool: a pool is made and ended without a run, and after a pause its threads still wake") {
    for (int i = 0; i < 50; ++i) pool_of(4);
    const auto pool = pool_of(3);
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // long enough that they sleep
        std::atomic<int> n{0};
        pool->run([&](int) { ++n; });
        CHECK(n == 3);
    }
}

TEST_CASE("thread pool: callers of several threads take turns") {
    const auto pool = pool_of(3);
    std::atomic<int> inside{0}, n_wrong{0}, n_runs{0};
    const auto caller = [&] {
        for (int i = 0; i < 100; ++i) {
            pool->run([&](int worker) {
                if (worker == 0 && inside.fetch_add(1) != 0) ++n_wrong;
                pool->barrier();
                if (worker == 0) --inside, ++n_runs;
                pool->barrier();
            });
        }
    };
    std::thread a(caller), b(caller);
    caller();
    a.join(), b.join();
    CHECK(n_wrong == 0);
    CHECK(n_runs == 300);
}

TEST_CASE("thread pool: parallel_for covers every number once, whatever the grain") {
    for (const int n_threads : {1, 2, 5}) {
        const auto pool = pool_of(n_threads);
        for (const size_t n : {size_t{0}, size_t{1}, size_t{7}, size_t{1000}}) {
            for (const size_t grain : {size_t{0}, size_t{1}, size_t{3}, size_t{1000}, SIZE_MAX}) {
                std::vector<int> seen(n);
                std::atomic<bool> too_wide{false};
                pool->parallel_for(n, grain, [&](size_t begin, size_t end) {
                    if (end - begin > std::max<size_t>(grain, 1)) too_wide = true;
                    for (size_t i = begin; i < end; ++i) ++seen[i];
                });
                CHECK(seen == std::vector<int>(n, 1));
                CHECK(!too_wide);
            }
        }
    }
}

TEST_CASE("thread pool: parallel_for inside a run is done by its caller alone") {
    for (const int n_threads : {1, 3}) {
        const auto pool = pool_of(n_threads);
        std::atomic<int> total{0}, elsewhere{0};
        pool->parallel_for(10, 1, [&](size_t, size_t) {
            const auto self = std::this_thread::get_id();
            pool->parallel_for(5, 1, [&](size_t begin, size_t end) {
                elsewhere += std::this_thread::get_id() != self;
                total += static_cast<int>(end - begin);
            });
        });
        CHECK(total == 50);
        CHECK(elsewhere == 0);
        // Of two pools each has its own runs, one inside the other.
        const auto other = pool_of(2);
        pool->parallel_for(4, 1, [&](size_t, size_t) {
            other->parallel_for(6, 1, [&](size_t begin, size_t end) { total += static_cast<int>(end - begin); });
        });
        CHECK(total == 74);
    }
}

TEST_CASE("thread pool: what a body throws reaches the caller once, and the pool goes on") {
    for (const int n_threads : {1, 2, 4}) {
        const auto pool = pool_of(n_threads);
        for (int round = 0; round < 20; ++round) {
            std::atomic<int> n_called{0};
            const auto throwing = [&](size_t begin, size_t) {
                ++n_called;
                if (begin >= 3) throw std::bad_alloc();
            };
            CHECK_THROWS_AS(pool->parallel_for(100000, 1, throwing), std::bad_alloc);
            CHECK(n_called < 100000);
            std::atomic<size_t> sum{0};
            pool->parallel_for(100, 7, [&](size_t begin, size_t end) { sum += end - begin; });
            CHECK(sum == 100);
        }
    }
}

TEST_CASE("thread pool: workers block every signal and have names; the thread that makes the pool keeps its mask") {
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    const auto pool = ThreadPool::make(3);
    REQUIRE(pool);
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    bool blocked[3] = {};
    char names[3][16] = {};
    (*pool)->run([&](int worker) {
        sigset_t own;
        pthread_sigmask(SIG_SETMASK, nullptr, &own);
        blocked[worker] =
            sigismember(&own, SIGINT) == 1 && sigismember(&own, SIGTERM) == 1 && sigismember(&own, SIGCHLD) == 1;
        pthread_getname_np(pthread_self(), names[worker], sizeof names[worker]);
    });
    CHECK(sigismember(&after, SIGINT) == sigismember(&before, SIGINT));
    CHECK(!blocked[0]);
    CHECK(blocked[1]);
    CHECK(blocked[2]);
    CHECK(std::string(names[1]) == "elver-1");
    CHECK(std::string(names[2]) == "elver-2");
}

TEST_CASE("thread pool: a thread knows the pools in whose runs it is") {
    const auto made = ThreadPool::make(2), second = ThreadPool::make(2);
    REQUIRE(made);
    REQUIRE(second);
    ThreadPool &a = **made, &b = **second;
    CHECK(!a.inside());
    a.run([&](int worker) {
        CHECK(a.inside());
        CHECK(!b.inside());
        if (worker != 0) return;
        b.run([&](int inner) {
            if (inner == 0) CHECK(a.inside());
            CHECK(b.inside());
        });
        CHECK(!b.inside());
    });
    CHECK(!a.inside());
}

TEST_CASE("thread pool: turns come in the order of asking, and a thread that has one has it again") {
    const auto pool = pool_of(2);
    std::vector<int> order;
    std::vector<std::thread> threads;
    {
        const ThreadPool::Turn turn(*pool);
        REQUIRE(bool(turn));
        CHECK(pool->inside());
        for (int i = 0; i < 5; ++i) {
            threads.emplace_back([&, i] {
                const ThreadPool::Turn mine(*pool);
                const ThreadPool::Turn again(*pool);
                order.push_back(i);  // whoever has the turn is alone
                std::atomic<int> n{0};
                pool->run([&](int) { ++n; });
                CHECK(n == 2);
            });
            while (pool->n_waiting() != i + 1) std::this_thread::yield();
        }
        CHECK(order.empty());
        std::atomic<int> n{0};
        pool->run([&](int) { ++n; });  // in the turn that this thread has, before those who wait
        CHECK(n == 2);
    }
    CHECK(!pool->inside());
    for (std::thread& thread : threads) thread.join();
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
    CHECK(pool->n_waiting() == 0);
}

TEST_CASE("thread pool: who waits for a turn may be cancelled, and those behind it lose nothing") {
    const auto pool = pool_of(2);
    CancelToken tokens[3];
    std::atomic<int> n_had{0}, n_not{0}, asked{0};
    tokens[1].watch([](void* context) { return ++*static_cast<std::atomic<int>*>(context) < 4 ? 1 : 0; }, &asked);
    std::vector<std::thread> threads;
    {
        const ThreadPool::Turn turn(*pool);
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                const ThreadPool::Turn mine(*pool, &tokens[i]);
                CHECK(pool->inside());
                (mine ? n_had : n_not) += 1;
            });
            while (pool->n_waiting() == i && n_not == 0) std::this_thread::yield();
        }
        threads[1].join();  // its function says so
        CHECK(asked == 4);
        tokens[0].cancel();
        threads[0].join();
        CHECK(n_not == 2);
        CHECK(pool->n_waiting() == 1);
    }
    threads[2].join();
    CHECK(n_had == 1);
    const ThreadPool::Turn turn(*pool);
    CHECK(bool(turn));
}
