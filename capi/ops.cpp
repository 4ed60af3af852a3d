// elver_ops.h over ops/ops.hpp.
#include "elver/elver_ops.h"

#include "cpu/router.hpp"
#include "handles.hpp"
#include "ops/ops.hpp"

using namespace elver;
using namespace elver::capi;

struct elver_ops {
    std::unique_ptr<Ops> ops;
    std::atomic<bool> in_use{false};
};
struct elver_matrix {
    OwnMatrix matrix;
};
struct elver_cache {
    elver_ops* ops;
    OwnCache cache;
};

namespace {

// Runs body(Ops&) while no other thread uses the operations.
template <class Body>
elver_status with_ops(elver_ops* ops, elver_error** error, Body&& body) noexcept {
    if (ops == nullptr) return null_argument(error, "ops");
    return guarded(error, [&]() -> Result<void> {
        const InUse use(ops->in_use);
        if (!use || ops->ops->pool().inside())
            return Error(Status::busy, "the operations, or threads that they share, are at work now", "ops");
        return body(*ops->ops);
    });
}
template <class Body>
elver_status with_cache(elver_cache* cache, elver_error** error, Body&& body) noexcept {
    if (cache == nullptr) return null_argument(error, "cache");
    return with_ops(cache->ops, error, [&](Ops& ops) { return body(ops, cache->cache); });
}

Result<DType> dtype_of(const elver_dtype& given) {
    const int number = number_of(given);
    const auto type = dtype_from_gguf(static_cast<uint32_t>(number));
    if (!type) return Error(Status::invalid_argument, cat("dtype: expected an elver_dtype, found ", number), "dtype");
    return *type;
}

Result<AttentionOptions> attention_options(const elver_attention_options* given) {
    if (given == nullptr) return Error(Status::invalid_argument, "options: expected a pointer, found NULL", "options");
    const auto o = read_struct<elver_attention_options>(given, ELVER_ATTENTION_OPTIONS_INIT, "elver_attention_options");
    if (!o) return o.error();
    AttentionOptions out;
    out.n_heads = o->n_heads;
    out.n_kv_heads = o->n_kv_heads;
    out.head_dim = o->head_dim;
    out.v_head_dim = o->v_head_dim;
    out.causal = o->causal != 0;
    out.window = o->window;
    out.scale = o->scale;
    out.soft_cap = o->soft_cap;
    if (auto checked = out.checked(); !checked) return checked;  // n_heads, before the arrays are read
    const auto n_heads = static_cast<size_t>(o->n_heads);
    if (o->alibi_slopes != nullptr) out.alibi_slopes.assign(o->alibi_slopes, o->alibi_slopes + n_heads);
    if (o->sinks != nullptr) out.sinks.assign(o->sinks, o->sinks + n_heads);
    return out.checked();
}

}  // namespace

elver_status elver_ops_open(const elver_ops_options* options, elver_ops** out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_ops_options>(options, ELVER_OPS_OPTIONS_INIT, "elver_ops_options");
        if (!o) return o.error();
        if (auto good = check_n_threads(o->n_threads, o->threads); !good) return good;
        auto ops = Ops::make(o->n_threads, pool_of(o->threads));
        if (!ops) return std::move(ops).error();
        *out = new elver_ops{*std::move(ops)};
        return {};
    });
}
void elver_ops_release(elver_ops* ops) {
    delete ops;
}

elver_status elver_dtype_row_bytes(elver_dtype dtype, int64_t k, size_t* n_bytes, elver_error** error) {
    if (n_bytes == nullptr) return null_argument(error, "n_bytes");
    return guarded(error, [&]() -> Result<void> {
        const auto type = dtype_of(dtype);
        if (!type) return type.error();
        const auto bytes = checked_rows_bytes(*type, 1, k);
        if (!bytes) return bytes.error();
        *n_bytes = *bytes;
        return {};
    });
}

elver_status elver_ops_quantize(elver_ops* ops, elver_dtype dtype, const float* x, int64_t n_rows, int64_t k,
                                int64_t x_stride, void* rows, size_t rows_size, elver_error** error) {
    if (x == nullptr) return null_argument(error, "x");
    if (rows == nullptr) return null_argument(error, "rows");
    return with_ops(ops, error, [&](Ops& o) -> Result<void> {
        const auto type = dtype_of(dtype);
        if (!type) return type.error();
        return o.quantize(*type, {x, n_rows, k, x_stride}, {static_cast<std::byte*>(rows), rows_size});
    });
}

elver_status elver_ops_dequantize(elver_ops* ops, elver_dtype dtype, const void* rows, size_t rows_size, int64_t n_rows,
                                  int64_t k, float* x, int64_t x_stride, elver_error** error) {
    if (rows == nullptr) return null_argument(error, "rows");
    if (x == nullptr) return null_argument(error, "x");
    return with_ops(ops, error, [&](Ops& o) -> Result<void> {
        const auto type = dtype_of(dtype);
        if (!type) return type.error();
        return o.dequantize(*type, {static_cast<const std::byte*>(rows), rows_size}, {x, n_rows, k, x_stride});
    });
}

