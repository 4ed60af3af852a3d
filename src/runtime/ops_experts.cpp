#include <algorithm>
#include <vector>

#include "runtime/ops.hpp"

namespace elver {

namespace {

Result<void> check_choices(const Ops::Choices& c) {
    if (c.experts.empty()) return wrong("n_experts", "1 or more", 0);
    for (const OwnMatrix* expert : c.experts) {
        const PackedMatrix &m = expert->matrix(), &first = c.experts[0]->matrix();
        if (m.n_rows != first.n_rows) return wrong("rows of an expert", cat(first.n_rows), m.n_rows);
        if (m.k != first.k) return wrong("columns of an expert", cat(first.k), m.k);
    }
    const auto n_experts = static_cast<int64_t>(c.experts.size());
    if (c.top_k < 1 || c.top_k > n_experts) return wrong("top_k", cat("1 to ", n_experts), c.top_k);
    if (c.n < 0 || c.n > (int64_t{1} << 30) / c.top_k) return wrong("n", "0 to 2^30 choices", c.n);
    for (int64_t i = 0; i < c.n * c.top_k; ++i) {
        if (c.ids[i] < 0 || c.ids[i] >= n_experts)
            return wrong(cat("ids[", i, "]"), cat("0 to ", n_experts - 1), c.ids[i]);
    }
    return {};
}

}  // namespace

Result<void> Ops::matmul_experts(const Choices& c, FloatRows x, MutableFloatRows y) {
    if (auto fine = check_choices(c); !fine) return fine;
    const PackedMatrix& shape = c.experts[0]->matrix();
    const int64_t n_choices = c.n * c.top_k, k = shape.k, n_rows = shape.n_rows;
    if (x.n != c.n && x.n != n_choices) return wrong("n_x", cat("n, ", c.n, ", or n * top_k, ", n_choices), x.n);
    if (auto fine = check_rows("x", x.n, k, x.stride); !fine) return fine;
    if (auto fine = check_rows("y", c.weights == nullptr ? n_choices : c.n, n_rows, y.stride); !fine) return fine;
    // Choices by expert, in order of tokens; each expert's rows side by side before and after its product.
    std::vector<int64_t> order(static_cast<size_t>(n_choices));
    for (int64_t i = 0; i < n_choices; ++i) order[static_cast<size_t>(i)] = i;
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return c.ids[a] < c.ids[b]; });
    std::vector<float> in(static_cast<size_t>(n_choices * k)), out(static_cast<size_t>(n_choices * n_rows));
    for (int64_t i = 0; i < n_choices; ++i) {
        const int64_t choice = order[static_cast<size_t>(i)];
        const float* row = x.row(x.n == n_choices ? choice : choice / c.top_k);
        std::copy(row, row + k, in.data() + i * k);
    }
    for (int64_t begin = 0, end; begin < n_choices; begin = end) {
        const int32_t expert = c.ids[order[static_cast<size_t>(begin)]];
        end = begin;
        while (end < n_choices && c.ids[order[static_cast<size_t>(end)]] == expert) ++end;
        auto done = matmul(*c.experts[static_cast<size_t>(expert)], {in.data() + begin * k, end - begin, k, k}, nullptr,
                           {out.data() + begin * n_rows, end - begin, n_rows, n_rows});
        if (!done) return done;
    }
    std::vector<int64_t> place(order.size());  // of each choice's product
    for (int64_t i = 0; i < n_choices; ++i) place[static_cast<size_t>(order[static_cast<size_t>(i)])] = i;
    for (int64_t choice = 0; choice < n_choices; ++choice) {
        const float* product = out.data() + place[static_cast<size_t>(choice)] * n_rows;
        if (c.weights == nullptr) {
            std::copy(product, product + n_rows, y.row(choice));
            continue;
        }
        float* sum = y.row(choice / c.top_k);
        if (choice % c.top_k == 0) std::fill(sum, sum + n_rows, 0.0f);
        for (int64_t r = 0; r < n_rows; ++r) sum[r] += c.weights[choice] * product[r];
    }
    return {};
}

}  // namespace elver
