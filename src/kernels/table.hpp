// The dispatch table: one per instruction-set level, filled by its translation unit, chosen once at load.
#pragma once

#include "kernels/args.hpp"
#include "tensor/dtype.hpp"

namespace elver {

struct KernelTable {
    const char* name;
    int tile_tokens;   // tokens interleaved in a tile of activations
    bool reads_packs;  // false: matmul takes the file's rows and f32 activations (the reference level)
    bool pairs;        // products with BF16 weights take activations rounded to bfloat16
    void (*quantize)(const QuantizeArgs&) noexcept;
    // The product for a weight type; null where the level has none.
    void (*(*matmul)(DType) noexcept)(const MatmulArgs&) noexcept;
    void (*rms_norm)(const NormArgs&) noexcept;
    void (*layer_norm)(const NormArgs&) noexcept;
    void (*rope_adjacent)(const RopeArgs&) noexcept;
    void (*rope_halves)(const RopeArgs&) noexcept;
    void (*attention)(const AttentionArgs&) noexcept;
    void (*attention_join)(const AttentionJoinArgs&) noexcept;
    void (*cache_write)(const CacheWriteArgs&) noexcept;       // saturates: a cache never holds infinity
    void (*soft_cap)(float* x, size_t n, float cap) noexcept;  // x = cap * tanh(x / cap)
    // The greatest logit of each block of logit_block. False if one is not a number or plus infinity.
    bool (*logit_peaks)(const float* logits, size_t n_blocks, float* peaks) noexcept;
    // exp((logit - peak) * scale) of logits up to peak, and the sum of each block. What is below exp(-87) counts as
    // that. The same bits on every level. n: a multiple of 16.
    void (*logit_weights)(const float* logits, size_t n, float peak, float scale, float* weights) noexcept;
    void (*logit_sums)(const float* logits, size_t n_blocks, float peak, float scale, float* sums) noexcept;
    // For benchmarks; null where a level has no packed dot product.
    uint64_t (*peak_dots)(uint64_t n_steps, int32_t* sink) noexcept;
    void (*peak_read)(const uint8_t* bytes, size_t n, int32_t* sink) noexcept;

    // What the product with a weight type reads.
    ActForm form(DType type) const noexcept {
        if (!reads_packs) return ActForm::rows;
        if (dtype_info(type).block_size > 1) return ActForm::codes;
        return type == DType::bf16 && pairs ? ActForm::pairs : ActForm::floats;
    }
};

}  // namespace elver
