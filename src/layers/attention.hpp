// Grouped-query attention of tokens over a layer of the cache, split among workers by query tile and KV head, and a
// single token's over a long cache also by ranges of keys.
#pragma once

#include "base/cancel.hpp"
#include "base/thread_pool.hpp"
#include "kernels/table.hpp"
#include "layers/kv_cache.hpp"

namespace elver {

struct AttendArgs {
    const KernelTable* kernels;
    KvCache* cache;
    int layer;
    int n_heads, n_kv_heads;
    bool causal = true;    // else a token sees later ones too
    bool chunked = false;  // a window is a chunk of the text: a token sees its own from the chunk's beginning on
    int window;            // positions seen, own included; 0: all; not causal: window / 2 to each side
    float soft_cap;        // 0: none
    const float* slopes;   // [n_heads] ALiBi, or null
    const float* sinks;    // [n_heads] or null
    const float* q;        // [n_tokens, n_heads, head_dim], already scaled
    size_t q_stride;       // floats from token to token
    float* out;            // [n_tokens, n_heads, v_head_dim]
    size_t out_stride;
    const int32_t* pos;  // [n_tokens]; the cache holds what each sees
    int n_tokens;
    CancelToken* cancel;  // or null
    ThreadPool* pool;
    bool exact;  // AttentionArgs::exact
    // Room that all workers share for max_ranges(n_ctx) parts of each head; null: ranges are not split.
    float* parts = nullptr;
};

// Ranges that n_keys keys can touch, wherever they begin.
constexpr size_t max_ranges(int n_keys) noexcept {
    return (static_cast<size_t>(n_keys) + range_keys - 1) / range_keys + 1;
}

// One worker's tiles; scratch holds attention_scratch_bytes(...) of its own.
void attend_share(const AttendArgs& args, float* scratch, int worker) noexcept;

}  // namespace elver
