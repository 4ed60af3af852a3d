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

PrefixTree::~PrefixTree() {
    for (auto& root : roots_) let_go_all(root->node);
}

PrefixTree::Node& PrefixTree::root(uint64_t sort) {
    for (auto& root : roots_) {
        if (root->sort == sort) return root->node;
    }
    roots_.push_back(std::make_unique<Root>(Root{sort, {}}));
    return roots_.back()->node;
}

void PrefixTree::let_go(Node& node) noexcept {
    for (size_t t = 0; t < node.pages.size(); ++t) {
        if (node.pages[t] >= 0) pool_->let_go(node.kinds[t], node.pages[t]);
    }
    node.pages.clear();
}

void PrefixTree::let_go_all(Node& node) noexcept {
    for (auto& child : node.children) let_go_all(*child);
    let_go(node);
}

void PrefixTree::keep(uint64_t sort, std::span<const int32_t> ids, const KvCache& cache, bool tail) {
    Node* at = &root(sort);
    ++now_;
    for (size_t first = 0; first < ids.size(); first += page_tokens) {
        const auto part = ids.subspan(first, std::min(page_tokens, ids.size() - first));
        if (part.size() < page_tokens && !tail) return;
        const auto same = std::find_if(at->children.begin(), at->children.end(), [&](const auto& child) {
            // A begun page is there already where a longer one begins with it.
            return common(child->ids, part) == part.size();
        });
        if (same == at->children.end()) {
            // Of no use any more: a begun page that this one goes on from.
            for (size_t i = 0; i < at->children.size();) {
                if (common(at->children[i]->ids, part) < at->children[i]->ids.size()) {
                    ++i;
                    continue;
                }
                let_go(*at->children[i]);
                at->children.erase(at->children.begin() + static_cast<std::ptrdiff_t>(i));
            }
            auto node = std::make_unique<Node>();
            node->ids.assign(part.begin(), part.end());
            for (int t = 0; t < cache.n_tables(); ++t) {
                const int32_t page = cache.page_id(t, static_cast<int>(first / page_tokens));
                node->kinds.push_back(cache.table_kind(t));
                node->pages.push_back(page);
                if (page >= 0) pool_->hold(cache.table_kind(t), page);
            }
            at->children.push_back(std::move(node));
            at = at->children.back().get();
        } else {
            at = same->get();
            // Pages that the text which came first had let go of. One that holds fewer tokens would not do.
            for (int t = 0; t < cache.n_tables() && at->ids.size() == part.size(); ++t) {
                int32_t& page = at->pages[static_cast<size_t>(t)];
                if (page >= 0) continue;
                page = cache.page_id(t, static_cast<int>(first / page_tokens));
                if (page >= 0) pool_->hold(cache.table_kind(t), page);
            }
        }
        at->used = now_;
    }
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
    ++now_;
    for (int p = 0; p < KvCache::pages_of(n); ++p) path[static_cast<size_t>(p)]->used = now_;
    cache.adopt(
        n, [&](int table, int page) { return path[static_cast<size_t>(page)]->pages[static_cast<size_t>(table)]; });
    return n;
}

bool PrefixTree::forget_one() noexcept {
    Node* parent = nullptr;
    size_t which = 0;
    uint64_t oldest = UINT64_MAX;
    std::vector<Node*> open;
    for (auto& root : roots_) open.push_back(&root->node);
    while (!open.empty()) {
        Node* node = open.back();
        open.pop_back();
        for (size_t i = 0; i < node->children.size(); ++i) {
            Node& child = *node->children[i];
            if (!child.children.empty())
                open.push_back(&child);
            else if (child.used < oldest)
                parent = node, which = i, oldest = child.used;
        }
    }
    if (parent == nullptr) return false;
    let_go(*parent->children[which]);
    parent->children.erase(parent->children.begin() + static_cast<std::ptrdiff_t>(which));
    return true;
}

}  // namespace elver
