#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

void rwkv_head_norm(const RwkvConfig& c, const KernelTable& kernels, int head, float* x) noexcept {
    Norm norm;
    norm.kind = Norm::Kind::layer;
    norm.eps = 64e-5f;  // fixed by the reference implementation
    norm.weight = c.norm_weight + head * c.head_dim;
    norm.bias = c.norm_bias + head * c.head_dim;
    norm.apply(kernels, x, 0, x, 0, c.head_dim, 0, 1);
}

Rwkv6Phase::Rwkv6Phase(Program& program, RwkvConfig config) : program_(&program), config_(config) {
    program.widths.need(Buffer::q, 5 * static_cast<int>(padded_row(config.width())));
    program.widths.need(Buffer::attn, config.width());
}

void Rwkv6Phase::run(const Pass& pass, int worker) const noexcept {
    const RwkvConfig& c = config_;
    const auto dim = static_cast<size_t>(c.head_dim), stride = padded_row(c.width());
    const Share mine = share(c.n_heads, worker, pass.pool->n_threads());
    for (int head = mine.begin; head < mine.end; ++head) {
        const auto first = static_cast<size_t>(head) * dim;
        float* state = c.state.after(pass) + first * dim;  // [key, value]
        std::memcpy(state, c.state.before(pass) + first * dim, dim * dim * sizeof(float));
        for (int t = 0; t < pass.n_tokens && !pass.cancelled(worker); ++t) {
            const float *r = program_->row(*pass.scratch, Buffer::q, t) + first, *k = r + stride, *v = k + stride,
                        *gate = v + stride, *w = gate + stride;
            float* out = program_->row(*pass.scratch, Buffer::attn, t) + first;
            std::memset(out, 0, dim * sizeof(float));
            for (size_t i = 0; i < dim; ++i) {
                const float decay = std::exp(-std::exp(w[i])), now = c.first[first + i] * k[i];
                float* s = state + i * dim;
                for (size_t j = 0; j < dim; ++j) {
                    out[j] += r[i] * (s[j] + now * v[j]);
                    s[j] = s[j] * decay + k[i] * v[j];
                }
            }
            rwkv_head_norm(c, *pass.kernels, head, out);
            for (size_t j = 0; j < dim; ++j) out[j] *= gate[j];
        }
    }
}

std::string Rwkv6Phase::describe() const {
    return cat("rwkv6: ", config_.n_heads, " heads of ", config_.head_dim, " x ", config_.head_dim);
}

}  // namespace elver
