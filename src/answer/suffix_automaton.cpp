#include "answer/suffix_automaton.hpp"

#include <algorithm>

namespace elver {

namespace {

// States whose last place is brought up to date with each token: those of longer matches, which are asked for.
constexpr int most_updated = 8;

}  // namespace

SuffixAutomaton::SuffixAutomaton(size_t most_tokens) : most_tokens_(most_tokens) {
    clear();
}

void SuffixAutomaton::clear() {
    text_.clear(), states_.clear(), edges_.clear();
    slots_.assign(256, -1);
    states_.push_back({0, -1, -1, -1});
    last_ = 0, matched_ = 0;
}

void SuffixAutomaton::add(int32_t id) {
    if (text_.size() == most_tokens_) {
        const std::vector<int32_t> newer(text_.end() - static_cast<std::ptrdiff_t>(most_tokens_ / 2), text_.end());
        clear();
        for (const int32_t one : newer) append(one);
    }
    append(id);
}

size_t SuffixAutomaton::slot_of(int32_t from, int32_t id) const noexcept {
    const uint64_t hash =
        (static_cast<uint64_t>(static_cast<uint32_t>(from)) << 32 | static_cast<uint32_t>(id)) * 0x9e3779b97f4a7c15ull;
    size_t slot = (hash >> 32) & (slots_.size() - 1);
    while (slots_[slot] >= 0) {
        const Edge& e = edges_[static_cast<size_t>(slots_[slot])];
        if (e.from == from && e.id == id) break;
        slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
}

int32_t SuffixAutomaton::add_state(const State& state) {
    states_.push_back(state);
    return static_cast<int32_t>(states_.size() - 1);
}

void SuffixAutomaton::add_edge(int32_t from, int32_t id, int32_t to) {
    if (2 * (edges_.size() + 1) > slots_.size()) {
        slots_.assign(2 * slots_.size(), -1);
        for (size_t i = 0; i < edges_.size(); ++i)
            slots_[slot_of(edges_[i].from, edges_[i].id)] = static_cast<int32_t>(i);
    }
    State& s = states_[static_cast<size_t>(from)];
    const size_t slot = slot_of(from, id);
    edges_.push_back({from, id, to, s.first_edge});
    slots_[slot] = s.first_edge = static_cast<int32_t>(edges_.size() - 1);
}

void SuffixAutomaton::append(int32_t id) {
    const auto state = [&](int32_t i) -> State& { return states_[static_cast<size_t>(i)]; };
    const auto place = static_cast<int32_t>(text_.size());
    text_.push_back(id);
    const int32_t now = add_state({place + 1, 0, -1, place});
    int32_t p = last_, e = -1;
    for (; p >= 0 && (e = edge(p, id)) < 0; p = state(p).link) add_edge(p, id, now);
    if (p >= 0) {
        const int32_t q = edges_[static_cast<size_t>(e)].to;
        int32_t link = q;
        if (state(q).length != state(p).length + 1) {
            // Some strings of q end here, too: they get a state of their own.
            link = add_state({state(p).length + 1, state(q).link, -1, state(q).end});
            for (int32_t i = state(q).first_edge; i >= 0; i = edges_[static_cast<size_t>(i)].next) {
                const Edge copied = edges_[static_cast<size_t>(i)];
                add_edge(link, copied.id, copied.to);
            }
            for (; p >= 0 && (e = edge(p, id)) >= 0 && edges_[static_cast<size_t>(e)].to == q; p = state(p).link)
                edges_[static_cast<size_t>(e)].to = link;
            state(q).link = link;
        }
        state(now).link = link;
    }
    last_ = now;
    int32_t s = state(now).link;
    matched_ = state(s).length;
    behind_ = static_cast<size_t>(state(s).end + 1);
    for (int i = 0; s > 0 && i < most_updated; ++i, s = state(s).link) state(s).end = place;
}

size_t SuffixAutomaton::n_bytes() const noexcept {
    return text_.capacity() * sizeof(int32_t) + states_.capacity() * sizeof(State) + edges_.capacity() * sizeof(Edge) +
           slots_.capacity() * sizeof(int32_t);
}

}  // namespace elver
