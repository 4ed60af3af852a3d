// Convolutions over the last tokens, a column at a time.
#include <cmath>
#include <cstring>

#include "base/text.hpp"
#include "layers/recurrent.hpp"

namespace elver {

namespace {

// The values of Buffer::q at the tokens of a pass and the n_taps - 1 before it, and the columns of one worker.
template <class Config>
class Taps {
  public:
    Taps(const Program& program, const Config& config, const Pass& pass, int worker)
        : program_(program), c_(config), pass_(pass), before_(config.state.before(pass)) {
        const Share mine = share(config.width, worker, pass.pool->n_threads());
        begin = static_cast<size_t>(mine.begin), end = static_cast<size_t>(mine.end);
    }
    // start + sum of taps * the values of column i up to token t
    float sum(float start, size_t i, int t) const noexcept {
        const auto n_taps = static_cast<size_t>(c_.n_taps);
        for (size_t tap = 0; tap < n_taps; ++tap)
            start += c_.taps[i * n_taps + tap] * values(t - c_.n_taps + 1 + static_cast<int>(tap))[i];
        return start;
    }
    // Keeps the last values for the next pass.
    void keep() const noexcept {
        float* after = c_.state.after(pass_);
        for (int i = 0; i + 1 < c_.n_taps; ++i) {
            std::memcpy(after + static_cast<size_t>(i) * width() + begin,
                        values(pass_.n_tokens - c_.n_taps + 1 + i) + begin, (end - begin) * sizeof(float));
        }
    }

    size_t begin, end;

  private:
    size_t width() const noexcept { return static_cast<size_t>(c_.width); }
    const float* values(int t) const noexcept {
        return t >= 0 ? program_.row(*pass_.scratch, Buffer::q, t)
                      : before_ + static_cast<size_t>(t + c_.n_taps - 1) * width();
    }

    const Program& program_;
    const Config& c_;
    const Pass& pass_;
    const float* before_;
};

}  // namespace

ConvPhase::ConvPhase(Program& program, Config config) : program_(&program), config_(config) {
    program.widths.need(Buffer::q, config.width);
}

void ConvPhase::run(const Pass& pass, int worker) const noexcept {
    const Taps taps(*program_, config_, pass, worker);
    taps.keep();
    // The last token first: what others still need is then not overwritten.
    for (int t = pass.n_tokens - 1; t >= 0; --t) {
        float* out = program_->row(*pass.scratch, Buffer::q, t);
        for (size_t i = taps.begin; i < taps.end; ++i) {
            const float sum = taps.sum(config_.bias == nullptr ? 0.0f : config_.bias[i], i, t);
            out[i] = sum / (1.0f + std::exp(-sum));
        }
    }
}

std::string ConvPhase::describe() const {
    return cat("convolution over ", config_.n_taps, " tokens [n, ", config_.width, "]");
}

ShortConvPhase::ShortConvPhase(Program& program, Config config) : program_(&program), config_(config) {
    for (const Buffer b : {Buffer::q, Buffer::k, Buffer::gate, Buffer::attn}) program.widths.need(b, config.width);
}

void ShortConvPhase::run(const Pass& pass, int worker) const noexcept {
    const Taps taps(*program_, config_, pass, worker);
    for (int t = 0; t < pass.n_tokens; ++t) {
        float* q = program_->row(*pass.scratch, Buffer::q, t);
        const float *k = program_->row(*pass.scratch, Buffer::k, t),
                    *gate = program_->row(*pass.scratch, Buffer::gate, t);
        float* out = program_->row(*pass.scratch, Buffer::attn, t);
        for (size_t i = taps.begin; i < taps.end; ++i) q[i] *= k[i];
        for (size_t i = taps.begin; i < taps.end; ++i) out[i] = gate[i] * taps.sum(0.0f, i, t);
    }
    taps.keep();
}

std::string ShortConvPhase::describe() const {
    return cat("gated convolution over ", config_.n_taps, " tokens [n, ", config_.width, "]");
}

}  // namespace elver
