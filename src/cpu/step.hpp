// What an operation sees while a worker runs it, and the operations' functions.
#pragma once

#include <cmath>
#include <utility>

#include "cpu/executor.hpp"

namespace elver::cpu {

// A norm whose weights are resolved.
struct NormWeights {
    graph::Norm::Kind kind = graph::Norm::Kind::none;
    float eps = 0;
    const float* weight = nullptr;
    const float* bias = nullptr;

    bool there() const noexcept { return kind != graph::Norm::Kind::none; }
    // The same with weights from element `first` on.
    NormWeights from(size_t first) const noexcept {
        return {kind, eps, weight == nullptr ? nullptr : weight + first, bias == nullptr ? nullptr : bias + first};
    }
    // y = norm(x), or a copy where there is none; x and y may be the same.
    void apply(const KernelTable& kernels, const float* x, float* y, int width) const noexcept;
};

// A worker's own memory.
struct Own {
    float* row;       // as many floats as the widest input of a product
    std::byte* acts;  // such a row as products read it
    float* kernel;    // scratch of kernels
};

// One operation of a pass, as one worker runs it.
struct Step {
    const Executor& executor;
    const Pass& pass;
    int op;
    int worker;

    const KernelTable& kernels() const noexcept { return executor.kernels(); }
    ThreadPool& pool() const noexcept { return executor.pool(); }
    int n_workers() const noexcept { return pool().n_threads(); }
    void barrier() const noexcept { pool().barrier(); }
    int take(int n) const noexcept { return pool().take(worker, n); }
    bool cancelled() const noexcept { return pass.cancelled(worker); }

    float* row(graph::BufferId buffer, int row) const noexcept { return executor.row(*pass.scratch, buffer, row); }
    float* row(graph::View view, int row) const noexcept {
        return executor.row(*pass.scratch, view.buffer, row) + view.first;
    }
    size_t stride(graph::BufferId buffer) const noexcept { return executor.stride(buffer); }
    int n_rows(graph::BufferId buffer) const noexcept {
        const auto rows = executor.program().buffers[static_cast<size_t>(buffer)].rows;
        return rows == graph::Buffer::Rows::outputs ? pass.n_outputs : pass.n_rows;
    }
    // This worker's of n.
    Share share(int n) const noexcept { return elver::share(n, worker, n_workers()); }

    const PackedMatrix& matrix(const graph::Matrix& m) const noexcept { return executor.weights().matrix(m.ref); }
    const float* vector(WeightRef ref) const noexcept { return executor.weights().vector(ref); }
    NormWeights norm(const graph::Norm& n) const noexcept { return {n.kind, n.eps, vector(n.weight), vector(n.bias)}; }

    std::byte* shared() const noexcept {
        return pass.scratch->memory + pass.scratch->shared_at[static_cast<size_t>(op)];
    }
    Own own() const noexcept {
        const Scratch& s = *pass.scratch;
        std::byte* at = s.memory + s.worker_at + static_cast<size_t>(worker) * s.worker_bytes;
        return {reinterpret_cast<float*>(at), at + s.worker_acts_at, reinterpret_cast<float*>(at + s.worker_kernel_at)};
    }
    void probe(int row_number, int expert, bool down, const float* x, int k) const noexcept {
        if (pass.probe != nullptr) pass.probe->see(pass.probe->context, {op, row_number, expert, down, x, k, worker});
    }
};

// Pieces of work that lie segment after segment, so that all segments are one loop of take(). count(segment) is how
// many a segment has.
template <class Count>
class Pieces {
  public:
    Pieces(std::span<const Segment> segments, Count count) noexcept : segments_(segments), count_(std::move(count)) {
        for (const Segment& s : segments_) total_ += count_(s);
    }
    int total() const noexcept { return total_; }
    // The segment of a piece, and the piece's number in it. Quick where pieces are asked for in order.
    std::pair<const Segment&, int> find(int piece) noexcept {
        if (piece < before_) at_ = 0, before_ = 0;
        for (int n; piece >= before_ + (n = count_(segments_[at_])); ++at_) before_ += n;
        return {segments_[at_], piece - before_};
    }

  private:
    std::span<const Segment> segments_;
    Count count_;
    int total_ = 0;
    size_t at_ = 0;   // a segment
    int before_ = 0;  // and the pieces of those before it
};

// Calls body(segment, first, last) for each segment that has some of rows [rows.begin, rows.end), with those it has.
template <class Body>
void for_segments(std::span<const Segment> segments, Share rows, const Body& body) noexcept {
    for (const Segment& s : segments) {
        const int first = s.first_row > rows.begin ? s.first_row : rows.begin;
        const int end = s.first_row + s.n_tokens, last = end < rows.end ? end : rows.end;
        if (first < last) body(s, first, last);
    }
}

// Runs body(segment, part) for each part [begin, end) of n channels or heads of each segment. A text alone has a part
// for each worker; of many texts, a worker takes whole ones.
template <class Body>
void for_channels(const Step& step, int n, const Body& body) noexcept {
    const int n_segments = static_cast<int>(step.pass.segments.size()), n_workers = step.n_workers();
    const int n_parts = n_segments >= 4 * n_workers ? 1 : n < n_workers ? n : n_workers;
    for (int piece; (piece = step.take(n_segments * n_parts)) >= 0;) {
        if (step.cancelled()) return;
        body(step.pass.segments[static_cast<size_t>(piece / n_parts)], share(n, piece % n_parts, n_parts));
    }
}

// log(1 + exp(x))
inline float softplus(float x) noexcept {
    return x > 20.0f ? x : std::log1p(std::exp(x));
}

inline const float* before(const graph::StatePart& part, const Segment& s) noexcept {
    return s.state->before(part.layer) + part.first;
}
inline float* after(const graph::StatePart& part, const Segment& s) noexcept {
    return s.state->after(part.layer) + part.first;
}

// This worker's share of an operation.
void run_op(const Step& step, const graph::Embed& op) noexcept;
void run_op(const Step& step, const graph::RopeTables& op) noexcept;
void run_op(const Step& step, const graph::Normalise& op) noexcept;
void run_op(const Step& step, const graph::Linear& op) noexcept;
void run_op(const Step& step, const graph::HeadLinear& op) noexcept;
void run_op(const Step& step, const graph::Copy& op) noexcept;
void run_op(const Step& step, const graph::CacheWrite& op) noexcept;
void run_op(const Step& step, const graph::Attention& op) noexcept;
void run_op(const Step& step, const graph::Gate& op) noexcept;
void run_op(const Step& step, const graph::Add& op) noexcept;
void run_op(const Step& step, const graph::GatedAdd& op) noexcept;
void run_op(const Step& step, const graph::Scale& op) noexcept;
void run_op(const Step& step, const graph::Select& op) noexcept;
void run_op(const Step& step, const graph::Experts& op) noexcept;
void run_op(const Step& step, const graph::Shift& op) noexcept;
void run_op(const Step& step, const graph::Mix& op) noexcept;
void run_op(const Step& step, const graph::Conv& op) noexcept;
void run_op(const Step& step, const graph::ShortConv& op) noexcept;
void run_op(const Step& step, const graph::Mamba& op) noexcept;
void run_op(const Step& step, const graph::Mamba2& op) noexcept;
void run_op(const Step& step, const graph::DeltaNet& op) noexcept;
void run_op(const Step& step, const graph::Rwkv6& op) noexcept;
void run_op(const Step& step, const graph::Rwkv7& op) noexcept;

}  // namespace elver::cpu
