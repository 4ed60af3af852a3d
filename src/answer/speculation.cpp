#include "answer/speculation.hpp"

#include <algorithm>
#include <bit>

namespace elver {

namespace {

constexpr float most_weight = 32;  // older guesses count less
constexpr int32_t border = -1;     // between texts: no token

}  // namespace

size_t Speculation::kind(int matched) noexcept {
    if (matched <= 3) return static_cast<size_t>(matched - 1);
    return std::min<size_t>(usual.size() - 1, static_cast<size_t>(std::bit_width(static_cast<unsigned>(matched))));
}

void Speculation::read(std::span<const int32_t> ids) {
    if (repetitions_.n_tokens() > 0) repetitions_.add(border);
    for (const int32_t id : ids) repetitions_.add(id);
}

void Speculation::follow(int32_t id) {
    if (repetitions_.matched() > 0) {
        Rate& rate = rates_[kind(repetitions_.matched())];
        rate.weight = std::min(rate.weight + 1, most_weight);
        rate.right += ((repetitions_.next(0) == id ? 1.0f : 0.0f) - rate.right) / rate.weight;
    }
    repetitions_.add(id);
}

std::span<const DraftToken> Speculation::guess(int most, float least) {
    guesses_.clear();
    if (repetitions_.matched() == 0) return guesses_;
    float chance = 1;
    for (int i = 0; i < most; ++i) {
        const int32_t id = repetitions_.next(static_cast<size_t>(i));
        chance *= rates_[kind(repetitions_.matched() + i)].right;
        if (id == border || chance < least) break;
        guesses_.push_back({id, chance});
    }
    return guesses_;
}

}  // namespace elver
