// The operations that models are made of, one at a time, over the caller's tensors: what elver_ops.h offers. Products,
// experts and attention are those of forward passes (cpu/), with the caller's rows in place of a program's buffers.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/text.hpp"
#include "base/thread_pool.hpp"
#include "cache/kv_cache.hpp"
#include "kernels/table.hpp"
#include "weights/weights.hpp"

namespace elver {

// "field: expected ..., found ...", an invalid argument.
template <class Found>
Error wrong(std::string_view field, std::string_view expected, const Found& found) {
    return Error(Status::invalid_argument, cat(field, ": expected ", expected, ", found ", found), std::string(field));
}

// Rows of the caller's floats: [n, width], stride floats from one row to the next.
template <class Float>
struct RowsOf {
    Float* data;
    int64_t n, width, stride;

    Float* row(int64_t i) const noexcept { return data + i * stride; }
};
using FloatRows = RowsOf<const float>;
using MutableFloatRows = RowsOf<float>;

// A weight matrix with its own memory, in the layout of a level's kernels.
class OwnMatrix {
  public:
    const PackedMatrix& matrix() const noexcept { return matrix_; }

  private:
    friend class Ops;
    AlignedBuffer memory_;
    PackedMatrix matrix_;
};

struct AttentionOptions {
    int n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;  // v_head_dim 0: head_dim
    bool causal = true;
    int window = 0;   // 0: all
    float scale = 0;  // 0: 1 / sqrt(head_dim)
    float soft_cap = 0;
    std::vector<float> alibi_slopes = {}, sinks = {};  // [n_heads] or empty

    // The options with their defaults filled in; "FIELD: expected ..., found ..." for one that cannot be.
    Result<AttentionOptions> checked() const;
};

// Keys and values of one layer.
class OwnCache {
  public:
    int64_t position() const noexcept { return position_; }
    size_t n_bytes() const noexcept { return n_bytes_; }
    const AttentionOptions& options() const noexcept { return options_; }

  private:
    friend class Ops;
    AttentionOptions options_;
    KvCache cache_;
    int max_batch_ = 0;
    int64_t position_ = 0;
    size_t n_bytes_ = 0;
};

class Ops {
  public:
    // pool: threads shared with others; null: n_threads of its own, for 0 usable_cores().
    static Result<std::unique_ptr<Ops>> make(int n_threads, std::shared_ptr<ThreadPool> pool = nullptr);
    ThreadPool& pool() const noexcept { return *pool_; }

    // rows: n rows of row_bytes(type, width) each, exactly.
    Result<void> quantize(DType type, FloatRows x, std::span<std::byte> rows);
    Result<void> dequantize(DType type, std::span<const std::byte> rows, MutableFloatRows x);
    Result<OwnMatrix> pack(DType type, std::span<const std::byte> rows, int64_t n_rows, int64_t k);
    // bias: [y.width] or null.
    Result<void> matmul(const OwnMatrix& w, FloatRows x, const float* bias, MutableFloatRows y);

    // experts: all of one shape [n_rows, k]. x: a row a token, or a row a choice. y: a row a token where there are
    // weights, else a row a choice; y.n is not read.
    struct Choices {
        std::span<const OwnMatrix* const> experts;
        const int32_t* ids;    // [n, top_k]
        const float* weights;  // [n, top_k] or null
        int64_t n, top_k;
    };
    Result<void> matmul_experts(const Choices& choices, FloatRows x, MutableFloatRows y);

    // Rows of q and out hold all query heads of a position, rows of k and v all KV heads.
    Result<void> attention(const AttentionOptions& options, FloatRows q, FloatRows k, FloatRows v,
                           MutableFloatRows out);
    Result<OwnCache> make_cache(const AttentionOptions& options, int64_t n_ctx, int64_t max_batch, CacheType type);
    Result<void> append(OwnCache& cache, FloatRows k, FloatRows v);
    Result<void> attend(OwnCache& cache, FloatRows q, MutableFloatRows out);
    Result<void> rewind(OwnCache& cache, int64_t position);

  private:
    Ops() = default;
    Result<std::byte*> scratch(size_t n_bytes);  // 64-byte aligned, valid until the next call

    const KernelTable* kernels_ = nullptr;
    std::shared_ptr<ThreadPool> pool_;
    AlignedBuffer scratch_;
};

// Bytes of n rows of k elements; an error for what is no weight type, no multiple of its block, or too large.
Result<size_t> checked_rows_bytes(DType type, int64_t n_rows, int64_t k);
// An error that names the tensor where its shape and stride cannot be.
Result<void> check_rows(std::string_view name, int64_t n, int64_t width, int64_t stride);

}  // namespace elver
