#include "quant/decode.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

#include "quant/grid_blocks.hpp"

namespace elver {

namespace {

template <DType type>
void decode_blocks(const std::byte* bytes, float* out, size_t n) noexcept {
    using B = blocks::Block<type>;
    const auto* p = reinterpret_cast<const uint8_t*>(bytes);
    const size_t stride = dtype_info(type).block_bytes;
    for (size_t i = 0; i < n; i += B::n, p += stride) {
        const B block(p);
        for (int s = 0; s < B::n_sub; ++s) {
            const float scale = block.d * static_cast<float>(block.scale[s]);
            const float min = block.dmin * static_cast<float>(block.min[s]);
            const uint8_t* q = block.q + s * B::sub;
            float* o = out + i + static_cast<size_t>(s * B::sub);
            for (int j = 0; j < B::sub; ++j)
                o[j] = scale * static_cast<float>(static_cast<int>(q[j]) - B::offset) - min;
        }
    }
}

template <class T, class Convert>
void convert(const std::byte* bytes, float* out, size_t n, Convert&& to_f32) noexcept {
    for (size_t i = 0; i < n; ++i) {
        T value;
        std::memcpy(&value, bytes + i * sizeof(T), sizeof value);
        out[i] = to_f32(value);
    }
}

void decode_f32(const std::byte* bytes, float* out, size_t n) noexcept {
    std::memcpy(out, bytes, n * sizeof(float));
}
void decode_f16(const std::byte* bytes, float* out, size_t n) noexcept {
    convert<uint16_t>(bytes, out, n, f16_to_f32);
}
void decode_bf16(const std::byte* bytes, float* out, size_t n) noexcept {
    convert<uint16_t>(bytes, out, n, bf16_to_f32);
}
void decode_f64(const std::byte* bytes, float* out, size_t n) noexcept {
    convert<double>(bytes, out, n, [](double v) { return static_cast<float>(v); });
}

struct Row {
    DType type;
    DecodeRow decode;
};
constexpr Row rows[] = {
    {DType::f32, decode_f32},
    {DType::f16, decode_f16},
    {DType::bf16, decode_bf16},
    {DType::f64, decode_f64},
    {DType::q4_0, decode_blocks<DType::q4_0>},
    {DType::q4_1, decode_blocks<DType::q4_1>},
    {DType::q5_0, decode_blocks<DType::q5_0>},
    {DType::q5_1, decode_blocks<DType::q5_1>},
    {DType::q8_0, decode_blocks<DType::q8_0>},
    {DType::q2_k, decode_blocks<DType::q2_k>},
    {DType::q3_k, decode_blocks<DType::q3_k>},
    {DType::q4_k, decode_blocks<DType::q4_k>},
    {DType::q5_k, decode_blocks<DType::q5_k>},
    {DType::q6_k, decode_blocks<DType::q6_k>},
    {DType::iq4_nl, decode_blocks<DType::iq4_nl>},
    {DType::iq4_xs, decode_blocks<DType::iq4_xs>},
    {DType::mxfp4, decode_blocks<DType::mxfp4>},
    {DType::iq2_xxs, decode_blocks<DType::iq2_xxs>},
    {DType::iq2_xs, decode_blocks<DType::iq2_xs>},
    {DType::iq2_s, decode_blocks<DType::iq2_s>},
    {DType::iq3_xxs, decode_blocks<DType::iq3_xxs>},
    {DType::iq3_s, decode_blocks<DType::iq3_s>},
    {DType::iq1_s, decode_blocks<DType::iq1_s>},
    {DType::iq1_m, decode_blocks<DType::iq1_m>},
    {DType::tq1_0, decode_blocks<DType::tq1_0>},
    {DType::tq2_0, decode_blocks<DType::tq2_0>},
};

}  // namespace

DecodeRow decoder(DType type) noexcept {
    for (const Row& row : rows) {
        if (row.type == type) return row.decode;
    }
    return nullptr;
}

}  // namespace elver
