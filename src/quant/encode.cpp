// Encoders of the plain types and of the formats with 32 elements in a block; encode_k.cpp has those with 256.
#include "quant/encode.hpp"

#include <bit>
#include <cstring>
#include <limits>

#include "quant/blocks.hpp"
#include "quant/encode_k.hpp"
#include "quant/fit.hpp"

namespace elver {

namespace {

void put_half(uint8_t* p, float x) noexcept {
    const uint16_t bits = f32_to_f16(x);
    std::memcpy(p, &bits, sizeof bits);
}

// 32 codes of 4 bits, as blocks.hpp reads them.
void put_nibbles(uint8_t* p, const uint8_t* q) noexcept {
    for (int j = 0; j < 16; ++j) p[j] = static_cast<uint8_t>((q[j] & 15) | q[j + 16] << 4);
}
void put_fifth_bits(uint8_t* p, const uint8_t* q) noexcept {
    uint32_t bits = 0;
    for (int j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(q[j] >> 4) << j;
    std::memcpy(p, &bits, sizeof bits);
}

// Code books: the code is the index.
template <const int8_t (&values)[16]>
struct Book {
    static constexpr float low = -1, high = 1, step = 0.1f;
    static int code(float x) noexcept {
        int best = 0;
        float best_miss = std::fabs(x - static_cast<float>(values[0]));
        for (int i = 1; i < 16; ++i) {
            const float miss = std::fabs(x - static_cast<float>(values[i]));
            if (miss < best_miss) best = i, best_miss = miss;
        }
        return best;
    }
    static float value(int code) noexcept { return static_cast<float>(values[code]); }
};
struct Iq4 : Book<blocks::iq4_values> {
    static constexpr float low = -127, high = 113, step = 12;
};
using Mxfp4 = Book<blocks::mxfp4_values>;

// The scale as f16: rounding moves it, so its neighbours are candidates too.
template <class Levels>
float half_scale(const float* x) noexcept {
    const float d = fit::as_f16(fit::scale<Levels>(x, 32));
    float best = d, best_error = fit::squared_error<Levels>(x, 32, d);
    for (const float nudge : {1.0f - 0x1p-11f, 1.0f + 0x1p-11f}) {
        const float near = fit::as_f16(d * nudge), error = fit::squared_error<Levels>(x, 32, near);
        if (error < best_error) best = near, best_error = error;
    }
    return best;
}

template <class Levels>
void codes_of(const float* x, float d, int offset, uint8_t* q) noexcept {
    const float id = fit::inverse(d);
    for (int j = 0; j < 32; ++j) q[j] = static_cast<uint8_t>(Levels::code(x[j] * id) + offset);
}

template <int High>
void affine_codes(const float* x, uint8_t* out, uint8_t* q) noexcept {
    const auto round = [](fit::Affine a) { return fit::Affine{fit::as_f16(a.d), fit::as_f16(a.min)}; };
    const fit::Affine a = fit::affine<High>(x, 32, false, round);
    put_half(out, a.d), put_half(out + 2, a.min);
    const float id = fit::inverse(a.d);
    for (int j = 0; j < 32; ++j) q[j] = static_cast<uint8_t>(fit::nearest_int((x[j] - a.min) * id, 0, High));
}

void q4_0(const float* x, uint8_t* out) noexcept {
    using Levels = fit::Integers<-8, 7>;
    uint8_t q[32];
    const float d = half_scale<Levels>(x);
    codes_of<Levels>(x, d, 8, q);
    put_half(out, d), put_nibbles(out + 2, q);
}
void q5_0(const float* x, uint8_t* out) noexcept {
    using Levels = fit::Integers<-16, 15>;
    uint8_t q[32];
    const float d = half_scale<Levels>(x);
    codes_of<Levels>(x, d, 16, q);
    put_half(out, d), put_fifth_bits(out + 2, q), put_nibbles(out + 6, q);
}
void q8_0(const float* x, uint8_t* out) noexcept {
    using Levels = fit::Integers<-127, 127>;
    const float d = half_scale<Levels>(x);
    codes_of<Levels>(x, d, 0, out + 2);
    put_half(out, d);
}
void iq4_nl(const float* x, uint8_t* out) noexcept {
    uint8_t q[32];
    const float d = half_scale<Iq4>(x);
    codes_of<Iq4>(x, d, 0, q);
    put_half(out, d), put_nibbles(out + 2, q);
}
void q4_1(const float* x, uint8_t* out) noexcept {
    uint8_t q[32];
    affine_codes<15>(x, out, q);
    put_nibbles(out + 4, q);
}
void q5_1(const float* x, uint8_t* out) noexcept {
    uint8_t q[32];
    affine_codes<31>(x, out, q);
    put_fifth_bits(out + 4, q), put_nibbles(out + 8, q);
}

// The scale is a power of two. The largest value lies at 4 to 8 of a scale's units (E2M1 ends at 6, here at 12 halves).
void mxfp4(const float* x, uint8_t* out) noexcept {
    const float extreme = std::fabs(fit::largest(x, 32));
    const int exponent = !(extreme > 0.0f) ? -1000 : std::isfinite(extreme) ? std::ilogb(extreme) : 127;
    uint8_t best = 0;
    float best_error = fit::squared_error<Mxfp4>(x, 32, blocks::mxfp4_scale(0));
    for (int e = exponent + 124; e <= exponent + 126; ++e) {
        if (e < 0 || e > 254) continue;
        const float error = fit::squared_error<Mxfp4>(x, 32, blocks::mxfp4_scale(static_cast<uint8_t>(e)));
        if (error < best_error) best = static_cast<uint8_t>(e), best_error = error;
    }
    uint8_t q[32];
    codes_of<Mxfp4>(x, blocks::mxfp4_scale(best), 0, q);
    out[0] = best, put_nibbles(out + 1, q);
}

template <DType type, void (*block)(const float*, uint8_t*) noexcept>
void encode_blocks(const float* x, std::byte* bytes, size_t n) noexcept {
    const size_t size = dtype_info(type).block_size, block_bytes = dtype_info(type).block_bytes;
    auto* out = reinterpret_cast<uint8_t*>(bytes);
    for (size_t i = 0; i < n; i += size, out += block_bytes) block(x + i, out);
}

template <class T, T (*convert)(float) noexcept>
void encode_plain(const float* x, std::byte* out, size_t n) noexcept {
    for (size_t i = 0; i < n; ++i) {
        const T value = convert(x[i]);
        std::memcpy(out + i * sizeof(T), &value, sizeof value);
    }
}
float itself(float x) noexcept {
    return x;
}

struct Row {
    DType type;
    EncodeRow encode;
};
constexpr Row rows[] = {
    {DType::f32, encode_plain<float, itself>},
    {DType::f16, encode_plain<uint16_t, f32_to_f16>},
    {DType::bf16, encode_plain<uint16_t, f32_to_bf16>},
    {DType::q4_0, encode_blocks<DType::q4_0, q4_0>},
    {DType::q4_1, encode_blocks<DType::q4_1, q4_1>},
    {DType::q5_0, encode_blocks<DType::q5_0, q5_0>},
    {DType::q5_1, encode_blocks<DType::q5_1, q5_1>},
    {DType::q8_0, encode_blocks<DType::q8_0, q8_0>},
    {DType::iq4_nl, encode_blocks<DType::iq4_nl, iq4_nl>},
    {DType::mxfp4, encode_blocks<DType::mxfp4, mxfp4>},
    {DType::q2_k, encode_blocks<DType::q2_k, encode_q2_k>},
    {DType::q3_k, encode_blocks<DType::q3_k, encode_q3_k>},
    {DType::q4_k, encode_blocks<DType::q4_k, encode_q4_k>},
    {DType::q5_k, encode_blocks<DType::q5_k, encode_q5_k>},
    {DType::q6_k, encode_blocks<DType::q6_k, encode_q6_k>},
};

}  // namespace

EncodeRow encoder(DType type) noexcept {
    for (const Row& row : rows) {
        if (row.type == type) return row.encode;
    }
    return nullptr;
}

float greatest_encodable(DType type) noexcept {
    constexpr float f16 = 65504.0f;  // the greatest; where a block's scale is one, times its greatest code
    switch (type) {
        case DType::f16:
            return 65519.0f;  // what rounds to the greatest
        case DType::bf16:
            return 3.395e38f;  // likewise
        case DType::q4_0:
            return 8 * f16;
        case DType::q4_1:
        case DType::q5_1:
            return f16;
        case DType::q5_0:
            return 16 * f16;
        case DType::q8_0:
            return 127 * f16;
        case DType::iq4_nl:
            return 113 * f16;
        case DType::mxfp4:
            return 1e18f;  // its scale reaches further, the squares of a block's errors do not
        case DType::q2_k:
            return 15 * f16;
        case DType::q3_k:
            return 31 * 3 * f16;
        case DType::q4_k:
        case DType::q5_k:
            return 63 * f16;
        case DType::q6_k:
            return 127 * 31 * f16;
        default:
            return std::numeric_limits<float>::max();
    }
}

}  // namespace elver
