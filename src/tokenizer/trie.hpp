// A set of byte strings, each with an id, walked one byte at a time: the tokens that start at a place in a text are
// found in one pass over it. Built once, then read only.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace elver {

class ByteTrie {
  public:
    static constexpr int32_t none = -1;

    ByteTrie() = default;
    // The texts need not outlive the call. An empty text is left out; of equal texts the greatest id stays.
    explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

    bool empty() const noexcept { return nodes_.size() < 2; }
    // The root is node 0. The child by a byte, or none.
    int32_t child(int32_t node, unsigned char byte) const noexcept;
    // Of the text that ends at a node, or none.
    int32_t id(int32_t node) const noexcept { return nodes_[static_cast<size_t>(node)].id; }

    // Calls found(length, id) for each text that is a prefix of text, the shortest first.
    template <class Found>
    void prefixes(std::string_view text, Found&& found) const {
        int32_t node = empty() ? none : 0;
        for (size_t i = 0; i < text.size() && node >= 0; ++i) {
            node = child(node, static_cast<unsigned char>(text[i]));
            if (node >= 0 && id(node) >= 0) found(i + 1, id(node));
        }
    }

  private:
    struct Node {
        int32_t id = none;
        uint32_t first_child = 0;  // children lie together, in the order of their bytes
        uint16_t n_children = 0;
        unsigned char byte = 0;
    };
    std::vector<Node> nodes_;
    std::vector<int32_t> first_bytes_;  // [256]: the root's children, which every walk asks for
};

}  // namespace elver
