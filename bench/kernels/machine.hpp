// What benchmarks of kernels share: threads, and the limits of the machine measured beside each of them, since a
// machine that others use is not the same from one minute to the next.
#pragma once

#include <benchmark/benchmark.h>

#include "base/thread_pool.hpp"
#include "kernels/table.hpp"

namespace elver::bench {

// As many threads as there are usable cores, or as ELVER_BENCH_THREADS says.
ThreadPool& pool();

// Of all threads together, now.
double dot_ops_per_s(const KernelTable& kernels);
double read_bytes_per_s(const KernelTable& kernels);

// A benchmark's figures beside the machine's: the mean of those measured before and after it.
class Measured {
  public:
    Measured(benchmark::State& state, const KernelTable& kernels);
    // The whole loop did so many operations and read so many bytes from memory (0: from cache). Units: TOPS, GB/s, and
    // shares of 1.
    void report(double ops, double bytes);

  private:
    benchmark::State& state_;
    const KernelTable& kernels_;
    double dots_, read_, start_;
};

void register_matmul();
void register_attention();

}  // namespace elver::bench
