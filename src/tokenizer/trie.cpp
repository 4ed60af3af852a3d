// Building and walking the trie of tokens: one node a distinct prefix, laid out breadth first so that siblings are
// neighbours.
#include "tokenizer/trie.hpp"

#include <algorithm>

namespace elver {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) : first_bytes_(256, none) {
    std::sort(entries.begin(), entries.end());
    nodes_.emplace_back();
    // Breadth first: node i stands for the entries in ranges[i], which share their first depths[i] bytes.
    struct Range {
        uint32_t begin, end, depth;
    };
    std::vector<Range> ranges{{0, static_cast<uint32_t>(entries.size()), 0}};
    for (size_t i = 0; i < ranges.size(); ++i) {
        Range range = ranges[i];
        while (range.begin < range.end && entries[range.begin].first.size() == range.depth) {
            if (range.depth > 0) nodes_[i].id = entries[range.begin].second;
            ++range.begin;
        }
        nodes_[i].first_child = static_cast<uint32_t>(nodes_.size());
        while (range.begin < range.end) {
            const char byte = entries[range.begin].first[range.depth];
            uint32_t end = range.begin;
            while (end < range.end && entries[end].first[range.depth] == byte) ++end;
            if (i == 0) first_bytes_[static_cast<unsigned char>(byte)] = static_cast<int32_t>(nodes_.size());
            nodes_.emplace_back().byte = static_cast<unsigned char>(byte);
            ranges.push_back({range.begin, end, range.depth + 1});
            ++nodes_[i].n_children;
            range.begin = end;
        }
    }
}

int32_t ByteTrie::child(int32_t node, unsigned char byte) const noexcept {
    if (node == 0) return first_bytes_[byte];
    const Node& n = nodes_[static_cast<size_t>(node)];
    const auto begin = nodes_.begin() + n.first_child, end = begin + n.n_children;
    const auto it = std::lower_bound(begin, end, byte, [](const Node& a, unsigned char b) { return a.byte < b; });
    return it != end && it->byte == byte ? static_cast<int32_t>(it - nodes_.begin()) : none;
}

}  // namespace elver
