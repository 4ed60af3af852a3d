// How much work goes into a pass, so that a text which is being written waits little for the prompts of others: it
// learns from passes how long one takes by its rows.
#pragma once

#include <chrono>

namespace elver {

class Schedule {
  public:
    using Clock = std::chrono::steady_clock;

    // A pass of n_rows has taken that long.
    void learn(int n_rows, double seconds) noexcept;

    // Rows of prompts in a pass beside texts that are being written: so many that the pass takes about `gap` times as
    // long as one without; at least 1, at most `most`.
    int prompt_rows(int most) const noexcept;

    // How long after a token a text counts as being written, and asks for the next before that.
    Clock::duration lately() const noexcept;

    // How long a pass should wait for n texts that were in the last one and have not asked for more yet; zero where
    // waiting did not pay lately.
    Clock::duration patience() noexcept;
    void waited(bool all_came) noexcept;

  private:
    static constexpr double gap = 2.2;

    double one_ = 0;      // seconds of a pass of few rows
    double per_row_ = 0;  // what a row of a prompt adds
    double last_ = 0;     // seconds of the last pass
    int misses_ = 0;      // of the last waits, in a row
    int skipped_ = 0;     // waits left out since
};

}  // namespace elver
