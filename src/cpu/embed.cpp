// The ends of a pass: ids to rows, positions to angles, and the rows whose outputs are wanted.
#include <cstring>

#include "cpu/step.hpp"
#include "quant/decode.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Embed& op) noexcept {
    const TensorView& table = step.executor.weights().rows(op.table);
    const auto decode = decoder(op.type);
    const auto width = static_cast<size_t>(op.width);
    const float *added = step.vector(op.added), *positions = step.vector(op.positions);
    const NormWeights norm = step.norm(op.norm);
    const Share mine = step.share(step.pass.n_rows);
    for (int t = mine.begin; t < mine.end; ++t) {
        float* x = step.row(op.out, t);
        const float* given = step.pass.rows == nullptr ? nullptr : step.pass.rows[t];
        if (given != nullptr) {
            std::memcpy(x, given, width * sizeof(float));
        } else {
            decode(table.row(step.pass.ids[t]), x, width);
            for (size_t i = 0; op.scale != 1.0f && i < width; ++i) x[i] *= op.scale;
        }
        for (size_t i = width; i < step.stride(op.out); ++i) x[i] = 0.0f;
        if (added != nullptr) {
            for (size_t i = 0; i < width; ++i) x[i] += added[i];
        }
        if (positions != nullptr) {
            const float* p = positions + static_cast<size_t>(step.pass.pos[t]) * width;
            for (size_t i = 0; i < width; ++i) x[i] += p[i];
        }
        norm.apply(step.kernels(), x, x, op.width);
    }
}

void run_op(const Step& step, const graph::RopeTables& op) noexcept {
    const Share mine = step.share(step.pass.n_rows);
    for_segments(step.pass.segments, mine, [&](const Segment& s, int first, int last) {
        for (const graph::RopeTable& table : op.tables) {
            const bool beyond = !table.long_frequencies.empty() && s.cache->n_ctx() > table.long_beyond;
            const std::vector<double>& frequencies = beyond ? table.long_frequencies : table.frequencies;
            for (int t = first; t < last; ++t) {
                float* out = step.row(table.out, t);
                const double pos = step.pass.pos[t] * table.position_scale;
                for (size_t i = 0; i < frequencies.size(); ++i) {
                    const double angle = pos * frequencies[i];
                    out[2 * i] = static_cast<float>(std::cos(angle) * table.magnitude);
                    out[2 * i + 1] = static_cast<float>(std::sin(angle) * table.magnitude);
                }
            }
        }
    });
}

void run_op(const Step& step, const graph::Select& op) noexcept {
    const Share mine = step.share(step.pass.n_outputs);
    for (int i = mine.begin; i < mine.end; ++i)
        std::memcpy(step.row(op.to, i), step.row(op.from, step.pass.outputs[i]), step.stride(op.to) * sizeof(float));
}

}  // namespace elver::cpu
