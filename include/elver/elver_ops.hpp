// The low-level operations for C++20, header-only over elver_ops.h. Tensors are views that say their shape: rows of
// width floats, stride floats apart. Errors travel as elver.hpp's do, also where two views do not fit. Nothing here
// allocates or copies beyond what C does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "elver/elver.hpp"
#include "elver/elver_ops.h"

namespace elver {
inline namespace ELVER_HPP_NAMESPACE {

// [n, width] floats of the caller's, stride (0: width) from one row to the next.
template <class Float>
struct Rows {
    Float* data = nullptr;
    int64_t n = 0, width = 0, stride = 0;

    Rows() = default;
    Rows(Float* first, int64_t n_rows, int64_t row_width, int64_t row_stride = 0)
        : data(first), n(n_rows), width(row_width), stride(row_stride == 0 ? row_width : row_stride) {}
    operator Rows<const Float>() const noexcept
        requires(!std::is_const_v<Float>)
    {
        return {data, n, width, stride};
    }
};

namespace detail {
struct Fit {
    const char* what;
    int64_t expected, found;
};
// Runs a C call, if the views that it gets fit each other.
template <class Call>
Outcome<void> fitting(std::initializer_list<Fit> fits, Call&& call) {
    for (const Fit& fit : fits)
        if (fit.expected != fit.found) return failed<void>(Error(fit.what, fit.expected, fit.found));
    return outcome(std::forward<Call>(call));
}
}  // namespace detail

inline Outcome<size_t> row_bytes(elver_dtype dtype, int64_t k) {
    size_t out = 0;
    return detail::outcome<size_t>([&](elver_error** e) { return elver_dtype_row_bytes(dtype, k, &out, e); },
                                   [&] { return out; });
}

// A weight matrix in the layout of this machine's kernels.
class Matrix {
  public:
    explicit Matrix(elver_matrix* owned) noexcept : handle_(owned) {}
    int64_t rows() const noexcept { return elver_matrix_rows(c()); }
    int64_t columns() const noexcept { return elver_matrix_columns(c()); }
    size_t n_bytes() const noexcept { return elver_matrix_bytes(c()); }
    elver_matrix* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_matrix, elver_matrix_release> handle_;
};

// Keys and values of one attention layer. Rows of k and v hold the KV heads of a position, rows of q and out its query
// heads: their widths are the layer's.
class Cache {
  public:
    Cache(elver_cache* owned, const elver_attention_options& layer) noexcept
        : handle_(owned),
          q_width_(int64_t{layer.n_heads} * layer.head_dim),
          k_width_(int64_t{layer.n_kv_heads} * layer.head_dim),
          v_width_(int64_t{layer.n_kv_heads} * v_head_dim(layer)),
          out_width_(int64_t{layer.n_heads} * v_head_dim(layer)) {}
    Outcome<void> append(Rows<const float> k, Rows<const float> v) {
        return detail::fitting(
            {{"columns of k", k_width_, k.width}, {"columns of v", v_width_, v.width}, {"rows of v", k.n, v.n}},
            [&](elver_error** e) { return elver_cache_append(c(), k.data, k.stride, v.data, v.stride, k.n, e); });
    }
    // Of the last q.n positions appended.
    Outcome<void> attend(Rows<const float> q, Rows<float> out) {
        return detail::fitting(
            {{"columns of q", q_width_, q.width},
             {"columns of out", out_width_, out.width},
             {"rows of out", q.n, out.n}},
            [&](elver_error** e) { return elver_cache_attend(c(), q.data, q.stride, q.n, out.data, out.stride, e); });
    }
    Outcome<void> rewind(int64_t position) {
        return detail::outcome([&](elver_error** e) { return elver_cache_rewind(c(), position, e); });
    }
    int64_t position() const noexcept { return elver_cache_position(c()); }
    size_t n_bytes() const noexcept { return elver_cache_bytes(c()); }
    elver_cache* c() const noexcept { return handle_.get(); }  // borrowed

    static int32_t v_head_dim(const elver_attention_options& layer) noexcept {
        return layer.v_head_dim == 0 ? layer.head_dim : layer.v_head_dim;
    }

  private:
    detail::Handle<elver_cache, elver_cache_release> handle_;
    int64_t q_width_, k_width_, v_width_, out_width_;
};

// Threads and kernels; outlives what is made with it.
class Ops {
  public:
    explicit Ops(elver_ops* owned) noexcept : handle_(owned) {}
    static Outcome<Ops> open(int32_t n_threads = 0) {
        elver_ops_options options = ELVER_OPS_OPTIONS_INIT;
        options.n_threads = n_threads;
        return open(options);
    }
    // With threads that models use too.
    static Outcome<Ops> open(const Threads& threads) {
        elver_ops_options options = ELVER_OPS_OPTIONS_INIT;
        options.threads = threads.c();
        return open(options);
    }
    static Outcome<Ops> open(const elver_ops_options& options) {
        elver_ops* out = nullptr;
        return detail::outcome<Ops>([&](elver_error** e) { return elver_ops_open(&options, &out, e); },
                                    [&] { return Ops(out); });
    }

    // rows: x.n rows of row_bytes(dtype, x.width) each.
    Outcome<void> quantize(elver_dtype dtype, Rows<const float> x, std::span<std::byte> rows) {
        return detail::outcome([&](elver_error** e) {
            return elver_ops_quantize(c(), dtype, x.data, x.n, x.width, x.stride, rows.data(), rows.size(), e);
        });
    }
    Outcome<void> dequantize(elver_dtype dtype, std::span<const std::byte> rows, Rows<float> x) {
        return detail::outcome([&](elver_error** e) {
            return elver_ops_dequantize(c(), dtype, rows.data(), rows.size(), x.n, x.width, x.data, x.stride, e);
        });
    }
    Outcome<Matrix> pack(elver_dtype dtype, std::span<const std::byte> rows, int64_t n_rows, int64_t k) {
        elver_matrix* out = nullptr;
        return detail::outcome<Matrix>(
            [&](elver_error** e) {
                return elver_matrix_pack(c(), dtype, rows.data(), rows.size(), n_rows, k, &out, e);
            },
            [&] { return Matrix(out); });
    }
    // y = x W^T + bias; bias [W.rows()] or empty.
    Outcome<void> matmul(const Matrix& w, Rows<const float> x, Rows<float> y, std::span<const float> bias = {}) {
        const auto n_bias = bias.empty() ? w.rows() : static_cast<int64_t>(bias.size());
        return detail::fitting({{"columns of x", w.columns(), x.width},
                                {"columns of y", w.rows(), y.width},
                                {"rows of y", x.n, y.n},
                                {"values of bias", w.rows(), n_bias}},
                               [&](elver_error** e) {
                                   return elver_ops_matmul(c(), w.c(), x.data, x.n, x.stride,
                                                           bias.empty() ? nullptr : bias.data(), y.data, y.stride, e);
                               });
    }
    // Fields of `experts` say what y is; see elver_ops_matmul_experts().
    Outcome<void> matmul_experts(const elver_experts& experts, Rows<const float> x, Rows<float> y) {
        const bool any = experts.matrices != nullptr && experts.n_experts > 0;
        const elver_matrix* first = any ? experts.matrices[0] : nullptr;
        return detail::fitting({{"columns of x", elver_matrix_columns(first), x.width},
                                {"columns of y", elver_matrix_rows(first), y.width},
                                {"rows of y", experts.weights == nullptr ? experts.n * experts.top_k : experts.n, y.n}},
                               [&](elver_error** e) {
                                   return elver_ops_matmul_experts(c(), &experts, x.data, x.n, x.stride, y.data,
                                                                   y.stride, e);
                               });
    }
    // Queries stand at the last q.n of the k.n positions.
    Outcome<void> attention(const elver_attention_options& layer, Rows<const float> q, Rows<const float> k,
                            Rows<const float> v, Rows<float> out) {
        const int64_t heads = layer.n_heads, kv_heads = layer.n_kv_heads, v_head_dim = Cache::v_head_dim(layer);
        return detail::fitting({{"columns of q", heads * layer.head_dim, q.width},
                                {"columns of k", kv_heads * layer.head_dim, k.width},
                                {"columns of v", kv_heads * v_head_dim, v.width},
                                {"columns of out", heads * v_head_dim, out.width},
                                {"rows of v", k.n, v.n},
                                {"rows of out", q.n, out.n}},
                               [&](elver_error** e) {
                                   return elver_ops_attention(c(), &layer, q.data, q.n, q.stride, k.data, k.stride,
                                                              v.data, v.stride, k.n, out.data, out.stride, e);
                               });
    }
    Outcome<Cache> cache(const elver_attention_options& layer, int64_t n_ctx, int64_t max_batch,
                         elver_cache_type type = ELVER_CACHE_DEFAULT) {
        elver_cache* out = nullptr;
        return detail::outcome<Cache>(
            [&](elver_error** e) { return elver_cache_open(c(), &layer, n_ctx, max_batch, type, &out, e); },
            [&] { return Cache(out, layer); });
    }
    elver_ops* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_ops, elver_ops_release> handle_;
};

// ids and weights: [logits.n, options.top_k].
inline Outcome<void> route(const elver_router_options& options, Rows<const float> logits, std::span<int32_t> ids,
                           std::span<float> weights) {
    const int64_t n = logits.n * options.top_k;
    return detail::fitting({{"columns of logits", options.n_experts, logits.width},
                            {"ids", n, static_cast<int64_t>(ids.size())},
                            {"weights", n, static_cast<int64_t>(weights.size())}},
                           [&](elver_error** e) {
                               return elver_ops_route(&options, logits.data, logits.n, logits.stride, ids.data(),
                                                      weights.data(), e);
                           });
}

}  // namespace ELVER_HPP_NAMESPACE
}  // namespace elver
