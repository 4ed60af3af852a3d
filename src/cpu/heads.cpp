// Columns moved to other places, and a small matrix for each head.
#include <cstring>

#include "cpu/linear.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Copy& op) noexcept {
    const Share mine = step.share(step.pass.n_rows);
    for (int t = mine.begin; t < mine.end; ++t) {
        for (const graph::Copy::Block& b : op.blocks) {
            const float* from = step.row(b.from, t);
            float* to = step.row(b.to, t);
            for (int i = 0; i < b.n; ++i, from += b.from_stride, to += b.to_stride)
                std::memcpy(to, from, static_cast<size_t>(b.width) * sizeof(float));
        }
    }
}

void run_op(const Step& step, const graph::HeadLinear& op) noexcept {
    const int k = op.heads.front().k, n_rows = op.heads.front().n_rows;
    const Own own = step.own();
    ActForms forms;
    forms.add(step.kernels().form(op.heads.front().type));
    const Acts acts = PlacedActs(own.acts, forms, 1, static_cast<size_t>(k)).acts;
    MatmulArgs args{};
    args.k = k;
    args.n_rows = n_rows;
    args.n = 1;
    args.acts = acts;
    args.x = own.row;
    args.y = own.row + graph::padded_row(k);
    args.scale = 1.0f;
    args.scratch = own.kernel;
    args.group_end = op.heads.front().n_groups();
    const Share mine = step.share(static_cast<int>(op.heads.size()));
    for (int h = mine.begin; h < mine.end && !step.cancelled(); ++h) {
        const PackedMatrix& m = step.matrix(op.heads[static_cast<size_t>(h)]);
        args.pack = m.data;
        for (int t = 0; t < step.pass.n_rows; ++t) {
            std::memcpy(own.row, step.row(op.from, t) + h * op.from_stride, static_cast<size_t>(k) * sizeof(float));
            step.probe(t, h, false, own.row, k);
            step.kernels().quantize({own.row, 0, 1, k, 0, 1, acts});
            m.matmul(args);
            std::memcpy(step.row(op.to, t) + h * op.to_stride, args.y, static_cast<size_t>(n_rows) * sizeof(float));
        }
    }
}

}  // namespace elver::cpu
