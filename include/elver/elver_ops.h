/* elver_ops.h: the operations that language models are made of, for hosts that bring their own graph: block formats,
 * packed matrices and their products, grouped-query attention over the caller's tensors or over a cache, and the
 * routing and products of a sparse mixture of experts.
 *
 * A tour: open a set of operations (elver_ops_open) with the threads it may use, pack a weight matrix once
 * (elver_matrix_pack), multiply activations with it (elver_ops_matmul); give attention your q, k and v
 * (elver_ops_attention), or keep k and v in a cache (elver_cache_open, elver_cache_append, elver_cache_attend);
 * choose experts (elver_ops_route) and multiply with those chosen (elver_ops_matmul_experts).
 *
 * Shapes are written outermost first. Tensors are float32, rows contiguous; a stride is the number of floats from one
 * row to the next, at least the row's length. Results do not depend on the number of threads or on how many rows a call
 * has. Ownership, errors and option structs are as in elver.h. */
#ifndef ELVER_OPS_H
#define ELVER_OPS_H

#include "elver/elver.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Threads and kernels. Used by one call at a time: a second thread gets ELVER_BUSY. */
typedef struct elver_ops elver_ops;
/* A weight matrix in the layout of this machine's kernels. Immutable. */
typedef struct elver_matrix elver_matrix;
/* Keys and values of one attention layer. Belongs to one thread at a time. */
typedef struct elver_cache elver_cache;

typedef struct elver_ops_options {
    size_t struct_size;
    int32_t n_threads;      /* 0: the physical cores this process may use, or those below */
    int32_t reserved;       /* 0 */
    elver_threads* threads; /* that models use too; NULL: threads of its own */
} elver_ops_options;
#define ELVER_OPS_OPTIONS_INIT \
    { sizeof(elver_ops_options), 0, 0, NULL }

/** Starts the threads and picks the kernels of this machine (or those that ELVER_FORCE_ISA names).
 *  @param options NULL for defaults. Borrowed for this call.
 *  @param out     Written only on ELVER_OK: operations you own; elver_ops_release() them after all that was made with
 *                 them.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED (an instruction set this machine lacks);
 *          ELVER_OUT_OF_MEMORY. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_ops_open(const elver_ops_options* options, elver_ops** out, elver_error** error);
/** Stops the threads. NULL is allowed. What was made with `ops` must have been released before. Since: 0.1. */
ELVER_API void elver_ops_release(elver_ops* ops);

/* How a matrix's rows are stored; the numbers are GGUF's. Blocks run along a row: its length is a multiple of the
 * block's. Source: the GGUF specification. */
typedef enum elver_dtype {
    ELVER_DTYPE_F32 = 0,
    ELVER_DTYPE_F16 = 1,
    ELVER_DTYPE_Q4_0 = 2,
    ELVER_DTYPE_Q4_1 = 3,
    ELVER_DTYPE_Q5_0 = 6,
    ELVER_DTYPE_Q5_1 = 7,
    ELVER_DTYPE_Q8_0 = 8,
    ELVER_DTYPE_Q2_K = 10,
    ELVER_DTYPE_Q3_K = 11,
    ELVER_DTYPE_Q4_K = 12,
    ELVER_DTYPE_Q5_K = 13,
    ELVER_DTYPE_Q6_K = 14,
    ELVER_DTYPE_IQ2_XXS = 16,
    ELVER_DTYPE_IQ2_XS = 17,
    ELVER_DTYPE_IQ3_XXS = 18,
    ELVER_DTYPE_IQ1_S = 19,
    ELVER_DTYPE_IQ4_NL = 20,
    ELVER_DTYPE_IQ3_S = 21,
    ELVER_DTYPE_IQ2_S = 22,
    ELVER_DTYPE_IQ4_XS = 23,
    ELVER_DTYPE_IQ1_M = 29,
    ELVER_DTYPE_BF16 = 30,
    ELVER_DTYPE_TQ1_0 = 34,
    ELVER_DTYPE_TQ2_0 = 35,
    ELVER_DTYPE_MXFP4 = 39
} elver_dtype;

