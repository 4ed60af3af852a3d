// The repetitions in a growing text: how much of its end was there before, and what came next then. A suffix automaton
// (Blumer et al. 1985): adding a token takes constant time on average, and memory is linear in the text, of which the
// older half is forgotten when it becomes too long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace elver {

class SuffixAutomaton {
  public:
    // most_tokens: 2 or more, of the text that is remembered.
    explicit SuffixAutomaton(size_t most_tokens = size_t{1} << 16);

    void add(int32_t id);

    // Tokens at the end of the text that were there before, as many as possible.
    int matched() const noexcept { return matched_; }
    // The token i places behind that earlier occurrence, as if the text went on so. matched() must not be 0.
    int32_t next(size_t i) const noexcept { return text_[behind_ + i % (text_.size() - behind_)]; }

    size_t n_tokens() const noexcept { return text_.size(); }
    size_t n_bytes() const noexcept;

  private:
    // A set of strings that end at the same places.
    struct State {
        int32_t length;      // of the longest
        int32_t link;        // the state of its longest suffix that ends at more places; -1: of the root
        int32_t first_edge;  // -1: none
        int32_t end;         // a place where they end, the last that is known
    };
    struct Edge {
        int32_t from, id, to;
        int32_t next;  // edge of the same state; -1: the last
    };
    void clear();
    void append(int32_t id);
    int32_t add_state(const State& state);
    size_t slot_of(int32_t from, int32_t id) const noexcept;
    // -1: there is none.
    int32_t edge(int32_t from, int32_t id) const noexcept { return slots_[slot_of(from, id)]; }
    void add_edge(int32_t from, int32_t id, int32_t to);

    size_t most_tokens_;
    std::vector<int32_t> text_;
    std::vector<State> states_;
    std::vector<Edge> edges_;
    std::vector<int32_t> slots_;  // edges by state and token, at most half full; -1: none
    int32_t last_ = 0;            // the state of the whole text
    int matched_ = 0;
    size_t behind_ = 0;
};

}  // namespace elver
