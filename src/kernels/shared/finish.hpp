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

template <class V>
inline void finish(const MatmulArgs& a, int token, int row, typename V::F v) noexcept {
    using F = typename V::F;
    using A = Activation<V>;
    float* y = a.y + static_cast<size_t>(token) * a.y_stride + static_cast<size_t>(row);
    if (a.bias != nullptr) v = V::add(v, V::load_f(a.bias + row));
    switch (a.finish) {
        case Finish::store:
            break;
        case Finish::add:
            v = V::fma(v, V::set_f(a.scale), V::load_f(y));
            break;
        case Finish::silu:
            v = A::silu(v);
            break;
        case Finish::gelu:
            v = A::gelu(v);
            break;
        case Finish::gelu_tanh:
            v = A::gelu_tanh(v);
            break;
        case Finish::relu:
            v = A::relu(v);
            break;
        case Finish::relu2: {
            const F r = A::relu(v);
            v = V::mul(r, r);
            break;
        }
        case Finish::tanh:
            v = V::tanh(v);
            break;
        case Finish::sigmoid:
            v = A::sigmoid(v);
            break;
        case Finish::mul_silu:
            v = V::mul(A::silu(V::load_f(y)), v);
            break;
        case Finish::mul_gelu:
            v = V::mul(A::gelu(V::load_f(y)), v);
            break;
        case Finish::mul_gelu_tanh:
            v = V::mul(A::gelu_tanh(V::load_f(y)), v);
            break;
        case Finish::mul_relu:
            v = V::mul(A::relu(V::load_f(y)), v);
            break;
        case Finish::mul_silu_clamped:
            v = A::silu_clamped(V::load_f(y), v);
            break;
    }
    V::store_f(y, v);
}

}  // namespace elver
