// The low-level operations for C++20, header-only over elver_ops.h. Tensors are views that say their shape: rows of
// width floats, stride floats apart. Errors are elver::Error, or
// std::invalid_argument where two views do not fit. Nothing here allocates or copies beyond what C does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "elver/elver.hpp"
#include "elver/elver_ops.h"

namespace elver::api {

namespace detail {
inline void expect(const char* what, int64_t expected, int64_t found) {
    if (expected == found) return;
    throw std::invalid_argument(std::string(what) + ": expected " + std::to_string(expected) + ", found " +
                                std::to_string(found));
}
}  // namespace detail

// [n, width] floats of the caller's, stride (0: width) from one row to the next.
template <class Float>
struct Rows {
    Float* data = nullptr;
    int64_t n = 0, width = 0, stride = 0;

    Rows() = default;
    Rows(Float* first, int64_t n_rows, int64_t row_width, int64_t row_stride = 0)
        : data(first), n(n_rows), width(row_width), stride(row_stride == 0 ? row_width : row_stride) {}
    operator Rows<const Float>() const noexcept { return {data, n, width, stride}; }
};

inline size_t row_bytes(elver_dtype dtype, int64_t k) {
    size_t out = 0;
    detail::outcome([&](elver_error** e) { return elver_dtype_row_bytes(dtype, k, &out, e); });
    return out;
}

// A weight matrix in the layout of this machine's kernels.
class Matrix {
  public:
    int64_t rows() const noexcept { return elver_matrix_rows(c()); }
    int64_t columns() const noexcept { return elver_matrix_columns(c()); }
    size_t n_bytes() const noexcept { return elver_matrix_bytes(c()); }
    elver_matrix* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    friend class Ops;
    explicit Matrix(elver_matrix* handle) : handle_(handle) {}
    detail::Handle<elver_matrix, elver_matrix_release> handle_;
};

// Keys and values of one attention layer. Rows of k and v hold the KV heads of a position, rows of q and out its query
// heads.
class Cache {
  public:
    void append(Rows<const float> k, Rows<const float> v) {
        detail::expect("rows of v", k.n, v.n);
        detail::outcome(
            [&](elver_error** e) { return elver_cache_append(c(), k.data, k.stride, v.data, v.stride, k.n, e); });
    }
    // Of the last q.n positions appended.
    void attend(Rows<const float> q, Rows<float> out) {
        detail::expect("rows of out", q.n, out.n);
        detail::outcome(
            [&](elver_error** e) { return elver_cache_attend(c(), q.data, q.stride, q.n, out.data, out.stride, e); });
    }
    void rewind(int64_t position) {
        detail::outcome([&](elver_error** e) { return elver_cache_rewind(c(), position, e); });
    }
    int64_t position() const noexcept { return elver_cache_position(c()); }
    size_t n_bytes() const noexcept { return elver_cache_bytes(c()); }
    elver_cache* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    friend class Ops;
    explicit Cache(elver_cache* handle) : handle_(handle) {}
    detail::Handle<elver_cache, elver_cache_release> handle_;
};

// Threads and kernels; outlives the caches made with it.
class Ops {
  public:
    explicit Ops(int n_threads = 0) {
        elver_ops_options options = ELVER_OPS_OPTIONS_INIT;
        options.n_threads = n_threads;
        elver_ops* out = nullptr;
        detail::outcome([&](elver_error** e) { return elver_ops_open(&options, &out, e); });
        handle_.reset(out);
    }
    // rows: x.n rows of row_bytes(dtype, x.width) each.
    void quantize(elver_dtype dtype, Rows<const float> x, std::span<std::byte> rows) {
        detail::outcome([&](elver_error** e) {
            return elver_ops_quantize(c(), dtype, x.data, x.n, x.width, x.stride, rows.data(), rows.size(), e);
        });
    }
    void dequantize(elver_dtype dtype, std::span<const std::byte> rows, Rows<float> x) {
        detail::outcome([&](elver_error** e) {
            return elver_ops_dequantize(c(), dtype, rows.data(), rows.size(), x.n, x.width, x.data, x.stride, e);
        });
    }
    Matrix pack(elver_dtype dtype, std::span<const std::byte> rows, int64_t n_rows, int64_t k) {
        elver_matrix* out = nullptr;
        detail::outcome([&](elver_error** e) {
            return elver_matrix_pack(c(), dtype, rows.data(), rows.size(), n_rows, k, &out, e);
        });
        return Matrix(out);
    }
    // y = x W^T + bias; bias [W.rows()] or empty.
    void matmul(const Matrix& w, Rows<const float> x, Rows<float> y, std::span<const float> bias = {}) {
        detail::expect("columns of x", w.columns(), x.width);
        detail::expect("columns of y", w.rows(), y.width);
        detail::expect("rows of y", x.n, y.n);
        if (!bias.empty()) detail::expect("values of bias", w.rows(), static_cast<int64_t>(bias.size()));
        detail::outcome([&](elver_error** e) {
            return elver_ops_matmul(c(), w.c(), x.data, x.n, x.stride, bias.empty() ? nullptr : bias.data(), y.data,
                                    y.stride, e);
        });
    }
    // Fields of `experts` say what y is; see elver_ops_matmul_experts().
    void matmul_experts(const elver_experts& experts, Rows<const float> x, Rows<float> y) {
        detail::expect("rows of y", experts.weights == nullptr ? experts.n * experts.top_k : experts.n, y.n);
        detail::outcome([&](elver_error** e) {
            return elver_ops_matmul_experts(c(), &experts, x.data, x.n, x.stride, y.data, y.stride, e);
        });
    }
    // Queries stand at the last q.n of the k.n positions.
    void attention(const elver_attention_options& options, Rows<const float> q, Rows<const float> k,
                   Rows<const float> v, Rows<float> out) {
        detail::expect("rows of v", k.n, v.n);
        detail::expect("rows of out", q.n, out.n);
        detail::outcome([&](elver_error** e) {
            return elver_ops_attention(c(), &options, q.data, q.n, q.stride, k.data, k.stride, v.data, v.stride, k.n,
                                       out.data, out.stride, e);
        });
    }
    Cache cache(const elver_attention_options& options, int64_t n_ctx, int64_t max_batch,
                elver_cache_type type = ELVER_CACHE_DEFAULT) {
        elver_cache* out = nullptr;
        detail::outcome(
            [&](elver_error** e) { return elver_cache_open(c(), &options, n_ctx, max_batch, type, &out, e); });
        return Cache(out);
    }
    elver_ops* c() const noexcept { return handle_.get(); }  // borrowed

  private:
    detail::Handle<elver_ops, elver_ops_release> handle_;
};

// ids and weights: [logits.n, options.top_k].
inline void route(const elver_router_options& options, Rows<const float> logits, std::span<int32_t> ids,
                  std::span<float> weights) {
    detail::expect("columns of logits", options.n_experts, logits.width);
    detail::expect("ids", logits.n * options.top_k, static_cast<int64_t>(ids.size()));
    detail::expect("weights", logits.n * options.top_k, static_cast<int64_t>(weights.size()));
    detail::outcome([&](elver_error** e) {
        return elver_route(&options, logits.data, logits.n, logits.stride, ids.data(), weights.data(), e);
    });
}

}  // namespace elver::api
