#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

Rwkv7Phase::Rwkv7Phase(Program& program, RwkvConfig config) : program_(&program), config_(config) {
    program.widths.need(Buffer::q, 7 * static_cast<int>(padded_row(config.width())));
    program.widths.need(Buffer::v, config.width());
    program.widths.need(Buffer::attn, config.width());
}

void Rwkv7Phase::run(const Pass& pass, int worker) const noexcept {
    const RwkvConfig& c = config_;
    const auto dim = static_cast<size_t>(c.head_dim), stride = padded_row(c.width());
    const Share mine = share(c.n_heads, worker, pass.pool->n_threads());
    for (int head = mine.begin; head < mine.end; ++head) {
        const auto first = static_cast<size_t>(head) * dim;
        float* state = c.state.after(pass) + first * dim;  // [value, key]
        std::memcpy(state, c.state.before(pass) + first * dim, dim * dim * sizeof(float));
        for (int t = 0; t < pass.n_tokens && !pass.cancelled(worker); ++t) {
            float *r = program_->row(*pass.scratch, Buffer::q, t) + first, *k = r + stride, *v = k + stride,
                  *w = v + stride, *rate = w + stride, *gate = rate + stride, *mix = gate + stride;
            float* first_v = program_->row(*pass.scratch, Buffer::v, t) + first;
            float* out = program_->row(*pass.scratch, Buffer::attn, t) + first;
            // In place: v mixed with the first layer's; w becomes the decay, mix the key that is removed.
            float squares = 0.0f, bonus = 0.0f;
            for (size_t i = 0; i < dim; ++i) {
                if (c.first_layer)
                    first_v[i] = v[i];
                else
                    v[i] += (first_v[i] - v[i]) * mix[i];
                w[i] = std::exp(-0.60653065971263342f * w[i]);  // e^(-1/2)
                mix[i] = k[i] * c.k_k[first + i];
                squares += mix[i] * mix[i];
                k[i] *= 1.0f + (rate[i] - 1.0f) * c.k_a[first + i];
                bonus += r[i] * k[i] * c.first[first + i];
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
            rwkv_head_norm(c, *pass.kernels, head, out);
            for (size_t j = 0; j < dim; ++j) out[j] = (out[j] + bonus * v[j]) * gate[j];
        }
    }
}

std::string Rwkv7Phase::describe() const {
    return cat("rwkv7: ", config_.n_heads, " heads of ", config_.head_dim, " x ", config_.head_dim);
}

}  // namespace elver
