#include <algorithm>

#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

LinearPhase::LinearPhase(Program& program, std::string name, Columns input, Norm norm, std::vector<Product> products,
                         Of of)
    : program_(&program),
      name_(std::move(name)),
      input_(input),
      norm_(norm),
      products_(std::move(products)),
      of_(of),
      k_(products_.front().matrix.k) {
    program.widths.need(Buffer::normed, k_);
    program.widths.max_k = std::max(program.widths.max_k, k_);
    for (const Product& p : products_) program.widths.need(p.out, p.out_column + p.matrix.n_groups() * 16);
}

void LinearPhase::run(const Pass& pass, int worker) const noexcept {
    const Scratch& s = *pass.scratch;
    const bool is_head = of_ == Of::outputs;
    const int n = is_head ? pass.n_outputs : pass.n_tokens, n_workers = pass.pool->n_threads();
    const int parts = is_head ? 2 : 1;
    const bool quantized = pass.kernels->reads_packs && k_ % 32 == 0;
    std::byte* own = program_->worker_memory(s, worker);
    const float* input = program_->row(s, input_.buffer, 0) + input_.first;
    const size_t input_stride = program_->widths.stride(input_.buffer);
    const float* normed;
    size_t normed_stride;
    QuantizedActs acts;
    if (n == 1) {
        // Cheaper done by every worker for itself than shared through a barrier.
        float* row = reinterpret_cast<float*>(own);
        acts = place_acts(own + s.worker_acts_at, static_cast<size_t>(parts), static_cast<size_t>(k_));
        norm_.apply(*pass.kernels, input, 0, row, 0, k_, 0, 1);
        if (quantized) pass.kernels->quantize({row, 0, 1, k_, 0, 1, acts, parts});
        normed = row;
        normed_stride = 0;
    } else {
        const Share tokens = share(n, worker, n_workers);
        float* rows = program_->row(s, Buffer::normed, 0);
        normed_stride = program_->widths.stride(Buffer::normed);
        acts = place_acts(s.memory + s.acts_at, static_cast<size_t>(n * parts), static_cast<size_t>(k_));
        norm_.apply(*pass.kernels, input, input_stride, rows, normed_stride, k_, tokens.begin, tokens.end);
        if (quantized) pass.kernels->quantize({rows, normed_stride, n, k_, tokens.begin, tokens.end, acts, parts});
        normed = rows;
        pass.pool->barrier();
    }
    for (const Product& p : products_) {
        MatmulArgs args;
        args.pack = p.matrix.data;
        args.k = k_;
        args.n_rows = p.matrix.n_rows;
        args.n = n;
        args.parts = parts;
        args.acts = acts;
        args.x = normed;
        args.x_stride = normed_stride;
        args.y = program_->row(s, p.out, 0) + p.out_column;
        args.y_stride = program_->widths.stride(p.out);
        args.bias = p.bias;
        args.scale = p.scale;
        args.finish = p.finish;
        args.scratch = reinterpret_cast<float*>(own + s.worker_kernel_at);
        // Whole 32-row panels to each worker; pieces short enough to cancel between.
        const int n_panels = (p.matrix.n_groups() + 1) / 2;
        const Share panels = share(n_panels, worker, n_workers);
        const int step = n == 1 ? 256 : 8;
        for (int panel = panels.begin; panel < panels.end && !pass.cancelled(worker); panel += step) {
            args.group_begin = 2 * panel;
            args.group_end = std::min(2 * std::min(panel + step, panels.end), p.matrix.n_groups());
            p.matrix.matmul(args);
        }
    }
}

size_t LinearPhase::weight_bytes() const noexcept {
    size_t total = 0;
    for (const Product& p : products_) total += p.matrix.n_bytes;
    return total;
}

std::string LinearPhase::describe() const {
    std::string out = cat(name_, ":", norm_.kind == Norm::Kind::none ? "" : " norm,", " quantise [n, ", k_, "],");
    for (const Product& p : products_)
        out += cat(" ", dtype_name(p.matrix.type), " [", p.matrix.n_rows, ", ", p.matrix.k, "]");
    return out + cat(", ", weight_bytes(), " bytes");
}

}  // namespace elver
