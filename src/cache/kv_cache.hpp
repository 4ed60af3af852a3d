// The keys and values of a session. A layer's cache is a ring of pages of 64 positions, laid out per KV head
// (CacheShape). A layer that sees all positions has pages for the
// whole context; a layer with a window only for the window and a batch, however long the text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "kernels/args.hpp"

namespace elver {

struct CacheLayerSpec {
    int n_kv_heads = 0;
    int head_dim = 0;
    int v_head_dim = 0;
    int window = 0;  // 0: all positions

    CacheShape shape(CacheType type) const noexcept { return {type, head_dim, v_head_dim}; }
};

class KvCache {
  public:
    // Pages of a layer for a context of n_ctx positions and prefill batches of max_batch.
    static int n_pages(const CacheLayerSpec& layer, int n_ctx, int max_batch) noexcept;
    static size_t plan_bytes(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx,
                             int max_batch) noexcept;

    static Result<KvCache> make(const std::vector<CacheLayerSpec>& layers, CacheType type, int n_ctx, int max_batch);

    // The page that holds positions 64 page .. 64 page + 63 for one KV head.
    std::byte* page(int layer, int kv_head, int page_index) noexcept {
        const Layer& l = layers_[static_cast<size_t>(layer)];
        const size_t slot = static_cast<size_t>(page_index % l.n_pages) * static_cast<size_t>(l.spec.n_kv_heads) +
                            static_cast<size_t>(kv_head);
        return memory_.data() + l.offset + slot * static_cast<size_t>(l.shape.page_bytes());
    }
    // Whether a text may go on beyond n_ctx: every layer has a window, and room for it.
    bool endless() const noexcept { return endless_; }
    // The memory of the pages that the tokens behind n_past positions see, always in the same order.
    std::vector<std::span<std::byte>> needed(int n_past) noexcept;
    // To be called before anything is written to positions [first, first + n): their pages take the places of older
    // ones.
    void begin_write(int first, int n) noexcept;
    // needed(n_past) was filled from elsewhere; other pages are there no longer.
    void restored(int n_past) noexcept;
    // Positions of the session's context.
    int n_ctx() const noexcept { return n_ctx_; }
    const CacheShape& shape(int layer) const noexcept { return layers_[static_cast<size_t>(layer)].shape; }

    // Whether everything is still there that a token at position `token` sees of the n_past positions before `n_past`.
    bool holds(int token, int n_past) const noexcept;

  private:
    struct Layer {
        CacheLayerSpec spec;
        CacheShape shape;
        int n_pages;
        size_t offset;
        std::vector<int> slots;  // which page each slot of the ring holds; -1: none

        // The first page that a token behind n_past positions sees.
        int first_page(int n_past) const noexcept {
            return spec.window == 0 ? 0 : std::max(n_past - spec.window + 1, 0) / page_positions;
        }
    };
    std::vector<Layer> layers_;
    int n_ctx_ = 0;
    bool endless_ = true;
    AlignedBuffer memory_;
};

}  // namespace elver
