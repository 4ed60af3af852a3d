#include "layers/program.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "base/checked.hpp"
#include "base/text.hpp"
#include "layers/attention.hpp"
#include "layers/moe.hpp"

namespace elver {

void Fault::raise(const char* format, ...) noexcept {
    if (raised_.exchange(true, std::memory_order_relaxed)) return;
    va_list values;
    va_start(values, format);
    std::vsnprintf(text_, sizeof text_, format, values);
    va_end(values);
}

Scratch Program::plan_scratch(int max_tokens, int max_outputs, int n_workers, int n_ctx) const noexcept {
    Scratch s;
    s.max_tokens = max_tokens;
    s.max_outputs = max_outputs;
    s.n_workers = n_workers;
    const auto tokens = static_cast<size_t>(max_tokens), outputs = static_cast<size_t>(max_outputs);
    size_t at = 0;
    const auto take = [&at](size_t n_bytes) {
        const size_t start = at;
        at += round_up(n_bytes, 64);
        return start;
    };
    for (size_t b = 0; b < static_cast<size_t>(Buffer::count); ++b) {
        const auto buffer = static_cast<Buffer>(b);
        const bool per_output = buffer == Buffer::logits || buffer == Buffer::outputs;
        s.buffer_at[b] = take((per_output ? outputs : tokens) * widths.stride(buffer) * sizeof(float));
    }
    const auto max_k = round_up(static_cast<size_t>(widths.max_k), 32);
    s.rope_at = take(static_cast<size_t>(widths.n_rope_tables) * tokens * static_cast<size_t>(widths.rope_dims) *
                     sizeof(float));
    const size_t act_rows = std::max(tokens, 2 * outputs);  // the head's have two parts
    s.acts_at = take(quantized_acts_bytes(act_rows, max_k));
    // Of a short context too: a text that goes on beyond it crosses from range to range.
    if (n_workers > 1) s.parts_at = take(max_ranges(n_ctx) * widths.part * sizeof(float));
    s.moe_at = take(place_moe(widths.moe, nullptr, max_tokens).n_bytes);
    s.worker_acts_at = round_up(max_k * sizeof(float), 64);
    s.worker_kernel_at = s.worker_acts_at + round_up(quantized_acts_bytes(2, max_k), 64);
    const size_t kernel =
        std::max({matmul_scratch_bytes(act_rows), attention_scratch_bytes(widths.head_scratch, widths.head_scratch),
                  router_scratch(widths.moe.n_experts) * sizeof(float)});
    s.worker_bytes = s.worker_kernel_at + round_up(kernel, 64);
    s.worker_at = take(static_cast<size_t>(n_workers) * s.worker_bytes);
    s.n_bytes = at;
    return s;
}

bool Program::run(Pass& pass, size_t first, size_t last) const noexcept {
    pass.stop->store(SIZE_MAX, std::memory_order_relaxed);
    pass.pool->run([&](int worker) {
        for (size_t i = first; i < last; ++i) {
            phases_[i]->run(pass, worker);
            // Worker 0 names the phase before the barrier that ends it. Behind the barrier it may be a phase ahead of
            // the others: what it names there is not yet theirs.
            if (worker == 0 && (pass.cancelled(worker) || pass.fault->raised()))
                pass.stop->store(i, std::memory_order_relaxed);
            pass.pool->barrier();
            if (pass.stop->load(std::memory_order_relaxed) <= i) return;
        }
    });
    return pass.stop->load(std::memory_order_relaxed) == SIZE_MAX && !pass.fault->raised();
}

std::string Program::describe() const {
    std::string out;
    int number = 0;
    for (const auto& phase : phases_) out += cat(number++, "  ", phase->describe(), "\n");
    return out;
}

}  // namespace elver
