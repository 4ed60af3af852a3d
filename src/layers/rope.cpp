#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

CacheWritePhase::CacheWritePhase(Program& program, Config config) : program_(&program), config_(config) {
    program.widths.need(Buffer::q, config.n_heads * config.head_dim);
    program.widths.need(Buffer::k, config.n_kv_heads * config.head_dim);
    program.widths.need(Buffer::v, config.n_kv_heads * config.v_head_dim);
}

void CacheWritePhase::normalise(const Pass& pass, float* head, int index, Norm norm) const noexcept {
    const size_t own = static_cast<size_t>(index) * config_.norm_stride;
    if (norm.weight != nullptr) norm.weight += own;
    if (norm.bias != nullptr) norm.bias += own;
    if (norm.kind != Norm::Kind::none) norm.apply(*pass.kernels, head, 0, head, 0, config_.head_dim, 0, 1);
}

void CacheWritePhase::prepare(const Pass& pass, float* head, int index, int token, const Norm& norm) const noexcept {
    const Config& c = config_;
    if (c.clamp > 0) {
        for (int d = 0; d < c.head_dim; ++d) head[d] = std::clamp(head[d], -c.clamp, c.clamp);
    }
    if (!c.norm_after_rope) normalise(pass, head, index, norm);
    if (c.pairing != Config::Pairing::none) {
        const RopeArgs rope{head + c.rope_first, program_->rope_table(*pass.scratch, c.rope_table, token), c.rope_dims};
        if (c.pairing == Config::Pairing::adjacent)
            pass.kernels->rope_adjacent(rope);
        else
            pass.kernels->rope_halves(rope);
    }
    if (c.norm_after_rope) normalise(pass, head, index, norm);
}

void CacheWritePhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    // A worker takes whole heads for all tokens: nobody else writes their pages.
    const int n_items = c.n_heads + c.n_kv_heads;
    const Share mine = share(n_items, worker, pass.pool->n_threads());
    for (int item = mine.begin; item < mine.end; ++item) {
        const bool is_query = item < c.n_heads;
        const int h = is_query ? item : item - c.n_heads;
        for (int t = 0; t < pass.n_tokens; ++t) {
            if (is_query) {
                float* q = program_->row(*pass.scratch, Buffer::q, t) + h * c.head_dim;
                prepare(pass, q, h, t, c.q_norm);
                float scale = c.q_scale;
                if (c.temperature > 0) {
                    const auto whole = static_cast<float>((pass.pos[t] + 1) / c.temperature_length);
                    scale *= 1.0f + c.temperature * std::log(whole + 1.0f);
                }
                for (int d = 0; d < c.head_dim; ++d) q[d] *= scale;
                continue;
            }
            float* k = program_->row(*pass.scratch, Buffer::k, t) + h * c.head_dim;
            float* v = program_->row(*pass.scratch, Buffer::v, t) + h * c.v_head_dim;
            prepare(pass, k, h, t, c.k_norm);
            if (c.clamp > 0) {
                for (int d = 0; d < c.v_head_dim; ++d) v[d] = std::clamp(v[d], -c.clamp, c.clamp);
            }
            if (c.v_scale != 1.0f) {
                for (int d = 0; d < c.v_head_dim; ++d) v[d] *= c.v_scale;
            }
            pass.kernels->cache_write({pass.cache->shape(c.layer), k, v,
                                       pass.cache->page(c.layer, h, pass.pos[t] / page_positions),
                                       pass.pos[t] % page_positions});
        }
    }
}

std::string CacheWritePhase::describe() const {
    const char* pairing = config_.pairing == Config::Pairing::none       ? "no rotation"
                          : config_.pairing == Config::Pairing::adjacent ? "rotate adjacent"
                                                                         : "rotate halves";
    return cat(pairing, " ", config_.rope_dims, " dims, cache ", config_.n_kv_heads, " heads of ", config_.head_dim);
}

}  // namespace elver
