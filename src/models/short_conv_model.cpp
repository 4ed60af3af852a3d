// The gated short convolution of LFM2: in_proj's rows hold B, C and x; out_proj of C times the convolution of B x.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

void plan_short_conv(const ModelSpec& spec, int, WeightRequests& w) {
    const int64_t width = spec.recurrent.width;
    w.vector("attn_norm", spec.width);
    w.matrix("shortconv_in/b", {0, width, 3 * width}, spec.width);
    w.matrix("shortconv_in/c", {width, width, 3 * width}, spec.width);
    w.matrix("shortconv_in/x", {2 * width, width, 3 * width}, spec.width);
    w.vector("shortconv_conv", width * spec.recurrent.n_taps);
    w.matrix("shortconv_out", spec.width, width);
}

size_t short_conv_state_floats(const ModelSpec& spec) {
    return static_cast<size_t>(spec.recurrent.n_taps - 1) * static_cast<size_t>(spec.recurrent.width);
}

void build_short_conv(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    p.add<LinearPhase>("short convolution in", Buffer::x, m.norm("attn_norm"),
                       std::vector{m.product("shortconv_in/b", Buffer::q), m.product("shortconv_in/x", Buffer::k),
                                   m.product("shortconv_in/c", Buffer::gate)});
    p.add<ShortConvPhase>(ShortConvPhase::Config{{m.layer, 0}, r.width, r.n_taps, m.vector("shortconv_conv")});
    p.add<LinearPhase>("short convolution out", Buffer::attn, Norm{}, std::vector{m.result("shortconv_out")});
}

}  // namespace

constexpr Mixer short_conv_mixer = {plan_short_conv, short_conv_state_floats, build_short_conv};

const Mixer& mixer_parts(RecurrentKind kind) noexcept {
    switch (kind) {
        case RecurrentKind::mamba:
        case RecurrentKind::mamba2:
            return mamba_mixer;
        case RecurrentKind::rwkv6:
        case RecurrentKind::rwkv7:
            return rwkv_mixer;
        case RecurrentKind::delta_net:
            return delta_net_mixer;
        case RecurrentKind::short_conv:
            break;
    }
    return short_conv_mixer;
}

}  // namespace elver
