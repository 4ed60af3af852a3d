// A pool of threads that run one function together, in step. The caller's thread is worker 0. Between runs the others
// sleep; inside a run they meet at barriers that spin briefly and then sleep. One run at a time: who shares a pool
// takes turns.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/cancel.hpp"
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
    // What a thread is inside of, the innermost first.
    struct Inside {
        const ThreadPool* pool;
        const Inside* outer;
        bool runs;  // else it has, or awaits, a turn
    };

  public:
    using Work = void (*)(void* context, int worker);

    // n_threads at least 1; the caller's thread counts. An error if the system refuses threads.
    static Result<std::unique_ptr<ThreadPool>> make(int n_threads);
    ~ThreadPool();

    int n_threads() const noexcept { return n_threads_; }
    // Whether the calling thread is inside a run of this pool, or has or awaits a turn. What a function of the host's
    // calls from there may not use the pool: it would wait for itself.
    bool inside() const noexcept { return is_inside(false); }

    // The right to run, for as long as it lives. Who asks for it gets it in the order of asking, so that of models
    // which share a pool each makes a pass in turn.
    class Turn {
      public:
        // Waits; a cancel, which is looked for now and then, ends the wait. A thread that has a turn has it again.
        explicit Turn(ThreadPool& pool, CancelToken* cancel = nullptr) noexcept;
        ~Turn();
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        // False where it was cancelled.
        explicit operator bool() const noexcept { return has_; }

      private:
        friend class ThreadPool;
        ThreadPool* pool_;
        const bool again_;
        bool has_ = false;
        Turn* next_ = nullptr;  // who asked after it
        const Inside here_;
    };
    // How many threads await a turn.
    int n_waiting() const;

    // Calls work(context, worker) for worker 0 .. n_threads − 1, once each, and returns when all have: in the turn that
    // the thread has, or one of its own. Never from inside a run of the same pool.
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

    bool is_inside(bool of_a_run) const noexcept;

    explicit ThreadPool(int n_threads)
        : n_threads_(n_threads), left_(std::make_unique<Left[]>(static_cast<size_t>(n_threads))) {}
    void worker_loop(int worker) noexcept;
    int take_unit(int worker, int n, uint64_t tag) noexcept;
    void open_barrier(uint32_t phase) noexcept;

    static thread_local const Inside* inside_;

    const int n_threads_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool taken_ = false;     // somebody has the turn
    Turn* first_ = nullptr;  // of those who await it
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
