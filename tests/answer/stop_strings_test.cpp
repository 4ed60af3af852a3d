// Stop strings over pieces of a text that are cut everywhere.
#include "answer/stop_strings.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace elver;

namespace {

struct Piece {
    std::string text;
    bool shown = true;
};

struct Told {
    std::string text;
    bool stopped = false;
    bool operator==(const Told&) const = default;
};

// While it is told, nothing may be shown that is not a beginning of `whole`.
Told tell(const std::vector<std::string>& stops, const std::vector<Piece>& pieces, const std::string& whole) {
    StopStrings search(stops);
    Told out;
    for (const Piece& p : pieces) {
        out.stopped = search.push(p.text, p.shown, out.text);
        CHECK(whole.compare(0, out.text.size(), out.text) == 0);
        if (out.stopped) return out;
    }
    search.finish(out.text);
    return out;
}

}  // namespace

TEST_CASE("stop strings: the text ends before the one that ends first, however the text comes in pieces") {
    struct Row {
        std::vector<std::string> stops;
        std::string text, told;
        bool stopped;
    };
    const Row rows[] = {
        {{}, "abc", "abc", false},
        {{"\n\n"}, "one\ntwo\n\nthree", "one\ntwo", true},
        {{"aab"}, "aaaab", "aa", true},
        {{"abab!"}, "ababab!", "ab", true},
        {{"abcd", "bc"}, "xabcd", "xa", true},  // "bc" has ended before "abcd" does
        {{"bc", "abc"}, "xabcd", "x", true},    // both end at once: the longer
        {{"stop"}, "sto", "sto", false},        // what waited is shown at the end
        {{"STOP", "h\xc3\xa9"}, "a h\xc3\xa9 b", "a ", true},
        {{"\xe2\x80\xa6"}, "wait\xe2\x80\xa6", "wait", true},
        {{"x", "x"}, "axb", "a", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        for (size_t i = 0; i <= row.text.size(); ++i) {
            for (size_t j = i; j <= row.text.size(); ++j) {
                const std::vector<Piece> pieces = {
                    {row.text.substr(0, i)}, {row.text.substr(i, j - i)}, {row.text.substr(j)}};
                CHECK(tell(row.stops, pieces, row.told) == Told{row.told, row.stopped});
            }
        }
        std::vector<Piece> bytes;
        for (const char c : row.text) bytes.push_back({std::string(1, c)});
        CHECK(tell(row.stops, bytes, row.told) == Told{row.told, row.stopped});
    }
}

TEST_CASE("stop strings: text that is not shown is searched, too") {
    const std::vector<Piece> pieces = {{"one "}, {"<|im_end|>", false}, {"two"}};
    CHECK(tell({"<|im_end|>"}, pieces, "one ") == Told{"one ", true});
    CHECK(tell({"e <|im_end|>t"}, pieces, "on") == Told{"on", true});
    CHECK(tell({"one two"}, pieces, "one two") == Told{"one two", false});
    CHECK(tell({"<|im_start|>"}, pieces, "one two") == Told{"one two", false});
    CHECK(tell({"<|im_end|>x"}, pieces, "one two") == Told{"one two", false});
}

TEST_CASE("stop strings: a long one costs no more than its length and the text's") {
    const std::string stop = std::string(1 << 20, 'a') + "b";
    StopStrings search({stop});
    std::string out;
    for (int i = 0; i < (1 << 20) + 100; ++i) CHECK_FALSE(search.push("a", true, out));
    CHECK(out.size() == 100);
    CHECK(search.push("b", true, out));
    CHECK(out == std::string(100, 'a'));
}
