#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

MambaPhase::MambaPhase(Program& program, Config config) : program_(&program), config_(config) {
    for (const Buffer b : {Buffer::q, Buffer::v, Buffer::gate, Buffer::attn}) program.widths.need(b, config.width);
}

void MambaPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const auto n_state = static_cast<size_t>(c.n_state);
    const Share mine = share(c.width, worker, pass.pool->n_threads());
    const auto begin = static_cast<size_t>(mine.begin), end = static_cast<size_t>(mine.end);
    float* state = c.state.after(pass);
    std::memcpy(state + begin * n_state, c.state.before(pass) + begin * n_state,
                (end - begin) * n_state * sizeof(float));
    for (int t = 0; t < pass.n_tokens && !pass.cancelled(worker); ++t) {
        const float *x = program_->row(*pass.scratch, Buffer::q, t), *dts = program_->row(*pass.scratch, Buffer::v, t),
                    *gate = program_->row(*pass.scratch, Buffer::gate, t),
                    *b = program_->row(*pass.scratch, Buffer::k, t) + c.b_column,
                    *read = program_->row(*pass.scratch, Buffer::k, t) + c.c_column;
        float* out = program_->row(*pass.scratch, Buffer::attn, t);
        for (size_t i = begin; i < end; ++i) {
            const float dt = softplus(dts[i]), in = dt * x[i];
            const float* a = c.a + i * n_state;
            float* h = state + i * n_state;
            float y = 0.0f;
            for (size_t n = 0; n < n_state; ++n) {
                h[n] = h[n] * std::exp(dt * a[n]) + in * b[n];
                y += h[n] * read[n];
            }
            y += c.d[i] * x[i];
            out[i] = y * gate[i] / (1.0f + std::exp(-gate[i]));
        }
    }
}

std::string MambaPhase::describe() const {
    return cat("mamba: ", config_.width, " channels of ", config_.n_state);
}

}  // namespace elver
