#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

Mamba2Phase::Mamba2Phase(Program& program, Config config) : program_(&program), config_(config) {
    const int width = config.n_heads * config.head_dim;
    program.widths.need(Buffer::q, width + 2 * config.n_groups * config.n_state);
    program.widths.need(Buffer::k, config.n_heads);
    program.widths.need(Buffer::gate, width);
    program.widths.need(Buffer::attn, width);
}

void Mamba2Phase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const auto n_state = static_cast<size_t>(c.n_state), head_dim = static_cast<size_t>(c.head_dim),
               head_floats = head_dim * n_state;
    const Share mine = share(c.n_heads, worker, pass.pool->n_threads());
    float* state = c.state.after(pass);
    std::memcpy(state + static_cast<size_t>(mine.begin) * head_floats,
                c.state.before(pass) + static_cast<size_t>(mine.begin) * head_floats,
                static_cast<size_t>(mine.end - mine.begin) * head_floats * sizeof(float));
    for (int t = 0; t < pass.n_tokens && !pass.cancelled(worker); ++t) {
        const float *x = program_->row(*pass.scratch, Buffer::q, t), *dts = program_->row(*pass.scratch, Buffer::k, t),
                    *gate = program_->row(*pass.scratch, Buffer::gate, t);
        float* out = program_->row(*pass.scratch, Buffer::attn, t);
        for (int head = mine.begin; head < mine.end; ++head) {
            const auto group = static_cast<size_t>(head / (c.n_heads / c.n_groups));
            const float* b = x + static_cast<size_t>(c.n_heads) * head_dim + group * n_state;
            const float* read = b + static_cast<size_t>(c.n_groups) * n_state;
            const float dt = softplus(dts[head] + c.dt_bias[head]), decay = std::exp(dt * c.a[head]);
            for (size_t p = 0; p < head_dim; ++p) {
                const size_t i = static_cast<size_t>(head) * head_dim + p;
                float* h = state + i * n_state;
                const float in = dt * x[i];
                float y = 0.0f;
                for (size_t n = 0; n < n_state; ++n) {
                    h[n] = h[n] * decay + in * b[n];
                    y += h[n] * read[n];
                }
                y += c.d[head] * x[i];
                out[i] = y * gate[i] / (1.0f + std::exp(-gate[i]));
            }
        }
    }
}

std::string Mamba2Phase::describe() const {
    return cat("mamba2: ", config_.n_heads, " heads of ", config_.head_dim, " x ", config_.n_state, ", ",
               config_.n_groups, " groups");
}

}  // namespace elver
