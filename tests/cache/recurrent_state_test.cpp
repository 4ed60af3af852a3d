// Recurrent states: a pass that is not complete leaves no trace; the last that were kept can be gone back to.
#include "cache/recurrent_state.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "message_of.hpp"

using namespace elver;

namespace {

RecurrentState make() {
    auto state = RecurrentState::make({4, 0, 3});
    REQUIRE_MESSAGE(state, test::message_of(state));
    return *std::move(state);
}
void pass(RecurrentState& s, float value) {
    std::fill_n(s.after(0), 4, value);
    std::fill_n(s.after(2), 3, -value);
}
void check(const RecurrentState& s, float value) {
    for (int i = 0; i < 4; ++i) CHECK(s.before(0)[i] == value);
    for (int i = 0; i < 3; ++i) CHECK(s.before(2)[i] == -value);
}

}  // namespace

TEST_CASE("recurrent state: it begins with zeros, and a pass counts once it is complete") {
    RecurrentState s = make();
    CHECK(!s.empty());
    check(s, 0);
    pass(s, 5);
    check(s, 0);
    pass(s, 1);
    s.commit(10, true);
    check(s, 1);
    const auto none = RecurrentState::make({0, 0});
    REQUIRE(none);
    CHECK(none->empty());
    CHECK(none->nearest(7) == 7);
}

TEST_CASE("recurrent state: goes back to the last two that were kept, and to the beginning") {
    RecurrentState s = make();
    pass(s, 1), s.commit(10, true);
    pass(s, 2), s.commit(20, true);
    pass(s, 3), s.commit(21, false);
    CHECK(s.nearest(21) == 21);
    CHECK(s.nearest(20) == 20);
    CHECK(s.nearest(19) == 10);
    CHECK(s.nearest(9) == 0);
    s.go_back(20);
    check(s, 2);
    pass(s, 4), s.commit(30, true);
    CHECK(s.nearest(29) == 20);
    s.go_back(20);
    check(s, 2);
    s.go_back(0);
    check(s, 0);
}

TEST_CASE("recurrent state: a copy, and bytes written elsewhere, are the same state") {
    RecurrentState s = make(), copy = make(), restored = make();
    pass(s, 7), s.commit(12, true);
    copy.copy(s);
    check(copy, 7);
    CHECK(copy.nearest(12) == 12);
    REQUIRE(restored.bytes().size() == s.bytes().size());
    std::copy(s.bytes().begin(), s.bytes().end(), restored.bytes().begin());
    restored.restored(12);
    check(restored, 7);
    CHECK(restored.nearest(12) == 12);
    pass(copy, 8), copy.commit(13, false);
    check(s, 7);
}
