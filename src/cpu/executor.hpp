// Runs a program on the CPU: every worker of a pool goes through the operations in step, each doing its share of each.
// A pass is a batch of segments, pieces of different texts side by side. Products, norms and activations see rows and
// do not care whose they are; caches, attention and recurrent states go segment by segment.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/cancel.hpp"
#include "base/thread_pool.hpp"
#include "cache/kv_cache.hpp"
#include "cache/recurrent_state.hpp"
#include "graph/program.hpp"
#include "kernels/table.hpp"
#include "weights/weights.hpp"

namespace elver::cpu {

// Why a pass must not go on: told by the first worker that sees it.
class Fault {
  public:
    // As printf.
    [[gnu::format(printf, 2, 3)]] void raise(const char* format, ...) noexcept;
    void clear() noexcept { raised_.store(false, std::memory_order_relaxed); }
    bool raised() const noexcept { return raised_.load(std::memory_order_relaxed); }
    // Once the pass has ended.
    const char* text() const noexcept { return text_; }

  private:
    std::atomic<bool> raised_{false};
    char text_[160] = "";
};

// n_tokens tokens of one text at consecutive positions, in rows [first_row, first_row + n_tokens) of the batch.
struct Segment {
    KvCache* cache = nullptr;
    RecurrentState* state = nullptr;
    int first_row = 0;
    int n_tokens = 0;
    int first_pos = 0;
};

// An input row of a product, seen by a probe.
struct ProbedRow {
    int op;          // in the program
    int row;         // of the batch, or of its outputs
    int expert;      // whose product it is; the head of a HeadLinear; -1: all rows have the same matrix
    bool down;       // of an expert: the input of its last matrix, not of its first ones
    const float* x;  // [k], what the product multiplies before it is quantised
    int k;
    int worker;
};

// Sees the input rows of every product: for importance matrices, and to trace which experts see what. Workers call it
// at the same time, each for rows of its own.
struct Probe {
    void (*see)(void* context, const ProbedRow& row) = nullptr;
    void* context = nullptr;
};

// Where the memory of passes lies: buffers, what operations need while they run, and each worker's own.
struct Scratch {
    std::byte* memory = nullptr;
    size_t n_bytes = 0;
    int max_rows = 0, max_outputs = 0, n_workers = 0;
    std::vector<size_t> buffer_at;     // of each buffer
    std::vector<size_t> shared_at;     // of each operation: what all its workers use together
    std::vector<size_t> shared_bytes;  // its size
    size_t worker_at = 0, worker_bytes = 0;
    size_t worker_acts_at = 0, worker_kernel_at = 0;  // in a worker's own, behind a row of floats
};

// One forward pass.
struct Pass {
    const Scratch* scratch = nullptr;
    std::span<const Segment> segments;  // in the order of their rows, which they cover
    const int32_t* ids = nullptr;       // [n_rows]
    const int32_t* pos = nullptr;       // [n_rows]
    const float* const* rows =
        nullptr;  // [n_rows], or null: what stands in place of an id's embedding, [width], or null
    int n_rows = 0;
    const int32_t* outputs = nullptr;  // [n_outputs] rows whose logits or hidden states are wanted, ascending
    int n_outputs = 0;
    CancelToken* cancel = nullptr;        // or null
    std::atomic<size_t>* stop = nullptr;  // the last operation to run, once cancelled
    Fault* fault = nullptr;
    const Probe* probe = nullptr;  // or null

    bool cancelled(int worker) const noexcept { return cancel != nullptr && cancel->cancelled(worker); }
};

class Executor {
  public:
    // All are borrowed. Weights may not be loaded yet when scratch is planned.
    Executor(const graph::Program& program, const Weights& weights, const KernelTable& kernels, ThreadPool& pool);

    // For passes of up to max_rows rows, with max_outputs outputs at a time, of texts of up to n_ctx positions.
    Scratch plan_scratch(int max_rows, int max_outputs, int n_ctx) const;

    // The body extends caches and states by the pass's tokens; the head then makes logits of pass.outputs. False if the
    // cancel token or a fault stopped it: what it left is then not valid.
    bool run_body(const Pass& pass) const noexcept { return run(pass, 0, program_->head_begin); }
    bool run_head(const Pass& pass) const noexcept { return run(pass, program_->head_begin, program_->hidden_begin); }
    // Leaves the hidden states of pass.outputs, after the last norm, instead of logits.
    bool run_hidden(const Pass& pass) const noexcept {
        return run(pass, program_->hidden_begin, static_cast<int>(program_->ops.size()));
    }
    // Operations [first, last).
    bool run(const Pass& pass, int first, int last) const noexcept;

    float* row(const Scratch& s, graph::BufferId buffer, int row) const noexcept {
        const auto b = static_cast<size_t>(buffer);
        return reinterpret_cast<float*>(s.memory + s.buffer_at[b]) + static_cast<size_t>(row) * strides_[b];
    }
    // Of output i of the last run of the head, [n_vocab], or of the rest, [width].
    float* logits(const Scratch& s, int i) const noexcept { return row(s, program_->logits, i); }
    float* hidden(const Scratch& s, int i) const noexcept { return row(s, program_->hidden, i); }

    size_t stride(graph::BufferId buffer) const noexcept { return strides_[static_cast<size_t>(buffer)]; }
    const graph::Program& program() const noexcept { return *program_; }
    const Weights& weights() const noexcept { return *weights_; }
    const KernelTable& kernels() const noexcept { return *kernels_; }
    ThreadPool& pool() const noexcept { return *pool_; }

  private:
    const graph::Program* program_;
    const Weights* weights_;
    const KernelTable* kernels_;
    ThreadPool* pool_;
    std::vector<size_t> strides_;  // of each buffer
};

}  // namespace elver::cpu
