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

void build_short_conv(const MixerParts& m) {
    const RecurrentSpec& r = m.spec.recurrent;
    graph::ShortConv op;
    op.state = m.state(0);
    op.width = r.width, op.n_taps = r.n_taps;
    op.taps = m.at("shortconv_conv");
    op.b = m.p.add_buffer("B of the convolution", r.width), op.x = m.p.add_buffer("x of the convolution", r.width);
    op.c = m.p.add_buffer("C of the convolution", r.width), op.out = m.p.add_buffer("convolution", r.width);
    m.linear("short convolution in", m.p.x, m.norm("attn_norm"),
             {m.product("shortconv_in/b", op.b), m.product("shortconv_in/x", op.x), m.product("shortconv_in/c", op.c)});
    m.p.add(op);
    m.result("short convolution out", op.out, "shortconv_out");
}

}  // namespace

constexpr Mixer short_conv_mixer = {plan_short_conv, short_conv_state_floats, build_short_conv};

}  // namespace elver
