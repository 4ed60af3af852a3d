#include "engine/schedule.hpp"

#include <algorithm>

namespace elver {

namespace {

void follow(double& mean, double value) noexcept {
    mean = mean == 0 ? value : mean + 0.2 * (value - mean);
}

}  // namespace

void Schedule::learn(int n_rows, int n_prompt, int n_logits, double seconds) noexcept {
    ++n_passes_;
    if (n_rows <= most_measured && n_logits == n_rows) {
        Measured& m = measured_[n_rows];
        if (measured(n_rows) == nullptr) m.seconds = 0;
        follow(m.seconds, seconds);
        m.pass = n_passes_;
    }
    if (n_prompt == 0)
        follow(lone_, seconds);
    else if (lone_ > 0)
        follow(per_row_, std::max(seconds - lone_, 0.0) / n_prompt);
}

// What was not measured for long is no longer known.
const Schedule::Measured* Schedule::measured(int n_rows) const noexcept {
    const Measured& m = measured_[n_rows];
    return m.pass > 0 && n_passes_ - m.pass < forgotten_after ? &m : nullptr;
}

double Schedule::seconds(int n_rows) const noexcept {
    int below = std::min(n_rows, most_measured), above = n_rows;
    while (below > 0 && measured(below) == nullptr) --below;
    while (above <= most_measured && measured(above) == nullptr) ++above;
    if (below == n_rows) return measured(below)->seconds;
    if (below > 0 && above <= most_measured) {
        const double a = measured(below)->seconds, b = measured(above)->seconds;
        return a + (b - a) * (n_rows - below) / (above - below);
    }
    if (below == 0 && above <= most_measured) return measured(above)->seconds;
    // Each row more costs what one of a prompt does; where that is not known either, an eighth of the first.
    const double first = below > 0 ? measured(below)->seconds : lone_ > 0 ? lone_ : 1;
    const double row = per_row_ > 0 ? per_row_ : first / 8;
    return first + row * (n_rows - std::max(below, 1));
}

int Schedule::prompt_rows(int most) const noexcept {
    constexpr int unknown = 16;
    if (lone_ == 0 || per_row_ == 0) return std::min(unknown, most);
    const double rows = (gap_ - 1) * lone_ / per_row_;
    if (rows >= most) return most;
    // Kernels take rows by 4.
    const int n = static_cast<int>(rows);
    return std::clamp(n < 4 ? n : n / 4 * 4, 1, most);
}

Schedule::Clock::duration Schedule::lately() const noexcept {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::max(4 * lone_, 0.02)));
}

Schedule::Clock::duration Schedule::patience(int n_rows) const noexcept {
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(std::clamp(0.2 * seconds(n_rows), 0.0003, 0.01)));
}

}  // namespace elver
