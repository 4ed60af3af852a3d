#include <cmath>
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

namespace {

// One head at one token: its state, [v_dim, k_dim], takes in key and value, and gives the query's value.
void take_in(const graph::DeltaNet& op, float* state, const float* q, const float* k, const float* v, float decay,
             float beta, float* out) noexcept {
    const auto k_dim = static_cast<size_t>(op.k_dim), v_dim = static_cast<size_t>(op.v_dim);
    float squares_q = 0.0f, squares_k = 0.0f;
    for (size_t i = 0; i < k_dim; ++i) squares_q += q[i] * q[i], squares_k += k[i] * k[i];
    const float unit_q = 1.0f / std::sqrt((squares_q + op.eps) * static_cast<float>(k_dim));
    const float unit_k = 1.0f / std::sqrt(squares_k + op.eps);
    for (size_t j = 0; j < v_dim; ++j) {
        float* s = state + j * k_dim;
        float old = 0.0f, sum = 0.0f;
        for (size_t i = 0; i < k_dim; ++i) {
            s[i] *= decay;
            old += s[i] * k[i];
        }
        const float add = (v[j] - old * unit_k) * beta * unit_k;
        for (size_t i = 0; i < k_dim; ++i) {
            s[i] += add * k[i];
            sum += s[i] * q[i];
        }
        out[j] = sum * unit_q;
    }
}

}  // namespace

void run_op(const Step& step, const graph::DeltaNet& op) noexcept {
    const int per_key = op.n_heads / op.n_k_heads;
    const size_t head_floats = static_cast<size_t>(op.k_dim) * static_cast<size_t>(op.v_dim);
    const float *a = step.vector(op.a), *dt_bias = step.vector(op.dt_bias);
    const NormWeights norm = step.norm(op.norm);
    for_channels(step, op.n_heads, [&](const Segment& s, Share heads) {
        for (int h = heads.begin; h < heads.end; ++h) {
            const size_t first = static_cast<size_t>(h) * head_floats;
            float* state = after(op.state, s) + first;
            std::memcpy(state, before(op.state, s) + first, head_floats * sizeof(float));
            const int key = op.interleaved_keys ? h % op.n_k_heads : h / per_key;
            const int column = h / per_key * op.rates_stride + h % per_key;
            for (int t = s.first_row; t < s.first_row + s.n_tokens && !step.cancelled(); ++t) {
                const float *q = step.row(op.qkv, t), *k = q + op.n_k_heads * op.k_dim,
                            *v = k + op.n_k_heads * op.k_dim + h * op.v_dim, *rates = step.row(op.rates, t),
                            *gate = step.row(op.gate, t) + h * op.v_dim;
                float* out = step.row(op.out, t) + h * op.v_dim;
                const float decay = std::exp(softplus(rates[op.alpha_column + column] + dt_bias[h]) * a[h]);
                const float beta = 1.0f / (1.0f + std::exp(-rates[column]));
                take_in(op, state, q + key * op.k_dim, k + key * op.k_dim, v, decay, beta, out);
                norm.apply(step.kernels(), out, out, op.v_dim);
                for (int j = 0; j < op.v_dim; ++j) out[j] *= gate[j] / (1.0f + std::exp(-gate[j]));
            }
        }
    });
}

}  // namespace elver::cpu
