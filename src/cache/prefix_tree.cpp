#include "cache/prefix_tree.hpp"

#include <algorithm>

namespace elver {

namespace {

constexpr auto page_tokens = static_cast<size_t>(page_positions);

size_t common(std::span<const int32_t> a, std::span<const int32_t> b) noexcept {
    const size_t n = std::min(a.size(), b.size());
    size_t i = 0;
    while (i < n && a[i] == b[i]) ++i;
    return i;
}

}  // namespace

PrefixTree::Node& PrefixTree::root(uint64_t sort) {
    for (auto& root : roots_) {
        if (root->sort == sort) return root->node;
    }
    roots_.push_back(std::make_unique<Root>(Root{sort, {}}));
    return roots_.back()->node;
}

PrefixTree::Node& PrefixTree::add(Node& parent, std::span<const int32_t> ids, const KvCache& cache, int page) {
    auto made = std::make_unique<Node>();
    Node& node = *made;
    node.parent = &parent;
    node.ids.assign(ids.begin(), ids.end());
    for (int t = 0; t < cache.n_tables(); ++t) {
        node.kinds.push_back(cache.table_kind(t));
        node.pages.push_back(cache.page_id(t, page));
    }
    parent.children.push_back(std::move(made));
    // Nothing below can fail: pages are held once the node is in its place.
    for (size_t t = 0; t < node.pages.size(); ++t) {
        if (node.pages[t] >= 0) pool_->hold(node.kinds[t], node.pages[t]);
    }
    return node;
}

void PrefixTree::unlink(Node& node) noexcept {
    (node.older != nullptr ? node.older->newer : oldest_) = node.newer;
    (node.newer != nullptr ? node.newer->older : newest_) = node.older;
    node.older = node.newer = nullptr;
}

void PrefixTree::touch(Node* node) noexcept {
    for (; node->parent != nullptr; node = node->parent) {
        if (node == oldest_ || node->older != nullptr) unlink(*node);
        node->older = newest_;
        (newest_ != nullptr ? newest_->newer : oldest_) = node;
        newest_ = node;
    }
}

void PrefixTree::forget(Node& node) noexcept {
    for (size_t t = 0; t < node.pages.size(); ++t) {
        if (node.pages[t] >= 0) pool_->let_go(node.kinds[t], node.pages[t]);
    }
    unlink(node);
    auto& siblings = node.parent->children;
    siblings.erase(std::find_if(siblings.begin(), siblings.end(), [&](const auto& n) { return n.get() == &node; }));
}

void PrefixTree::keep(uint64_t sort, std::span<const int32_t> ids, const KvCache& cache, bool tail) {
    Node* at = &root(sort);
    for (size_t first = 0; first < ids.size(); first += page_tokens) {
        const auto part = ids.subspan(first, std::min(page_tokens, ids.size() - first));
        if (part.size() < page_tokens && !tail) break;
        const int page = static_cast<int>(first / page_tokens);
        const auto same = std::find_if(at->children.begin(), at->children.end(), [&](const auto& child) {
            // A begun page is there already where a longer one begins with it.
            return common(child->ids, part) == part.size();
        });
        if (same == at->children.end()) {
            Node& node = add(*at, part, cache, page);
            touch(&node);
            // Of no use any more: begun pages that this one goes on from.
            for (size_t i = at->children.size() - 1; i-- > 0;) {
                Node& other = *at->children[i];
                if (common(other.ids, part) == other.ids.size()) forget(other);
            }
            at = &node;
        } else {
            at = same->get();
            // Pages that the text which came first had let go of. One that holds fewer tokens would not do.
            for (int t = 0; t < cache.n_tables() && at->ids.size() == part.size(); ++t) {
                int32_t& held = at->pages[static_cast<size_t>(t)];
                if (held >= 0) continue;
                held = cache.page_id(t, page);
                if (held >= 0) pool_->hold(cache.table_kind(t), held);
            }
        }
    }
    touch(at);
}

int PrefixTree::adopt(uint64_t sort, std::span<const int32_t> ids, int n_past, KvCache& cache) {
    std::vector<Node*> path;
    Node* at = &root(sort);
    size_t length = 0;
    while (length < ids.size()) {
        Node* best = nullptr;
        size_t most = 0;
        for (auto& child : at->children) {
            const size_t n = common(child->ids, ids.subspan(length));
            if (n > most) best = child.get(), most = n;
        }
        if (best == nullptr) break;
        path.push_back(best);
        length += most;
        if (most < page_tokens) break;
        at = best;
    }
    // What the next token sees must be here whole; a shorter beginning may need pages that are.
    const auto here = [&](int n) {
        for (int t = 0; t < cache.n_tables(); ++t) {
            for (int p = cache.first_page(t, n); p < KvCache::pages_of(n); ++p) {
                if (path[static_cast<size_t>(p)]->pages[static_cast<size_t>(t)] < 0) return false;
            }
        }
        return true;
    };
    int n = static_cast<int>(length);
    while (n > n_past && !here(n)) n = (n - 1) / page_positions * page_positions;
    if (n <= n_past) return n_past;
    touch(path[static_cast<size_t>(KvCache::pages_of(n) - 1)]);
    cache.adopt(
        n, [&](int table, int page) { return path[static_cast<size_t>(page)]->pages[static_cast<size_t>(table)]; });
    return n;
}

bool PrefixTree::forget_one() noexcept {
    if (oldest_ == nullptr) return false;
    forget(*oldest_);
    return true;
}

}  // namespace elver
