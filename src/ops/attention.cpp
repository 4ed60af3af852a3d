#include <algorithm>
#include <cmath>

#include "base/checked.hpp"
#include "cpu/attention.hpp"
#include "ops/ops.hpp"

namespace elver {

namespace {

constexpr int64_t most_positions = int64_t{1} << 30;

}  // namespace

Result<AttentionOptions> AttentionOptions::checked() const {
    constexpr int most_heads = 4096, most_dim = 1024;
    AttentionOptions o = *this;
    if (n_heads < 1 || n_heads > most_heads) return wrong("n_heads", cat("1 to ", most_heads), n_heads);
    if (n_kv_heads < 1 || n_heads % n_kv_heads != 0)
        return wrong("n_kv_heads", cat("a divisor of n_heads, ", n_heads), n_kv_heads);
    if (head_dim < 1 || head_dim > most_dim) return wrong("head_dim", cat("1 to ", most_dim), head_dim);
    if (o.v_head_dim == 0) o.v_head_dim = head_dim;
    if (o.v_head_dim < 1 || o.v_head_dim > most_dim) return wrong("v_head_dim", cat("0 to ", most_dim), v_head_dim);
    if (window < 0 || window > most_positions) return wrong("window", cat("0 to ", most_positions), window);
    if (!causal && window != 0) return wrong("window", "0 where causal is 0", window);
    if (!causal && !alibi_slopes.empty()) return wrong("alibi_slopes", "NULL where causal is 0", "an array");
    if (!std::isfinite(scale)) return wrong("scale", "a finite number", scale);
    if (scale == 0) o.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    if (!(soft_cap >= 0) || !std::isfinite(soft_cap))
        return wrong("soft_cap", "0 or a finite positive number", soft_cap);
    return o;
}

Result<OwnCache> Ops::make_cache(const AttentionOptions& options, int64_t n_ctx, int64_t max_batch, CacheType type) {
    const auto o = options.checked();
    if (!o) return o.error();
    if (n_ctx < 1 || n_ctx > most_positions) return wrong("n_ctx", cat("1 to ", most_positions), n_ctx);
    if (max_batch < 1 || max_batch > n_ctx) return wrong("max_batch", cat("1 to n_ctx, ", n_ctx), max_batch);
    const std::vector<CacheLayerSpec> layers{{o->n_kv_heads, o->head_dim, o->v_head_dim, o->window}};
    OwnCache out;
    out.options_ = *o;
    out.max_batch_ = static_cast<int>(max_batch);
    out.n_bytes_ = KvCache::plan_bytes(layers, type, static_cast<int>(n_ctx), out.max_batch_);
    auto cache = KvCache::make(layers, type, static_cast<int>(n_ctx), out.max_batch_);
    if (!cache) return std::move(cache).error();
    out.cache_ = *std::move(cache);
    return out;
}

Result<void> Ops::append(OwnCache& cache, FloatRows k, FloatRows v) {
    const AttentionOptions& o = cache.options_;
    if (const auto fine = check_rows("k", k.n, int64_t{o.n_kv_heads} * o.head_dim, k.stride); !fine) return fine;
    if (const auto fine = check_rows("v", k.n, int64_t{o.n_kv_heads} * o.v_head_dim, v.stride); !fine) return fine;
    if (k.n > cache.max_batch_) return wrong("n", cat("at most max_batch, ", cache.max_batch_), k.n);
    if (k.n > cache.cache_.n_ctx() - cache.position_) {
        return Error(Status::context_full,
                     cat("the cache has room for ", cache.cache_.n_ctx() - cache.position_, " positions, found ", k.n),
                     "n");
    }
    cache.cache_.begin_write(static_cast<int>(cache.position_), static_cast<int>(k.n));
    pool_->run([&](int worker) {
        const Share heads = share(o.n_kv_heads, worker, pool_->n_threads());
        for (int h = heads.begin; h < heads.end; ++h) {
            for (int64_t i = 0; i < k.n; ++i) {
                const int pos = static_cast<int>(cache.position_ + i);
                kernels_->cache_write({cache.cache_.shape(0), k.row(i) + h * o.head_dim, v.row(i) + h * o.v_head_dim,
                                       cache.cache_.page(0, h, pos / page_positions), pos % page_positions});
            }
        }
    });
    cache.position_ += k.n;
    return {};
}

Result<void> Ops::attend(OwnCache& cache, FloatRows q, MutableFloatRows out) {
    const AttentionOptions& o = cache.options_;
    const int64_t q_width = int64_t{o.n_heads} * o.head_dim;
    if (const auto fine = check_rows("q", q.n, q_width, q.stride); !fine) return fine;
    if (const auto fine = check_rows("out", q.n, int64_t{o.n_heads} * o.v_head_dim, out.stride); !fine) return fine;
    const int64_t most = std::min<int64_t>(cache.max_batch_, cache.position_);
    if (q.n > most) return wrong("n", cat("at most ", most, ", the positions appended at once or in all"), q.n);
    if (q.n > INT32_MAX / o.n_heads - attention_rows)
        return wrong("n", cat("at most ", INT32_MAX / o.n_heads - attention_rows, " for ", o.n_heads, " heads"), q.n);
    if (q.n == 0) return {};
    if (!cache.cache_.holds(static_cast<int>(cache.position_ - q.n), static_cast<int>(cache.position_)))
        return wrong("n", "as many positions as were appended since the rewind: earlier keys are gone", q.n);
    // Scaled queries, the positions they stand at, and each worker's own scratch.
    const size_t q_bytes = static_cast<size_t>(q.n) * round_up(static_cast<size_t>(q_width), 16) * sizeof(float),
                 pos_bytes = round_up(static_cast<size_t>(q.n) * sizeof(int32_t), 64),
                 own_bytes =
                     round_up(attention_scratch_bytes(
                                  o.head_dim, static_cast<int>(round_up(static_cast<size_t>(o.v_head_dim), 32))),
                              64);
    const int n_workers = pool_->n_threads();
    const auto memory = scratch(q_bytes + pos_bytes + own_bytes * static_cast<size_t>(n_workers));
    if (!memory) return memory.error();
    auto* const scaled = reinterpret_cast<float*>(*memory);
    auto* const pos = reinterpret_cast<int32_t*>(*memory + q_bytes);
    const auto first = static_cast<int32_t>(cache.position_ - q.n), last = static_cast<int32_t>(cache.position_ - 1);
    for (int64_t i = 0; i < q.n; ++i) {
        std::transform(q.row(i), q.row(i) + q_width, scaled + i * q_width, [&](float x) { return x * o.scale; });
        pos[i] = o.causal ? first + static_cast<int32_t>(i) : last;
    }
    const cpu::Segment segment{&cache.cache_, nullptr, 0, static_cast<int>(q.n), first};
    cpu::AttendArgs args{};
    args.kernels = kernels_;
    args.pool = pool_.get();
    args.segments = {&segment, 1};
    args.pos = pos;
    args.n_heads = o.n_heads, args.n_kv_heads = o.n_kv_heads;
    args.window = o.window;
    args.soft_cap = o.soft_cap;
    args.slopes = o.alibi_slopes.empty() ? nullptr : o.alibi_slopes.data();
    args.sinks = o.sinks.empty() ? nullptr : o.sinks.data();
    args.q = scaled;
    args.q_stride = static_cast<size_t>(q_width);
    args.out = out.data;
    args.out_stride = static_cast<size_t>(out.stride);
    args.exact = true;
    std::byte* const own = *memory + q_bytes + pos_bytes;
    pool_->run([&](int worker) {
        cpu::attend_share(args, reinterpret_cast<float*>(own + own_bytes * static_cast<size_t>(worker)), worker);
    });
    return {};
}

Result<void> Ops::rewind(OwnCache& cache, int64_t position) {
    if (position < 0 || position > cache.position_) return wrong("position", cat("0 to ", cache.position_), position);
    const int p = static_cast<int>(position);
    if (!cache.cache_.holds(p, p)) return wrong("position", "one whose window is still in the cache", position);
    cache.position_ = position;
    return {};
}

Result<void> Ops::attention(const AttentionOptions& options, FloatRows q, FloatRows k, FloatRows v,
                            MutableFloatRows out) {
    const auto o = options.checked();
    if (!o) return o.error();
    if (q.n > k.n) return wrong("n", cat("at most n_keys, ", k.n), q.n);
    if (q.n == 0) return {};
    // Pages before the first query's window are left out: nobody sees them.
    const int64_t begin = o->window == 0 ? 0 : std::max<int64_t>(0, k.n - q.n - o->window + 1);
    const int64_t first = begin / page_positions * page_positions, seen = k.n - first;
    auto cache = make_cache(*o, seen, seen, CacheType::f32);
    if (!cache) return std::move(cache).error();
    if (auto done = append(*cache, {k.row(first), seen, 0, k.stride}, {v.row(first), seen, 0, v.stride}); !done)
        return done;
    return attend(*cache, q, out);
}

}  // namespace elver
