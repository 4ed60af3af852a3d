#include "cpu/linear.hpp"

#include <array>
#include <cassert>

#include "base/checked.hpp"

namespace elver::cpu {

namespace {

// What the products read.
struct Inputs {
    Acts acts;
    const float* x;  // rows for the reference level
    size_t x_stride;
};

// Normalises the rows and brings them into the forms that the products read; the workers share them, or each makes a
// single row for itself, which is cheaper than a barrier.
Inputs prepare(const LinearArgs& a, int worker) noexcept {
    const bool alone = a.n == 1;
    ActForms forms;
    for (const LinearProduct& p : a.products) forms.add(a.kernels->form(p.matrix->type));
    const auto n = static_cast<size_t>(a.n), k = static_cast<size_t>(a.k), parts = static_cast<size_t>(a.parts);
    const PlacedActs placed(alone ? a.own.acts : a.shared, forms, n, k, parts);
    Inputs in{placed.acts, a.x, a.x_stride};
    const Share mine = alone ? Share{0, 1} : share(a.n, worker, a.pool->n_threads());
    const bool shares_rows = !alone && a.norm.there() && forms.has(ActForm::rows);
    float* rows = shares_rows ? reinterpret_cast<float*>(a.shared + placed.n_bytes) : a.own.row;
    const size_t stride = shares_rows ? graph::padded_row(a.k) : 0;
    for (int t = mine.begin; t < mine.end; ++t) {
        const float* x = a.x + static_cast<size_t>(t) * a.x_stride;
        if (a.norm.there()) {
            float* row = rows + static_cast<size_t>(t) * stride;
            a.norm.apply(*a.kernels, x, row, a.k);
            x = row;
        }
        if (a.probed != nullptr && (!alone || worker == 0)) a.probed->probe(t, -1, false, x, a.k);
        // The row stands where row t of x would.
        a.kernels->quantize({x, 0, a.n, a.k, t, t + 1, in.acts, a.parts});
    }
    if (a.norm.there()) in.x = rows, in.x_stride = stride;
    if (!alone) a.pool->barrier();
    return in;
}

// Products whose panels are made side by side: one, or a gate and what it gates.
struct Set {
    size_t first, last;
    Panels panels;

    Set(std::span<const LinearProduct> products, size_t begin) noexcept : first(begin), last(begin + 1), panels(0, 0) {
        size_t n_bytes = products[begin].matrix->n_bytes;
        for (; last < products.size() && is_gated(products[last].finish); ++last)
            n_bytes += products[last].matrix->n_bytes;
        panels = Panels(products[begin].matrix->n_groups(), n_bytes);
    }
};

}  // namespace

size_t linear_shared_bytes(ActForms forms, size_t n, int k, int parts, bool norms) noexcept {
    const size_t rows = norms && forms.has(ActForm::rows) ? n * graph::padded_row(k) * sizeof(float) : 0;
    return acts_bytes(forms, n, static_cast<size_t>(k), static_cast<size_t>(parts)) + rows;
}

void linear_share(const LinearArgs& a, int worker) noexcept {
    const Inputs in = prepare(a, worker);
    MatmulArgs args{};
    args.k = a.k;
    args.n = a.n;
    args.parts = a.parts;
    args.acts = in.acts;
    args.x = in.x;
    args.x_stride = in.x_stride;
    args.scratch = a.own.kernel;
    int n_pieces = 0;
    for (size_t first = 0; first < a.products.size();) {
        const Set set(a.products, first);
        n_pieces += set.panels.n_pieces(a.n);
        first = set.last;
    }
    Set set(a.products, 0);
    int before = 0, here = set.panels.n_pieces(a.n);  // pieces of the sets before, and of this one
    for (int piece; (piece = a.pool->take(worker, n_pieces)) >= 0;) {
        if (a.cancel != nullptr && a.cancel->cancelled(worker)) return;
        if (piece < before) {
            set = Set(a.products, 0);
            before = 0, here = set.panels.n_pieces(a.n);
        }
        while (piece >= before + here) {
            before += here;
            set = Set(a.products, set.last);
            here = set.panels.n_pieces(a.n);
        }
        set.panels.choose(piece - before, args);
        for (size_t i = set.first; i < set.last; ++i) {
            const LinearProduct& p = a.products[i];
            args.pack = p.matrix->data;
            args.n_rows = p.matrix->n_rows;
            args.y = p.y;
            args.y_stride = p.y_stride;
            args.bias = p.bias;
            args.scale = p.scale;
            args.finish = p.finish;
            p.matrix->matmul(args);
        }
    }
}

void run_op(const Step& step, const graph::Linear& op) noexcept {
    std::array<LinearProduct, graph::most_products> products;
    const size_t n_products = op.products.size();
    assert(n_products <= products.size());
    for (size_t i = 0; i < n_products; ++i) {
        const graph::Product& p = op.products[i];
        products[i] = {&step.matrix(p.matrix),
                       step.vector(p.bias),
                       step.row(p.out, 0),
                       step.stride(p.out.buffer),
                       p.finish,
                       p.scale};
    }
    LinearArgs args;
    args.kernels = &step.kernels();
    args.pool = &step.pool();
    args.x = step.row(op.input, 0);
    args.x_stride = step.stride(op.input.buffer);
    args.n = step.n_rows(op.input.buffer);
    args.k = op.products.front().matrix.k;
    args.parts = op.parts;
    args.norm = step.norm(op.norm);
    args.products = {products.data(), n_products};
    args.shared = step.shared();
    args.own = step.own();
    args.cancel = step.pass.cancel;
    args.probed = step.pass.probe == nullptr ? nullptr : &step;
    linear_share(args, step.worker);
}

}  // namespace elver::cpu
