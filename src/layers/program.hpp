// A model compiled at load: a flat list of phases, each bound to its weights, kernels and buffers, with barriers
// between. A forward pass interprets this list and nothing else.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/cancel.hpp"
#include "base/thread_pool.hpp"
#include "kernels/table.hpp"
#include "layers/kv_cache.hpp"
#include "layers/recurrent_state.hpp"

namespace elver {

// f32 activations of the pass, [n_tokens, width] with rows padded to 16 floats. One arena holds them all.
enum class Buffer : uint8_t { x, normed, branch, q, k, v, attn, hidden, gate, router, shared, outputs, logits, count };

// Floats from one row of `width` to the next.
constexpr size_t padded_row(int width) noexcept {
    return (static_cast<size_t>(width) + 31) & ~size_t{31};
}

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

// Where a session's scratch memory lies. Made by Program::plan_scratch for a largest batch; the session owns the arena.
struct Scratch {
    std::byte* memory = nullptr;
    size_t n_bytes = 0;
    int max_tokens = 0, max_outputs = 0, n_workers = 0;
    size_t buffer_at[static_cast<size_t>(Buffer::count)] = {};
    size_t rope_at = 0;    // [table][max_tokens][dims / 2][2]
    size_t acts_at = 0;    // quantised activations of the batch
    size_t worker_at = 0;  // each worker's own: a normed row, its quantised form, kernel scratch
    size_t worker_bytes = 0, worker_acts_at = 0, worker_kernel_at = 0;
    size_t parts_at = 0;  // of a token's heads, one range of keys after the other (AttendArgs)
    size_t moe_at = 0;    // sorted tokens and what their experts make (MoeScratch)
};

// One forward pass: n_tokens tokens at consecutive positions of one session.
struct Pass {
    const KernelTable* kernels;
    ThreadPool* pool;
    const Scratch* scratch;
    KvCache* cache;
    RecurrentState* state;
    const int32_t* ids;      // [n_tokens]
    const int32_t* pos;      // [n_tokens]
    const int32_t* outputs;  // [n_outputs] tokens of this pass whose logits are wanted, ascending
    int n_tokens;
    int n_outputs;
    CancelToken* cancel;
    std::atomic<size_t>* stop;  // the last phase to run, once cancelled
    Fault* fault;

    bool cancelled(int worker) const noexcept { return cancel != nullptr && cancel->cancelled(worker); }
};

// The greatest sizes of a model's sparse FFNs.
struct MoeWidths {
    int n_experts = 0, top_k = 0, width = 0, hidden = 0;

    void need(int experts, int chosen, int in, int middle) noexcept {
        const auto raise = [](int& have, int want) { have = want > have ? want : have; };
        raise(n_experts, experts), raise(top_k, chosen), raise(width, in), raise(hidden, middle);
    }
};

// Widths of the buffers and tables, gathered while the program is built.
struct Widths {
    int buffer[static_cast<size_t>(Buffer::count)] = {};
    int max_k = 0;         // the widest matrix input
    int head_scratch = 0;  // head_dim + v_head_dim, the largest
    size_t part = 0;       // floats of a range's parts of all heads, the most
    int n_rope_tables = 0, rope_dims = 0;
    MoeWidths moe;

    void need(Buffer b, int width) noexcept {
        int& w = buffer[static_cast<size_t>(b)];
        if (width > w) w = width;
    }
    int of(Buffer b) const noexcept { return buffer[static_cast<size_t>(b)]; }
    // Floats from one token's row to the next.
    size_t stride(Buffer b) const noexcept { return padded_row(of(b)); }
};

class Phase {
  public:
    virtual ~Phase() = default;
    // Called by every worker; does this worker's share.
    virtual void run(const Pass& pass, int worker) const noexcept = 0;
    virtual std::string describe() const = 0;
    virtual size_t weight_bytes() const noexcept { return 0; }
};

// Phases point at their program: it stays where it was made.
class Program {
  public:
    Program() = default;
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    Widths widths;

    // Phases from here on make logits of chosen tokens; they run apart, for a few outputs at a time.
    void begin_head() { head_begin_ = phases_.size(); }
    // And from here on, instead of logits, the hidden states of chosen tokens.
    void begin_hidden() { hidden_begin_ = phases_.size(); }

    template <class P, class... Args>
    void add(Args&&... args) {
        phases_.push_back(std::make_unique<P>(*this, std::forward<Args>(args)...));
    }

    // Offsets and size of the scratch arena for passes of up to max_tokens tokens, max_outputs of them with logits, in
    // a context of n_ctx positions.
    Scratch plan_scratch(int max_tokens, int max_outputs, int n_workers, int n_ctx) const noexcept;

    // The body extends the cache by the pass's tokens and leaves x; the head makes logits of pass.outputs from x. False
    // if the cancel token or a fault stopped it: what it left is then not valid.
    bool run_body(Pass& pass) const noexcept { return run(pass, 0, head_begin_); }
    bool run_head(Pass& pass) const noexcept { return run(pass, head_begin_, hidden_begin_); }
    // Leaves the hidden states of pass.outputs, after the last norm, in Buffer::outputs.
    bool run_hidden(Pass& pass) const noexcept { return run(pass, hidden_begin_, phases_.size()); }

    float* row(const Scratch& s, Buffer b, int token) const noexcept {
        return reinterpret_cast<float*>(s.memory + s.buffer_at[static_cast<size_t>(b)]) +
               static_cast<size_t>(token) * widths.stride(b);
    }
    float* rope_table(const Scratch& s, int table, int token) const noexcept {
        return reinterpret_cast<float*>(s.memory + s.rope_at) +
               (static_cast<size_t>(table) * static_cast<size_t>(s.max_tokens) + static_cast<size_t>(token)) *
                   static_cast<size_t>(widths.rope_dims);
    }
    std::byte* worker_memory(const Scratch& s, int worker) const noexcept {
        return s.memory + s.worker_at + static_cast<size_t>(worker) * s.worker_bytes;
    }

    // A line a phase: name, shapes, bytes of weights read.
    std::string describe() const;
    const std::vector<std::unique_ptr<Phase>>& phases() const noexcept { return phases_; }

  private:
    bool run(Pass& pass, size_t first, size_t last) const noexcept;

    std::vector<std::unique_ptr<Phase>> phases_;
    size_t head_begin_ = 0, hidden_begin_ = 0;
};

}  // namespace elver
