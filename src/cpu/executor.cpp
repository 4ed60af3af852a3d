#include "cpu/executor.hpp"

#include <cstdarg>
#include <cstdio>

#include "cpu/step.hpp"

namespace elver::cpu {

void Fault::raise(const char* format, ...) noexcept {
    if (raised_.exchange(true, std::memory_order_relaxed)) return;
    va_list values;
    va_start(values, format);
    std::vsnprintf(text_, sizeof text_, format, values);
    va_end(values);
}

Executor::Executor(const graph::Program& program, const Weights& weights, const KernelTable& kernels, ThreadPool& pool)
    : program_(&program), weights_(&weights), kernels_(&kernels), pool_(&pool) {
    for (size_t b = 0; b < program.buffers.size(); ++b)
        strides_.push_back(program.stride(static_cast<graph::BufferId>(b)));
}

bool Executor::run(const Pass& pass, int first, int last) const noexcept {
    pass.stop->store(SIZE_MAX, std::memory_order_relaxed);
    pool_->run([&](int worker) {
        for (int i = first; i < last; ++i) {
            const Step step{*this, pass, i, worker};
            std::visit([&](const auto& op) noexcept { run_op(step, op); }, program_->ops[static_cast<size_t>(i)]);
            // Worker 0 names the operation before the barrier that ends it. Behind the barrier it may be an operation
            // ahead of the others: what it names there is not yet theirs.
            if (worker == 0 && (pass.cancelled(worker) || pass.fault->raised()))
                pass.stop->store(static_cast<size_t>(i), std::memory_order_relaxed);
            pool_->barrier();
            if (pass.stop->load(std::memory_order_relaxed) <= static_cast<size_t>(i)) return;
        }
    });
    return pass.stop->load(std::memory_order_relaxed) == SIZE_MAX && !pass.fault->raised();
}

}  // namespace elver::cpu