/** Bytes of a row of `k` elements.
 *  @param n_bytes Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (a type that is none, or k no multiple of its block).
 *  Threads: any. Since: 0.1. */
ELVER_API elver_status elver_dtype_row_bytes(elver_dtype dtype, int64_t k, size_t* n_bytes, elver_error** error);

/** Encodes rows of floats in a block format, to the nearest that the format can say (Q4_0 to Q6_K, Q8_0, IQ4_NL, MXFP4,
 *  F16, BF16, F32).
 *  @param x        [n_rows, k], x_stride floats apart. Borrowed for this call. Not finite, or beyond what the
 *                  format holds (its scales are F16): an error which names the row.
 *  @param rows     [n_rows] rows of elver_dtype_row_bytes(dtype, k), `rows_size` bytes in all: exactly those.
 *                  Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (a shape, a size, a value); ELVER_UNSUPPORTED (a type
 *          that elver only reads); ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_ops_quantize(elver_ops* ops, elver_dtype dtype, const float* x, int64_t n_rows, int64_t k,
                                          int64_t x_stride, void* rows, size_t rows_size, elver_error** error);
/** Decodes rows to floats, exactly as the format is defined.
 *  @param rows     n_rows rows of elver_dtype_row_bytes(dtype, k), `rows_size` bytes in all. Borrowed for this call.
 *  @param x        [n_rows, k], x_stride floats apart. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED; ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_ops_dequantize(elver_ops* ops, elver_dtype dtype, const void* rows, size_t rows_size,
                                            int64_t n_rows, int64_t k, float* x, int64_t x_stride, elver_error** error);

/** Packs a weight matrix [n_rows, k] (n_rows outputs, k inputs) for this machine's kernels.
 *  @param rows  n_rows rows of elver_dtype_row_bytes(dtype, k), `rows_size` bytes in all. Borrowed for this call.
 *  @param out   Written only on ELVER_OK: a matrix you own; elver_matrix_release() it. Good for any operations opened
 *               in this process.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_UNSUPPORTED (no kernel multiplies the type); ELVER_OUT_OF_MEMORY;
 *          ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_matrix_pack(elver_ops* ops, elver_dtype dtype, const void* rows, size_t rows_size,
                                         int64_t n_rows, int64_t k, elver_matrix** out, elver_error** error);
ELVER_API void elver_matrix_release(elver_matrix* matrix);          /**< NULL is allowed. */
ELVER_API int64_t elver_matrix_rows(const elver_matrix* matrix);    /**< Outputs; 0 for NULL. */
ELVER_API int64_t elver_matrix_columns(const elver_matrix* matrix); /**< Inputs, k; 0 for NULL. */
ELVER_API size_t elver_matrix_bytes(const elver_matrix* matrix);    /**< That the pack takes; 0 for NULL. */

/** y = x W^T + bias. Block formats multiply 8-bit activations: x is rounded to 8 bits in blocks of 32.
 *  @param x     [n, k], x_stride floats apart. Borrowed for this call.
 *  @param bias  [n_rows] or NULL. Borrowed for this call.
 *  @param y     [n, n_rows], y_stride floats apart; must not overlap x. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_OUT_OF_MEMORY; ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_ops_matmul(elver_ops* ops, const elver_matrix* matrix, const float* x, int64_t n,
                                        int64_t x_stride, const float* bias, float* y, int64_t y_stride,
                                        elver_error** error);

/* What an attention layer is. Source: Vaswani et al. 2017; grouped queries: Ainslie et al. 2023; sliding window:
 * Beltagy et al. 2020; ALiBi: Press et al. 2022; soft cap: Gemma 2. */
