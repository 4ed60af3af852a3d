// AVX-512 with VNNI and bfloat16: attention over a cache of 16-bit numbers and products with BF16 weights
// multiply pairs of bfloat16.
#include "kernels/x86/avx512.hpp"

namespace elver {

namespace {

struct Avx512Bf16 : Avx512Vnni {
    using Pair = __m512i;

    // Lane i: first[i] in the low half, second[i] in the high one, rounded to nearest even.
    static inline Pair join_pair(F first, F second) noexcept {
        alignas(64) static constexpr uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                           21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                           11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
        return _mm512_permutexvar_epi16(_mm512_load_si512(order), (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
    static inline Pair set_pair(const float* p) noexcept {
        int32_t both;
        __builtin_memcpy(&both, p, sizeof both);
        return _mm512_set1_epi32(both);
    }
    static inline F add_pair(F acc, Pair a, Pair b) noexcept { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
    // Sixteen values as bfloat16, one behind the other.
    static inline void store_halves(float* p, F v) noexcept {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
    }
};

}  // namespace

extern const KernelTable table_avx512vnni, table_avx512bf16;

namespace {

void attention(const AttentionArgs& a) noexcept {
    (a.shape.type == CacheType::f16 && !a.exact ? &Attention<Avx512Bf16>::run_f16 : table_avx512vnni.attention)(a);
}

// Activations as pairs: thirty-two of a row at a time, rounded; then what rounding took from them.
void put_pairs(const QuantizeArgs& a) noexcept {
    using V = Avx512Bf16;
    const ActTiles tiles(a.n * a.parts, V::tile_tokens);
    const size_t k = static_cast<size_t>(a.k), n_pairs = even_k(k) / 2;
    for (int t = a.token_begin; t < a.token_end; ++t) {
        const float* x = a.x + static_cast<size_t>(t) * a.x_stride;
        for (size_t i = 0; i < k; i += 32) {
            alignas(64) float values[32] = {};
            __builtin_memcpy(values, x + i, (k - i < 32 ? k - i : 32) * sizeof(float));
            V::F x0 = V::load_f(values), x1 = V::load_f(values + 16);
            const size_t n = n_pairs - i / 2 < 16 ? n_pairs - i / 2 : 16;
            for (int r = t * a.parts; r < (t + 1) * a.parts; ++r) {
                const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(x1, x0);
                alignas(64) float pairs[16];
                _mm512_store_si512(pairs, both);
                const int tile = tiles.of(r), begin = tiles.begin(tile), w = tiles.width_of(tile);
                Rows<V>::put_values(
                    pairs, n, n, a.acts.pairs + static_cast<size_t>(begin) * n_pairs + i / 2 * static_cast<size_t>(w),
                    r - begin, w);
                x0 = V::sub(x0, V::load_bf16(pairs));
                x1 = V::sub(x1, V::load_bf16(pairs + 8));
            }
        }
    }
}

void quantize(const QuantizeArgs& a) noexcept {
    table_avx512vnni.quantize(a);
    if (a.acts.pairs != nullptr) put_pairs(a);
}

MatmulTable<Avx512Bf16>::Kernel find_matmul(DType type) noexcept {
    return type == DType::bf16 ? &FloatMatmul<Avx512Bf16, DType::bf16>::run : table_avx512vnni.matmul(type);
}

constexpr KernelTable table() {
    KernelTable made = inherit_table<Avx512Bf16, table_avx512vnni>("avx512bf16");
    made.attention = &attention;
    made.quantize = &quantize;
    made.matmul = &find_matmul;
    made.pairs = true;
    return made;
}

}  // namespace

constinit const KernelTable table_avx512bf16 = table();

}  // namespace elver
