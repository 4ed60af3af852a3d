#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

AttentionPhase::AttentionPhase(Program& program, Config config) : program_(&program), config_(std::move(config)) {
    program.widths.need(Buffer::attn, config_.n_heads * config_.v_head_dim);
    const CacheShape widest{CacheType::q8_0, config_.head_dim, config_.v_head_dim};  // of all types
    program.widths.head_scratch = std::max({program.widths.head_scratch, config_.head_dim, widest.v_width()});
}

void AttentionPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    const int group = c.n_heads / c.n_kv_heads;  // query heads of a KV head
    const int n_rows = pass.n_tokens * group, n_tiles = (n_rows + attention_rows - 1) / attention_rows;
    struct Head {
        KvCache* cache;
        int layer, kv_head;
    } head{pass.cache, c.layer, 0};
    const float* q[attention_rows];
    float* out[attention_rows];
    int32_t pos[attention_rows];
    float slopes[attention_rows], sinks[attention_rows];
    AttentionArgs args;
    args.q = q;
    args.out = out;
    args.pos = pos;
    args.shape = pass.cache->shape(c.layer);
    args.window = c.window;
    args.soft_cap = c.soft_cap;
    args.slopes = c.slopes.empty() ? nullptr : slopes;
    args.sinks = c.sinks == nullptr ? nullptr : sinks;
    args.page = [](const void* context, int page) -> const std::byte* {
        const auto& h = *static_cast<const Head*>(context);
        return h.cache->page(h.layer, h.kv_head, page);
    };
    args.cache = &head;
    args.scratch =
        reinterpret_cast<float*>(program_->worker_memory(*pass.scratch, worker) + pass.scratch->worker_kernel_at);
    // Tiles in turn: later ones see more keys, so neighbours weigh about the same.
    for (int item = worker; item < c.n_kv_heads * n_tiles && !pass.cancelled(); item += pass.pool->n_threads()) {
        head.kv_head = item % c.n_kv_heads;
        const int first = item / c.n_kv_heads * attention_rows;
        args.n_rows = n_rows - first < attention_rows ? n_rows - first : attention_rows;
        for (int r = 0; r < args.n_rows; ++r) {
            const int token = (first + r) / group, h = head.kv_head * group + (first + r) % group;
            q[r] = program_->row(*pass.scratch, Buffer::q, token) + h * c.head_dim;
            out[r] = program_->row(*pass.scratch, Buffer::attn, token) + h * c.v_head_dim;
            pos[r] = pass.pos[token];
            if (!c.slopes.empty()) slopes[r] = c.slopes[static_cast<size_t>(h)];
            if (c.sinks != nullptr) sinks[r] = c.sinks[h];
        }
        pass.kernels->attention(args);
    }
}

std::string AttentionPhase::describe() const {
    return cat("attention ", config_.n_heads, " heads over ", config_.n_kv_heads, " of ", config_.head_dim,
               config_.window > 0 ? cat(", window ", config_.window) : std::string());
}

}  // namespace elver
