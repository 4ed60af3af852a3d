// How much work goes into a pass, so that a text which is being written waits little for the prompts of others: it
// learns from passes how long one takes by its rows.
#pragma once

#include <chrono>
#include <cstdint>

namespace elver {

inline constexpr double default_gap = 2.2;

class Schedule {
  public:
    using Clock = std::chrono::steady_clock;

    explicit Schedule(double gap) noexcept : gap_(gap) {}

    // A pass of n_rows has taken that long; n_prompt of them were of prompts, n_logits had logits.
    void learn(int n_rows, int n_prompt, int n_logits, double seconds) noexcept;

    // How long a pass of n_rows with as many logits is expected to take: what such passes took lately, or a guess from
    // others. Means something beside the times of other passes only.
    double seconds(int n_rows) const noexcept;

    // Rows of prompts in a pass beside texts that are being written: so many that the pass takes about `gap` times as
    // long as one without; at least 1, at most `most`.
    int prompt_rows(int most) const noexcept;

    // How long after a token a text counts as being written, and asks for the next before that.
    Clock::duration lately() const noexcept;

    // How long a pass of n_rows should wait for texts that were given a token just now and have not gone on yet.
    Clock::duration patience(int n_rows) const noexcept;

  private:
    double gap_;

    static constexpr int most_measured = 32;
    static constexpr uint64_t forgotten_after = 256;  // passes
    struct Measured {
        double seconds = 0;
        uint64_t pass = 0;  // the last that it is from; 0: none
    };
    const Measured* measured(int n_rows) const noexcept;

    uint64_t n_passes_ = 0;
    Measured measured_[most_measured + 1];  // by rows

    double lone_ = 0;     // seconds of a pass without prompts
    double per_row_ = 0;  // what a row of a prompt adds
};

}  // namespace elver
