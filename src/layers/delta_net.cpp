#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

DeltaNetPhase::DeltaNetPhase(Program& program, Config config) : program_(&program), config_(config) {
    program.widths.need(Buffer::q, 2 * config.n_k_heads * config.k_dim + config.n_heads * config.v_dim);
    program.widths.need(Buffer::gate, config.n_heads * config.v_dim);
    program.widths.need(Buffer::attn, config.n_heads * config.v_dim);
}

// One head at one token: its state, [v_dim, k_dim], takes in key and value, and answers the query.
void DeltaNetPhase::step(float* state, const float* q, const float* k, const float* v, float decay, float beta,
                         float* out) const noexcept {
    const auto k_dim = static_cast<size_t>(config_.k_dim), v_dim = static_cast<size_t>(config_.v_dim);
    float squares_q = 0.0f, squares_k = 0.0f;
    for (size_t i = 0; i < k_dim; ++i) squares_q += q[i] * q[i], squares_k += k[i] * k[i];
    const float unit_q = 1.0f / std::sqrt((squares_q + config_.eps) * static_cast<float>(k_dim));
    const float unit_k = 1.0f / std::sqrt(squares_k + config_.eps);
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

void DeltaNetPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const int per_key = c.n_heads / c.n_k_heads;
    const size_t head_floats = static_cast<size_t>(c.k_dim) * static_cast<size_t>(c.v_dim);
    const Share mine = share(c.n_heads, worker, pass.pool->n_threads());
    for (int h = mine.begin; h < mine.end; ++h) {
        const size_t first = static_cast<size_t>(h) * head_floats;
        float* state = c.state.after(pass) + first;
        std::memcpy(state, c.state.before(pass) + first, head_floats * sizeof(float));
        const int key = c.keys_in_turn ? h % c.n_k_heads : h / per_key;
        const int column = h / per_key * c.rates_stride + h % per_key;
        for (int t = 0; t < pass.n_tokens && !pass.cancelled(worker); ++t) {
            const float *q = program_->row(*pass.scratch, Buffer::q, t), *k = q + c.n_k_heads * c.k_dim,
                        *v = k + c.n_k_heads * c.k_dim + h * c.v_dim,
                        *rates = program_->row(*pass.scratch, Buffer::k, t),
                        *gate = program_->row(*pass.scratch, Buffer::gate, t) + h * c.v_dim;
            float* out = program_->row(*pass.scratch, Buffer::attn, t) + h * c.v_dim;
            const float decay = std::exp(softplus(rates[c.alpha_column + column] + c.dt_bias[h]) * c.a[h]);
            const float beta = 1.0f / (1.0f + std::exp(-rates[column]));
            step(state, q + key * c.k_dim, k + key * c.k_dim, v, decay, beta, out);
            c.norm.apply(*pass.kernels, out, 0, out, 0, c.v_dim, 0, 1);
            for (int j = 0; j < c.v_dim; ++j) out[j] *= gate[j] / (1.0f + std::exp(-gate[j]));
        }
    }
}

std::string DeltaNetPhase::describe() const {
    return cat("delta net: ", config_.n_heads, " heads of ", config_.v_dim, " x ", config_.k_dim, ", ",
               config_.n_k_heads, " of keys");
}

}  // namespace elver
