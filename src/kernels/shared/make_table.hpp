// A level's table from its policy.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/cache.hpp"
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
    table.cache_write = &CacheWrite<V>::run;
    table.soft_cap = &Rows<V>::soft_cap;
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

// A level that differs from `base` in the product of bytes alone has the rest of it by a jump: the code is there once.
template <class V, const KernelTable& base, auto field>
struct Inherited;
template <class V, const KernelTable& base, class... A, void (*KernelTable::*field)(A...) noexcept>
struct Inherited<V, base, field> {
    static void call(A... a) noexcept { (base.*field)(a...); }
};

template <class V, const KernelTable& base>
typename MatmulTable<V>::Kernel find_matmul_above(DType type) noexcept {
    const auto own = MatmulTable<V>::find_blocks(type);
    return own != nullptr ? own : base.matmul(type);
}

template <class V, const KernelTable& base>
constexpr KernelTable make_table_above(const char* name) {
    KernelTable table{};
    table.name = name;
    table.tile_tokens = V::tile_tokens;
    table.reads_packs = true;
    table.quantize = &Inherited<V, base, &KernelTable::quantize>::call;
    table.matmul = &find_matmul_above<V, base>;
    table.rms_norm = &Inherited<V, base, &KernelTable::rms_norm>::call;
    table.layer_norm = &Inherited<V, base, &KernelTable::layer_norm>::call;
    table.rope_adjacent = &Inherited<V, base, &KernelTable::rope_adjacent>::call;
    table.rope_halves = &Inherited<V, base, &KernelTable::rope_halves>::call;
    table.attention = &Inherited<V, base, &KernelTable::attention>::call;
    table.cache_write = &Inherited<V, base, &KernelTable::cache_write>::call;
    table.soft_cap = &Inherited<V, base, &KernelTable::soft_cap>::call;
    table.peak_dots = &Peak<V>::dots;
    table.peak_read = &Inherited<V, base, &KernelTable::peak_read>::call;
    return table;
}

}  // namespace elver
