// The reference level: plain C++ and Eigen in f32, on every machine. Weights stay in the file's format and are decoded
// row by row; activations are not quantised. What every other level is tested against.
#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/half.hpp"
#include "kernels/shared/finish.hpp"
#include "kernels/shared/make_table.hpp"
#include "quant/decode.hpp"

namespace elver {

namespace {

// Sixteen rows as a plain array; only what Rows, Attention and finish use.
struct Plain {
    struct F {
        float v[16];
    };
    struct I {
        int32_t v[16];
    };
    static constexpr int tile_tokens = 1;
    static constexpr bool few_bytes = true;  // attention takes its rows one by one

    template <class Op>
    static F map(const F& a, Op op) noexcept {
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = op(a.v[i]);
        return out;
    }
    template <class Op>
    static F zip(const F& a, const F& b, Op op) noexcept {
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = op(a.v[i], b.v[i]);
        return out;
    }

    static F set_f(float x) noexcept {
        F out;
        for (float& v : out.v) v = x;
        return out;
    }
    static F zero_f() noexcept { return set_f(0.0f); }
    static F load_f(const float* p) noexcept {
        F out;
        std::memcpy(out.v, p, sizeof out.v);
        return out;
    }
    static void store_f(float* p, const F& v) noexcept { std::memcpy(p, v.v, sizeof v.v); }
    static F load_f16(const void* p) noexcept {
        uint16_t bits[16];
        std::memcpy(bits, p, sizeof bits);
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = f16_to_f32(bits[i]);
        return out;
    }
    static float f16_1(const void* p) noexcept {
        uint16_t bits;
        std::memcpy(&bits, p, sizeof bits);
        return f16_to_f32(bits);
    }
    static F cvt_i8(const uint8_t* p) noexcept {
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(static_cast<int8_t>(p[i]));
        return out;
    }
    static F cvt_u8(const uint8_t* p, int shift, int mask) noexcept {
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(p[i] >> shift & mask);
        return out;
    }
    static void store_f16(uint16_t* p, const F& v) noexcept {
        for (int i = 0; i < 16; ++i) p[i] = f32_to_f16(v.v[i]);
    }
    static F add(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x + y; });
    }
    static F sub(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x - y; });
    }
    static F mul(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x * y; });
    }
    static F div(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x / y; });
    }
    static F max(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x > y ? x : y; });
    }
    static F min(const F& a, const F& b) noexcept {
        return zip(a, b, [](float x, float y) { return x < y ? x : y; });
    }
    static F fma(const F& a, const F& b, const F& c) noexcept { return add(mul(a, b), c); }
    static F times_2_to(const F& a, const F& n) noexcept {
        return zip(a, n, [](float x, float by) { return std::ldexp(x, static_cast<int>(by)); });
    }
    static F neg(const F& a) noexcept {
        return map(a, [](float x) { return -x; });
    }
    static F abs(const F& a) noexcept {
        return map(a, [](float x) { return std::fabs(x); });
    }
    static F exp(const F& a) noexcept {
        return map(a, [](float x) { return std::exp(x); });
    }
    static F tanh(const F& a) noexcept {
        return map(a, [](float x) { return std::tanh(x); });
    }
    static F erf(const F& a) noexcept {
        return map(a, [](float x) { return std::erf(x); });
    }
    static float exp_1(float x) noexcept { return std::exp(x); }
    static float sum_f(const F& a) noexcept {
        float sum = 0;
        for (float v : a.v) sum += v;
        return sum;
    }
    static float max_f(const F& a) noexcept { return *std::max_element(a.v, a.v + 16); }
    static I round(const F& a) noexcept {
        I out;
        for (int i = 0; i < 16; ++i) out.v[i] = static_cast<int32_t>(std::nearbyint(a.v[i]));
        return out;
    }
    static F cvt(const I& a) noexcept {
        F out;
        for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(a.v[i]);
        return out;
    }
    static void store_i8(int8_t* p, const I& a) noexcept {
        for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
    }
    static int32_t sum_i(const I& a) noexcept {
        int32_t sum = 0;
        for (int32_t v : a.v) sum += v;
        return sum;
    }
};

// Sixteen rows of products for each token; pack is the file's rows. The decoded row lives in the worker's scratch in
// pieces.
template <DType type>
void matmul(const MatmulArgs& a) noexcept {
    using Vector = Eigen::Map<const Eigen::VectorXf>;
    constexpr int piece = 4096;  // a multiple of every block size
    const DecodeRow decode = decoder(type);
    const size_t stride = row_bytes(type, static_cast<size_t>(a.k));
    alignas(64) float decoded[piece];
    float* sums = a.scratch;  // [n][16]
    for (int group = a.group_begin; group < a.group_end; ++group) {
        std::fill(sums, sums + static_cast<size_t>(a.n) * 16, 0.0f);
        for (int r = 0; r < 16 && group * 16 + r < a.n_rows; ++r) {
            const std::byte* row = a.pack + static_cast<size_t>(group * 16 + r) * stride;
            for (int k = 0; k < a.k; k += piece) {
                const int n = std::min(piece, a.k - k);
                decode(row + row_bytes(type, static_cast<size_t>(k)), decoded, static_cast<size_t>(n));
                for (int t = 0; t < a.n; ++t) {
                    sums[t * 16 + r] +=
                        Vector(decoded, n).dot(Vector(a.x + static_cast<size_t>(t) * a.x_stride + k, n));
                }
            }
        }
        for (int t = 0; t < a.n; ++t) finish<Plain>(a, t, group * 16, Plain::load_f(sums + t * 16));
    }
}

void (*find_matmul(DType type) noexcept)(const MatmulArgs&) noexcept {
    switch (type) {
#define ELVER_FORMAT(type, ...) \
    case DType::type:           \
        return &matmul<DType::type>;
#include "kernels/formats.inc"
#undef ELVER_FORMAT
        case DType::f32:
            return &matmul<DType::f32>;
        case DType::f16:
            return &matmul<DType::f16>;
        case DType::bf16:
            return &matmul<DType::bf16>;
        default:
            return nullptr;
    }
}

}  // namespace

extern const KernelTable table_reference;
constinit const KernelTable table_reference = make_row_table<Plain>("reference", &find_matmul);

}  // namespace elver
