// How many rows of prompts go into a pass, from what passes have taken.
#include "engine/schedule.hpp"

#include <doctest/doctest.h>

using namespace elver;

TEST_CASE("schedule: prompts beside a text that is written make a pass so many times as long as the bound says") {
    struct Row {
        double gap;
        int rows, few_rows;
    };
    for (const Row& row : {Row{1.5, 24, 1}, Row{2.3, 64, 2}, Row{4.0, 148, 4}}) {
        CAPTURE(row.gap);
        Schedule schedule(row.gap);
        CHECK(schedule.prompt_rows(512) == 16);  // nothing is known yet
        schedule.learn(1, 0, 1, 0.010);
        schedule.learn(101, 100, 1, 0.030);  // 0.2 ms a row of a prompt
        CHECK(schedule.prompt_rows(512) == row.rows);
        CHECK(schedule.prompt_rows(20) == 20);
        // Few rows tell what they cost, too.
        for (int i = 0; i < 100; ++i) schedule.learn(5, 4, 1, 0.010 + 4 * 0.005);
        CHECK(schedule.prompt_rows(512) == row.few_rows);
        for (int i = 0; i < 100; ++i) schedule.learn(5, 4, 1, 10.0);  // slow beyond all bounds
        CHECK(schedule.prompt_rows(512) == 1);
    }
}
