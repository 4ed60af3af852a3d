#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/rwkv.hpp"

namespace elver::cpu {

void run_op(const Step& step, const graph::Rwkv7& op) noexcept {
    const auto dim = static_cast<size_t>(op.head_dim), stride = graph::padded_row(op.width());
    const float *r_k = step.vector(op.bonus), *k_k = step.vector(op.k_k), *k_a = step.vector(op.k_a);
    const NormWeights norm = rwkv_head_norm(step, op);
    for_channels(step, op.n_heads, [&](const Segment& seg, Share heads) {
        for (int head = heads.begin; head < heads.end; ++head) {
            const auto first = static_cast<size_t>(head) * dim;
            float* state = after(op.state, seg) + first * dim;  // [value, key]
            std::memcpy(state, before(op.state, seg) + first * dim, dim * dim * sizeof(float));
            for (int t = seg.first_row; t < seg.first_row + seg.n_tokens && !step.cancelled(); ++t) {
                float *r = step.row(op.streams, t) + first, *k = r + stride, *v = k + stride, *w = v + stride,
                      *rate = w + stride, *gate = rate + stride, *mix = gate + stride;
                float* first_v = step.row(op.first_values, t) + first;
                float* out = step.row(op.out, t) + first;
                // In place: v mixed with the first layer's; w becomes the decay, mix the key that is removed.
                float squares = 0.0f, bonus = 0.0f;
                for (size_t i = 0; i < dim; ++i) {
                    if (op.first_layer)
                        first_v[i] = v[i];
                    else
                        v[i] += (first_v[i] - v[i]) * mix[i];
                    w[i] = std::exp(-0.60653065971263342f * w[i]);  // e^(-1/2)
                    mix[i] = k[i] * k_k[first + i];
                    squares += mix[i] * mix[i];
                    k[i] *= 1.0f + (rate[i] - 1.0f) * k_a[first + i];
                    bonus += r[i] * k[i] * r_k[first + i];
                }
                const float inverse = 1.0f / std::max(std::sqrt(squares), 1e-12f);
                for (size_t i = 0; i < dim; ++i) mix[i] *= inverse;
                for (size_t j = 0; j < dim; ++j) {
                    float* s = state + j * dim;
                    float old = 0.0f, sum = 0.0f;
                    for (size_t i = 0; i < dim; ++i) old += s[i] * mix[i];
                    for (size_t i = 0; i < dim; ++i) {
                        s[i] = s[i] * w[i] - old * mix[i] * rate[i] + v[j] * k[i];
                        sum += s[i] * r[i];
                    }
                    out[j] = sum;
                }
                norm.from(first).apply(step.kernels(), out, out, op.head_dim);
                for (size_t j = 0; j < dim; ++j) out[j] = (out[j] + bonus * v[j]) * gate[j];
            }
        }
    });
}

}  // namespace elver::cpu
