// Rows mixed with the rows before them (RWKV's token shift).
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Shift& op) noexcept {
    const auto width = static_cast<size_t>(op.width), stride = graph::padded_row(op.width);
    const NormWeights norm = step.norm(op.norm);
    const Share mine = step.share(step.pass.n_rows);
    for (int t = mine.begin; t < mine.end; ++t)
        norm.apply(step.kernels(), step.row(op.x, t), step.row(op.normed, t), op.width);
    step.barrier();
    for_segments(step.pass.segments, mine, [&](const Segment& s, int first, int last) {
        for (int t = first; t < last; ++t) {
            const float* y = step.row(op.normed, t);
            const float* previous = t == s.first_row ? before(op.state, s) : step.row(op.normed, t - 1);
            float* out = step.row(op.out, t);
            for (const WeightRef ref : op.lerps) {
                const float* lerp = step.vector(ref);
                for (size_t i = 0; i < width; ++i) out[i] = y[i] + lerp[i] * (previous[i] - y[i]);
                out += stride;
            }
            if (op.kept != graph::no_buffer) {
                float* kept = step.row(op.kept, t);
                for (size_t i = 0; i < width; ++i) kept[i] = y[i], kept[stride + i] = previous[i] - y[i];
            }
            if (t == s.first_row + s.n_tokens - 1) std::memcpy(after(op.state, s), y, width * sizeof(float));
        }
    });
}

void run_op(const Step& step, const graph::Mix& op) noexcept {
    const auto width = static_cast<size_t>(op.width), stride = graph::padded_row(op.width);
    const Share mine = step.share(step.pass.n_rows);
    for (int t = mine.begin; t < mine.end; ++t) {
        const float *y = step.row(op.kept, t), *delta = y + stride;
        float* part = step.row(op.mixes, t);
        for (int p = 0; p < op.n_parts; ++p, part += stride) {
            for (size_t i = 0; i < width; ++i) part[i] = y[i] + part[i] * delta[i];
        }
    }
}

}  // namespace elver::cpu