typedef struct elver_attention_options {
    size_t struct_size;
    int32_t n_heads;           /* query heads */
    int32_t n_kv_heads;        /* key and value heads; divides n_heads */
    int32_t head_dim;          /* of queries and keys, 1 to 1024 */
    int32_t v_head_dim;        /* of values; 0: head_dim */
    int32_t causal;            /* 1: a query sees keys up to its own position; 0: all of them */
    int32_t window;            /* positions a query sees, its own included; 0: all. Only if causal */
    float scale;               /* of q . k; 0: 1 / sqrt(head_dim) */
    float soft_cap;            /* scores become cap * tanh(score / cap); 0: not */
    const float* alibi_slopes; /* [n_heads] or NULL; only if causal */
    const float* sinks;        /* [n_heads]: a score that takes its share of the softmax and adds nothing; or NULL */
} elver_attention_options;
#define ELVER_ATTENTION_OPTIONS_INIT \
    { sizeof(elver_attention_options), 0, 0, 0, 0, 1, 0, 0, 0, NULL, NULL }

/** Attention of n queries over n_keys keys. Query i stands at position n_keys - n + i; keys at 0 to n_keys - 1.
 *  @param options  Borrowed for this call.
 *  @param q        [n, n_heads, head_dim], q_stride floats from one position to the next. Borrowed for this call.
 *  @param k        [n_keys, n_kv_heads, head_dim], k_stride apart. Borrowed for this call.
 *  @param v        [n_keys, n_kv_heads, v_head_dim], v_stride apart. Borrowed for this call.
 *  @param out      [n, n_heads, v_head_dim], out_stride apart. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (the error names the field); ELVER_OUT_OF_MEMORY; ELVER_BUSY.
 *  Since: 0.1. */
ELVER_API elver_status elver_ops_attention(elver_ops* ops, const elver_attention_options* options, const float* q,
                                           int64_t n, int64_t q_stride, const float* k, int64_t k_stride,
                                           const float* v, int64_t v_stride, int64_t n_keys, float* out,
                                           int64_t out_stride, elver_error** error);

/** A cache of keys and values for one attention layer. A causal layer with a window keeps window + max_batch positions,
 *  however long the text; any other n_ctx.
 *  @param ops         Kept; must outlive the cache.
 *  @param options     Copied, its arrays too. causal must be 1.
 *  @param n_ctx       Positions there can be.
 *  @param max_batch   Positions appended at once, at most.
 *  @param type        An elver_cache_type.
 *  @param out         Written only on ELVER_OK: a cache you own; elver_cache_release() it.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_OUT_OF_MEMORY. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_cache_open(elver_ops* ops, const elver_attention_options* options, int64_t n_ctx,
                                        int64_t max_batch, elver_cache_type type, elver_cache** out,
                                        elver_error** error);
ELVER_API void elver_cache_release(elver_cache* cache);           /**< NULL is allowed. */
ELVER_API int64_t elver_cache_position(const elver_cache* cache); /**< Positions filled; 0 for NULL. */
ELVER_API size_t elver_cache_bytes(const elver_cache* cache);     /**< That keys and values take; 0 for NULL. */
/** Appends keys and values of n positions (at most max_batch).
 *  @param k  [n, n_kv_heads, head_dim], k_stride floats from one position to the next. Borrowed for this call.
 *  @param v  [n, n_kv_heads, v_head_dim], v_stride apart. Borrowed for this call.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_CONTEXT_FULL (nothing was appended); ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_cache_append(elver_cache* cache, const float* k, int64_t k_stride, const float* v,
                                          int64_t v_stride, int64_t n, elver_error** error);
/** Attention of the last n positions appended (at most max_batch).
 *  @param q    [n, n_heads, head_dim], q_stride floats from one position to the next. Borrowed for this call.
 *  @param out  [n, n_heads, v_head_dim], out_stride apart. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_cache_attend(elver_cache* cache, const float* q, int64_t q_stride, int64_t n, float* out,
                                          int64_t out_stride, elver_error** error);
/** Goes back to a position, 0 to the present one.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (the error says how far back a window lets it go); ELVER_BUSY.
 *  Since: 0.1. */
