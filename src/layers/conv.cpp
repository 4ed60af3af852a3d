#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

ShortConvPhase::ShortConvPhase(Program& program, Config config) : program_(&program), config_(config) {
    for (const Buffer b : {Buffer::q, Buffer::k, Buffer::gate, Buffer::attn}) program.widths.need(b, config.width);
}

void ShortConvPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const auto width = static_cast<size_t>(c.width), n_taps = static_cast<size_t>(c.n_taps);
    const Share mine = share(c.width, worker, pass.pool->n_threads());
    const auto begin = static_cast<size_t>(mine.begin), end = static_cast<size_t>(mine.end);
    const float* before = c.state.before(pass);
    // The values at a token of this pass, or before it.
    const auto values = [&](int t) -> const float* {
        return t >= 0 ? program_->row(*pass.scratch, Buffer::q, t)
                      : before + static_cast<size_t>(t + c.n_taps - 1) * width;
    };
    for (int t = 0; t < pass.n_tokens; ++t) {
        float* q = program_->row(*pass.scratch, Buffer::q, t);
        const float *k = program_->row(*pass.scratch, Buffer::k, t),
                    *gate = program_->row(*pass.scratch, Buffer::gate, t);
        float* out = program_->row(*pass.scratch, Buffer::attn, t);
        for (size_t i = begin; i < end; ++i) q[i] *= k[i];
        for (size_t i = begin; i < end; ++i) {
            float sum = 0.0f;
            for (size_t tap = 0; tap < n_taps; ++tap)
                sum += c.taps[i * n_taps + tap] * values(t - c.n_taps + 1 + static_cast<int>(tap))[i];
            out[i] = gate[i] * sum;
        }
    }
    float* after = c.state.after(pass);
    for (int i = 0; i + 1 < c.n_taps; ++i) {
        std::memcpy(after + static_cast<size_t>(i) * width + begin, values(pass.n_tokens - c.n_taps + 1 + i) + begin,
                    (end - begin) * sizeof(float));
    }
}

std::string ShortConvPhase::describe() const {
    return cat("gated convolution over ", config_.n_taps, " tokens [n, ", config_.width, "]");
}

}  // namespace elver
