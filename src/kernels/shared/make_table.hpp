// A level's table from its policy.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/cache.hpp"
#include "kernels/shared/logits.hpp"
#include "kernels/shared/matmul.hpp"
#include "kernels/shared/peak.hpp"
#include "kernels/shared/rows.hpp"
#include "kernels/table.hpp"

namespace elver {

// A level that reads the file's rows instead of packs.
template <class V>
constexpr KernelTable make_row_table(const char* name,
                                     void (*(*find_matmul)(DType) noexcept)(const MatmulArgs&) noexcept) {
    KernelTable table{};
    table.name = name;
    table.tile_tokens = V::tile_tokens;
    table.quantize = &Rows<V>::quantize;
    table.matmul = find_matmul;
    table.rms_norm = &Rows<V>::rms_norm;
    table.layer_norm = &Rows<V>::layer_norm;
    table.rope_adjacent = &Rows<V>::rope_adjacent;
    table.rope_halves = &Rows<V>::rope_halves;
    table.attention = &Attention<V>::run;
    table.attention_join = &Attention<V>::join;
    table.cache_write = &CacheWrite<V>::run;
    table.soft_cap = &Rows<V>::soft_cap;
    table.logit_peaks = &LogitPasses<V>::peaks;
    table.logit_weights = &LogitPasses<V>::weights;
    table.logit_sums = &LogitPasses<V>::sums;
    return table;
}

template <class V>
constexpr KernelTable make_table(const char* name) {
    KernelTable table = make_row_table<V>(name, &MatmulTable<V>::find);
    table.reads_packs = true;
    table.peak_dots = &Peak<V>::dots;
    table.peak_read = &Peak<V>::read;
    return table;
}

// A level that differs from `base` in part has the rest of it by a jump: the code is there once.
template <class V, const KernelTable& base, auto field>
struct Inherited;
template <class V, const KernelTable& base, class R, class... A, R (*KernelTable::*field)(A...) noexcept>
struct Inherited<V, base, field> {
    static R call(A... a) noexcept { return (base.*field)(a...); }
};

// All of it.
template <class V, const KernelTable& base>
constexpr KernelTable inherit_table(const char* name) {
    KernelTable table{};
    table.name = name;
    table.tile_tokens = V::tile_tokens;
    table.reads_packs = true;
#define ELVER_INHERIT(field) table.field = &Inherited<V, base, &KernelTable::field>::call
    ELVER_INHERIT(quantize);
    ELVER_INHERIT(matmul);
    ELVER_INHERIT(rms_norm);
    ELVER_INHERIT(layer_norm);
    ELVER_INHERIT(rope_adjacent);
    ELVER_INHERIT(rope_halves);
    ELVER_INHERIT(attention);
    ELVER_INHERIT(attention_join);
    ELVER_INHERIT(cache_write);
    ELVER_INHERIT(soft_cap);
    ELVER_INHERIT(logit_peaks);
    ELVER_INHERIT(logit_weights);
    ELVER_INHERIT(logit_sums);
    ELVER_INHERIT(peak_dots);
    ELVER_INHERIT(peak_read);
#undef ELVER_INHERIT
    return table;
}

template <class V, const KernelTable& base>
typename MatmulTable<V>::Kernel find_matmul_above(DType type) noexcept {
    const auto own = MatmulTable<V>::find_blocks(type);
    return own != nullptr ? own : base.matmul(type);
}

// All but the product of bytes.
template <class V, const KernelTable& base>
constexpr KernelTable make_table_above(const char* name) {
    KernelTable table = inherit_table<V, base>(name);
    table.matmul = &find_matmul_above<V, base>;
    table.peak_dots = &Peak<V>::dots;
    return table;
}

}  // namespace elver
