#include <cmath>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

void Norm::apply(const KernelTable& kernels, const float* x, size_t x_stride, float* y, size_t y_stride, int width,
                 int begin, int end) const noexcept {
    if (kind == Kind::none) {
        for (int r = begin; r < end; ++r) {
            const float* from = x + static_cast<size_t>(r) * x_stride;
            float* to = y + static_cast<size_t>(r) * y_stride;
            if (from != to) __builtin_memcpy(to, from, static_cast<size_t>(width) * sizeof(float));
        }
        return;
    }
    const NormArgs args{x, y, x_stride, y_stride, weight, bias, width, begin, end, eps};
    if (kind == Kind::rms)
        kernels.rms_norm(args);
    else
        kernels.layer_norm(args);
}

AddPhase::AddPhase(Program& program, Buffer from, Norm norm, int width, float scale)
    : program_(&program), from_(from), norm_(norm), width_(width), scale_(scale) {
    program.widths.need(from, width);
}

void AddPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        float* branch = program_->row(*pass.scratch, from_, t);
        float* x = program_->row(*pass.scratch, Buffer::x, t);
        norm_.apply(*pass.kernels, branch, 0, branch, 0, width_, 0, 1);
        for (int i = 0; i < width_; ++i) x[i] += scale_ * branch[i];
    }
}

std::string AddPhase::describe() const {
    return cat("add ", norm_.kind == Norm::Kind::none ? "" : "norm of ", "branch [n, ", width_, "]");
}

NormPhase::NormPhase(Program& program, Buffer from, Buffer to, Norm norm, int width, bool on_outputs)
    : program_(&program), from_(from), to_(to), norm_(norm), width_(width), on_outputs_(on_outputs) {
    program.widths.need(to, width);
}

void NormPhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(on_outputs_ ? pass.n_outputs : pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        norm_.apply(*pass.kernels, program_->row(*pass.scratch, from_, t), 0, program_->row(*pass.scratch, to_, t), 0,
                    width_, 0, 1);
    }
}

std::string NormPhase::describe() const {
    return cat("norm [n, ", width_, "]");
}

void GatePhase::run(const Pass& pass, int worker) const noexcept {
    const Share mine = share(pass.n_tokens, worker, pass.pool->n_threads());
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* gate = program_->row(*pass.scratch, Buffer::gate, t);
        float* x = program_->row(*pass.scratch, Buffer::attn, t);
        for (int i = 0; i < n_heads_ * v_head_dim_; ++i) {
            const float g = gate[each_head_ ? i / v_head_dim_ : i];
            x[i] = softplus_ ? x[i] * softplus(g) : x[i] / (1.0f + std::exp(-g));
        }
    }
}

std::string GatePhase::describe() const {
    return cat("gate [n, ", n_heads_, each_head_ ? "" : cat(" * ", v_head_dim_), "]");
}

}  // namespace elver
