// Mamba and Mamba-2. The tensors' rows: Mamba's ssm_in holds x and the gate, ssm_x dt, B and C; Mamba-2's ssm_in the
// gate, x with B and C, and dt.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

bool is_mamba2(const RecurrentSpec& r) {
    return r.kind == RecurrentKind::mamba2;
}
// Columns that the convolution sees.
int conv_width(const RecurrentSpec& r) {
    return is_mamba2(r) ? r.width + 2 * r.n_groups * r.n_state : r.width;
}
size_t conv_floats(const RecurrentSpec& r) {
    return static_cast<size_t>(r.n_taps - 1) * static_cast<size_t>(conv_width(r));
}

void add_norm(const MixerParts& m, Program& p, std::string_view role, int column, int width) {
    const Norm norm = m.norm(role);
    if (norm.kind != Norm::Kind::none) p.add<GroupNormPhase>(Columns{Buffer::k, column}, norm, width);
}

void plan_mamba(const ModelSpec& spec, int, WeightRequests& w) {
    const RecurrentSpec& r = spec.recurrent;
    const int64_t inner = r.width, conv = conv_width(r), rank = r.dt_rank;
    w.vector("attn_norm", spec.width);
    if (is_mamba2(r)) {
        const int64_t all = inner + conv + r.n_heads;
        w.matrix("ssm_in/gate", {0, inner, all}, spec.width);
        w.matrix("ssm_in/x", {inner, conv, all}, spec.width);
        w.matrix("ssm_in/dt", {inner + conv, r.n_heads, all}, spec.width);
        w.vector("ssm_dt.bias", r.n_heads);
        w.vector("ssm_a.", r.n_heads);
        w.vector("ssm_d.", r.n_heads);
        if (w.rows("ssm_norm") > 0) w.vector("ssm_norm", inner);
    } else {
        w.matrix("ssm_in/x", {0, inner, 2 * inner}, spec.width);
        w.matrix("ssm_in/gate", {inner, inner, 2 * inner}, spec.width);
        w.matrix("ssm_x", rank + 2 * r.n_state, inner);
        w.matrix("ssm_dt", inner, rank);
        w.vector("ssm_dt.bias", inner);
        w.vector("ssm_a.", inner * r.n_state);
        w.vector("ssm_d.", inner);
        if (w.rows("ssm_dt_norm") > 0) w.vector("ssm_dt_norm", rank);
        if (w.rows("ssm_b_norm") > 0) w.vector("ssm_b_norm", r.n_state);
        if (w.rows("ssm_c_norm") > 0) w.vector("ssm_c_norm", r.n_state);
    }
    w.vector("ssm_conv1d", conv * r.n_taps);
    w.vector("ssm_conv1d.bias", conv);
    w.matrix("ssm_out", spec.width, inner);
}

size_t mamba_state_floats(const ModelSpec& spec) {
    const RecurrentSpec& r = spec.recurrent;
    return conv_floats(r) + static_cast<size_t>(r.width) * static_cast<size_t>(r.n_state);
}

void build_mamba(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    std::vector<LinearPhase::Product> in = {m.product("ssm_in/x", Buffer::q), m.product("ssm_in/gate", Buffer::gate)};
    if (is_mamba2(r)) in.push_back(m.product("ssm_in/dt", Buffer::k));
    p.add<LinearPhase>("mamba in", Buffer::x, m.norm("attn_norm"), std::move(in));
    p.add<ConvPhase>(
        ConvPhase::Config{{m.layer, 0}, conv_width(r), r.n_taps, m.vector("ssm_conv1d"), m.vector("ssm_conv1d.bias")});
    const StatePart state{m.layer, conv_floats(r)};
    if (is_mamba2(r)) {
        p.add<Mamba2Phase>(Mamba2Phase::Config{state, r.n_heads, r.width / r.n_heads, r.n_state, r.n_groups,
                                               m.vector("ssm_a."), m.vector("ssm_d."), m.vector("ssm_dt.bias")});
        if (m.planned.has("ssm_norm"))
            p.add<GroupNormPhase>(Buffer::attn, m.norm("ssm_norm"), r.width / r.n_groups, r.n_groups);
    } else {
        p.add<LinearPhase>("mamba dt, B, C", Buffer::q, Norm{}, std::vector{m.product("ssm_x", Buffer::k)});
        const int b = r.dt_rank, c = b + r.n_state;
        add_norm(m, p, "ssm_dt_norm", 0, r.dt_rank);
        add_norm(m, p, "ssm_b_norm", b, r.n_state);
        add_norm(m, p, "ssm_c_norm", c, r.n_state);
        LinearPhase::Product dt = m.product("ssm_dt", Buffer::v);
        dt.bias = m.vector("ssm_dt.bias");
        p.add<LinearPhase>("mamba dt", Buffer::k, Norm{}, std::vector{dt});
        p.add<MambaPhase>(MambaPhase::Config{state, r.width, r.n_state, b, c, m.vector("ssm_a."), m.vector("ssm_d.")});
    }
    p.add<LinearPhase>("mamba out", Buffer::attn, Norm{}, std::vector{m.result("ssm_out")});
}

}  // namespace

constexpr Mixer mamba_mixer = {plan_mamba, mamba_state_floats, build_mamba};

}  // namespace elver
