#include "base/thread_pool.hpp"

#include <pthread.h>
#include <algorithm>
#include <cassert>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <system_error>
#include <utility>

#include "base/text.hpp"

namespace elver {

namespace {

inline void cpu_relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits until value differs from old: spins for about 20 microseconds (a phase of a small model), then sleeps. The spin
// is bounded by the clock, since a pause lasts 1 to 40 ns by processor.
void wait_for_change(std::atomic<uint32_t>& value, uint32_t old) noexcept {
    for (int i = 0; i < 256; ++i) {
        if (value.load(std::memory_order_acquire) != old) return;
        cpu_relax();
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
    do {
        for (int i = 0; i < 64; ++i) {
            if (value.load(std::memory_order_acquire) != old) return;
            cpu_relax();
        }
    } while (std::chrono::steady_clock::now() < until);
    while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

// Threads that start while this lives block every signal: signals are for the host's own threads.
class SignalsBlocked {
  public:
    SignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  private:
    sigset_t before_;
};

// Shown by debuggers and by top; at most 15 characters on Linux.
void name_this_thread(int worker) noexcept {
    char name[16];
    std::snprintf(name, sizeof name, "elver-%d", worker);
#if defined(__APPLE__)
    pthread_setname_np(name);
#else
    pthread_setname_np(pthread_self(), name);
#endif
}

// What is left of a share as one word: pieces [begin, end) of 24 bits each below a tag of the phase, which is never 0.
constexpr int most_units = (1 << 24) - 1;
struct LeftPieces {
    uint64_t tag, begin, end;

    static LeftPieces of(uint64_t bits) noexcept { return {bits >> 48, bits >> 24 & 0xffffff, bits & 0xffffff}; }
    uint64_t bits() const noexcept { return tag << 48 | begin << 24 | end; }
};

uint64_t tag_of(uint32_t phase) noexcept {
    return phase % 0xffff + 1;
}

}  // namespace

Result<std::unique_ptr<ThreadPool>> ThreadPool::make(int n_threads) {
    if (n_threads < 1 || n_threads > 1024) {
        return Error(Status::invalid_argument, cat("n_threads: expected 1 to 1024, found ", n_threads), "n_threads");
    }
    std::unique_ptr<ThreadPool> pool(new ThreadPool(n_threads));
    const SignalsBlocked blocked;
    try {
        for (int i = 1; i < n_threads; ++i) pool->threads_.emplace_back([p = pool.get(), i] { p->worker_loop(i); });
    } catch (const std::system_error&) {
        return Error(Status::out_of_memory,
                     cat("the system refused thread ", pool->threads_.size() + 2, " of ", n_threads), "n_threads");
    }
    return pool;
}

ThreadPool::~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

constinit thread_local const ThreadPool::Inside* ThreadPool::inside_ = nullptr;

bool ThreadPool::is_inside(bool of_a_run) const noexcept {
    for (const Inside* i = inside_; i != nullptr; i = i->outer) {
        if (i->pool == this && (i->runs || !of_a_run)) return true;
    }
    return false;
}

ThreadPool::Turn::Turn(ThreadPool& pool, CancelToken* cancel) noexcept
    : pool_(&pool), again_(pool.inside()), here_{&pool, inside_, false} {
    inside_ = &here_;
    if (again_) {
        has_ = true;
        return;
    }
    std::unique_lock lock(pool.mutex_);
    if (!pool.taken_) {
        pool.taken_ = has_ = true;
        return;
    }
    Turn** end = &pool.first_;
    while (*end != nullptr) end = &(*end)->next_;
    *end = this;
    while (!has_) {
        if (cancel == nullptr) {
            pool.changed_.wait(lock);
            continue;
        }
        pool.changed_.wait_for(lock, std::chrono::milliseconds(5));
        lock.unlock();
        const bool stop = cancel->cancelled(0);  // may call the host
        lock.lock();
        if (!stop || has_) continue;
        Turn** link = &pool.first_;
        while (*link != this) link = &(*link)->next_;
        *link = next_;
        return;
    }
}

ThreadPool::Turn::~Turn() {
    inside_ = here_.outer;
    if (!has_ || again_) return;
    const std::lock_guard lock(pool_->mutex_);
    Turn* next = pool_->first_;
    pool_->taken_ = next != nullptr;
    if (next == nullptr) return;
    pool_->first_ = next->next_;
    next->has_ = true;
    pool_->changed_.notify_all();
}

int ThreadPool::n_waiting() const {
    const std::lock_guard lock(mutex_);
    int n = 0;
    for (const Turn* turn = first_; turn != nullptr; turn = turn->next_) ++n;
    return n;
}

void ThreadPool::run(Work work, void* context) noexcept {
    assert(!is_inside(true));
    const Turn turn(*this);
    const Inside here{this, inside_, true};
    inside_ = &here;
    if (n_threads_ > 1) {
        work_ = work;
        context_ = context;
        epoch_.fetch_add(1, std::memory_order_release);
        epoch_.notify_all();
    }
    work(context, 0);
    barrier();
    inside_ = here.outer;
}

void ThreadPool::barrier() noexcept {
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (n_threads_ == 1) return open_barrier(phase);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(n_threads_)) {
        arrived_.store(0, std::memory_order_relaxed);
        open_barrier(phase);
        phase_.notify_all();
        return;
    }
    wait_for_change(phase_, phase);
}

void ThreadPool::open_barrier(uint32_t phase) noexcept {
    // Tags begin again: what an old phase left under the same one must not count.
    if (tag_of(phase + 1) == 1) {
        for (int i = 0; i < n_threads_; ++i) {
            left_[static_cast<size_t>(i)].bits.store(0, std::memory_order_relaxed);
            left_[static_cast<size_t>(i)].run_tag = 0;
        }
    }
    // Sequentially consistent: notify_all then cannot miss a worker that went to sleep before the store.
    phase_.store(phase + 1, std::memory_order_seq_cst);
}

int ThreadPool::take(int worker, int n) noexcept {
    const uint64_t tag = tag_of(phase_.load(std::memory_order_relaxed));
    if (n <= most_units) return take_unit(worker, n, tag);
    Left& own = left_[static_cast<size_t>(worker)];
    if (own.run_tag != tag || own.run_next == own.run_end) {
        const int run = (n - 1) / most_units + 1;  // pieces
        const int unit = take_unit(worker, (n - 1) / run + 1, tag);
        if (unit < 0) return -1;
        own.run_tag = tag;
        own.run_next = int64_t{unit} * run;
        own.run_end = std::min<int64_t>(own.run_next + run, n);
    }
    return static_cast<int>(own.run_next++);
}

int ThreadPool::take_unit(int worker, int n, uint64_t tag) noexcept {
    for (int i = 0; i < n_threads_; ++i) {
        const int owner = (worker + i) % n_threads_;
        auto& slot = left_[static_cast<size_t>(owner)].bits;
        uint64_t seen = slot.load(std::memory_order_relaxed);
        while (true) {
            LeftPieces left = LeftPieces::of(seen);
            if (left.tag != tag) {
                const Share whole = share(n, owner, n_threads_);
                left = {tag, static_cast<uint64_t>(whole.begin), static_cast<uint64_t>(whole.end)};
            }
            if (left.begin == left.end) break;
            const uint64_t unit = i == 0 ? left.begin++ : --left.end;
            // No data passes with a piece: the barrier has ordered all there is.
            if (slot.compare_exchange_weak(seen, left.bits(), std::memory_order_relaxed)) return static_cast<int>(unit);
        }
    }
    return -1;
}

void ThreadPool::worker_loop(int worker) noexcept {
    name_this_thread(worker);
    const Inside here{this, nullptr, true};
    inside_ = &here;
    uint32_t seen = 0;
    while (true) {
        wait_for_change(epoch_, seen);
        ++seen;
        if (stop_.load(std::memory_order_relaxed)) return;
        work_(context_, worker);
        barrier();
    }
}

void ThreadPool::parallel_for(size_t n, size_t grain, const std::function<void(size_t, size_t)>& body) {
    if (n == 0) return;
    if (is_inside(true)) return body(0, n);
    grain = std::max<size_t>(grain, 1);
    std::atomic<size_t> next{0};
    std::atomic_flag failed;
    std::exception_ptr failure;
    run([&](int) {
        while (true) {
            const size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= n || failed.test(std::memory_order_relaxed)) return;
            try {
                body(begin, begin + std::min(grain, n - begin));
            } catch (...) {
                if (!failed.test_and_set(std::memory_order_relaxed)) failure = std::current_exception();
            }
        }
    });
    if (failure) std::rethrow_exception(failure);
}

}  // namespace elver
