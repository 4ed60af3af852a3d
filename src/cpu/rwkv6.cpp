#include <cmath>
#include <cstring>

#include "cpu/rwkv.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Rwkv6& op) noexcept {
    const auto dim = static_cast<size_t>(op.head_dim), stride = graph::padded_row(op.width());
    const float* u = step.vector(op.first);
    const NormWeights norm = rwkv_head_norm(step, op);
    for_channels(step, op.n_heads, [&](const Segment& s, Share heads) {
        for (int head = heads.begin; head < heads.end; ++head) {
            const auto first = static_cast<size_t>(head) * dim;
            float* state = after(op.state, s) + first * dim;  // [key, value]
            std::memcpy(state, before(op.state, s) + first * dim, dim * dim * sizeof(float));
            for (int t = s.first_row; t < s.first_row + s.n_tokens && !step.cancelled(); ++t) {
                const float *r = step.row(op.streams, t) + first, *k = r + stride, *v = k + stride, *gate = v + stride,
                            *w = gate + stride;
                float* out = step.row(op.out, t) + first;
                std::memset(out, 0, dim * sizeof(float));
                for (size_t i = 0; i < dim; ++i) {
                    const float decay = std::exp(-std::exp(w[i])), now = u[first + i] * k[i];
                    float* h = state + i * dim;
                    for (size_t j = 0; j < dim; ++j) {
                        out[j] += r[i] * (h[j] + now * v[j]);
                        h[j] = h[j] * decay + k[i] * v[j];
                    }
                }
                norm.from(first).apply(step.kernels(), out, out, op.head_dim);
                for (size_t j = 0; j < dim; ++j) out[j] *= gate[j];
            }
        }
    });
}

}  // namespace elver::cpu
