// Queries and keys made ready: norms, rotary embedding, scales; keys and values into the cache.
#include <algorithm>
#include <cmath>

#include "cpu/step.hpp"

namespace elver::cpu {

namespace {

class Writer {
  public:
    Writer(const Step& step, const graph::CacheWrite& op) noexcept
        : step_(step), op_(op), q_norm_(step.norm(op.q_norm)), k_norm_(step.norm(op.k_norm)) {}

    void query(int head, int row) const noexcept {
        float* q = step_.row(op_.q, row) + head * op_.head_dim;
        apply_rope(q, head, row, q_norm_);
        float scale = op_.q_scale;
        if (op_.temperature > 0) {
            const auto whole = static_cast<float>((step_.pass.pos[row] + 1) / op_.temperature_length);
            scale *= 1.0f + op_.temperature * std::log(whole + 1.0f);
        }
        for (int d = 0; d < op_.head_dim; ++d) q[d] *= scale;
    }

    void key_and_value(const Segment& segment, int head, int row) const noexcept {
        float *k = step_.row(op_.k, row) + head * op_.head_dim, *v = step_.row(op_.v, row) + head * op_.v_head_dim;
        apply_rope(k, head, row, k_norm_);
        clamp(v, op_.v_head_dim);
        if (op_.v_scale != 1.0f) {
            for (int d = 0; d < op_.v_head_dim; ++d) v[d] *= op_.v_scale;
        }
        const int pos = step_.pass.pos[row];
        step_.kernels().cache_write({segment.cache->shape(op_.layer), k, v,
                                     segment.cache->page(op_.layer, head, pos / page_positions), pos % page_positions});
    }

  private:
    void clamp(float* x, int n) const noexcept {
        if (op_.clamp <= 0) return;
        for (int d = 0; d < n; ++d) x[d] = std::clamp(x[d], -op_.clamp, op_.clamp);
    }
    void normalise(float* x, int head, const NormWeights& norm) const noexcept {
        if (!norm.there()) return;
        norm.from(static_cast<size_t>(head) * op_.norm_stride).apply(step_.kernels(), x, x, op_.head_dim);
    }
    // With the norm before or behind it.
    void apply_rope(float* x, int head, int row, const NormWeights& norm) const noexcept {
        using Pairing = graph::CacheWrite::Pairing;
        clamp(x, op_.head_dim);
        if (!op_.norm_after_rope) normalise(x, head, norm);
        if (op_.pairing != Pairing::none) {
            const RopeArgs rope{x + op_.rope_first, step_.row(op_.rope_table, row), op_.rope_dims};
            if (op_.pairing == Pairing::adjacent)
                step_.kernels().rope_adjacent(rope);
            else
                step_.kernels().rope_halves(rope);
        }
        if (op_.norm_after_rope) normalise(x, head, norm);
    }

    const Step& step_;
    const graph::CacheWrite& op_;
    NormWeights q_norm_, k_norm_;
};

// Pages of the cache that a segment writes.
struct Pages {
    int first, count;

    explicit Pages(const Segment& s) noexcept
        : first(s.first_pos / page_positions),
          count(s.n_tokens == 0 ? 0 : (s.first_pos + s.n_tokens - 1) / page_positions - first + 1) {}
};

}  // namespace

void run_op(const Step& step, const graph::CacheWrite& op) noexcept {
    const Writer writer(step, op);
    // A piece is a head's tokens of one page of the cache: nobody else writes there. Pieces that write come first.
    Pieces pieces(step.pass.segments, [&](const Segment& s) { return (op.n_heads + op.n_kv_heads) * Pages(s).count; });
    for (int piece; (piece = step.take(pieces.total())) >= 0;) {
        const auto [segment, index] = pieces.find(piece);
        const Pages pages(segment);
        const int head = index / pages.count, page = pages.first + index % pages.count;
        const int begin = std::max(page * page_positions - segment.first_pos, 0);
        const int end = std::min((page + 1) * page_positions - segment.first_pos, segment.n_tokens);
        for (int row = segment.first_row + begin; row < segment.first_row + end; ++row) {
            if (head < op.n_kv_heads)
                writer.key_and_value(segment, head, row);
            else
                writer.query(head - op.n_kv_heads, row);
        }
    }
}

}  // namespace elver::cpu
