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

void build_delta_net(const MixerParts& m) {
    const RecurrentSpec& r = m.spec.recurrent;
    const bool together = m.planned.has("ssm_ba");
    const int per_key = r.n_heads / r.n_groups;
    graph::DeltaNet op;
    op.state = m.state(conv_floats(r));
    op.n_heads = r.n_heads, op.n_k_heads = r.n_groups, op.k_dim = r.n_state, op.v_dim = r.width / r.n_heads;
    op.interleaved_keys = r.interleaved_keys;
    op.rates_stride = together ? 2 * per_key : per_key;
    op.alpha_column = together ? per_key : static_cast<int>(graph::padded_row(r.n_heads));
    op.eps = static_cast<float>(m.spec.norm_eps);
    op.norm = m.norm("ssm_norm");
    op.a = m.at("ssm_a."), op.dt_bias = m.at("ssm_dt.bias");
    op.qkv = m.p.add_buffer("queries, keys and values", conv_width(r));
    op.gate = m.p.add_buffer("gates", r.width);
    op.rates = m.p.add_buffer("rates beta and alpha", together ? 2 * r.n_heads : op.alpha_column + r.n_heads);
    op.out = m.p.add_buffer("delta net", r.width);
    std::vector<graph::Product> in = {m.product("attn_qkv", op.qkv), m.product("attn_gate", op.gate),
                                      m.product(together ? "ssm_ba" : "ssm_beta", op.rates)};
    if (!together) in.push_back(m.product("ssm_alpha", graph::View(op.rates, op.alpha_column)));
    m.linear("delta net in", m.p.x, m.norm("attn_norm"), std::move(in));
    m.p.add(graph::Conv{m.state(0), op.qkv, conv_width(r), r.n_taps, m.at("ssm_conv1d"), {}});
    m.p.add(op);
    m.result("delta net out", op.out, "ssm_out");
}

}  // namespace

constexpr Mixer delta_net_mixer = {plan_delta_net, delta_net_state_floats, build_delta_net};

}  // namespace elver
