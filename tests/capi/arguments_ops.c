/* Every function of elver_ops.h, called with NULL or nonsense in each place: an error of the right kind, never a crash.
 */
#include <elver/elver_ops.h>
#include <math.h>

#include "arguments.h"

enum { n_in = 32, n_out = 4, heads = 4, kv_heads = 2, dim = 8, big = 1 << 30 };

static float x[64 * 64], y[64 * 64];
static unsigned char rows[64 * 64 * 4];

static void quantize_rows(elver_ops* ops) {
    const size_t size = n_out * 34; /* a row of 32 values of Q8_0 takes 34 bytes */
    INVALID(elver_ops_quantize(NULL, ELVER_DTYPE_Q8_0, x, n_out, n_in, n_in, rows, size, error), "ops");
    INVALID(elver_ops_quantize(ops, (elver_dtype)-1, x, n_out, n_in, n_in, rows, size, error), "dtype");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, NULL, n_out, n_in, n_in, rows, size, error), "x");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, -1, n_in, n_in, rows, size, error), "-1");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, 33, n_in, rows, size, error), "33");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, n_in, n_in - 1, rows, size, error), "31");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, n_in, -n_in, rows, size, error), "-32");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, n_in, n_in, NULL, size, error), "rows");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, n_in, n_in, rows, size - 1, error), "135");
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, INT64_MAX, n_in, n_in, rows, size, error), "");
    x[5] = NAN;
    INVALID(elver_ops_quantize(ops, ELVER_DTYPE_Q8_0, x, n_out, n_in, n_in, rows, size, error), "finite");
    x[5] = 0;
    EQUAL(elver_ops_quantize(ops, ELVER_DTYPE_IQ1_S, x, 1, 256, 256, rows, 50, NULL), ELVER_UNSUPPORTED);

    INVALID(elver_ops_dequantize(NULL, ELVER_DTYPE_Q8_0, rows, size, n_out, n_in, y, n_in, error), "ops");
    INVALID(elver_ops_dequantize(ops, (elver_dtype)5, rows, size, n_out, n_in, y, n_in, error), "dtype");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, NULL, size, n_out, n_in, y, n_in, error), "rows");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, rows, size + 1, n_out, n_in, y, n_in, error), "137");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, rows, size, -4, n_in, y, n_in, error), "-4");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, rows, size, n_out, -32, y, n_in, error), "-32");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, rows, size, n_out, n_in, NULL, n_in, error), "x");
    INVALID(elver_ops_dequantize(ops, ELVER_DTYPE_Q8_0, rows, size, n_out, n_in, y, 0, error), "0");
}

static void multiply(elver_ops* ops, const elver_matrix* w) {
    const elver_matrix *matrices[2] = {w, w}, *holes[2] = {w, NULL};
    const int32_t ids[3] = {0, 1, 1}, beyond[3] = {0, 2, 1}, negative[3] = {0, -1, 1};
    const float weights[3] = {1, 1, 1};
    elver_experts e = ELVER_EXPERTS_INIT, bad = ELVER_EXPERTS_INIT;
    INVALID(elver_ops_matmul(NULL, w, x, 2, n_in, NULL, y, n_out, error), "ops");
    INVALID(elver_ops_matmul(ops, NULL, x, 2, n_in, NULL, y, n_out, error), "matrix");
    INVALID(elver_ops_matmul(ops, w, NULL, 2, n_in, NULL, y, n_out, error), "x");
    INVALID(elver_ops_matmul(ops, w, x, -2, n_in, NULL, y, n_out, error), "-2");
    INVALID(elver_ops_matmul(ops, w, x, 2, n_in - 1, NULL, y, n_out, error), "31");
    INVALID(elver_ops_matmul(ops, w, x, 2, n_in, NULL, NULL, n_out, error), "y");
    INVALID(elver_ops_matmul(ops, w, x, 2, n_in, NULL, y, n_out - 1, error), "3");
    INVALID(elver_ops_matmul(ops, w, x, INT64_MAX, n_in, NULL, y, n_out, error), "");
    INVALID(elver_ops_matmul(ops, w, x, 2, INT64_MAX, NULL, y, n_out, error), "");

    e.matrices = matrices;
    e.n_experts = 2;
    e.ids = ids;
    e.weights = weights;
    e.n = 3;
    e.top_k = 1;
    EQUAL(elver_ops_matmul_experts(ops, &e, x, 3, n_in, y, n_out, NULL), ELVER_OK);
    INVALID(elver_ops_matmul_experts(NULL, &e, x, 3, n_in, y, n_out, error), "ops");
    INVALID(elver_ops_matmul_experts(ops, NULL, x, 3, n_in, y, n_out, error), "experts");
    INVALID(elver_ops_matmul_experts(ops, &e, NULL, 3, n_in, y, n_out, error), "x");
    INVALID(elver_ops_matmul_experts(ops, &e, x, 2, n_in, y, n_out, error), "2");
    INVALID(elver_ops_matmul_experts(ops, &e, x, -3, n_in, y, n_out, error), "-3");
    INVALID(elver_ops_matmul_experts(ops, &e, x, 3, 0, y, n_out, error), "0");
    INVALID(elver_ops_matmul_experts(ops, &e, x, 3, n_in, NULL, n_out, error), "y");
    INVALID(elver_ops_matmul_experts(ops, &e, x, 3, n_in, y, 1, error), "1");
#define WITH(field, value, name)                                                         \
    do {                                                                                 \
        bad = e;                                                                         \
        bad.field = value;                                                               \
        INVALID(elver_ops_matmul_experts(ops, &bad, x, 3, n_in, y, n_out, error), name); \
    } while (0)
    WITH(struct_size, 0, "elver_experts");
    WITH(matrices, NULL, "matrices");
    WITH(matrices, holes, "matrices[1]");
    WITH(n_experts, 0, "n_experts");
    WITH(n_experts, big, "n_experts");
    WITH(ids, NULL, "ids");
    WITH(ids, beyond, "2");
    WITH(ids, negative, "-1");
    WITH(n, -3, "-3");
    WITH(top_k, 0, "top_k");
    WITH(top_k, -1, "top_k");
#undef WITH
}

