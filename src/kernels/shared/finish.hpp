// What happens to a product where it lands: bias, then store, residual add or activation. y is [tokens][rows], 16 rows
// at a time.
#pragma once

#include "kernels/args.hpp"

namespace elver {

template <class V>
struct Activation {
    using F = typename V::F;

    static inline F silu(F x) noexcept { return V::div(x, V::add(V::set_f(1.0f), V::exp(V::neg(x)))); }
    static inline F gelu(F x) noexcept {
        return V::mul(V::mul(V::set_f(0.5f), x),
                      V::add(V::set_f(1.0f), V::erf(V::mul(x, V::set_f(0.70710678118654752440f)))));
    }
    static inline F gelu_tanh(F x) noexcept {
        const F cube = V::mul(V::mul(x, x), x);
        const F inner = V::mul(V::set_f(0.79788456080286535588f), V::fma(V::set_f(0.044715f), cube, x));
        return V::mul(V::mul(V::set_f(0.5f), x), V::add(V::set_f(1.0f), V::tanh(inner)));
    }
    static inline F sigmoid(F x) noexcept { return V::div(V::set_f(1.0f), V::add(V::set_f(1.0f), V::exp(V::neg(x)))); }
    static inline F silu_clamped(F gate, F up) noexcept {
        const F limit = V::set_f(7.0f), g = V::min(gate, limit), u = V::max(V::min(up, limit), V::neg(limit));
        return V::mul(V::mul(g, sigmoid(V::mul(V::set_f(1.702f), g))), V::add(u, V::set_f(1.0f)));
    }
    static inline F relu(F x) noexcept { return V::max(x, V::zero_f()); }
};

// body.operator()<f>() for a finish f known only now.
template <class Body>
inline void with_finish(Finish f, Body&& body) noexcept {
    switch (f) {
#define ELVER_FINISH(name) \
    case Finish::name:     \
        return body.template operator()<Finish::name>();
        ELVER_FINISH(store)
        ELVER_FINISH(add)
        ELVER_FINISH(silu)
        ELVER_FINISH(gelu)
        ELVER_FINISH(gelu_tanh)
        ELVER_FINISH(relu)
        ELVER_FINISH(relu2)
        ELVER_FINISH(tanh)
        ELVER_FINISH(sigmoid)
        ELVER_FINISH(mul_silu)
        ELVER_FINISH(mul_gelu)
        ELVER_FINISH(mul_gelu_tanh)
        ELVER_FINISH(mul_relu)
        ELVER_FINISH(mul_silu_clamped)
#undef ELVER_FINISH
    }
}

template <class V, Finish f>
[[gnu::always_inline]] inline void finish_as(const MatmulArgs& a, float* y, int row, typename V::F v) noexcept {
    using A = Activation<V>;
    if (a.bias != nullptr) v = V::add(v, V::load_f(a.bias + row));
    if constexpr (f == Finish::add)
        v = V::fma(v, V::set_f(a.scale), V::load_f(y));
    else if constexpr (f == Finish::silu)
        v = A::silu(v);
    else if constexpr (f == Finish::gelu)
        v = A::gelu(v);
    else if constexpr (f == Finish::gelu_tanh)
        v = A::gelu_tanh(v);
    else if constexpr (f == Finish::relu)
        v = A::relu(v);
    else if constexpr (f == Finish::relu2)
        v = V::mul(A::relu(v), A::relu(v));
    else if constexpr (f == Finish::tanh)
        v = V::tanh(v);
    else if constexpr (f == Finish::sigmoid)
        v = A::sigmoid(v);
    else if constexpr (f == Finish::mul_silu)
        v = V::mul(A::silu(V::load_f(y)), v);
    else if constexpr (f == Finish::mul_gelu)
        v = V::mul(A::gelu(V::load_f(y)), v);
    else if constexpr (f == Finish::mul_gelu_tanh)
        v = V::mul(A::gelu_tanh(V::load_f(y)), v);
    else if constexpr (f == Finish::mul_relu)
        v = V::mul(A::relu(V::load_f(y)), v);
    else if constexpr (f == Finish::mul_silu_clamped)
        v = A::silu_clamped(V::load_f(y), v);
    V::store_f(y, v);
}

template <class V>
[[gnu::noinline]] void finish(const MatmulArgs& a, int token, int row, typename V::F v) noexcept {
    float* y = a.y + static_cast<size_t>(token) * a.y_stride + static_cast<size_t>(row);
    with_finish(a.finish, [&]<Finish f>() { finish_as<V, f>(a, y, row, v); });
}

// All tokens' products with n_groups (1 or 2) groups of rows; sums: [n * parts][32].
template <class V>
[[gnu::noinline]] void finish_panel(const MatmulArgs& a, int group, int n_groups, const float* sums) noexcept {
    with_finish(a.finish, [&]<Finish f>() {
        float* y = a.y + static_cast<size_t>(group) * 16;
        for (int i = 0; i < a.n; ++i, y += a.y_stride, sums += 32 * a.parts) {
            // Rows of y lie far apart, where no hardware looks ahead. Past the last it prefetches nothing of use.
            V::prefetch(reinterpret_cast<const uint8_t*>(y + 8 * a.y_stride), 128);
            for (int g = 0; g < n_groups; ++g) {
                const typename V::F v = V::load_f(sums + 16 * g);
                finish_as<V, f>(a, y + 16 * g, (group + g) * 16,
                                a.parts == 2 ? V::add(v, V::load_f(sums + 32 + 16 * g)) : v);
            }
        }
    });
}

}  // namespace elver
