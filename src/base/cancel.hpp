// A cancel token: set from any thread, polled by long work at least once a layer or a MiB of I/O. Whoever cannot set it
// in time, because what would tell him runs on the working thread, is asked there.
#pragma once

#include <atomic>

namespace elver {

class CancelToken {
  public:
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
    void reset() noexcept { cancelled_.store(false, std::memory_order_relaxed); }
    bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

    // Who is asked whether to go on: 0 cancels. Between calls only.
    using GoOn = int (*)(void* context);
    void watch(GoOn go_on, void* context) noexcept {
        go_on_ = go_on;
        context_ = context;
    }
    // Of a worker of the call: the first runs on the thread of the call, and asks.
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

    std::atomic<bool> cancelled_{false};
    GoOn go_on_ = nullptr;
    void* context_ = nullptr;
};

}  // namespace elver
