// A level's table from its policy.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/cache.hpp"
#include "kernels/shared/matmul.hpp"
#include "kernels/shared/peak.hpp"
#include "kernels/shared/rows.hpp"
#include "kernels/table.hpp"

namespace elver {

template <class V>
constexpr KernelTable make_table(const char* name) {
    return {name,
            V::tile_tokens,
            true,
            &Rows<V>::quantize,
            &MatmulTable<V>::find,
            &Rows<V>::rms_norm,
            &Rows<V>::layer_norm,
            &Rows<V>::rope_adjacent,
            &Rows<V>::rope_halves,
            &Attention<V>::run,
            &CacheWrite<V>::run,
            &Rows<V>::soft_cap,
            &Peak<V>::dots,
            &Peak<V>::read};
}

}  // namespace elver
