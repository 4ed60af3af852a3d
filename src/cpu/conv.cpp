// Convolutions over the last tokens, a column at a time.
#include <cmath>
#include <cstring>

#include "cpu/step.hpp"

namespace elver::cpu {

namespace {

// The values of a segment's tokens and of the n_taps - 1 tokens before it, for columns [begin, end).
template <class Op>
class Taps {
  public:
    Taps(const Step& step, const Op& op, graph::BufferId values, const Segment& segment, Share columns) noexcept
        : begin(static_cast<size_t>(columns.begin)),
          end(static_cast<size_t>(columns.end)),
          step_(step),
          op_(op),
          buffer_(values),
          segment_(segment),
          taps_(step.vector(op.taps)),
          before_(before(op.state, segment)) {}

    // start + sum of taps * the values of column i up to token t of the segment
    float sum(float start, size_t i, int t) const noexcept {
        const auto n_taps = static_cast<size_t>(op_.n_taps);
        for (size_t tap = 0; tap < n_taps; ++tap)
            start += taps_[i * n_taps + tap] * values(t - op_.n_taps + 1 + static_cast<int>(tap))[i];
        return start;
    }
    // Keeps the last values for the next pass.
    void keep() const noexcept {
        float* kept = after(op_.state, segment_);
        for (int i = 0; i + 1 < op_.n_taps; ++i) {
            std::memcpy(kept + static_cast<size_t>(i) * width() + begin,
                        values(segment_.n_tokens - op_.n_taps + 1 + i) + begin, (end - begin) * sizeof(float));
        }
    }

    const size_t begin, end;

  private:
    size_t width() const noexcept { return static_cast<size_t>(op_.width); }
    const float* values(int t) const noexcept {
        return t >= 0 ? step_.row(buffer_, segment_.first_row + t)
                      : before_ + static_cast<size_t>(t + op_.n_taps - 1) * width();
    }

    const Step& step_;
    const Op& op_;
    graph::BufferId buffer_;
    const Segment& segment_;
    const float *taps_, *before_;
};

}  // namespace

void run_op(const Step& step, const graph::Conv& op) noexcept {
    const float* bias = step.vector(op.bias);
    for_channels(step, op.width, [&](const Segment& s, Share columns) {
        const Taps taps(step, op, op.x, s, columns);
        taps.keep();
        // The last token first: what others still need is then not overwritten.
        for (int t = s.n_tokens - 1; t >= 0; --t) {
            float* out = step.row(op.x, s.first_row + t);
            for (size_t i = taps.begin; i < taps.end; ++i) {
                const float sum = taps.sum(bias == nullptr ? 0.0f : bias[i], i, t);
                out[i] = sum / (1.0f + std::exp(-sum));
            }
        }
    });
}

void run_op(const Step& step, const graph::ShortConv& op) noexcept {
    for_channels(step, op.width, [&](const Segment& s, Share columns) {
        const Taps taps(step, op, op.b, s, columns);
        for (int t = 0; t < s.n_tokens; ++t) {
            const int row = s.first_row + t;
            float *b = step.row(op.b, row), *out = step.row(op.out, row);
            const float *x = step.row(op.x, row), *c = step.row(op.c, row);
            for (size_t i = taps.begin; i < taps.end; ++i) b[i] *= x[i];
            for (size_t i = taps.begin; i < taps.end; ++i) out[i] = c[i] * taps.sum(0.0f, i, t);
        }
        taps.keep();
    });
}

}  // namespace elver::cpu
