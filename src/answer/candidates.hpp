// Tokens that may still be chosen, by rising id. A truncation drops some of them. Nothing is sorted: a cut is found by
// halving, in time linear in the number of candidates.
//
// Weights are exp((logit - peak) * scale) as integers, in units of 2^-40, so that their sums do not depend on an order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/table.hpp"

namespace elver {

class Candidates {
  public:
    static constexpr double one = 0x1p40;  // the weight of the likeliest token

    explicit Candidates(const KernelTable& kernels) : kernels_(&kernels) {}

    size_t size() const noexcept { return n_; }
    int32_t id(size_t i) const noexcept { return ids_[i]; }
    float logit(size_t i) const noexcept { return logits_[i]; }
    void set_logit(size_t i, float logit) noexcept { logits_[i] = logit; }
    float peak() const noexcept;

    void clear() noexcept { n_ = 0; }
    // Appends those of a run of logits, the first of token `first`, that are at least `least`.
    void add_at_least(float least, std::span<const float> logits, int32_t first);

    // Keeps the candidates for which keep(index) holds.
    template <class Keep>
    void filter(Keep&& keep) {
        size_t n = 0;
        for (size_t i = 0; i < n_; ++i) {
            ids_[n] = ids_[i], logits_[n] = logits_[i];
            n += keep(i) ? 1 : 0;
        }
        n_ = n;
    }

    // [size()], valid until the next call of a function that is not const. A candidate far below the peak weighs 0.
    std::span<const uint64_t> weights(float scale);

    // Keeps the fewest of the best scores whose masses together reach target, at least one; of equal scores the lower
    // id is better. score(index) and mass(index) are asked before anything is dropped.
    template <class Score, class Mass>
    void keep_best(Score&& score, Mass&& mass, uint64_t target) {
        if (n_ == 0) return;
        ranked_.resize(n_);
        for (size_t i = 0; i < n_; ++i) ranked_[i] = {score(i), static_cast<uint32_t>(i), mass(i)};
        const Ranked last = cut(target);
        filter([&](size_t i) {
            const Ranked other = {score(i), static_cast<uint32_t>(i), 0};
            return !last.before(other);
        });
    }

  private:
    struct Ranked {
        float score;
        uint32_t index;
        uint64_t mass;
        bool before(const Ranked& other) const noexcept {
            return score != other.score ? score > other.score : index < other.index;
        }
    };
    // The last of ranked_ that is kept.
    Ranked cut(uint64_t target);

    const KernelTable* kernels_;
    size_t n_ = 0;
    // Longer than n_, so that kernels may read and write whole vectors.
    std::vector<int32_t> ids_;
    std::vector<float> logits_, floats_;
    std::vector<uint64_t> weights_;
    std::vector<Ranked> ranked_;
};

}  // namespace elver
