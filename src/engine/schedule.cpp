#include "engine/schedule.hpp"

#include <algorithm>

namespace elver {

namespace {

constexpr int few_rows = 4, many_rows = 8;

void follow(double& mean, double value) noexcept {
    mean = mean == 0 ? value : mean + 0.2 * (value - mean);
}

}  // namespace

void Schedule::learn(int n_rows, double seconds) noexcept {
    last_ = seconds;
    if (n_rows <= few_rows)
        follow(one_, seconds);
    else if (n_rows >= many_rows && one_ > 0)
        follow(per_row_, std::max(seconds - one_, 0.0) / n_rows);
}

int Schedule::prompt_rows(int most) const noexcept {
    constexpr int unknown = 16;
    if (one_ == 0 || per_row_ == 0) return std::min(unknown, most);
    const double rows = (gap - 1) * one_ / per_row_;
    if (rows >= most) return most;
    // Kernels take rows by 4.
    return std::clamp(static_cast<int>(rows) / 4 * 4, std::min(4, most), most);
}

Schedule::Clock::duration Schedule::lately() const noexcept {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::max(4 * one_, 0.02)));
}

Schedule::Clock::duration Schedule::patience() noexcept {
    // After three misses in a row only every sixteenth wait is tried.
    if (misses_ >= 3 && ++skipped_ % 16 != 0) return {};
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(0.2 * last_));
}

void Schedule::waited(bool all_came) noexcept {
    misses_ = all_came ? 0 : misses_ + 1;
}

}  // namespace elver
