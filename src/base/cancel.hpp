// Cancelling: set from any thread, polled by long work at least once a layer or a MiB of I/O. A cancel belongs to a
// request: it stops the one that is current when it comes, and never a later one. Some hosts cannot call cancel() while
// a pass runs, for example when their interrupt handler runs on the same thread. They give a function instead, which
// the pass polls.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace elver {

// Told the fraction of the work that is done; returns false to cancel.
using Progress = std::function<bool(double)>;

class CancelToken {
  public:
    // Requests are numbered. A token that was never told of requests stands for a single one.
    using Request = uint64_t;

    // A new request, which is current from here on.
    Request begin() noexcept {
        current_.store(++last_, std::memory_order_relaxed);
        return last_;
    }
    // Makes a request current again; 0: none is, and a cancel means nobody.
    void resume(Request request) noexcept { current_.store(request, std::memory_order_relaxed); }
    Request current() const noexcept { return current_.load(std::memory_order_relaxed); }

    void cancel() noexcept { cancelled_.store(current(), std::memory_order_relaxed); }
    // Whether the current request is cancelled.
    bool cancelled() const noexcept {
        const Request request = current();
        return request != 0 && cancelled_.load(std::memory_order_relaxed) == request;
    }

    // The function to poll; it returns 0 to cancel. Set between calls only.
    using GoOn = int (*)(void* context);
    void watch(GoOn go_on, void* context) noexcept {
        go_on_ = go_on;
        context_ = context;
    }
    // As cancelled(), asked by a worker of the call. Worker 0 runs on the thread of the call: it polls the function.
    bool cancelled(int worker) noexcept {
        if (worker == 0 && go_on_ != nullptr && !cancelled() && !goes_on()) cancel();
        return cancelled();
    }

  private:
    bool goes_on() noexcept {
        try {
            return go_on_(context_) != 0;
        } catch (...) {
            return false;
        }
    }

    Request last_ = 1;  // of those given out; used by the thread of the call alone
    std::atomic<Request> current_{1}, cancelled_{0};
    GoOn go_on_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace elver