static void attend(elver_ops* ops) {
    elver_attention_options a = ELVER_ATTENTION_OPTIONS_INIT, bad;
    elver_cache* cache = NULL;
    float slopes[heads] = {1, 1, 1, 1};
    a.n_heads = heads;
    a.n_kv_heads = kv_heads;
    a.head_dim = dim;
#define ATTENTION(ops, a, q, n, q_stride, k, k_stride, v, v_stride, n_keys, out, out_stride) \
    elver_ops_attention(ops, a, q, n, q_stride, k, k_stride, v, v_stride, n_keys, out, out_stride, error)
    INVALID(elver_ops_attention(NULL, &a, x, 2, 32, x, 16, x, 16, 3, y, 32, error), "ops");
    INVALID(ATTENTION(ops, NULL, x, 2, 32, x, 16, x, 16, 3, y, 32), "options");
    INVALID(ATTENTION(ops, &a, NULL, 2, 32, x, 16, x, 16, 3, y, 32), "q");
    INVALID(ATTENTION(ops, &a, x, -2, 32, x, 16, x, 16, 3, y, 32), "-2");
    INVALID(ATTENTION(ops, &a, x, 2, 31, x, 16, x, 16, 3, y, 32), "31");
    INVALID(ATTENTION(ops, &a, x, 2, 32, NULL, 16, x, 16, 3, y, 32), "k");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 15, x, 16, 3, y, 32), "15");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, NULL, 16, 3, y, 32), "v");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, x, 0, 3, y, 32), "0");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, x, 16, 1, y, 32), "1");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, x, 16, -3, y, 32), "-3");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, x, 16, 3, NULL, 32), "out");
    INVALID(ATTENTION(ops, &a, x, 2, 32, x, 16, x, 16, 3, y, -1), "-1");
#define WITH(field, value, name)                                                          \
    do {                                                                                  \
        bad = a;                                                                          \
        bad.field = value;                                                                \
        INVALID(ATTENTION(ops, &bad, x, 2, 32, x, 16, x, 16, 3, y, 32), name);            \
        INVALID(elver_cache_open(ops, &bad, 8, 4, ELVER_CACHE_F16, &cache, error), name); \
    } while (0)
    WITH(struct_size, 1, "elver_attention_options");
    WITH(n_heads, 0, "n_heads");
    WITH(n_heads, -4, "n_heads");
    WITH(n_kv_heads, 3, "n_kv_heads");
    WITH(n_kv_heads, 0, "n_kv_heads");
    WITH(head_dim, 0, "head_dim");
    WITH(head_dim, 1025, "head_dim");
    WITH(v_head_dim, -1, "v_head_dim");
    WITH(window, -1, "window");
    WITH(scale, NAN, "scale");
    WITH(soft_cap, -1, "soft_cap");
    bad = a;
    bad.causal = 0;
    INVALID(elver_cache_open(ops, &bad, 8, 4, ELVER_CACHE_F16, &cache, error), "causal");
    bad.window = 2;
    INVALID(ATTENTION(ops, &bad, x, 2, 32, x, 16, x, 16, 3, y, 32), "window");
    bad.window = 0;
    bad.alibi_slopes = slopes;
    INVALID(ATTENTION(ops, &bad, x, 2, 32, x, 16, x, 16, 3, y, 32), "alibi_slopes");
