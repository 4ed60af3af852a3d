// What the machine can do at most: byte dot products from registers, and reads of memory. Figures of merit for
// benchmarks.
#pragma once

#include "kernels/args.hpp"

namespace elver {

template <class V>
struct Peak {
    // n_steps times 12 dot instructions of 64 weight bytes on 12 independent sums; answers the operations done (two a
    // multiply-add).
    static uint64_t dots(uint64_t n_steps, int32_t* sink) noexcept {
        alignas(64) uint8_t weights[64];
        alignas(64) int8_t acts[64];
        for (int i = 0; i < 64; ++i) weights[i] = static_cast<uint8_t>(i), acts[i] = static_cast<int8_t>(i - 32);
        const int32_t zero = 0;
        typename V::I sums[12];
        ELVER_UNROLL
        for (int i = 0; i < 12; ++i) sums[i] = V::template start<0, false>(&zero);
        const auto w = V::load_u(weights);
        for (uint64_t step = 0; step < n_steps; ++step) {
            ELVER_UNROLL
            for (int i = 0; i < 12; ++i) sums[i] = V::template dot<false>(sums[i], w, acts + 4 * i);
        }
        ELVER_UNROLL
        for (int i = 0; i < 12; ++i) *sink += V::sum_i(sums[i]);
        return n_steps * 12 * 64 * 2;
    }

    static void read(const uint8_t* bytes, size_t n, int32_t* sink) noexcept {
        auto a = V::load_u(bytes), b = a, c = a, d = a;
        for (size_t i = 0; i + 256 <= n; i += 256) {
            a = V::or_u(a, V::load_u(bytes + i)), b = V::or_u(b, V::load_u(bytes + i + 64));
            c = V::or_u(c, V::load_u(bytes + i + 128)), d = V::or_u(d, V::load_u(bytes + i + 192));
        }
        uint8_t out[64];
        V::store_u(out, V::or_u(V::or_u(a, b), V::or_u(c, d)));
        *sink += out[0];
    }
};

}  // namespace elver
