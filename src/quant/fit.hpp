// Least-squares fits that the encoders share: a scale for symmetric codes, a scale and a min for codes from 0. Each
// tries some tens of starting scales, since the error has many local minima, and for each solves for the best real
// numbers given the codes.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/half.hpp"

namespace elver::fit {

// As it will stand in a block: f16, of the largest size where it would be infinite.
inline float as_f16(float x) noexcept {
    const float limited = x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
    return f16_to_f32(f32_to_f16(limited));
}

inline float inverse(float x) noexcept {
    const float inverse = x == 0.0f ? 0.0f : 1.0f / x;
    return std::isfinite(inverse) ? inverse : 0.0f;
}

inline int nearest_int(float x, int low, int high) noexcept {  // what is no number is low
    const float limited = x > static_cast<float>(low) ? (x < static_cast<float>(high) ? x : static_cast<float>(high))
                                                      : static_cast<float>(low);
    return static_cast<int>(limited + (limited < 0.0f ? -0.5f : 0.5f));
}

// Codes that are integers from Low to High.
template <int Low, int High>
struct Integers {
    static constexpr float low = Low, high = High, step = 1.0f;
    static int code(float x) noexcept { return nearest_int(x, Low, High); }
    static float value(int code) noexcept { return static_cast<float>(code); }
};

inline float largest(const float* x, size_t n) noexcept {  // in size, with its sign
    float out = 0.0f;
    for (size_t i = 0; i < n; ++i) {
        if (std::fabs(x[i]) > std::fabs(out)) out = x[i];
    }
    return out;
}

// The scale d for which d * value(code) is nearest to x.
template <class Levels>
float scale(const float* x, size_t n) noexcept {
    const float extreme = largest(x, n);
    if (inverse(extreme) == 0.0f) return 0.0f;
    float best = 0.0f, best_gain = 0.0f;
    for (const float end : {Levels::low, Levels::high}) {
        // The largest value need not fall on the last level: a little beyond or before it may fit the others better.
        for (int i = -12; i <= 12; ++i) {
            const float id = (end + 0.1f * static_cast<float>(i) * Levels::step) / extreme;
            float sum_xq = 0.0f, sum_qq = 0.0f;
            for (size_t j = 0; j < n; ++j) {
                const float q = Levels::value(Levels::code(x[j] * id));
                sum_xq += x[j] * q;
                sum_qq += q * q;
            }
            // The squared error of the best d is sum(x * x) - sum_xq^2 / sum_qq.
            if (sum_qq > 0.0f && sum_xq * sum_xq > best_gain * sum_qq) {
                best_gain = sum_xq * sum_xq / sum_qq;
                best = sum_xq / sum_qq;
            }
        }
    }
    return best;
}

template <class Levels>
float squared_error(const float* x, size_t n, float d) noexcept {
    const float id = inverse(d);
    float error = 0.0f;
    for (size_t i = 0; i < n; ++i) {
        const float miss = x[i] - d * Levels::value(Levels::code(x[i] * id));
        error += miss * miss;
    }
    return error;
}

struct Affine {
    float d = 0, min = 0;  // x is about d * q + min, q from 0 to High
};

template <int High>
float squared_error(const float* x, size_t n, Affine a) noexcept {
    const float id = inverse(a.d);
    float error = 0.0f;
    for (size_t i = 0; i < n; ++i) {
        const float q = static_cast<float>(nearest_int((x[i] - a.min) * id, 0, High));
        const float miss = x[i] - (a.d * q + a.min);
        error += miss * miss;
    }
    return error;
}

// round: what becomes of d and min in the block; error is measured behind it. only_down: min is not above 0.
template <int High, class Round>
Affine affine(const float* x, size_t n, bool only_down, Round round) noexcept {
    float low = x[0], high = x[0], sum_x = 0.0f;
    for (size_t i = 0; i < n; ++i) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum_x += x[i];
    }
    if (only_down && low > 0.0f) low = 0.0f;
    Affine best = round(Affine{(high - low) / High, low});
    float best_error = squared_error<High>(x, n, best);
    if (inverse(high - low) == 0.0f) return best;
    const auto count = static_cast<float>(n);
    // The best real numbers for the codes that (x - from) * id gives: two normal equations.
    const auto consider = [&](float from, float id) {
        float sum_q = 0.0f, sum_qq = 0.0f, sum_xq = 0.0f;
        for (size_t j = 0; j < n; ++j) {
            const float q = static_cast<float>(nearest_int((x[j] - from) * id, 0, High));
            sum_q += q;
            sum_qq += q * q;
            sum_xq += x[j] * q;
        }
        const float determinant = count * sum_qq - sum_q * sum_q;
        if (!(determinant > 0.0f)) return;
        Affine a{(count * sum_xq - sum_x * sum_q) / determinant, (sum_qq * sum_x - sum_q * sum_xq) / determinant};
        if (only_down && a.min > 0.0f) a = {sum_xq / sum_qq, 0.0f};
        a = round(a);
        if (!(a.d > 0.0f) || !std::isfinite(a.d) || !std::isfinite(a.min)) return;
        const float error = squared_error<High>(x, n, a);
        if (error < best_error) best = a, best_error = error;
    };
    for (int i = -14; i <= 10; ++i)
        consider(low, (static_cast<float>(High) + 0.1f * static_cast<float>(i)) / (high - low));
    for (int turn = 0; turn < 2; ++turn) consider(best.min, inverse(best.d));
    return best;
}

}  // namespace elver::fit
