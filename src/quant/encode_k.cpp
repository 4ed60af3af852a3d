// The K formats: 256 elements whose sub-blocks have integer scales (and mins) that two f16 numbers multiply. First each
// sub-block is fitted alone with real numbers; then, in turns, every sub-block chooses its integers for the f16 numbers
// at hand, and the f16 numbers are solved for all the integers chosen. The best turn is kept.
#include "quant/encode_k.hpp"

#include <cstring>

#include "quant/fit.hpp"

namespace elver {

namespace {

constexpr int n_turns = 3;

void put_half(uint8_t* p, float x) noexcept {
    const uint16_t bits = f32_to_f16(x);
    std::memcpy(p, &bits, sizeof bits);
}

// Element i is  d * scale[i / Sub] * q[i],  q from Low to High, a scale from ScaleLow to ScaleHigh.
template <int Low, int High, int Sub, int ScaleLow, int ScaleHigh>
struct Symmetric {
    static constexpr int n_sub = 256 / Sub;
    using Levels = fit::Integers<Low, High>;
    float d = 0;
    int scale[n_sub] = {};
    int q[256] = {};

    explicit Symmetric(const float* x) noexcept {
        float wanted[n_sub];
        for (int s = 0; s < n_sub; ++s) wanted[s] = fit::scale<Levels>(x + s * Sub, Sub);
        float next = fit::largest(wanted, n_sub) / ScaleLow, best_error = 0;
        for (int turn = 0; turn < n_turns; ++turn) {
            const float here = fit::as_f16(next);
            int chosen[n_sub];
            float error = 0;
            for (int s = 0; s < n_sub; ++s) error += choose(x + s * Sub, here, wanted[s], chosen[s]);
            if (turn == 0 || error < best_error) {
                best_error = error, d = here;
                std::memcpy(scale, chosen, sizeof chosen);
            }
            next = solve(x, here, chosen);
        }
        for (int i = 0; i < 256; ++i) q[i] = Levels::code(x[i] * fit::inverse(d * static_cast<float>(scale[i / Sub])));
    }

  private:
    static float choose(const float* x, float d, float wanted, int& scale) noexcept {
        const int middle = fit::nearest_int(wanted * fit::inverse(d), ScaleLow, ScaleHigh);
        float best = -1;
        for (int s = middle - 1; s <= middle + 1; ++s) {
            if (s < ScaleLow || s > ScaleHigh) continue;
            const float error = fit::squared_error<Levels>(x, Sub, d * static_cast<float>(s));
            if (best < 0 || error < best) best = error, scale = s;
        }
        return best;
    }

    static float solve(const float* x, float d, const int* scale) noexcept {
        float sum_xv = 0, sum_vv = 0;
        for (int i = 0; i < 256; ++i) {
            const auto s = static_cast<float>(scale[i / Sub]);
            const float v = s * Levels::value(Levels::code(x[i] * fit::inverse(d * s)));
            sum_xv += x[i] * v, sum_vv += v * v;
        }
        return sum_vv > 0 ? sum_xv / sum_vv : d;
    }
};

// Element i is  d * scale[i / Sub] * q[i] - dmin * min[i / Sub],  q from 0 to High, scales and mins from 0 to Most.
template <int High, int Sub, int Most>
struct WithMins {
    static constexpr int n_sub = 256 / Sub;
    float d = 0, dmin = 0;
    uint8_t scale[n_sub] = {}, min[n_sub] = {};
    uint8_t q[256] = {};

    explicit WithMins(const float* x) noexcept {
        fit::Affine wanted[n_sub];
        float next_d = 0, next_dmin = 0, best_error = 0;
        for (int s = 0; s < n_sub; ++s) {
            wanted[s] = fit::affine<High>(x + s * Sub, Sub, true, [](fit::Affine a) { return a; });
            next_d = wanted[s].d > next_d ? wanted[s].d : next_d;
            next_dmin = -wanted[s].min > next_dmin ? -wanted[s].min : next_dmin;
        }
        next_d /= Most, next_dmin /= Most;
        for (int turn = 0; turn < n_turns; ++turn) {
            const float here = fit::as_f16(next_d), here_min = fit::as_f16(next_dmin);
            uint8_t scales[n_sub], mins[n_sub];
            float error = 0;
            for (int s = 0; s < n_sub; ++s) error += choose(x + s * Sub, here, here_min, wanted[s], scales[s], mins[s]);
            if (turn == 0 || error < best_error) {
                best_error = error, d = here, dmin = here_min;
                std::memcpy(scale, scales, sizeof scales);
                std::memcpy(min, mins, sizeof mins);
            }
            solve(x, here, here_min, scales, mins, next_d, next_dmin);
        }
        for (int i = 0; i < 256; ++i) q[i] = code(x[i], affine_of(d, dmin, scale[i / Sub], min[i / Sub]));
    }

  private:
    static fit::Affine affine_of(float d, float dmin, int scale, int min) noexcept {
        return {d * static_cast<float>(scale), -(dmin * static_cast<float>(min))};
    }
    static uint8_t code(float x, fit::Affine a) noexcept {
        return static_cast<uint8_t>(fit::nearest_int((x - a.min) * fit::inverse(a.d), 0, High));
    }

    static float choose(const float* x, float d, float dmin, fit::Affine wanted, uint8_t& scale,
                        uint8_t& min) noexcept {
        const int s0 = fit::nearest_int(wanted.d * fit::inverse(d), 0, Most);
        const int m0 = fit::nearest_int(-wanted.min * fit::inverse(dmin), 0, Most);
        float best = -1;
        for (int s = s0 - 1; s <= s0 + 1; ++s) {
            for (int m = m0 - 1; m <= m0 + 1; ++m) {
                if (s < 0 || s > Most || m < 0 || m > Most) continue;
                const float error = fit::squared_error<High>(x, Sub, affine_of(d, dmin, s, m));
                if (best >= 0 && error >= best) continue;
                best = error, scale = static_cast<uint8_t>(s), min = static_cast<uint8_t>(m);
            }
        }
        return best;
    }

