#include "layers/attention.hpp"

#include "base/checked.hpp"
#include "base/text.hpp"
#include "layers/layers.hpp"

namespace elver {

namespace {

// The ranges of keys that a single token sees, when its KV heads alone would leave workers idle; else one range, -1.
struct Ranges {
    int first = -1, count = 1;

    explicit Ranges(const AttendArgs& a) noexcept {
        if (a.parts == nullptr || a.n_tokens != 1 || !a.causal || a.chunked) return;
        if (a.n_kv_heads % a.pool->n_threads() == 0) return;
        const int begin = first_key(a.pos[0], a.window) / range_keys, end = a.pos[0] / range_keys;
        if (begin == end) return;
        first = begin;
        count = end - begin + 1;
    }
    bool split() const noexcept { return first >= 0; }
};

void join_share(const AttendArgs& a, const Ranges& ranges, int worker) noexcept {
    const CacheShape& shape = a.cache->shape(a.layer);
    const Share heads = share(a.n_heads, worker, a.pool->n_threads());
    const size_t part = attention_part(shape);
    for (int h = heads.begin; h < heads.end; ++h) {
        a.kernels->attention_join({a.parts + static_cast<size_t>(h) * part, static_cast<size_t>(a.n_heads) * part,
                                   ranges.count, shape, a.sinks == nullptr ? nullptr : a.sinks + h,
                                   a.out + h * shape.v_head_dim});
    }
}

}  // namespace

void attend_share(const AttendArgs& a, float* scratch, int worker) noexcept {
    const CacheShape& shape = a.cache->shape(a.layer);
    const int group = a.n_heads / a.n_kv_heads;  // query heads of a KV head
    // Of chunks, a tile holds one token's rows: what tokens see of them differs in length.
    const int n_rows = a.chunked ? group : a.n_tokens * group;
    const int row_tiles = (n_rows + attention_rows - 1) / attention_rows,
              n_tiles = row_tiles * (a.chunked ? a.n_tokens : 1);
    const Ranges ranges(a);
    struct Head {
        KvCache* cache;
        int layer, kv_head;
    } head{a.cache, a.layer, 0};
    const float* q[attention_rows];
    float* out[attention_rows];
    int32_t pos[attention_rows], last[attention_rows];
    float slopes[attention_rows], sinks[attention_rows];
    AttentionArgs args;
    args.q = q;
    args.out = out;
    args.pos = pos;
    args.shape = shape;
    args.last = a.causal ? nullptr : last;
    args.window = a.causal || a.window == 0 ? a.window : a.window / 2 + 1;
    args.soft_cap = a.soft_cap;
    args.slopes = a.slopes == nullptr ? nullptr : slopes;
    args.sinks = a.sinks == nullptr ? nullptr : sinks;
    args.page = [](const void* context, int page) -> const std::byte* {
        const auto& h = *static_cast<const Head*>(context);
        return h.cache->page(h.layer, h.kv_head, page);
    };
    args.cache = &head;
    args.scratch = scratch;
    args.exact = a.exact;
    // Later tiles see more keys, so their worker ends last; the others then take of its largest.
    for (int item; (item = a.pool->take(worker, a.n_kv_heads * n_tiles * ranges.count)) >= 0;) {
        if (a.cancel != nullptr && a.cancel->cancelled(worker)) break;
        head.kv_head = item % a.n_kv_heads;
        const int range = item / a.n_kv_heads / n_tiles, tile = item / a.n_kv_heads % n_tiles,
                  first = tile % row_tiles * attention_rows, first_token = tile / row_tiles;
        args.n_rows = n_rows - first < attention_rows ? n_rows - first : attention_rows;
        for (int r = 0; r < args.n_rows; ++r) {
            const int token = first_token + (first + r) / group, h = head.kv_head * group + (first + r) % group;
            q[r] = a.q + static_cast<size_t>(token) * a.q_stride + h * shape.head_dim;
            out[r] = ranges.split() ? a.parts + static_cast<size_t>(range * a.n_heads + h) * attention_part(shape)
                                    : a.out + static_cast<size_t>(token) * a.out_stride + h * shape.v_head_dim;
            pos[r] = a.pos[token];
            const int32_t end = a.pos[a.n_tokens - 1], ahead = a.window / 2;
            last[r] = a.window == 0 || pos[r] > end - ahead ? end : pos[r] + ahead;
            if (a.slopes != nullptr) slopes[r] = a.slopes[h];
            if (a.sinks != nullptr) sinks[r] = a.sinks[h];
        }
        if (a.chunked) args.window = pos[0] % a.window + 1;
        args.range = ranges.split() ? ranges.first + range : -1;
        a.kernels->attention(args);
    }
    if (!ranges.split()) return;
    a.pool->barrier();
    join_share(a, ranges, worker);
}

AttentionPhase::AttentionPhase(Program& program, Config config) : program_(&program), config_(std::move(config)) {
    program.widths.need(Buffer::attn, config_.n_heads * config_.v_head_dim);
    const CacheShape widest{CacheType::q8_0, config_.head_dim, config_.v_head_dim};  // of all types
    program.widths.head_scratch = std::max({program.widths.head_scratch, config_.head_dim, widest.v_width()});
    program.widths.part = std::max(program.widths.part, static_cast<size_t>(config_.n_heads) * attention_part(widest));
}

void AttentionPhase::run(const Pass& pass, int worker) const noexcept {
    const Config& c = config_;
    AttendArgs args;
    args.kernels = pass.kernels;
    args.cache = pass.cache;
    args.layer = c.layer;
    args.n_heads = c.n_heads;
    args.n_kv_heads = c.n_kv_heads;
    args.causal = c.causal;
    args.chunked = c.chunked;
    args.window = c.window;
    args.exact = c.exact;
    args.soft_cap = c.soft_cap;
    args.slopes = c.slopes.empty() ? nullptr : c.slopes.data();
    args.sinks = c.sinks;
    args.q = program_->row(*pass.scratch, Buffer::q, 0);
    args.q_stride = program_->widths.stride(Buffer::q);
    args.out = program_->row(*pass.scratch, Buffer::attn, 0);
    args.out_stride = program_->widths.stride(Buffer::attn);
    args.pos = pass.pos;
    args.n_tokens = pass.n_tokens;
    args.cancel = pass.cancel;
    args.parts = reinterpret_cast<float*>(pass.scratch->memory + pass.scratch->parts_at);
    args.pool = pass.pool;
    attend_share(
        args, reinterpret_cast<float*>(program_->worker_memory(*pass.scratch, worker) + pass.scratch->worker_kernel_at),
        worker);
}

std::string AttentionPhase::describe() const {
    return cat("attention ", config_.n_heads, " heads over ", config_.n_kv_heads, " of ", config_.head_dim,
               config_.window > 0 ? cat(", window ", config_.window) : std::string());
}

}  // namespace elver
