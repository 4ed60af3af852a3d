// What the two RWKV mixers share.
#pragma once

#include "cpu/step.hpp"

namespace elver::cpu {

// y = (x - mean) / sqrt(variance + eps) * weight + bias over each head by itself.
inline NormWeights rwkv_head_norm(const Step& step, const graph::Rwkv& op) noexcept {
    constexpr float eps = 64e-5f;  // fixed by the reference implementation
    return {graph::Norm::Kind::layer, eps, step.vector(op.norm_weight), step.vector(op.norm_bias)};
}

}  // namespace elver::cpu
