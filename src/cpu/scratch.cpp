// How much memory passes take, and where in it everything lies.
#include <algorithm>

#include "base/checked.hpp"
#include "cpu/attention.hpp"
#include "cpu/executor.hpp"
#include "cpu/experts.hpp"
#include "cpu/linear.hpp"
#include "cpu/router.hpp"
#include "graph/plan.hpp"

namespace elver::cpu {

namespace {

// What an operation needs besides its buffers.
struct Needs {
    size_t shared = 0;  // bytes that its workers use together
    int row = 0;        // floats of a worker's own row
    size_t acts = 0;    // bytes of such a row as products read it
    size_t kernel = 0;  // of scratch of a worker's kernels
};

class Needed {
  public:
    Needed(const Executor& executor, size_t max_rows, size_t max_outputs, int n_ctx)
        : executor_(executor), max_rows_(max_rows), max_outputs_(max_outputs), n_ctx_(n_ctx) {}

    Needs operator()(const graph::Linear& op) const {
        const size_t n = rows(op.input.buffer);
        ActForms forms;
        for (const graph::Product& p : op.products) forms.add(executor_.kernels().form(p.matrix.type));
        const int k = op.products.front().matrix.k;
        const bool norms = op.norm.kind != graph::Norm::Kind::none;
        Needs out{linear_shared_bytes(forms, n, k, op.parts, norms), k,
                  acts_bytes(forms, 1, static_cast<size_t>(k), static_cast<size_t>(op.parts)), 0};
        out.kernel = matmul_scratch_bytes(std::max<size_t>(n, 2) * static_cast<size_t>(op.parts));
        return out;
    }
    Needs operator()(const graph::HeadLinear& op) const {
        const graph::Matrix& m = op.heads.front();
        ActForms forms;
        forms.add(executor_.kernels().form(m.type));
        return {0, head_linear_row(m), acts_bytes(forms, 1, static_cast<size_t>(m.k)), matmul_scratch_bytes(2)};
    }
    Needs operator()(const graph::Attention& op) const {
        const CacheShape widest{CacheType::q8_0, op.head_dim, op.v_head_dim};  // of all types
        // A text may grow into its second range at any length of its context, so there is always room for two.
        const size_t part = static_cast<size_t>(op.n_heads) * attention_part(widest) * sizeof(float);
        return {executor_.pool().n_threads() > 1 ? max_ranges(n_ctx_) * part : 0, 0, 0,
                attention_scratch_bytes(op.head_dim, widest.v_width())};
    }
    Needs operator()(const graph::Experts& op) const {
        const graph::Matrix& up = op.experts.front().up;
        return {place_experts(op, executor_.kernels(), nullptr, static_cast<int>(max_rows_)).n_bytes, up.k, 0,
                std::max(matmul_scratch_bytes(max_rows_), router_scratch(op.router.n_experts) * sizeof(float))};
    }
    template <class Other>
    Needs operator()(const Other&) const {
        return {};
    }

  private:
    size_t rows(graph::BufferId buffer) const {
        const auto of = executor_.program().buffers[static_cast<size_t>(buffer)].rows;
        return of == graph::Buffer::Rows::outputs ? max_outputs_ : max_rows_;
    }

    const Executor& executor_;
    size_t max_rows_, max_outputs_;
    int n_ctx_;
};

}  // namespace

Scratch Executor::plan_scratch(int max_rows, int max_outputs, int n_ctx) const {
    Scratch s;
    s.max_rows = max_rows, s.max_outputs = max_outputs, s.n_workers = pool_->n_threads();
    const auto rows = static_cast<size_t>(max_rows), outputs = static_cast<size_t>(max_outputs);
    std::vector<graph::Lifetime> pieces = graph::lifetimes(*program_);
    for (size_t b = 0; b < pieces.size(); ++b) {
        const bool of_outputs = program_->buffers[b].rows == graph::Buffer::Rows::outputs;
        pieces[b].n_bytes = (of_outputs ? outputs : rows) * strides_[b] * sizeof(float);
    }
    const Needed needed(*this, rows, outputs, n_ctx);
    Needs own;
    for (size_t i = 0; i < program_->ops.size(); ++i) {
        const Needs n = std::visit(needed, program_->ops[i]);
        pieces.push_back({static_cast<int>(i), static_cast<int>(i), n.shared});
        s.shared_bytes.push_back(n.shared);
        own.row = std::max(own.row, n.row), own.acts = std::max(own.acts, n.acts);
        own.kernel = std::max(own.kernel, n.kernel);
    }
    const graph::Placement placed = graph::place(pieces);
    const auto first_shared = placed.at.begin() + static_cast<std::ptrdiff_t>(strides_.size());
    s.buffer_at.assign(placed.at.begin(), first_shared);
    s.shared_at.assign(first_shared, placed.at.end());
    const size_t row_floats = round_up(static_cast<size_t>(own.row), 32);
    s.worker_acts_at = round_up(row_floats * sizeof(float), 64);
    s.worker_kernel_at = s.worker_acts_at + own.acts;
    s.worker_bytes = s.worker_kernel_at + round_up(own.kernel, 64);
    s.worker_at = placed.n_bytes;
    s.n_bytes = s.worker_at + static_cast<size_t>(s.n_workers) * s.worker_bytes;
    return s;
}

}  // namespace elver::cpu
