#include "cache/kv_cache.hpp"

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
        const int pages = n_pages(layer, n_ctx, max_batch);
        cache.layers_.push_back(
            {layer, layer.shape(type), pages, offset, std::vector<int>(static_cast<size_t>(pages), -1)});
        offset += plan_bytes({layer}, type, n_ctx, max_batch);
    }
    auto memory = AlignedBuffer::make(offset, "the KV cache");
    if (!memory) return std::move(memory).error();
    cache.memory_ = *std::move(memory);
    return cache;
}

namespace {

int pages_of(int n_positions) noexcept {
    return (n_positions - 1 + page_positions) / page_positions;
}

}  // namespace

std::vector<std::span<std::byte>> KvCache::needed(int n_past) noexcept {
    std::vector<std::span<std::byte>> out;
    for (const Layer& l : layers_) {
        const size_t slot = static_cast<size_t>(l.spec.n_kv_heads) * static_cast<size_t>(l.shape.page_bytes());
        for (int page = l.first_page(n_past); page < pages_of(n_past); ++page)
            out.push_back(memory_.bytes().subspan(l.offset + static_cast<size_t>(page % l.n_pages) * slot, slot));
    }
    return out;
}

void KvCache::begin_write(int first, int n) noexcept {
    for (Layer& l : layers_) {
        for (int page = first / page_positions; page < pages_of(first + n); ++page)
            l.slots[static_cast<size_t>(page % l.n_pages)] = page;
    }
}

void KvCache::restored(int n_past) noexcept {
    for (Layer& l : layers_) {
        std::fill(l.slots.begin(), l.slots.end(), -1);
        for (int page = l.first_page(n_past); page < pages_of(n_past); ++page)
            l.slots[static_cast<size_t>(page % l.n_pages)] = page;
    }
}

bool KvCache::holds(int token, int n_past) const noexcept {
    for (const Layer& l : layers_) {
        for (int page = l.first_page(token); page < pages_of(n_past); ++page) {
            if (l.slots[static_cast<size_t>(page % l.n_pages)] != page) return false;
        }
    }
    return true;
}

}  // namespace elver
