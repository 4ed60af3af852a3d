// A row of logits: the greatest, sums of exponentials, the likeliest tokens. The greatest logit of each block is kept,
// so that the likeliest tokens are found by looking into few blocks. The same logits give the same bits on every
// machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "answer/candidates.hpp"
#include "kernels/table.hpp"

namespace elver {

class LogitRow {
  public:
    explicit LogitRow(const KernelTable& kernels) : kernels_(&kernels) {}

    // One pass. The logits are borrowed until the next read.
    void read(std::span<const float> logits);
    // Becomes a copy of a row, which can be edited.
    void copy(const LogitRow& other);
    // Puts another value in place of a copy's logit. refresh() must follow the last of several edits.
    void edit(int32_t id, float logit);
    void refresh();

    // Whether all are numbers, none is plus infinity, and not all are minus infinity. Else nothing below may be asked.
    bool sound() const noexcept { return sound_; }
    std::span<const float> logits() const noexcept { return logits_; }
    float peak() const noexcept { return peak_; }  // the greatest logit
    int32_t best() const noexcept;                 // its id; of equals the lowest

    // The sum of exp(x), x = (logit - peak) * scale. Asking again with the same scale costs nothing.
    double exp_sum(float scale);
    // The sum of x exp(x).
    double exp_moment(float scale) const;
    // The token at which the running sum of exp(x) passes u times the whole, 0 <= u < 1.
    int32_t draw(double u, float scale);

    // A value that at least k logits reach, near the k-th greatest; minus infinity for large k.
    float bound_of_top(size_t k);
    // Writes the tokens to out whose logits are at least `least` and above minus infinity, by rising id.
    void gather(float least, Candidates& out) const;

  private:
    // Calls what(a block's logits, its number); the last block is filled up with minus infinity.
    template <class What>
    void for_each_block(What&& what) const;
    void find_peak() noexcept;

    const KernelTable* kernels_;
    std::span<const float> logits_;
    std::vector<float> own_;             // the logits of a copy
    std::vector<float> peaks_, sums_;    // of blocks
    std::vector<float> order_;           // scratch of bound_of_top
    std::vector<size_t> edited_;         // blocks
    float peak_ = 0, summed_scale_ = 0;  // summed_scale_: what sums_ are for, or 0
    double sum_ = 0;
    bool sound_ = false;
};

}  // namespace elver
