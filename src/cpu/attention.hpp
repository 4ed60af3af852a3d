// Grouped-query attention of rows over a layer of their caches. Work is split by KV head and tile of queries, and a
// single token's over a long cache also by ranges of keys.
#pragma once

#include "cpu/executor.hpp"

namespace elver::cpu {

struct AttendArgs {
    const KernelTable* kernels;
    ThreadPool* pool;
    std::span<const Segment> segments;  // their caches hold what each token sees
    const int32_t* pos;                 // [n_rows]
    int layer = 0;
    int n_heads, n_kv_heads;
    bool causal = true;             // else a token sees later ones too
    bool chunked = false;           // a window is a chunk of the text: a token sees its own from its beginning on
    int window = 0;                 // positions seen, own included; 0: all; not causal: window / 2 to each side
    float soft_cap = 0;             // 0: none
    const float* slopes = nullptr;  // [n_heads] ALiBi, or null
    const float* sinks = nullptr;   // [n_heads] or null
    const float* q;                 // [n_rows, n_heads, head_dim], already scaled
    size_t q_stride;                // floats from row to row
    float* out;                     // [n_rows, n_heads, v_head_dim]
    size_t out_stride;
    bool exact = false;             // AttentionArgs::exact
    CancelToken* cancel = nullptr;  // or null
    // Room that all workers share, for parts of each head over max_parts ranges; null: ranges are not split.
    float* parts = nullptr;
    int max_parts = 0;
};

// Ranges that n_keys keys can touch, wherever they begin.
constexpr size_t max_ranges(int n_keys) noexcept {
    return (static_cast<size_t>(n_keys) + range_keys - 1) / range_keys + 1;
}

// One worker's share; scratch holds attention_scratch_bytes(...) of its own. Called by all.
void attend_share(const AttendArgs& args, float* scratch, int worker) noexcept;

}  // namespace elver::cpu
