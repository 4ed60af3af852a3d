#include <cmath>
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Mamba& op) noexcept {
    const auto n_state = static_cast<size_t>(op.n_state);
    const float *all_a = step.vector(op.a), *d = step.vector(op.d);
    for_channels(step, op.width, [&](const Segment& s, Share channels) {
        const auto begin = static_cast<size_t>(channels.begin), end = static_cast<size_t>(channels.end);
        float* state = after(op.state, s);
        std::memcpy(state + begin * n_state, before(op.state, s) + begin * n_state,
                    (end - begin) * n_state * sizeof(float));
        for (int t = s.first_row; t < s.first_row + s.n_tokens && !step.cancelled(); ++t) {
            const float *x = step.row(op.x, t), *dts = step.row(op.dt, t), *gate = step.row(op.gate, t),
                        *b = step.row(op.b, t), *read = step.row(op.c, t);
            float* out = step.row(op.out, t);
            for (size_t i = begin; i < end; ++i) {
                const float dt = softplus(dts[i]), in = dt * x[i];
                const float* a = all_a + i * n_state;
                float* h = state + i * n_state;
                float y = 0.0f;
                for (size_t n = 0; n < n_state; ++n) {
                    h[n] = h[n] * std::exp(dt * a[n]) + in * b[n];
                    y += h[n] * read[n];
                }
                y += d[i] * x[i];
                out[i] = y * gate[i] / (1.0f + std::exp(-gate[i]));
            }
        }
    });
}

}  // namespace elver::cpu
