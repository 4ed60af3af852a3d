#include "cache/kv_cache.hpp"

#include <cstring>

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
    for (const CacheLayerSpec& layer : layers)
        total += static_cast<size_t>(n_pages(layer, n_ctx, max_batch)) * layer.page_bytes(type);
    return total;
}

Result<KvCache> KvCache::make(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx, int max_batch,
                              std::shared_ptr<PagePool> pool) {
    KvCache cache;
    cache.pool_ = pool != nullptr ? std::move(pool) : std::make_shared<PagePool>();
    cache.n_ctx_ = n_ctx;
    std::vector<size_t> bytes;  // of each table's pages
    for (const CacheLayerSpec& layer : layers) {
        const int pages = n_pages(layer, n_ctx, max_batch);
        const bool fits = layer.window > 0 && pages == n_pages(layer, INT32_MAX, max_batch);
        cache.endless_ = cache.endless_ && fits;
        auto at = std::find_if(cache.tables_.begin(), cache.tables_.end(),
                               [&](const Table& t) { return t.window == layer.window; });
        if (at == cache.tables_.end()) {
            cache.tables_.push_back({layer.window, 0, pages, 0, {}});
            bytes.push_back(0);
            at = cache.tables_.end() - 1;
        }
        const auto table = static_cast<size_t>(at - cache.tables_.begin());
        cache.layers_.push_back({layer.shape(type), static_cast<int>(table), bytes[table],
                                 static_cast<size_t>(layer.shape(type).page_bytes())});
        bytes[table] += layer.page_bytes(type);
    }
    for (size_t t = 0; t < bytes.size(); ++t) {
        Table& table = cache.tables_[t];
        table.kind = cache.pool_->kind(std::max<size_t>(bytes[t], 1));
        table.pages.reserve(static_cast<size_t>(table.max_pages));
        cache.pool_->expect(table.kind, table.max_pages);
    }
    return cache;
}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
    if (this == &other) return *this;
    clear();
    pool_ = std::move(other.pool_);
    layers_ = std::move(other.layers_);
    tables_ = std::move(other.tables_);
    n_ctx_ = other.n_ctx_;
    endless_ = other.endless_;
    other.tables_.clear();
    return *this;
}

bool KvCache::take(Table& table) noexcept {
    const PagePool::Page page = pool_->take(table.kind);
    if (page) table.pages.push_back(page);
    return bool(page);
}

bool KvCache::own(Table& table, int page_index, bool copies) noexcept {
    PagePool::Page& page = table.pages[static_cast<size_t>(page_index - table.first)];
    if (pool_->n_held(table.kind, page.id) == 1) return true;
    const PagePool::Page fresh = pool_->take(table.kind);
    if (!fresh) return false;
    if (copies) std::memcpy(fresh.data, page.data, pool_->page_bytes(table.kind));
    pool_->let_go(table.kind, page.id);
    page = fresh;
    return true;
}

void KvCache::drop_front(Table& table, int first) noexcept {
    const int n = std::min(first - table.first, static_cast<int>(table.pages.size()));
    if (n <= 0) return;
    for (int i = 0; i < n; ++i) pool_->let_go(table.kind, table.pages[static_cast<size_t>(i)].id);
    table.pages.erase(table.pages.begin(), table.pages.begin() + n);
    table.first += n;
}

bool KvCache::begin_write(int first, int n) noexcept {
    const int begin = first / page_positions, end = pages_of(first + n);
    for (Table& t : tables_) {
        if (t.pages.empty()) t.first = begin;
        if (t.window > 0) drop_front(t, std::min(end - t.max_pages, t.first_page(first)));
        for (int page = std::max(begin, t.end()); page < end; ++page) {
            if (!take(t)) return false;
        }
        for (int page = begin; page < end; ++page) {
            if (!own(t, page, page * page_positions < first)) return false;
        }
    }
    return true;
}

bool KvCache::holds(int token, int n_past) const noexcept {
    for (const Table& t : tables_) {
        const int first = t.first_page(token), end = pages_of(n_past);
        if (first < end && (t.first > first || t.end() < end)) return false;
    }
    return true;
}

void KvCache::truncate(int n_past) noexcept {
    const int end = pages_of(n_past);
    for (Table& t : tables_) {
        while (!t.pages.empty() && t.end() > end) {
            pool_->let_go(t.kind, t.pages.back().id);
            t.pages.pop_back();
        }
    }
}

KvCache KvCache::share() const {
    KvCache out;
    out.pool_ = pool_;
    out.layers_ = layers_;
    out.n_ctx_ = n_ctx_;
    out.endless_ = endless_;
    auto tables = tables_;
    for (Table& t : tables) t.pages.reserve(static_cast<size_t>(t.max_pages));
    out.tables_ = std::move(tables);
    for (const Table& t : out.tables_) {
        for (const PagePool::Page& page : t.pages) pool_->hold(t.kind, page.id);
    }
    return out;
}

bool KvCache::take_needed(int n_past) noexcept {
    for (Table& t : tables_) {
        if (t.pages.empty()) t.first = t.first_page(n_past);
        while (t.end() < pages_of(n_past)) {
            if (!take(t)) return false;
        }
    }
    return true;
}

std::vector<std::span<std::byte>> KvCache::needed(int n_past) const {
    std::vector<std::span<std::byte>> out;
    for (const Table& t : tables_) {
        for (int page = t.first_page(n_past); page < pages_of(n_past); ++page)
            out.emplace_back(t.pages[static_cast<size_t>(page - t.first)].data, pool_->page_bytes(t.kind));
    }
    return out;
}

int32_t KvCache::page_id(int table, int page_index) const noexcept {
    const Table& t = tables_[static_cast<size_t>(table)];
    return page_index < t.first || page_index >= t.end() ? -1 : t.pages[static_cast<size_t>(page_index - t.first)].id;
}

void KvCache::replace(int n_past, const std::vector<std::vector<int32_t>>& ids) {
    for (size_t i = 0; i < tables_.size(); ++i) {
        Table& t = tables_[i];
        for (const int32_t id : ids[i]) pool_->hold(t.kind, id);
        for (const PagePool::Page& page : t.pages) pool_->let_go(t.kind, page.id);
        t.pages.clear();
        t.first = t.first_page(n_past);
        for (const int32_t id : ids[i]) t.pages.push_back({id, pool_->data(t.kind, id)});
    }
}

}  // namespace elver
