// The keys and values of a text, in pages of 64 positions that texts can share. A page holds those positions for every
// layer of a table: layers that forget at the same pace, laid out per KV head (CacheShape). A table without a window
// keeps all pages; one with a window gives back what is so far behind that no token of the next passes sees it. A page
// that others hold too is copied before it is written. What is there is asked of the tables, never computed from
// lengths.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/page_pool.hpp"
#include "kernels/args.hpp"

namespace elver {

struct CacheLayerSpec {
    int n_kv_heads = 0;
    int head_dim = 0;
    int v_head_dim = 0;
    int window = 0;  // 0: all positions

    CacheShape shape(CacheType type) const noexcept { return {type, head_dim, v_head_dim}; }
    size_t page_bytes(CacheType type) const noexcept {
        return static_cast<size_t>(n_kv_heads) * static_cast<size_t>(shape(type).page_bytes());
    }
};

class KvCache {
  public:
    // Pages of a layer for a context of n_ctx positions and prefill passes of max_batch tokens.
    static int n_pages(const CacheLayerSpec& layer, int n_ctx, int max_batch) noexcept;
    static size_t plan_bytes(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx,
                             int max_batch) noexcept;

    // An empty text. pool: null for one of its own.
    static Result<KvCache> make(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx, int max_batch,
                                std::shared_ptr<PagePool> pool = nullptr);
    KvCache() = default;
    KvCache(KvCache&&) noexcept = default;
    KvCache& operator=(KvCache&& other) noexcept;
    ~KvCache() { clear(); }

    // The page that holds positions 64 page .. 64 page + 63 for one KV head, which must be there.
    std::byte* page(int layer, int kv_head, int page_index) const noexcept {
        const Layer& l = layers_[static_cast<size_t>(layer)];
        const Table& t = tables_[static_cast<size_t>(l.table)];
        return t.pages[static_cast<size_t>(page_index - t.first)].data + l.offset +
               static_cast<size_t>(kv_head) * l.head_bytes;
    }
    // Positions of the context, and whether a text may go on beyond them: every layer has a window, and room for it.
    int n_ctx() const noexcept { return n_ctx_; }
    bool endless() const noexcept { return endless_; }
    const CacheShape& shape(int layer) const noexcept { return layers_[static_cast<size_t>(layer)].shape; }

    // To be called before positions [first, first + n) are written: their pages are there then, and nobody else's.
    // False where the pool has none left: nothing is lost, and it may be called again.
    bool begin_write(int first, int n) noexcept;
    // Whether everything is there that a token at position `token` sees of the positions before n_past.
    bool holds(int token, int n_past) const noexcept;
    // Lets go of the pages that begin at n_past or behind it.
    void truncate(int n_past) noexcept;
    void clear() noexcept { truncate(0); }
    // Whether it holds no page.
    bool empty() const noexcept {
        return std::all_of(tables_.begin(), tables_.end(), [](const Table& t) { return t.pages.empty(); });
    }
    // A text that shares all pages of this one.
    KvCache share() const;
    // Takes the pages that the tokens behind n_past positions see, as far as they are not there. False where the pool
    // has none left: nothing is lost, and it may be called again.
    bool take_needed(int n_past) noexcept;
    // Their memory, always in the same order. They must be there.
    std::vector<std::span<std::byte>> needed(int n_past) const;

    // Tables, for those who share pages of one text with another.
    int n_tables() const noexcept { return static_cast<int>(tables_.size()); }
    int table_kind(int table) const noexcept { return tables_[static_cast<size_t>(table)].kind; }
    // The first page that a token behind n_past positions sees.
    int first_page(int table, int n_past) const noexcept {
        return tables_[static_cast<size_t>(table)].first_page(n_past);
    }
    // -1: not there.
    int32_t page_id(int table, int page_index) const noexcept;
    // Becomes a text of n_past positions in the pages that id(table, page) names, which it holds as well; those that
    // the next token does not see may be -1.
    template <class Id>
    void adopt(int n_past, const Id& id) {
        std::vector<std::vector<int32_t>> ids;
        for (int t = 0; t < n_tables(); ++t) {
            ids.emplace_back();
            for (int p = first_page(t, n_past); p < pages_of(n_past); ++p) ids.back().push_back(id(t, p));
        }
        replace(n_past, ids);
    }
    static constexpr int pages_of(int n_positions) noexcept {
        return (n_positions - 1 + page_positions) / page_positions;
    }

  private:
    struct Layer {
        CacheShape shape;
        int table;
        size_t offset;      // in a page of its table
        size_t head_bytes;  // from one KV head to the next
    };
    struct Table {
        int window, kind;
        int max_pages;  // more are never needed at a time
        int first = 0;  // number of the first page in pages
        std::vector<PagePool::Page> pages;

        int first_page(int n_past) const noexcept {
            return window == 0 ? 0 : std::max(n_past - window + 1, 0) / page_positions;
        }
        int end() const noexcept { return first + static_cast<int>(pages.size()); }
    };
    bool take(Table& table) noexcept;
    bool own(Table& table, int page_index, bool copies) noexcept;
    void drop_front(Table& table, int first) noexcept;
    void replace(int n_past, const std::vector<std::vector<int32_t>>& ids);

    std::shared_ptr<PagePool> pool_;
    std::vector<Layer> layers_;
    std::vector<Table> tables_;
    int n_ctx_ = 0;
    bool endless_ = true;
};

}  // namespace elver
