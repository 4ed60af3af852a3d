// A pool of threads that run one function together, in step. The caller's thread is worker 0. Between runs the others
// sleep; inside a run they meet at barriers that spin briefly and then sleep. One run at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/result.hpp"

namespace elver {

// Splits n items evenly: worker w of n_workers has [begin, end).
struct Share {
    int begin, end;
};
inline Share share(int n, int worker, int n_workers) noexcept {
    return {static_cast<int>(static_cast<int64_t>(n) * worker / n_workers),
            static_cast<int>(static_cast<int64_t>(n) * (worker + 1) / n_workers)};
}

class ThreadPool {
  public:
    using Work = void (*)(void* context, int worker);

    // n_threads at least 1; the caller's thread counts. An error if the system refuses threads.
    static Result<std::unique_ptr<ThreadPool>> make(int n_threads);
    ~ThreadPool();

    int n_threads() const noexcept { return n_threads_; }
    // Whether the calling thread is inside a run of this pool. What it calls from there may not start another: it would
    // wait for itself.
    bool inside() const noexcept;

    // Calls work(context, worker) for worker 0 .. n_threads − 1, once each, and returns when all have. Sessions of
    // several threads may call: their runs follow one another. Never from inside a run of the same pool (inside()).
    void run(Work work, void* context) noexcept;
    // The same for a callable of one int, which must not throw.
    template <class Body>
    void run(Body&& body) noexcept {
        run([](void* context, int worker) { (*static_cast<std::remove_reference_t<Body>*>(context))(worker); },
            const_cast<std::remove_const_t<std::remove_reference_t<Body>>*>(&body));
    }

    // Inside a run, called by every worker: returns when all have called it. Writes before it are seen after it.
    void barrier() noexcept;

    // Inside a run: a piece of work, 0 to below n, that nobody has taken since the last barrier; -1 when none is left.
    // A worker goes through its own share upwards, so that it reads memory forwards, and then takes the last pieces of
    // workers that are slower, or that something else keeps from their cores. Between two barriers all workers ask for
    // the same n.
    int take(int worker, int n) noexcept;

    // Splits [0, n) into parts of at most grain, taken by whichever worker is free. For work outside the forward pass.
    // Inside a run of the same pool the caller does it all. What body throws first stops the rest and is thrown here.
    void parallel_for(size_t n, size_t grain, const std::function<void(size_t begin, size_t end)>& body);

  private:
    // What is left of a worker's share, and in which phase: of another phase than the present one it counts as whole.
    struct alignas(64) Left {
        std::atomic<uint64_t> bits{0};
        // Of more pieces than a share can count, workers take runs; the worker alone sees what is left of its own.
        uint64_t run_tag = 0;
        int64_t run_next = 0, run_end = 0;
    };

    explicit ThreadPool(int n_threads)
        : n_threads_(n_threads), left_(std::make_unique<Left[]>(static_cast<size_t>(n_threads))) {}
    void worker_loop(int worker) noexcept;
    int take_unit(int worker, int n, uint64_t tag) noexcept;
    void open_barrier(uint32_t phase) noexcept;

    const int n_threads_;
    std::mutex run_mutex_;
    std::vector<std::thread> threads_;
    const std::unique_ptr<Left[]> left_;  // [n_threads]
    Work work_ = nullptr;
    void* context_ = nullptr;
    alignas(64) std::atomic<uint32_t> epoch_{0};    // a new value starts a run
    alignas(64) std::atomic<uint32_t> arrived_{0};  // workers at the current barrier
    alignas(64) std::atomic<uint32_t> phase_{0};    // a new value opens the barrier
    std::atomic<bool> stop_{false};
};

}  // namespace elver
