// Mamba and Mamba-2. The tensors' rows: Mamba's ssm_in holds x and the gate, ssm_x dt, B and C; Mamba-2's ssm_in the
// gate, x with B and C, and dt. PLaMo-2 takes B, C and dt from x as Mamba does, in another order, and then goes on as
// Mamba-2; its ssm_in holds gate and x head by head.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

bool is_mamba2(const RecurrentSpec& r) {
    return r.kind == RecurrentKind::mamba2;
}
// Mamba-2's B, C and dt are made of x, as Mamba's are.
bool scans_from_x(const RecurrentSpec& r) {
    return is_mamba2(r) && r.dt_rank > 0;
}
// Columns that the convolution sees.
int conv_width(const RecurrentSpec& r) {
    return is_mamba2(r) && !scans_from_x(r) ? r.width + 2 * r.n_groups * r.n_state : r.width;
}
size_t conv_floats(const RecurrentSpec& r) {
    return static_cast<size_t>(r.n_taps - 1) * static_cast<size_t>(conv_width(r));
}

void add_norm(const MixerParts& m, Program& p, std::string_view role, Columns at, int width) {
    const Norm norm = m.norm(role);
    if (norm.kind != Norm::Kind::none) p.add<GroupNormPhase>(at, norm, width);
}

// Numbers that dt, a and d have: a head's, or a channel's.
int n_rates(const RecurrentSpec& r) {
    return is_mamba2(r) ? r.n_heads : r.width;
}

void plan_mamba(const ModelSpec& spec, int, WeightRequests& w) {
    const RecurrentSpec& r = spec.recurrent;
    const int64_t inner = r.width, conv = conv_width(r), rates = n_rates(r);
    w.vector("attn_norm", spec.width);
    if (is_mamba2(r) && !scans_from_x(r)) {
        const int64_t all = inner + conv + r.n_heads;
        w.matrix("ssm_in/gate", {0, inner, all}, spec.width);
        w.matrix("ssm_in/x", {inner, conv, all}, spec.width);
        w.matrix("ssm_in/dt", {inner + conv, r.n_heads, all}, spec.width);
        if (w.rows("ssm_norm") > 0) w.vector("ssm_norm", inner);
    } else {
        if (is_mamba2(r)) {
            w.matrix("ssm_in", 2 * inner, spec.width);
        } else {
            w.matrix("ssm_in/x", {0, inner, 2 * inner}, spec.width);
            w.matrix("ssm_in/gate", {inner, inner, 2 * inner}, spec.width);
        }
        w.matrix("ssm_x", r.dt_rank + 2 * r.n_state, inner);
        w.matrix("ssm_dt", rates, r.dt_rank);
        if (w.rows("ssm_dt_norm") > 0) w.vector("ssm_dt_norm", r.dt_rank);
        if (w.rows("ssm_b_norm") > 0) w.vector("ssm_b_norm", r.n_state);
        if (w.rows("ssm_c_norm") > 0) w.vector("ssm_c_norm", r.n_state);
    }
    w.vector("ssm_dt.bias", rates);
    w.vector("ssm_a.", is_mamba2(r) ? rates : inner * r.n_state);
    w.vector("ssm_d.", rates);
    w.vector("ssm_conv1d", conv * r.n_taps);
    if (w.holds("ssm_conv1d.bias")) w.vector("ssm_conv1d.bias", conv);
    w.matrix("ssm_out", spec.width, inner);
}

size_t mamba_state_floats(const ModelSpec& spec) {
    const RecurrentSpec& r = spec.recurrent;
    return conv_floats(r) + static_cast<size_t>(r.width) * static_cast<size_t>(r.n_state);
}

void add_conv(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    p.add<ConvPhase>(
        ConvPhase::Config{{m.layer, 0}, conv_width(r), r.n_taps, m.vector("ssm_conv1d"), m.vector("ssm_conv1d.bias")});
}