elver_status elver_matrix_pack(elver_ops* ops, elver_dtype dtype, const void* rows, size_t rows_size, int64_t n_rows,
                               int64_t k, elver_matrix** out, elver_error** error) {
    if (rows == nullptr) return null_argument(error, "rows");
    if (out == nullptr) return null_argument(error, "out");
    return with_ops(ops, error, [&](Ops& o) -> Result<void> {
        const auto type = dtype_of(dtype);
        if (!type) return type.error();
        auto matrix = o.pack(*type, {static_cast<const std::byte*>(rows), rows_size}, n_rows, k);
        if (!matrix) return std::move(matrix).error();
        *out = new elver_matrix{*std::move(matrix)};
        return {};
    });
}
void elver_matrix_release(elver_matrix* matrix) {
    delete matrix;
}
int64_t elver_matrix_rows(const elver_matrix* matrix) {
    return matrix == nullptr ? 0 : matrix->matrix.matrix().n_rows;
}
int64_t elver_matrix_columns(const elver_matrix* matrix) {
    return matrix == nullptr ? 0 : matrix->matrix.matrix().k;
}
size_t elver_matrix_bytes(const elver_matrix* matrix) {
    return matrix == nullptr ? 0 : matrix->matrix.matrix().n_bytes;
}

elver_status elver_ops_matmul(elver_ops* ops, const elver_matrix* matrix, const float* x, int64_t n, int64_t x_stride,
                              const float* bias, float* y, int64_t y_stride, elver_error** error) {
    if (matrix == nullptr) return null_argument(error, "matrix");
    if (x == nullptr) return null_argument(error, "x");
    if (y == nullptr) return null_argument(error, "y");
    return with_ops(ops, error, [&](Ops& o) {
        const PackedMatrix& m = matrix->matrix.matrix();
        return o.matmul(matrix->matrix, {x, n, m.k, x_stride}, bias, {y, n, m.n_rows, y_stride});
    });
}

elver_status elver_ops_attention(elver_ops* ops, const elver_attention_options* options, const float* q, int64_t n,
                                 int64_t q_stride, const float* k, int64_t k_stride, const float* v, int64_t v_stride,
                                 int64_t n_keys, float* out, int64_t out_stride, elver_error** error) {
    if (q == nullptr) return null_argument(error, "q");
    if (k == nullptr) return null_argument(error, "k");
    if (v == nullptr) return null_argument(error, "v");
    if (out == nullptr) return null_argument(error, "out");
    return with_ops(ops, error, [&](Ops& ops_in) -> Result<void> {
        const auto o = attention_options(options);
        if (!o) return o.error();
        const int64_t heads = o->n_heads, kv_heads = o->n_kv_heads;
        return ops_in.attention(
            *o, {q, n, heads * o->head_dim, q_stride}, {k, n_keys, kv_heads * o->head_dim, k_stride},
            {v, n_keys, kv_heads * o->v_head_dim, v_stride}, {out, n, heads * o->v_head_dim, out_stride});
    });
}

elver_status elver_cache_open(elver_ops* ops, const elver_attention_options* options, int64_t n_ctx, int64_t max_batch,
                              elver_cache_type type, elver_cache** out, elver_error** error) {
    if (out == nullptr) return null_argument(error, "out");
    return with_ops(ops, error, [&](Ops& ops_in) -> Result<void> {
        const auto o = attention_options(options);
        if (!o) return o.error();
        if (!o->causal) return Error(Status::invalid_argument, "causal: expected 1 for a cache, found 0", "causal");
        const auto cache_type = cache_type_of(number_of(type));
        if (!cache_type) return cache_type.error();
        auto cache = ops_in.make_cache(*o, n_ctx, max_batch, cache_type->value_or(CacheType::f16));
        if (!cache) return std::move(cache).error();
        *out = new elver_cache{ops, *std::move(cache)};
        return {};
    });
}
void elver_cache_release(elver_cache* cache) {
    delete cache;
}
int64_t elver_cache_position(const elver_cache* cache) {
    return cache == nullptr ? 0 : cache->cache.position();
}
size_t elver_cache_bytes(const elver_cache* cache) {
    return cache == nullptr ? 0 : cache->cache.n_bytes();
}

elver_status elver_cache_append(elver_cache* cache, const float* k, int64_t k_stride, const float* v, int64_t v_stride,
                                int64_t n, elver_error** error) {
    if (k == nullptr) return null_argument(error, "k");
    if (v == nullptr) return null_argument(error, "v");
    return with_cache(cache, error, [&](Ops& ops, OwnCache& c) {
        const AttentionOptions& o = c.options();
        const int64_t heads = o.n_kv_heads;
        return ops.append(c, {k, n, heads * o.head_dim, k_stride}, {v, n, heads * o.v_head_dim, v_stride});
    });
}

