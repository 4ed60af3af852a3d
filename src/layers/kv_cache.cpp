#include "layers/kv_cache.hpp"

#include <algorithm>
#include <cstdint>

namespace elver {

int KvCache::n_pages(const CacheLayerSpec& layer, int n_ctx, int max_batch) noexcept {
    const int whole = (n_ctx - 1) / page_positions + 1;
    if (layer.window == 0) return whole;
    // A batch's first token sees window - 1 positions before it, and both ends may fall inside a page.
    const int64_t seen = static_cast<int64_t>(layer.window) + max_batch;
    return static_cast<int>(std::min<int64_t>(whole, (seen + page_positions - 2) / page_positions + 1));
}

size_t KvCache::plan_bytes(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx,
                           int max_batch) noexcept {
    size_t total = 0;
    for (const CacheLayerSpec& layer : layers) {
        total += static_cast<size_t>(n_pages(layer, n_ctx, max_batch)) * static_cast<size_t>(layer.n_kv_heads) *
                 static_cast<size_t>(layer.shape(type).page_bytes());
    }
    return total;
}

Result<KvCache> KvCache::make(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx, int max_batch) {
    KvCache cache;
    cache.n_ctx_ = n_ctx;
    size_t offset = 0;
    for (const CacheLayerSpec& layer : layers) {
        const bool fits = layer.window > 0 && n_pages(layer, n_ctx, max_batch) == n_pages(layer, INT32_MAX, max_batch);
        cache.endless_ = cache.endless_ && fits;
        cache.layers_.push_back({layer, layer.shape(type), n_pages(layer, n_ctx, max_batch), offset});
        offset += plan_bytes({layer}, type, n_ctx, max_batch);
    }
    auto memory = AlignedBuffer::make(offset, "the KV cache");
    if (!memory) return std::move(memory).error();
    cache.memory_ = *std::move(memory);
    return cache;
}

std::vector<std::span<std::byte>> KvCache::filled(int n_past) noexcept {
    std::vector<std::span<std::byte>> out;
    const int n_used = (n_past + page_positions - 1) / page_positions;
    for (const Layer& l : layers_) {
        const size_t slot = static_cast<size_t>(l.spec.n_kv_heads) * static_cast<size_t>(l.shape.page_bytes());
        for (int page = std::max(0, n_used - l.n_pages); page < n_used; ++page)
            out.push_back(memory_.bytes().subspan(l.offset + static_cast<size_t>(page % l.n_pages) * slot, slot));
    }
    return out;
}

int KvCache::oldest_rewind(int n_past) const noexcept {
    int oldest = 0;
    for (const Layer& l : layers_) {
        if (l.spec.window == 0) continue;
        // Pages still held begin at this position; a token at pos needs those from pos - window + 1 on.
        const int last_page = std::max(0, n_past - 1) / page_positions;
        const int held = std::max(0, last_page - l.n_pages + 1) * page_positions;
        if (held > 0) oldest = std::max(oldest, held + l.spec.window - 1);
    }
    return std::min(oldest, n_past);
}

}  // namespace elver
