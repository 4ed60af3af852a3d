// How keys and values stand in a cache page (CacheShape): writing a position, and the reads attention is built from.
#pragma once

#include "kernels/args.hpp"

namespace elver {

// Reads of one cache type. Float types: one unit is an element. Quantised types: one unit is a block of 32 dims.
template <class V, CacheType type>
struct CacheRead {
    using F = typename V::F;
    static constexpr bool is_float = type == CacheType::f32 || type == CacheType::f16;
    static constexpr int unit_bytes = CacheShape{type, 0, 0}.unit_bytes();

    // Sixteen elements of a float type.
    static inline F load(const std::byte* p) noexcept {
        if constexpr (type == CacheType::f32)
            return V::load_f(reinterpret_cast<const float*>(p));
        else
            return V::load_f16(p);
    }

    // Sixteen positions' codes of dim i of a block of keys.
    static inline F key_codes(const std::byte* block, int i, int position) noexcept {
        const auto* codes = reinterpret_cast<const uint8_t*>(block) + position;
        if constexpr (type == CacheType::q8_0)
            return V::cvt_i8(codes + 64 * i);
        else
            return V::sub(V::cvt_u8(codes + 64 * (i & 15), i < 16 ? 0 : 4, 15), V::set_f(8.0f));
    }
    static inline F key_scales(const std::byte* block, int position) noexcept {
        return V::load_f16(block + 64 * (unit_bytes - 2) + 2 * position);
    }

    // Sixteen columns' codes of a block of values: the first half of the block or the second.
    static inline F value_codes(const std::byte* block, int half) noexcept {
        const auto* codes = reinterpret_cast<const uint8_t*>(block) + 2;
        if constexpr (type == CacheType::q8_0)
            return V::cvt_i8(codes + 16 * half);
        else
            return V::sub(V::cvt_u8(codes, 4 * half, 15), V::set_f(8.0f));
    }
};

template <class V>
struct CacheWrite {
    static void run(const CacheWriteArgs& a) noexcept {
        std::byte* values = a.page + a.shape.key_bytes() + a.at * a.shape.value_row_bytes();
        switch (a.shape.type) {
            case CacheType::f32:
                for (int d = 0; d < a.shape.head_dim; ++d)
                    __builtin_memcpy(a.page + 4 * (64 * d + a.at), a.k + d, sizeof(float));
                __builtin_memcpy(values, a.v, static_cast<size_t>(a.shape.v_head_dim) * sizeof(float));
                return;
            case CacheType::f16:
                halves(a.k, a.shape.head_dim, a.page + 2 * a.at, 128);
                return halves(a.v, a.shape.v_head_dim, values, 2);
            case CacheType::q8_0:
                return blocks<CacheType::q8_0>(a, values);
            case CacheType::q4_0:
                return blocks<CacheType::q4_0>(a, values);
        }
    }

  private:
    // Bytes of a block's codes.
    template <CacheType type>
    static constexpr int n_codes = CacheShape{type, 0, 0}.unit_bytes() - 2;

    static inline float bounded(float x) noexcept { return x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x; }

    // Values as f16, y_stride bytes apart.
    static void halves(const float* x, int n, std::byte* y, int y_stride) noexcept {
        using F = typename V::F;
        const F high = V::set_f(65504.0f), low = V::set_f(-65504.0f);
        alignas(64) float tail[16] = {};
        alignas(64) uint16_t half[16];
        for (int i = 0; i < n; i += 16) {
            const int here = n - i < 16 ? n - i : 16;
            if (here < 16) __builtin_memcpy(tail, x + i, static_cast<size_t>(here) * sizeof(float));
            const F v = V::max(low, V::min(high, V::load_f(here < 16 ? tail : x + i)));  // NaN stays
            if (y_stride == 2 && here == 16) {
                V::store_f16(reinterpret_cast<uint16_t*>(y + 2 * i), v);
                continue;
            }
            V::store_f16(half, v);
            for (int j = 0; j < here; ++j) __builtin_memcpy(y + (i + j) * y_stride, half + j, 2);
        }
    }

    // A block of 32 values as bytes of codes (in q4_0 two to a byte: i low, i + 16 high), and the scale that goes with
    // them; values past n are zero.
    template <CacheType type>
    static uint16_t encode(const float* x, int n, std::byte* codes) noexcept {
        float peak = 0.0f;  // the value of the greatest magnitude
        for (int i = 0; i < n; ++i) {
            if ((x[i] < 0 ? -x[i] : x[i]) > (peak < 0 ? -peak : peak)) peak = x[i];
        }
        // Codes -127 .. 127, or -8 .. 7 with the peak at -8.
        alignas(64) uint16_t half[16];
        V::store_f16(half, V::set_f(bounded(type == CacheType::q8_0 ? peak / 127.0f : peak / -8.0f)));
        const float scale = V::f16_1(half), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
        constexpr float low = type == CacheType::q8_0 ? -127.0f : -8.0f, high = type == CacheType::q8_0 ? 127.0f : 7.0f;
        int all[32];
        for (int i = 0; i < 32; ++i) {
            const float c = i < n ? x[i] * inverse : 0.0f;
            const float inside = c > low ? (c < high ? c : high) : low;  // of NaN too
            all[i] = static_cast<int>(inside + (inside < 0 ? -0.5f : 0.5f));
        }
        for (int i = 0; i < n_codes<type>; ++i) {
            codes[i] = static_cast<std::byte>(type == CacheType::q8_0 ? all[i] : (all[i] + 8) | (all[i + 16] + 8) << 4);
        }
        return half[0];
    }

    template <CacheType type>
    static void blocks(const CacheWriteArgs& a, std::byte* values) noexcept {
        constexpr int bytes = CacheShape{type, 0, 0}.unit_bytes();
        std::byte codes[n_codes<type>];
        for (int d = 0; d < a.shape.head_dim; d += 32) {
            const uint16_t scale = encode<type>(a.k + d, within(a.shape.head_dim - d), codes);
            std::byte* block = a.page + d / 32 * 64 * bytes;
            for (int i = 0; i < n_codes<type>; ++i) block[64 * i + a.at] = codes[i];
            __builtin_memcpy(block + 64 * (bytes - 2) + 2 * a.at, &scale, sizeof scale);
        }
        for (int d = 0; d < a.shape.v_head_dim; d += 32, values += bytes) {
            const uint16_t scale = encode<type>(a.v + d, within(a.shape.v_head_dim - d), codes);
            __builtin_memcpy(values, &scale, sizeof scale);
            __builtin_memcpy(values + 2, codes, sizeof codes);
        }
    }
    static constexpr int within(int n) noexcept { return n < 32 ? n : 32; }
};

}  // namespace elver
