// Norms, and what else is done to rows element by element.
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

void NormWeights::apply(const KernelTable& kernels, const float* x, float* y, int width) const noexcept {
    if (!there()) {
        if (x != y) std::memcpy(y, x, static_cast<size_t>(width) * sizeof(float));
        return;
    }
    const NormArgs args{x, y, 0, 0, weight, bias, width, 0, 1, eps};
    if (kind == graph::Norm::Kind::rms)
        kernels.rms_norm(args);
    else
        kernels.layer_norm(args);
}

void run_op(const Step& step, const graph::Normalise& op) noexcept {
    const NormWeights norm = step.norm(op.norm);
    const auto width = static_cast<size_t>(op.width);
    const Share mine = step.share(step.n_rows(op.to.buffer));
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* from = step.row(op.from, t);
        float* to = step.row(op.to, t);
        for (size_t g = 0; g < static_cast<size_t>(op.n_groups); ++g)
            norm.from(g * width).apply(step.kernels(), from + g * width, to + g * width, op.width);
    }
}

void run_op(const Step& step, const graph::Add& op) noexcept {
    const NormWeights norm = step.norm(op.norm);
    const Share mine = step.share(step.n_rows(op.to));
    for (int t = mine.begin; t < mine.end; ++t) {
        float *branch = step.row(op.branch, t), *to = step.row(op.to, t);
        norm.apply(step.kernels(), branch, branch, op.width);
        for (int i = 0; i < op.width; ++i) to[i] += op.scale * branch[i];
    }
}

void run_op(const Step& step, const graph::GatedAdd& op) noexcept {
    const Share mine = step.share(step.n_rows(op.to));
    for (int t = mine.begin; t < mine.end; ++t) {
        const float *gate = step.row(op.gate, t), *branch = step.row(op.branch, t);
        float* to = step.row(op.to, t);
        for (int i = 0; i < op.width; ++i) to[i] += gate[i] * branch[i];
    }
}

void run_op(const Step& step, const graph::Scale& op) noexcept {
    const size_t n = step.stride(op.x);  // with the padding, which soft_cap takes in whole vectors
    const Share mine = step.share(step.n_rows(op.x));
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = step.row(op.x, t);
        if (op.scale != 1.0f) {
            for (size_t i = 0; i < n; ++i) x[i] *= op.scale;
        }
        if (op.cap > 0) step.kernels().soft_cap(x, n, op.cap);
    }
}

void run_op(const Step& step, const graph::Gate& op) noexcept {
    const Share mine = step.share(step.n_rows(op.x));
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* gate = step.row(op.gate, t);
        float* x = step.row(op.x, t);
        for (int i = 0; i < op.n_heads * op.head_dim; ++i) {
            const float g = gate[op.each_head ? i / op.head_dim : i];
            x[i] = op.softplus ? x[i] * softplus(g) : x[i] / (1.0f + std::exp(-g));
        }
    }
}

}  // namespace elver::cpu
