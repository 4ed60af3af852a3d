// Products in which each row has a matrix of its own choice: rows are sorted by expert, and each expert multiplies its
// rows together, so that its bytes are read once. Models run them over the buffers of a program, the public operations
// over the caller's tensors. A pair is a token with one of its experts.
#pragma once

#include <utility>

#include "cpu/linear.hpp"

namespace elver::cpu {

// Pairs in the order of their experts, and of tokens within one.
struct SortedPairs {
    int n_experts, n_pairs;
    int32_t* row;    // [n_pairs] where each pair's row is in the sorted order
    int32_t* pair;   // [n_pairs] of each row
    int32_t* first;  // [n_experts + 1] an expert's first row

    int n_rows(int expert) const noexcept { return first[expert + 1] - first[expert]; }
};
// ids: [n_pairs] the expert of each.
void sort_pairs(const SortedPairs& out, const int32_t* ids) noexcept;

// Sorted rows, as products read them.
struct SortedRows {
    float* x;  // [n_pairs, k], padded_row(k) apart
    int k;
    std::byte* acts;  // sorted_acts_bytes
    ActForms forms;   // that their products read

    Acts acts_of(const SortedPairs& pairs, int expert) const noexcept;
};
size_t sorted_acts_bytes(ActForms forms, size_t n_pairs, int k) noexcept;

// Brings rows [rows.begin, rows.end) into these forms.
void quantize_sorted(const KernelTable& kernels, const SortedPairs& pairs, const SortedRows& in, Share rows) noexcept;

// What an expert does to its rows: one product, or a gate's and what it gates.
struct ExpertProducts {
    struct One {
        const PackedMatrix* matrix;
        const float* bias;
        Finish finish;
    };
    One one[2];
    int n = 0;

    void add(const PackedMatrix& matrix, const float* bias, Finish finish) noexcept {
        one[n++] = {&matrix, bias, finish};
    }
    Panels panels() const noexcept {
        return {one[0].matrix->n_groups(), one[0].matrix->n_bytes + (n == 2 ? one[1].matrix->n_bytes : 0)};
    }
};

struct ExpertsArgs {
    const KernelTable* kernels;
    ThreadPool* pool;
    const SortedPairs* pairs;
    SortedRows in;
    float* y;  // [n_pairs, n_rows], y_stride apart; rows are padded to 16
    size_t y_stride;
    float* scratch;                 // of the worker's kernels, matmul_scratch_bytes of an expert's rows
    CancelToken* cancel = nullptr;  // or null
};

// One worker's share of the products; products_of(expert) gives what an expert that has rows does to them.
template <class ProductsOf>
void multiply_sorted(const ExpertsArgs& a, int worker, const ProductsOf& products_of) noexcept {
    const SortedPairs& pairs = *a.pairs;
    const auto n_pieces = [&](int e) {
        return pairs.n_rows(e) == 0 ? 0 : products_of(e).panels().n_pieces(pairs.n_rows(e));
    };
    int total = 0;
    for (int e = 0; e < pairs.n_experts; ++e) total += n_pieces(e);
    const size_t x_stride = graph::padded_row(a.in.k);
    MatmulArgs args{};
    args.k = a.in.k;
    args.x_stride = x_stride;
    args.y_stride = a.y_stride;
    args.scale = 1.0f;
    args.scratch = a.scratch;
    int e = 0, before = 0;  // an expert, and the pieces of those before it
    for (int piece; (piece = a.pool->take(worker, total)) >= 0;) {
        if (a.cancel != nullptr && a.cancel->cancelled(worker)) return;
        if (piece < before) e = before = 0;
        for (; piece >= before + n_pieces(e); ++e) before += n_pieces(e);
        const auto first = static_cast<size_t>(pairs.first[e]);
        const ExpertProducts products = products_of(e);
        args.n = pairs.n_rows(e);
        args.acts = a.in.acts_of(pairs, e);
        args.x = a.in.x + first * x_stride;
        args.y = a.y + first * a.y_stride;
        products.panels().choose(piece - before, args);
        for (int i = 0; i < products.n; ++i) {
            const ExpertProducts::One& one = products.one[i];
            args.pack = one.matrix->data;
            args.n_rows = one.matrix->n_rows;
            args.bias = one.bias;
            args.finish = one.finish;
            one.matrix->matmul(args);
        }
    }
}

// What a sparse FFN's workers share during a pass.
struct ExpertsMemory {
    int32_t* ids = nullptr;    // [n_tokens, top_k] experts, best first
    float* weights = nullptr;  // [n_tokens, top_k]
    SortedPairs pairs{};
    float* rows = nullptr;    // [n_pairs] the experts' inputs, later their outputs
    float* hidden = nullptr;  // [n_pairs]
    std::byte* acts = nullptr;
    size_t n_bytes = 0;
};
// Placed from `memory` on, for up to max_rows rows of the batch; with null, to know its size.
ExpertsMemory place_experts(const graph::Experts& op, const KernelTable& kernels, std::byte* memory,
                            int max_rows) noexcept;

}  // namespace elver::cpu