#undef WITH
#undef ATTENTION

    INVALID(elver_cache_open(NULL, &a, 8, 4, ELVER_CACHE_F16, &cache, error), "ops");
    INVALID(elver_cache_open(ops, NULL, 8, 4, ELVER_CACHE_F16, &cache, error), "options");
    INVALID(elver_cache_open(ops, &a, 0, 4, ELVER_CACHE_F16, &cache, error), "n_ctx");
    INVALID(elver_cache_open(ops, &a, -8, 4, ELVER_CACHE_F16, &cache, error), "n_ctx");
    INVALID(elver_cache_open(ops, &a, 8, 0, ELVER_CACHE_F16, &cache, error), "max_batch");
    INVALID(elver_cache_open(ops, &a, 8, -1, ELVER_CACHE_F16, &cache, error), "max_batch");
    INVALID(elver_cache_open(ops, &a, 8, 4, (elver_cache_type)9, &cache, error), "cache_type");
    INVALID(elver_cache_open(ops, &a, 8, 4, ELVER_CACHE_F16, NULL, error), "out");
    if (elver_cache_open(ops, &a, 8, 4, ELVER_CACHE_F16, &cache, NULL) != ELVER_OK) {
        note("cache", 0, NULL);
        return;
    }
    INVALID(elver_cache_attend(cache, x, 32, 1, y, 32, error), "1"); /* nothing was appended */
    INVALID(elver_cache_append(NULL, x, 16, x, 16, 2, error), "cache");
    INVALID(elver_cache_append(cache, NULL, 16, x, 16, 2, error), "k");
    INVALID(elver_cache_append(cache, x, 15, x, 16, 2, error), "15");
    INVALID(elver_cache_append(cache, x, 16, NULL, 16, 2, error), "v");
    INVALID(elver_cache_append(cache, x, 16, x, 15, 2, error), "15");
    INVALID(elver_cache_append(cache, x, 16, x, 16, -2, error), "-2");
    INVALID(elver_cache_append(cache, x, 16, x, 16, 5, error), "5");
    EQUAL(elver_cache_position(cache), 0);
    EQUAL(elver_cache_append(cache, x, 16, x, 16, 3, NULL), ELVER_OK);
    INVALID(elver_cache_attend(NULL, x, 32, 2, y, 32, error), "cache");
    INVALID(elver_cache_attend(cache, NULL, 32, 2, y, 32, error), "q");
    INVALID(elver_cache_attend(cache, x, 31, 2, y, 32, error), "31");
    INVALID(elver_cache_attend(cache, x, 32, -2, y, 32, error), "-2");
    INVALID(elver_cache_attend(cache, x, 32, 4, y, 32, error), "4");
    INVALID(elver_cache_attend(cache, x, 32, 2, NULL, 32, error), "out");
    INVALID(elver_cache_attend(cache, x, 32, 2, y, 1, error), "1");
    INVALID(elver_cache_rewind(NULL, 0, error), "cache");
    INVALID(elver_cache_rewind(cache, 4, error), "4");
    INVALID(elver_cache_rewind(cache, -1, error), "-1");
    EQUAL(elver_cache_position(cache), 3);
    elver_cache_release(cache);
}

