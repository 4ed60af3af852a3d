// The gated delta net of Qwen3-Next: attn_qkv's rows hold q, k and v, attn_gate the gate. The rates of beta and alpha
// stand in a tensor each, or in one, key head by key head.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

int conv_width(const RecurrentSpec& r) {
    return r.width + 2 * r.n_groups * r.n_state;
}
size_t conv_floats(const RecurrentSpec& r) {
    return static_cast<size_t>(r.n_taps - 1) * static_cast<size_t>(conv_width(r));
}

void plan_delta_net(const ModelSpec& spec, int, WeightRequests& w) {
    const RecurrentSpec& r = spec.recurrent;
    w.vector("attn_norm", spec.width);
    w.matrix("attn_qkv", conv_width(r), spec.width);
    w.matrix("attn_gate", r.width, spec.width);
    if (w.rows("ssm_ba") > 0) {
        w.matrix("ssm_ba", 2 * r.n_heads, spec.width);
    } else {
        w.matrix("ssm_beta", r.n_heads, spec.width);
        w.matrix("ssm_alpha", r.n_heads, spec.width);
    }
    w.vector("ssm_dt.bias", r.n_heads);
    w.vector("ssm_a.", r.n_heads);
    w.vector("ssm_conv1d", int64_t{conv_width(r)} * r.n_taps);
    w.vector("ssm_norm", r.width / r.n_heads);
    w.matrix("ssm_out", spec.width, r.width);
}

size_t delta_net_state_floats(const ModelSpec& spec) {
    const RecurrentSpec& r = spec.recurrent;
    return conv_floats(r) + static_cast<size_t>(r.width) * static_cast<size_t>(r.n_state);
}

void build_delta_net(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    const bool together = m.planned.has("ssm_ba");
    DeltaNetPhase::Config c;
    c.state = {m.layer, conv_floats(r)};
    c.n_heads = r.n_heads, c.n_k_heads = r.n_groups, c.k_dim = r.n_state, c.v_dim = r.width / r.n_heads;
    c.keys_in_turn = r.keys_in_turn;
    const int per_key = r.n_heads / r.n_groups;
    c.rates_stride = together ? 2 * per_key : per_key;
    c.alpha_column = together ? per_key : static_cast<int>(padded_row(r.n_heads));
    c.eps = static_cast<float>(m.spec.norm_eps);
    c.norm = m.norm("ssm_norm");
    c.a = m.vector("ssm_a."), c.dt_bias = m.vector("ssm_dt.bias");
    std::vector<LinearPhase::Product> in = {m.product("attn_qkv", Buffer::q), m.product("attn_gate", Buffer::gate),
                                            m.product(together ? "ssm_ba" : "ssm_beta", Buffer::k)};
    if (!together) in.push_back(m.product("ssm_alpha", Buffer::k, c.alpha_column));
    p.add<LinearPhase>("delta net in", Buffer::x, m.norm("attn_norm"), std::move(in));
    p.add<ConvPhase>(ConvPhase::Config{{m.layer, 0}, conv_width(r), r.n_taps, m.vector("ssm_conv1d"), nullptr});
    p.add<DeltaNetPhase>(c);
    p.add<LinearPhase>("delta net out", Buffer::attn, Norm{}, std::vector{m.result("ssm_out")});
}

}  // namespace

constexpr Mixer delta_net_mixer = {plan_delta_net, delta_net_state_floats, build_delta_net};

}  // namespace elver
