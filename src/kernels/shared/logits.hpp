// Passes over a row of logits for the sampler, block by block. Every level does the same operations in the same order,
// so that a seed draws the same token from the same logits on every machine: no fused multiply-add, sums in pairs, and
// an exponential of its own (V::exp differs by a bit between levels).
#pragma once

#include "kernels/args.hpp"

namespace elver {

template <class V>
struct LogitPasses {
    using F = typename V::F;

    // e^x for x <= 0 within 2 ULP; below -87 as at -87, which is 2^-126. Cody and Waite 1980: x = n ln 2 + r, a
    // polynomial for e^r, times 2^n.
    static inline F exp(F x) noexcept {
        const auto step = [](F p, F r, float next) { return V::add(V::mul(p, r), V::set_f(next)); };
        const F rounding = V::set_f(12582912.0f);  // 1.5 * 2^23: the sum with it has no fraction
        x = V::max(V::set_f(-87.0f), x);
        const F n = V::sub(V::add(V::mul(x, V::set_f(1.44269504f)), rounding), rounding);
        const F r = V::sub(V::sub(x, V::mul(n, V::set_f(0.693359375f))), V::mul(n, V::set_f(-2.12194440e-4f)));
        F p = step(V::set_f(1.9875691500e-4f), r, 1.3981999507e-3f);
        p = step(p, r, 8.3334519073e-3f);
        p = step(p, r, 4.1665795894e-2f);
        p = step(p, r, 1.6666665459e-1f);
        p = step(p, r, 5.0000001201e-1f);
        p = V::add(V::add(V::mul(p, V::mul(r, r)), r), V::set_f(1.0f));
        return V::times_2_to(p, n);
    }

    static inline F weight(const float* logits, float peak, float scale) noexcept {
        return exp(V::mul(V::sub(V::load_f(logits), V::set_f(peak)), V::set_f(scale)));
    }

    static bool peaks(const float* logits, size_t n_blocks, float* peaks) noexcept {
        F check = V::zero_f();
        for (size_t b = 0; b < n_blocks; ++b, logits += logit_block) {
            F peak = V::set_f(-__builtin_inff());
            for (int i = 0; i < logit_block; i += 16) {
                const F v = V::load_f(logits + i);
                peak = V::max(peak, v);
                // Minus infinity becomes a number; what is none, and plus infinity, times 0 is not a number.
                check = V::add(check, V::mul(V::max(V::set_f(-3.0e38f), v), V::zero_f()));
            }
            peaks[b] = V::max_f(peak);
        }
        return V::sum_f(check) == 0.0f;
    }

    static void weights(const float* logits, size_t n, float peak, float scale, float* weights) noexcept {
        for (size_t i = 0; i < n; i += 16) V::store_f(weights + i, weight(logits + i, peak, scale));
    }

    static void sums(const float* logits, size_t n_blocks, float peak, float scale, float* sums) noexcept {
        for (size_t b = 0; b < n_blocks; ++b, logits += logit_block) {
            F sum = V::zero_f();
            for (int i = 0; i < logit_block; i += 16) sum = V::add(sum, weight(logits + i, peak, scale));
            float lanes[16];
            V::store_f(lanes, sum);
            for (int n = 8; n > 0; n /= 2) {
                for (int l = 0; l < n; ++l) lanes[l] += lanes[l + n];
            }
            sums[b] = lanes[0];
        }
    }
};

}  // namespace elver