ELVER_API elver_status elver_cache_rewind(elver_cache* cache, int64_t position, elver_error** error);

typedef enum elver_router_score {
    ELVER_ROUTER_SOFTMAX = 0,       /* softmax over all experts, then the choice */
    ELVER_ROUTER_SIGMOID = 1,       /* of each expert by itself, then the choice */
    ELVER_ROUTER_SOFTMAX_CHOSEN = 2 /* the choice, then softmax over those chosen */
} elver_router_score;

/* How experts are chosen. Source: Shazeer et al. 2017; Jiang et al. 2024 (Mixtral); DeepSeek-V3, section 2.1.2. */
typedef struct elver_router_options {
    size_t struct_size;
    int32_t score;         /* an elver_router_score */
    int32_t n_experts;     /* 1 to 4096 */
    int32_t top_k;         /* experts of a token, 1 to n_experts */
    int32_t renormalise;   /* 1: the weights of a token are divided by their sum */
    int32_t n_groups;      /* equal groups that experts stand in; a divisor of n_experts */
    int32_t n_groups_used; /* groups that a token may choose from: those with the best sum of their two best scores */
    float scale;           /* of the weights, last */
    float reserved;        /* 0 */
    const float*
        choice_bias; /* [n_experts], added to the scores for the choice alone; or NULL. Borrowed for the call */
} elver_router_options;
#define ELVER_ROUTER_OPTIONS_INIT \
    { sizeof(elver_router_options), ELVER_ROUTER_SOFTMAX, 0, 0, 0, 1, 1, 1, 0, NULL }

/** Chooses experts for n tokens. A tie is broken by the lower index.
 *  @param options  Borrowed for this call.
 *  @param logits   [n, n_experts], logits_stride floats apart. Borrowed for this call.
 *  @param ids      [n, top_k], best first. Written only on ELVER_OK.
 *  @param weights  [n, top_k]. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT (an option, a shape, or a logit that is no finite number: the error names
 *          token and expert); ELVER_OUT_OF_MEMORY. Threads: any. Since: 0.1. */
ELVER_API elver_status elver_ops_route(const elver_router_options* options, const float* logits, int64_t n,
                                       int64_t logits_stride, int32_t* ids, float* weights, elver_error** error);

/* The experts of a layer and what a router chose. */
typedef struct elver_experts {
    size_t struct_size;
    const elver_matrix* const* matrices; /* [n_experts], all of one shape [n_rows, k] */
    int64_t n_experts;
    const int32_t* ids;   /* [n, top_k], each below n_experts */
    const float* weights; /* [n, top_k]: the chosen products are weighed and added; or NULL: they are kept apart */
    int64_t n;            /* tokens */
    int64_t top_k;
} elver_experts;
#define ELVER_EXPERTS_INIT \
    { sizeof(elver_experts), NULL, 0, NULL, NULL, 0, 0 }

/** Products of tokens with the experts chosen for them; each expert's weights are read once for all its tokens.
 *  @param experts  Borrowed for this call.
 *  @param x        n_x rows of k, x_stride floats apart: n_x = n, a row a token (gate and up), or n_x = n * top_k, a
 * row a choice (down). Borrowed for this call.
 *  @param y        Rows of n_rows, y_stride floats apart: [n * top_k] where weights is NULL, else [n]. Must not overlap
 * x. Written only on ELVER_OK.
 *  @return ELVER_OK; ELVER_INVALID_ARGUMENT; ELVER_OUT_OF_MEMORY; ELVER_BUSY. Since: 0.1. */
ELVER_API elver_status elver_ops_matmul_experts(elver_ops* ops, const elver_experts* experts, const float* x,
                                                int64_t n_x, int64_t x_stride, float* y, int64_t y_stride,
                                                elver_error** error);

#ifdef __cplusplus
}
#endif

#endif