void build_mamba1(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    p.add<LinearPhase>("mamba in", Buffer::x, m.norm("attn_norm"),
                       std::vector{m.product("ssm_in/x", Buffer::q), m.product("ssm_in/gate", Buffer::gate)});
    add_conv(m, p);
    p.add<LinearPhase>("mamba dt, B, C", Buffer::q, Norm{}, std::vector{m.product("ssm_x", Buffer::k)});
    const int b = r.dt_rank, c = b + r.n_state;
    add_norm(m, p, "ssm_dt_norm", Buffer::k, r.dt_rank);
    add_norm(m, p, "ssm_b_norm", Columns(Buffer::k, b), r.n_state);
    add_norm(m, p, "ssm_c_norm", Columns(Buffer::k, c), r.n_state);
    LinearPhase::Product dt = m.product("ssm_dt", Buffer::v);
    dt.bias = m.vector("ssm_dt.bias");
    p.add<LinearPhase>("mamba dt", Buffer::k, Norm{}, std::vector{dt});
    p.add<MambaPhase>(MambaPhase::Config{
        {m.layer, conv_floats(r)}, r.width, r.n_state, b, c, m.vector("ssm_a."), m.vector("ssm_d.")});
}

// x -> x, B and C in q, dt in k, gate, by way of x alone.
void build_scan_from_x(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    const int dim = r.width / r.n_heads, c = r.n_state, dt = 2 * r.n_state;
    p.add<LinearPhase>("mamba in", Buffer::x, m.norm("attn_norm"), std::vector{m.product("ssm_in", Buffer::hidden)});
    p.add<CopyPhase>(
        std::vector<CopyPhase::Block>{{Buffer::hidden, 2 * dim, Buffer::gate, dim, dim, r.n_heads},
                                      {Columns(Buffer::hidden, dim), 2 * dim, Buffer::q, dim, dim, r.n_heads}});
    add_conv(m, p);
    p.add<LinearPhase>("mamba B, C, dt", Buffer::q, Norm{}, std::vector{m.product("ssm_x", Buffer::v)});
    add_norm(m, p, "ssm_b_norm", Buffer::v, r.n_state);
    add_norm(m, p, "ssm_c_norm", Columns(Buffer::v, c), r.n_state);
    add_norm(m, p, "ssm_dt_norm", Columns(Buffer::v, dt), r.dt_rank);
    p.add<LinearPhase>("mamba dt", Columns(Buffer::v, dt), Norm{}, std::vector{m.product("ssm_dt", Buffer::k)});
    p.add<CopyPhase>(std::vector<CopyPhase::Block>{{Buffer::v, 0, Columns(Buffer::q, r.width), 0, dt}});
}

void build_mamba2(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    if (scans_from_x(r)) {
        build_scan_from_x(m, p);
    } else {
        p.add<LinearPhase>("mamba in", Buffer::x, m.norm("attn_norm"),
                           std::vector{m.product("ssm_in/x", Buffer::q), m.product("ssm_in/gate", Buffer::gate),
                                       m.product("ssm_in/dt", Buffer::k)});
        add_conv(m, p);
    }
    p.add<Mamba2Phase>(Mamba2Phase::Config{{m.layer, conv_floats(r)},
                                           r.n_heads,
                                           r.width / r.n_heads,
                                           r.n_state,
                                           r.n_groups,
                                           m.vector("ssm_a."),
                                           m.vector("ssm_d."),
                                           m.vector("ssm_dt.bias")});
    if (m.planned.has("ssm_norm"))
        p.add<GroupNormPhase>(Buffer::attn, m.norm("ssm_norm"), r.width / r.n_groups, r.n_groups);
}

void build_mamba(const MixerParts& m, Program& p) {
    (is_mamba2(m.spec.recurrent) ? build_mamba2 : build_mamba1)(m, p);
    p.add<LinearPhase>("mamba out", Buffer::attn, Norm{}, std::vector{m.result("ssm_out")});
}

}  // namespace

constexpr Mixer mamba_mixer = {plan_mamba, mamba_state_floats, build_mamba};

}  // namespace elver
