#include <algorithm>
#include <cassert>

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
    for (const Product& p : products_) {
        assert(p.out != input_.buffer);  // other workers may still read it
        program.widths.need(p.out, p.out_column + p.matrix.n_groups() * 16);
        if (dtype_info(p.matrix.type).block_size == 1) reads_rows_ = true;
    }
    for (size_t first = 0, last; first < products_.size(); first = last) {
        last = first + 1;
        while (last < products_.size() && is_gated(products_[last].finish)) ++last;
        size_t n_bytes = 0;
        for (size_t i = first; i < last; ++i) n_bytes += products_[i].matrix.n_bytes;
        sets_.push_back({first, last, Panels(products_[first].matrix.n_groups(), n_bytes)});
    }
}

LinearPhase::Inputs LinearPhase::prepare(const Pass& pass, int worker) const noexcept {
    const Scratch& s = *pass.scratch;
    const int n = n_inputs(pass), parts = n_parts();
    const bool alone = n == 1;  // cheaper done by every worker for itself than shared through a barrier
    const bool quantized = pass.kernels->reads_packs && k_ % 32 == 0;
    const bool keep_rows = reads_rows_ || !quantized;
    std::byte* own = program_->worker_memory(s, worker);
    const auto k = static_cast<size_t>(k_);
    Inputs in;
    in.acts = alone ? place_acts(own + s.worker_acts_at, static_cast<size_t>(parts), k)
                    : place_acts(s.memory + s.acts_at, static_cast<size_t>(n * parts), k);
    in.x = program_->row(s, input_.buffer, 0) + input_.first;
    in.x_stride = program_->widths.stride(input_.buffer);
    const Share mine = alone ? Share{0, 1} : share(n, worker, pass.pool->n_threads());
    const bool norms = norm_.kind != Norm::Kind::none, shared = keep_rows && !alone;
    float* rows = shared ? program_->row(s, Buffer::normed, 0) : reinterpret_cast<float*>(own);
    const size_t stride = shared ? program_->widths.stride(Buffer::normed) : 0;
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* x = in.x + static_cast<size_t>(t) * in.x_stride;
        if (norms) {
            float* row = rows + static_cast<size_t>(t) * stride;
            norm_.apply(*pass.kernels, x, 0, row, 0, k_, 0, 1);
            x = row;
        }
        if (quantized) pass.kernels->quantize({x, 0, n, k_, t, t + 1, in.acts, parts});
    }
    if (norms) in.x = rows, in.x_stride = stride;
    if (!alone) pass.pool->barrier();
    return in;
}

void LinearPhase::run(const Pass& pass, int worker) const noexcept {
    const Scratch& s = *pass.scratch;
    const Inputs in = prepare(pass, worker);
    MatmulArgs args{};
    args.k = k_;
    args.n = n_inputs(pass);
    args.parts = n_parts();
    args.acts = in.acts;
    args.x = in.x;
    args.x_stride = in.x_stride;
    args.scratch = reinterpret_cast<float*>(program_->worker_memory(s, worker) + s.worker_kernel_at);
    int n_pieces = 0;
    for (const Set& set : sets_) n_pieces += set.panels.n_pieces(args.n);
    for (int piece; (piece = pass.pool->take(worker, n_pieces)) >= 0;) {
        if (pass.cancelled(worker)) return;
        const Set* set = sets_.data();
        for (; piece >= set->panels.n_pieces(args.n); ++set) piece -= set->panels.n_pieces(args.n);
        set->panels.choose(piece, args);
        for (size_t i = set->first; i < set->last; ++i) {
            const Product& p = products_[i];
            args.pack = p.matrix.data;
            args.n_rows = p.matrix.n_rows;
            args.y = program_->row(s, p.out, 0) + p.out_column;
            args.y_stride = program_->widths.stride(p.out);
            args.bias = p.bias;
            args.scale = p.scale;
            args.finish = p.finish;
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
