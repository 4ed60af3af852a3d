#include "quant/random.hpp"

#include <cstring>

#include "base/half.hpp"

namespace elver {

namespace {

// Where a block keeps its f16 scales, and what makes random codes (and integer scales) have deviation 1: d is
// 1 / spread, and the second scale, at min_at, is min_ratio times d, such that the mins take away the codes' mean.
struct Row {
    DType type;
    int d_at, min_at;
    float spread, min_ratio;
};
constexpr Row rows[] = {
    {DType::q4_0, 0, -1, 4.6f, 0},      {DType::q4_1, 0, 2, 4.6f, -7.5f},  {DType::q5_0, 0, -1, 9.2f, 0},
    {DType::q5_1, 0, 2, 9.2f, -15.5f},  {DType::q8_0, 0, -1, 74.0f, 0},    {DType::q2_k, 80, 82, 13.0f, 1.5f},
    {DType::q3_k, 108, -1, 42.0f, 0},   {DType::q4_k, 0, 2, 250.0f, 7.5f}, {DType::q5_k, 0, 2, 500.0f, 15.5f},
    {DType::q6_k, 208, -1, 1370.0f, 0}, {DType::iq4_nl, 0, -1, 70.0f, 0},  {DType::iq4_xs, 0, -1, 1290.0f, 0},
};

const Row* find(DType type) noexcept {
    for (const Row& row : rows) {
        if (row.type == type) return &row;
    }
    return nullptr;
}

// SplitMix64 (Steele et al. 2014).
struct Random {
    uint64_t state;
    uint64_t next() noexcept {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    // Sum of four uniform numbers, deviation 1.
    float normal() noexcept {
        const uint64_t r = next();
        int sum = 0;
        for (int i = 0; i < 4; ++i) sum += static_cast<int>(r >> (16 * i) & 0xffff);
        return static_cast<float>(sum - 2 * 0xffff) * (1.7320508f / 0x10000);
    }
};

void put_half(std::byte* at, float value) noexcept {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(at, &bits, sizeof bits);
}

bool is_float(DType type) noexcept {
    return type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

}  // namespace

bool has_random(DType type) noexcept {
    return is_float(type) || type == DType::mxfp4 || find(type) != nullptr;
}

void fill_random(DType type, uint64_t seed, float deviation, std::byte* out, size_t n_blocks) noexcept {
    Random random{seed};
    const size_t block_bytes = dtype_info(type).block_bytes;
    if (is_float(type)) {
        for (size_t i = 0; i < n_blocks; ++i, out += block_bytes) {
            const float value = deviation * random.normal();
            const uint16_t half = type == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
            if (type == DType::f32)
                std::memcpy(out, &value, sizeof value);
            else
                std::memcpy(out, &half, sizeof half);
        }
        return;
    }
    const size_t n_bytes = n_blocks * block_bytes;
    size_t at = 0;
    for (; at + 8 <= n_bytes; at += 8) {
        const uint64_t word = random.next();
        std::memcpy(out + at, &word, sizeof word);
    }
    for (; at < n_bytes; ++at) out[at] = static_cast<std::byte>(random.next());
    if (type == DType::mxfp4) {  // a power of two: 2^(e - 128) times values of deviation 6
        int e = 128;
        while (e > 1 && 6.0f > deviation) deviation *= 2, --e;
        for (size_t b = 0; b < n_blocks; ++b) out[b * block_bytes] = static_cast<std::byte>(e);
        return;
    }
    const Row& row = *find(type);
    const float d = deviation / row.spread;
    for (std::byte* block = out; block < out + n_bytes; block += block_bytes) {
        put_half(block + row.d_at, d);
        if (row.min_at >= 0) put_half(block + row.min_at, d * row.min_ratio);
    }
}

}  // namespace elver
