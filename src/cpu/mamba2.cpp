#include <cmath>
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Mamba2& op) noexcept {
    const auto n_state = static_cast<size_t>(op.n_state), head_dim = static_cast<size_t>(op.head_dim),
               head_floats = head_dim * n_state;
    const float *a = step.vector(op.a), *d = step.vector(op.d), *dt_bias = step.vector(op.dt_bias);
    for_channels(step, op.n_heads, [&](const Segment& s, Share heads) {
        float* state = after(op.state, s);
        std::memcpy(state + static_cast<size_t>(heads.begin) * head_floats,
                    before(op.state, s) + static_cast<size_t>(heads.begin) * head_floats,
                    static_cast<size_t>(heads.end - heads.begin) * head_floats * sizeof(float));
        for (int t = s.first_row; t < s.first_row + s.n_tokens && !step.cancelled(); ++t) {
            const float *x = step.row(op.x, t), *dts = step.row(op.dt, t), *gate = step.row(op.gate, t);
            float* out = step.row(op.out, t);
            for (int head = heads.begin; head < heads.end; ++head) {
                const auto group = static_cast<size_t>(head / (op.n_heads / op.n_groups));
                const float* b = x + static_cast<size_t>(op.n_heads) * head_dim + group * n_state;
                const float* read = b + static_cast<size_t>(op.n_groups) * n_state;
                const float dt = softplus(dts[head] + dt_bias[head]), decay = std::exp(dt * a[head]);
                for (size_t p = 0; p < head_dim; ++p) {
                    const size_t i = static_cast<size_t>(head) * head_dim + p;
                    float* h = state + i * n_state;
                    const float in = dt * x[i];
                    float y = 0.0f;
                    for (size_t n = 0; n < n_state; ++n) {
                        h[n] = h[n] * decay + in * b[n];
                        y += h[n] * read[n];
                    }
                    y += d[head] * x[i];
                    out[i] = y * gate[i] / (1.0f + std::exp(-gate[i]));
                }
            }
        }
    });
}

}  // namespace elver::cpu
