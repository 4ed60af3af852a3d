#include "kernels/machine.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "base/bytes.hpp"
#include "base/cpu.hpp"

namespace elver::bench {

namespace {

// One thread is timed by the processor time it had, which others on the machine do not change; several by the clock.
double now() {
    timespec t;
    clock_gettime(pool().n_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

ThreadPool& pool() {
    static const std::unique_ptr<ThreadPool> threads = [] {
        const char* wanted = std::getenv("ELVER_BENCH_THREADS");
        const int n = wanted == nullptr ? usable_cores() : std::atoi(wanted);
        auto made = ThreadPool::make(n);
        if (!made) std::abort();
        return *std::move(made);
    }();
    return *threads;
}

double dot_ops_per_s(const KernelTable& kernels) {
    constexpr uint64_t steps = 200'000;
    const int n = pool().n_threads();
    std::vector<int32_t> sinks(static_cast<size_t>(n) * 16);
    double best = 0;
    for (int round = 0; round < 4; ++round) {
        const double start = now();
        pool().run([&](int w) { kernels.peak_dots(steps, &sinks[static_cast<size_t>(w) * 16]); });
        best = std::max(best, static_cast<double>(n) * static_cast<double>(steps * 12 * 64 * 2) / (now() - start));
    }
    return best;
}

double read_bytes_per_s(const KernelTable& kernels) {
    constexpr size_t n_bytes = size_t{128} << 20;
    static AlignedBuffer buffer = [] {
        auto made = AlignedBuffer::make(n_bytes, "the bandwidth measurement");
        if (!made) std::abort();
        std::memset(made->data(), 1, n_bytes);
        return *std::move(made);
    }();
    const auto n = static_cast<size_t>(pool().n_threads());
    std::vector<int32_t> sinks(n * 16);
    double best = 0;
    for (int round = 0; round < 3; ++round) {
        const double start = now();
        pool().run([&](int w) {
            const auto worker = static_cast<size_t>(w);
            kernels.peak_read(buffer.as<uint8_t>(worker * (n_bytes / n)), n_bytes / n, &sinks[worker * 16]);
        });
        best = std::max(best, static_cast<double>(n_bytes) / (now() - start));
    }
    return best;
}

Measured::Measured(benchmark::State& state, const KernelTable& kernels)
    : state_(state),
      kernels_(kernels),
      dots_(dot_ops_per_s(kernels)),
      read_(read_bytes_per_s(kernels)),
      start_(now()) {}

void Measured::report(double ops, double bytes) {
    const double seconds = now() - start_;
    const double dots = (dots_ + dot_ops_per_s(kernels_)) / 2, read = (read_ + read_bytes_per_s(kernels_)) / 2;
    state_.counters["TOPS"] = ops / seconds / 1e12;
    state_.counters["of_dots"] = ops / seconds / dots;
    if (bytes == 0) return;
    state_.counters["GB/s"] = bytes / seconds / 1e9;
    state_.counters["of_read"] = bytes / seconds / read;
}

}  // namespace elver::bench
