// How many rows of prompts go into a pass, from what passes have taken.
#include "engine/schedule.hpp"

#include <doctest/doctest.h>

using namespace elver;

TEST_CASE("schedule: prompts beside a text that is written make a pass so many times as long as the bound says") {
    for (const double gap : {1.5, 2.2, 4.0}) {
        CAPTURE(gap);
        Schedule schedule(gap);
        CHECK(schedule.prompt_rows(512) == 16);  // nothing is known yet
        schedule.learn(1, 1, 0.010);
        schedule.learn(100, 1, 0.030);  // 0.2 ms a row
        CHECK(schedule.prompt_rows(512) == static_cast<int>((gap - 1) * 50 + 1e-9) / 4 * 4);
        CHECK(schedule.prompt_rows(20) == 20);
        for (int i = 0; i < 100; ++i) schedule.learn(100, 1, 10.0);  // slow beyond all bounds
        CHECK(schedule.prompt_rows(512) == 4);
        CHECK(schedule.prompt_rows(2) == 2);
    }
}
