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

void CacheWritePhase::turn_query(const Pass& pass, int head, int token) const noexcept {
    const Config& c = config_;
    float* q = program_->row(*pass.scratch, Buffer::q, token) + head * c.head_dim;
    prepare(pass, q, head, token, c.q_norm);
    float scale = c.q_scale;
    if (c.temperature > 0) {
        const auto whole = static_cast<float>((pass.pos[token] + 1) / c.temperature_length);
        scale *= 1.0f + c.temperature * std::log(whole + 1.0f);
    }
    for (int d = 0; d < c.head_dim; ++d) q[d] *= scale;
}

void CacheWritePhase::keep(const Pass& pass, int head, int token) const noexcept {
    const Config& c = config_;
    float* k = program_->row(*pass.scratch, Buffer::k, token) + head * c.head_dim;
    float* v = program_->row(*pass.scratch, Buffer::v, token) + head * c.v_head_dim;
    prepare(pass, k, head, token, c.k_norm);
    if (c.clamp > 0) {
        for (int d = 0; d < c.v_head_dim; ++d) v[d] = std::clamp(v[d], -c.clamp, c.clamp);
    }
    if (c.v_scale != 1.0f) {
        for (int d = 0; d < c.v_head_dim; ++d) v[d] *= c.v_scale;
    }
    pass.kernels->cache_write({pass.cache->shape(c.layer), k, v,
                               pass.cache->page(c.layer, head, pass.pos[token] / page_positions),
                               pass.pos[token] % page_positions});
}

void CacheWritePhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    // A piece is a head's tokens of one page of the cache: nobody else writes there. Those that write come first.
    const int first_page = pass.pos[0] / page_positions;
    const int n_pages = pass.pos[pass.n_tokens - 1] / page_positions - first_page + 1;
    for (int piece; (piece = pass.pool->take(worker, (c.n_heads + c.n_kv_heads) * n_pages)) >= 0;) {
        const int head = piece / n_pages, page = first_page + piece % n_pages;
        const int begin = std::max(page * page_positions - pass.pos[0], 0);
        const int end = std::min((page + 1) * page_positions - pass.pos[0], pass.n_tokens);
        for (int t = begin; t < end; ++t)
            head < c.n_kv_heads ? keep(pass, head, t) : turn_query(pass, head - c.n_kv_heads, t);
    }
}

std::string CacheWritePhase::describe() const {
    const char* pairing = config_.pairing == Config::Pairing::none       ? "no rotation"
                          : config_.pairing == Config::Pairing::adjacent ? "rotate adjacent"
                                                                         : "rotate halves";
    return cat(pairing, " ", config_.rope_dims, " dims, cache ", config_.n_kv_heads, " heads of ", config_.head_dim);
}

}  // namespace elver
