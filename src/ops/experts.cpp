#include "cpu/experts.hpp"

#include <algorithm>
#include <vector>

#include "base/checked.hpp"
#include "ops/ops.hpp"

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
    const int n_experts = static_cast<int>(c.experts.size()), n_pairs = static_cast<int>(n_choices);
    const auto count = static_cast<size_t>(n_choices), n_workers = static_cast<size_t>(pool_->n_threads());
    std::vector<int32_t> row(count), pair(count), first_row(static_cast<size_t>(n_experts) + 1);
    const cpu::SortedPairs pairs{n_experts, n_pairs, row.data(), pair.data(), first_row.data()};
    cpu::sort_pairs(pairs, c.ids);
    int most = 0;
    for (int e = 0; e < n_experts; ++e) most = std::max(most, pairs.n_rows(e));
    const size_t x_stride = graph::padded_row(shape.k), y_stride = graph::padded_row(shape.n_rows);
    const auto floats = checked_mul(count, x_stride + y_stride);
    const auto row_bytes = floats ? checked_mul(*floats, sizeof(float)) : floats;
    if (!row_bytes) return wrong("n_x", "rows that fit in memory", x.n);
    ActForms forms;
    for (const OwnMatrix* expert : c.experts) forms.add(kernels_->form(expert->matrix().type));
    const size_t acts_bytes = round_up(cpu::sorted_acts_bytes(forms, count, shape.k), 64),
                 own_bytes = round_up(matmul_scratch_bytes(static_cast<size_t>(most)), 64);
    const auto memory = scratch(*row_bytes + acts_bytes + n_workers * own_bytes);
    if (!memory) return memory.error();
    auto* const in = reinterpret_cast<float*>(*memory);
    float* const out = in + count * x_stride;
    const cpu::SortedRows rows{in, shape.k, *memory + *row_bytes, forms};
    std::byte* const own = *memory + *row_bytes + acts_bytes;
    pool_->run([&](int worker) {
        const Share mine = share(n_pairs, worker, pool_->n_threads());
        for (int r = mine.begin; r < mine.end; ++r) {
            const int64_t choice = pair[static_cast<size_t>(r)];
            std::copy_n(x.row(x.n == n_choices ? choice : choice / c.top_k), k, in + static_cast<size_t>(r) * x_stride);
        }
        cpu::quantize_sorted(*kernels_, pairs, rows, mine);
        pool_->barrier();
        auto* const kernel = reinterpret_cast<float*>(own + static_cast<size_t>(worker) * own_bytes);
        cpu::multiply_sorted({kernels_, pool_.get(), &pairs, rows, out, y_stride, kernel}, worker, [&](int e) {
            cpu::ExpertProducts product;
            product.add(c.experts[static_cast<size_t>(e)]->matrix(), nullptr, Finish::store);
            return product;
        });
    });
    for (int64_t choice = 0; choice < n_choices; ++choice) {
        const float* product = out + static_cast<size_t>(row[static_cast<size_t>(choice)]) * y_stride;
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
