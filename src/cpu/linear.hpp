// Products of rows with matrices that share them: norm, quantise, multiply, finish. Models run them over the buffers of
// a program, the public operations over the caller's tensors.
#pragma once

#include <algorithm>
#include <span>

#include "cpu/step.hpp"

namespace elver::cpu {

// The rows of matrices of one height, by 32, as pieces of work: large enough that taking one costs nothing, small
// enough that the workers end together, that a gate is still in the L2 cache when the product that it is for lands, and
// to cancel between.
class Panels {
  public:
    // n_bytes: of all matrices whose rows a piece makes.
    Panels(int n_groups, size_t n_bytes) noexcept : n_groups_(n_groups), n_bytes_(n_bytes) {}

    // For n rows of activations.
    int n_pieces(int n) const noexcept { return (count() + step(n) - 1) / step(n); }
    // The groups of rows of a piece, for args.n rows of activations.
    void choose(int piece, MatmulArgs& args) const noexcept {
        args.group_begin = 2 * piece * step(args.n);
        args.group_end = std::min(2 * (piece + 1) * step(args.n), n_groups_);
    }

  private:
    int count() const noexcept { return (n_groups_ + 1) / 2; }
    int step(int n) const noexcept {
        // Of weights, for one row: a piece in sixty-four, so that taking them costs little beside large matrices.
        const size_t enough = std::clamp(n_bytes_ / 64, size_t{16} << 10, size_t{64} << 10);
        const size_t work = (n_bytes_ / static_cast<size_t>(count()) + 1) * (1 + static_cast<size_t>(n) / 8);
        return static_cast<int>(std::max<size_t>(1, enough / work));
    }

    int n_groups_;
    size_t n_bytes_;
};

struct LinearProduct {
    const PackedMatrix* matrix;
    const float* bias;  // [n_rows, padded to 16] or null
    float* y;           // [n, n_rows] y_stride apart; rows are padded to 16
    size_t y_stride;
    Finish finish = Finish::store;
    float scale = 1.0f;
};

struct LinearArgs {
    const KernelTable* kernels;
    ThreadPool* pool;
    const float* x;  // [n, k], x_stride apart
    size_t x_stride;
    int n, k;
    int parts = 1;
    NormWeights norm;
    std::span<const LinearProduct> products;  // a gated one stands behind what makes its gate
    std::byte* shared = nullptr;              // linear_shared_bytes
    Own own;                                  // of the worker
    CancelToken* cancel = nullptr;            // or null
    const Step* probed = nullptr;             // whose probe sees the rows; or null
};

// Memory that the workers share for up to n rows, which products read in these forms.
size_t linear_shared_bytes(ActForms forms, size_t n, int k, int parts, bool norms) noexcept;

// Floats of a worker's own row for HeadLinear: a head's input, and behind it what its matrix makes of it.
inline int head_linear_row(const graph::Matrix& m) noexcept {
    return static_cast<int>(graph::padded_row(m.k)) + m.n_groups() * 16;
}

// One worker's share; called by all.
void linear_share(const LinearArgs& args, int worker) noexcept;

}  // namespace elver::cpu