elver_status elver_cache_attend(elver_cache* cache, const float* q, int64_t q_stride, int64_t n, float* out,
                                int64_t out_stride, elver_error** error) {
    if (q == nullptr) return null_argument(error, "q");
    if (out == nullptr) return null_argument(error, "out");
    return with_cache(cache, error, [&](Ops& ops, OwnCache& c) {
        const AttentionOptions& o = c.options();
        const int64_t heads = o.n_heads;
        return ops.attend(c, {q, n, heads * o.head_dim, q_stride}, {out, n, heads * o.v_head_dim, out_stride});
    });
}

elver_status elver_cache_rewind(elver_cache* cache, int64_t position, elver_error** error) {
    return with_cache(cache, error, [&](Ops& ops, OwnCache& c) { return ops.rewind(c, position); });
}

elver_status elver_ops_route(const elver_router_options* options, const float* logits, int64_t n, int64_t logits_stride,
                             int32_t* ids, float* weights, elver_error** error) {
    if (options == nullptr) return null_argument(error, "options");
    if (logits == nullptr) return null_argument(error, "logits");
    if (ids == nullptr) return null_argument(error, "ids");
    if (weights == nullptr) return null_argument(error, "weights");
    return guarded(error, [&]() -> Result<void> {
        const auto o = read_struct<elver_router_options>(options, ELVER_ROUTER_OPTIONS_INIT, "elver_router_options");
        if (!o) return o.error();
        if (o->score < ELVER_ROUTER_SOFTMAX || o->score > ELVER_ROUTER_SOFTMAX_CHOSEN) {
            return Error(Status::invalid_argument,
                         cat("score: expected an elver_router_score, 0 to 2, found ", o->score), "score");
        }
        RouterOptions router;
        router.score = static_cast<RouterScore>(o->score);
        router.n_experts = o->n_experts;
        router.top_k = o->top_k;
        router.renormalise = o->renormalise != 0;
        router.scale = o->scale;
        router.n_groups = o->n_groups;
        router.n_groups_used = o->n_groups_used;
        if (auto fine = check(router); !fine) return fine;
        if (auto fine = check_rows("logits", n, router.n_experts, logits_stride); !fine) return fine;
        // Aside first: what the caller gave is written only where all is well.
        const auto n_choices = static_cast<size_t>(n) * static_cast<size_t>(router.top_k);
        std::vector<int32_t> chosen(n_choices);
        std::vector<float> shares(n_choices), scratch(router_scratch(router.n_experts));
        const RouterFault fault =
            route(router, o->choice_bias, static_cast<int>(n), logits, static_cast<size_t>(logits_stride),
                  chosen.data(), shares.data(), scratch.data());
        if (fault.token >= 0) {
            return Error(Status::invalid_argument,
                         cat("logits: expected finite numbers, found another for token ", fault.token, ", expert ",
                             fault.expert),
                         "logits");
        }
        std::copy(chosen.begin(), chosen.end(), ids);
        std::copy(shares.begin(), shares.end(), weights);
        return {};
    });
}

elver_status elver_ops_matmul_experts(elver_ops* ops, const elver_experts* experts, const float* x, int64_t n_x,
                                      int64_t x_stride, float* y, int64_t y_stride, elver_error** error) {
    if (experts == nullptr) return null_argument(error, "experts");
    if (x == nullptr) return null_argument(error, "x");
    if (y == nullptr) return null_argument(error, "y");
    return with_ops(ops, error, [&](Ops& o) -> Result<void> {
        const auto e = read_struct<elver_experts>(experts, ELVER_EXPERTS_INIT, "elver_experts");
        if (!e) return e.error();
        if (e->matrices == nullptr || e->ids == nullptr)
            return Error(Status::invalid_argument, "matrices and ids: expected pointers, found NULL", "experts");
        if (e->n_experts < 1 || e->n_experts > 4096) {
            return Error(Status::invalid_argument, cat("n_experts: expected 1 to 4096, found ", e->n_experts),
                         "n_experts");
        }
        std::vector<const OwnMatrix*> matrices;
        for (int64_t i = 0; i < e->n_experts; ++i) {
            if (e->matrices[i] == nullptr)
                return Error(Status::invalid_argument, cat("matrices[", i, "]: expected a matrix, found NULL"),
                             "matrices");
            matrices.push_back(&e->matrices[i]->matrix);
        }
        const PackedMatrix& m = matrices[0]->matrix();
        return o.matmul_experts({matrices, e->ids, e->weights, e->n, e->top_k}, {x, n_x, m.k, x_stride},
                                {y, 0, m.n_rows, y_stride});
    });
}
