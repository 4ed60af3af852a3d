// The suffix automaton against a search through the whole text.
#include "answer/suffix_automaton.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <span>

using namespace elver;

namespace {

bool ends_at(std::span<const int32_t> text, size_t end, size_t length) {
    return end >= length && std::equal(text.end() - static_cast<std::ptrdiff_t>(length), text.end(),
                                       text.begin() + static_cast<std::ptrdiff_t>(end - length));
}

// Tokens at the end of the text that end at an earlier place, too.
size_t repeated(std::span<const int32_t> text) {
    size_t longest = 0;
    for (size_t end = 1; end < text.size(); ++end) {
        while (ends_at(text, end, longest + 1)) ++longest;
    }
    return longest;
}

void check(const SuffixAutomaton& automaton, std::span<const int32_t> text) {
    const size_t matched = repeated(text);
    REQUIRE(static_cast<size_t>(automaton.matched()) == matched);
    if (matched == 0) return;
    // What is said to come next came next behind such a place, up to the text's end and then from that place on again.
    bool found = false;
    for (size_t end = matched; end < text.size() && !found; ++end) {
        if (!ends_at(text, end, matched)) continue;
        found = true;
        for (size_t i = 0; i < 2 * text.size() && found; ++i)
            found = automaton.next(i) == text[end + i % (text.size() - end)];
    }
    REQUIRE(found);
}

}  // namespace

TEST_CASE("suffix automaton: the longest repetition at the end of a text, and what followed it") {
    std::mt19937 random(1);
    for (const uint32_t n_letters : {1, 2, 3, 5, 40}) {
        CAPTURE(n_letters);
        for (int round = 0; round < 6; ++round) {
            SuffixAutomaton automaton;
            std::vector<int32_t> text;
            while (text.size() < 120) {
                // Now and then a piece of the text comes again.
                if (text.size() > 10 && random() % 8 == 0) {
                    size_t from = random() % text.size();
                    for (size_t n = random() % 20; n > 0 && text.size() < 120; --n, ++from) {
                        text.push_back(text[from]);
                        automaton.add(text.back());
                        check(automaton, text);
                    }
                }
                text.push_back(static_cast<int32_t>(random() % n_letters) - 1);
                automaton.add(text.back());
                check(automaton, text);
            }
        }
    }
}

TEST_CASE("suffix automaton: a long text is forgotten by halves, and takes memory by its length alone") {
    std::mt19937 random(2);
    constexpr size_t most = 100;
    SuffixAutomaton automaton(most);
    std::vector<int32_t> text;
    for (size_t i = 0; i < 1000; ++i) {
        text.push_back(static_cast<int32_t>(random() % 3));
        automaton.add(text.back());
        REQUIRE(automaton.n_tokens() <= most);
        REQUIRE(automaton.n_tokens() >= std::min(text.size(), most / 2));
        check(automaton, std::span(text).last(automaton.n_tokens()));
    }
    for (const uint32_t n_letters : {1u, 2u, 50'000u}) {
        CAPTURE(n_letters);
        SuffixAutomaton large;
        for (size_t i = 0; i < 200'000; ++i) large.add(static_cast<int32_t>(random() % n_letters));
        CHECK(large.n_tokens() <= size_t{1} << 16);
        CHECK(large.n_bytes() <= (size_t{1} << 16) * 150);
    }
}
