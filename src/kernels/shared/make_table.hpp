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
    table.attention_join = &Attention<V>::join;
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

}  // namespace elver