    // x is about d * v - dmin * m, v = scale * q: two normal equations.
    static void solve(const float* x, float d, float dmin, const uint8_t* scale, const uint8_t* min, float& next_d,
                      float& next_dmin) noexcept {
        float vv = 0, vm = 0, mm = 0, xv = 0, xm = 0;
        for (int i = 0; i < 256; ++i) {
            const int s = scale[i / Sub], m = min[i / Sub];
            const auto v = static_cast<float>(s * code(x[i], affine_of(d, dmin, s, m))), w = static_cast<float>(m);
            vv += v * v, vm += v * w, mm += w * w, xv += x[i] * v, xm += x[i] * w;
        }
        const float determinant = vv * mm - vm * vm;
        if (determinant > 0) {
            next_d = (xv * mm - xm * vm) / determinant;
            next_dmin = (xv * vm - xm * vv) / determinant;
        } else if (vv > 0) {
            next_d = xv / vv;
        }
        if (!(next_d > 0)) next_d = d;
        if (!(next_dmin >= 0)) next_dmin = dmin;
    }
};

// 64 elements a run of 32 bytes: the first half in the low four bits.
void put_nibbles(uint8_t* p, const uint8_t* q) noexcept {
    for (int i = 0; i < 256; i += 64, p += 32) {
        for (int j = 0; j < 32; ++j) p[j] = static_cast<uint8_t>((q[i + j] & 15) | (q[i + 32 + j] & 15) << 4);
    }
}
// 128 elements a run of 32 bytes: 32 in each pair of bits.
template <class Code>
void put_pairs(uint8_t* p, Code&& code) noexcept {
    for (int i = 0; i < 256; i += 128, p += 32) {
        for (int j = 0; j < 32; ++j) {
            p[j] = static_cast<uint8_t>(code(i + j) | code(i + 32 + j) << 2 | code(i + 64 + j) << 4 |
                                        code(i + 96 + j) << 6);
        }
    }
}
// 32 bytes: 32 elements in each bit.
template <class Bit>
void put_bits(uint8_t* p, Bit&& bit) noexcept {
    for (int j = 0; j < 32; ++j) {
        int byte = 0;
        for (int b = 0; b < 8; ++b) byte |= (bit(32 * b + j) ? 1 : 0) << b;
        p[j] = static_cast<uint8_t>(byte);
    }
}

// The inverse of blocks.hpp's scales_6bit.
void put_scales_6bit(uint8_t* p, const uint8_t* scale, const uint8_t* min) noexcept {
    for (int j = 0; j < 4; ++j) {
        p[j] = static_cast<uint8_t>(scale[j] | scale[j + 4] >> 4 << 6);
        p[j + 4] = static_cast<uint8_t>(min[j] | min[j + 4] >> 4 << 6);
        p[j + 8] = static_cast<uint8_t>((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

}  // namespace

void encode_q2_k(const float* x, uint8_t* out) noexcept {
    const WithMins<3, 16, 15> b(x);
    for (int s = 0; s < 16; ++s) out[s] = static_cast<uint8_t>(b.scale[s] | b.min[s] << 4);
    put_pairs(out + 16, [&](int i) { return b.q[i]; });
    put_half(out + 80, b.d), put_half(out + 82, b.dmin);
}

void encode_q3_k(const float* x, uint8_t* out) noexcept {
    const Symmetric<-4, 3, 16, -32, 31> b(x);
    put_bits(out, [&](int i) { return b.q[i] >= 0; });
    put_pairs(out + 32, [&](int i) { return (b.q[i] + 4) & 3; });
    std::memset(out + 96, 0, 12);
    for (int s = 0; s < 16; ++s) {
        const int code = b.scale[s] + 32;
        uint8_t& low = out[96 + s % 8];
        uint8_t& high = out[104 + s % 4];
        low = static_cast<uint8_t>(low | (code & 15) << (s < 8 ? 0 : 4));
        high = static_cast<uint8_t>(high | code >> 4 << 2 * (s / 4));
    }
    put_half(out + 108, b.d);
}

void encode_q4_k(const float* x, uint8_t* out) noexcept {
    const WithMins<15, 32, 63> b(x);
    put_half(out, b.d), put_half(out + 2, b.dmin);
    put_scales_6bit(out + 4, b.scale, b.min);
    put_nibbles(out + 16, b.q);
}

void encode_q5_k(const float* x, uint8_t* out) noexcept {
    const WithMins<31, 32, 63> b(x);
    put_half(out, b.d), put_half(out + 2, b.dmin);
    put_scales_6bit(out + 4, b.scale, b.min);
    put_bits(out + 16, [&](int i) { return b.q[i] >= 16; });
    put_nibbles(out + 48, b.q);
}

void encode_q6_k(const float* x, uint8_t* out) noexcept {
    const Symmetric<-32, 31, 16, -128, 127> b(x);
    const auto code = [&](int i) { return b.q[i] + 32; };
    for (int i = 0; i < 256; i += 128) {
        for (int j = 0; j < 64; ++j)
            out[i / 2 + j] = static_cast<uint8_t>((code(i + j) & 15) | (code(i + 64 + j) & 15) << 4);
    }
    put_pairs(out + 128, [&](int i) { return code(i) >> 4; });
    for (int s = 0; s < 16; ++s) out[192 + s] = static_cast<uint8_t>(b.scale[s]);
    put_half(out + 208, b.d);
}

}  // namespace elver
