// The pages of texts that were computed before, as a tree of their tokens: a node is a page, 64 tokens behind those of
// its parents; a leaf may have fewer. It holds the pages until they are needed elsewhere. Texts of different sorts
// (what their pages hold depends on more than their tokens: the cache's type, a long context's rope, an adapter) have
// roots of their own. Not locked, as its pool is not.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/kv_cache.hpp"

namespace elver {

class PrefixTree {
  public:
    explicit PrefixTree(std::shared_ptr<PagePool> pool) : pool_(std::move(pool)) {}
    ~PrefixTree() {
        while (forget_one()) {
        }
    }
    PrefixTree(const PrefixTree&) = delete;
    PrefixTree& operator=(const PrefixTree&) = delete;

    // Keeps the pages of a text, as far as its cache has them: whole pages, and the begun one at its end only if `tail`
    // is set, since who goes on writing there would have to copy it.
    void keep(uint64_t sort, std::span<const int32_t> ids, const KvCache& cache, bool tail);

    // The longest beginning of ids whose pages are all here, as far as the next token needs them: its length. Where it
    // is longer than n_past, `cache` becomes that beginning.
    int adopt(uint64_t sort, std::span<const int32_t> ids, int n_past, KvCache& cache);

    // Lets go of a page's worth of text that was not used for the longest time and that no longer text goes on from.
    // False where there is none.
    bool forget_one() noexcept;

  private:
    struct Node {
        std::vector<int32_t> ids;
        std::vector<int32_t> pages;  // of each table; -1: not here
        std::vector<int> kinds;      // of the tables
        std::vector<std::unique_ptr<Node>> children;
        Node* parent = nullptr;
        Node *older = nullptr, *newer = nullptr;  // in the order of use
    };
    struct Root {
        uint64_t sort;
        Node node;
    };
    Node& root(uint64_t sort);
    Node& add(Node& parent, std::span<const int32_t> ids, const KvCache& cache, int page);
    // The node and its parents were used just now. A node is never older than those below it.
    void touch(Node* node) noexcept;
    void unlink(Node& node) noexcept;
    // Lets go of a node's pages and destroys it. It has no children.
    void forget(Node& node) noexcept;

    std::shared_ptr<PagePool> pool_;
    std::vector<std::unique_ptr<Root>> roots_;
    Node *oldest_ = nullptr, *newest_ = nullptr;
};

}  // namespace elver