static void choose(void) {
    elver_router_options r = ELVER_ROUTER_OPTIONS_INIT, bad;
    const float logits[8] = {1, 2, 3, 4, 5, 6, 7, 8}, nan[8] = {1, 2, 3, 4, 5, NAN, 7, 8};
    int32_t ids[4];
    float weights[4];
    r.n_experts = 4;
    r.top_k = 2;
    EQUAL(elver_ops_route(&r, logits, 2, 4, ids, weights, NULL), ELVER_OK);
    INVALID(elver_ops_route(NULL, logits, 2, 4, ids, weights, error), "options");
    INVALID(elver_ops_route(&r, NULL, 2, 4, ids, weights, error), "logits");
    INVALID(elver_ops_route(&r, nan, 2, 4, ids, weights, error), "token 1, expert 1");
    INVALID(elver_ops_route(&r, logits, -2, 4, ids, weights, error), "-2");
    INVALID(elver_ops_route(&r, logits, 2, 3, ids, weights, error), "3");
    INVALID(elver_ops_route(&r, logits, 2, 4, NULL, weights, error), "ids");
    INVALID(elver_ops_route(&r, logits, 2, 4, ids, NULL, error), "weights");
#define WITH(field, value, name)                                                 \
    do {                                                                         \
        bad = r;                                                                 \
        bad.field = value;                                                       \
        INVALID(elver_ops_route(&bad, logits, 2, 4, ids, weights, error), name); \
    } while (0)
    WITH(struct_size, 5, "elver_router_options");
    WITH(score, 3, "score");
    WITH(score, -1, "score");
    WITH(n_experts, 0, "n_experts");
    WITH(n_experts, 4097, "n_experts");
    WITH(top_k, 0, "top_k");
    WITH(top_k, 5, "top_k");
    WITH(n_groups, 3, "n_groups");
    WITH(n_groups, 0, "n_groups");
    WITH(n_groups_used, 2, "n_groups_used");
    WITH(n_groups_used, 0, "n_groups_used");
    WITH(scale, INFINITY, "scale");
#undef WITH
}

int wrong_operations(char* log, size_t log_size) {
    elver_ops_options bad = ELVER_OPS_OPTIONS_INIT;
    elver_ops* ops = NULL;
    elver_matrix* w = NULL;
    size_t n_bytes = 0;
    begin_log(log, log_size);
    elver_ops_release(NULL);
    elver_matrix_release(NULL);
    elver_cache_release(NULL);
    EQUAL(elver_matrix_rows(NULL), 0);
    EQUAL(elver_matrix_columns(NULL), 0);
    EQUAL(elver_matrix_bytes(NULL), 0);
    EQUAL(elver_cache_position(NULL), 0);
    EQUAL(elver_cache_bytes(NULL), 0);

    INVALID(elver_dtype_row_bytes((elver_dtype)-1, 32, &n_bytes, error), "-1");
    INVALID(elver_dtype_row_bytes((elver_dtype)4, 32, &n_bytes, error), "4");
    INVALID(elver_dtype_row_bytes(ELVER_DTYPE_Q4_K, 255, &n_bytes, error), "255");
    INVALID(elver_dtype_row_bytes(ELVER_DTYPE_F32, -1, &n_bytes, error), "-1");
    INVALID(elver_dtype_row_bytes(ELVER_DTYPE_F32, INT64_MAX, &n_bytes, error), "");
    INVALID(elver_dtype_row_bytes(ELVER_DTYPE_Q8_0, 32, NULL, error), "n_bytes");
    EQUAL(n_bytes, 0);

    INVALID(elver_ops_open(NULL, NULL, error), "out");
    bad.n_threads = -1;
    INVALID(elver_ops_open(&bad, &ops, error), "n_threads");
    bad.n_threads = 100000;
    INVALID(elver_ops_open(&bad, &ops, error), "n_threads");
    bad.struct_size = 7;
    INVALID(elver_ops_open(&bad, &ops, error), "elver_ops_options");
    bad.struct_size = sizeof bad;
    bad.n_threads = 2;
    if (elver_ops_open(&bad, &ops, NULL) != ELVER_OK) return note("open", 0, NULL), wrong_calls();
    quantize_rows(ops);

    INVALID(elver_matrix_pack(NULL, ELVER_DTYPE_F32, x, 512, n_out, n_in, &w, error), "ops");
    INVALID(elver_matrix_pack(ops, (elver_dtype)77, x, 512, n_out, n_in, &w, error), "77");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, NULL, 512, n_out, n_in, &w, error), "rows");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 511, n_out, n_in, &w, error), "511");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 512, -4, n_in, &w, error), "-4");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 0, 0, n_in, &w, error), "0");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 512, n_out, -32, &w, error), "-32");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 512, INT64_MAX, INT64_MAX, &w, error), "");
    INVALID(elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 512, n_out, n_in, NULL, error), "out");
    if (elver_matrix_pack(ops, ELVER_DTYPE_F32, x, 512, n_out, n_in, &w, NULL) != ELVER_OK)
        return note("pack", 0, NULL), wrong_calls();
    multiply(ops, w);
    attend(ops);
    choose();
    elver_matrix_release(w);
    elver_ops_release(ops);
    return wrong_calls();
}
