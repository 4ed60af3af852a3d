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

void add_norm(const MixerParts& m, std::string_view role, graph::View at, int width) {
    const graph::Norm norm = m.norm(role);
    if (norm.kind != graph::Norm::Kind::none) m.p.add(graph::Normalise{at, at, norm, width, 1});
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

void add_conv(const MixerParts& m, graph::BufferId x) {
    const RecurrentSpec& r = m.spec.recurrent;
    m.p.add(graph::Conv{m.state(0), x, conv_width(r), r.n_taps, m.at("ssm_conv1d"), m.at("ssm_conv1d.bias")});
}

graph::BufferId build_mamba1(const MixerParts& m) {
    const RecurrentSpec& r = m.spec.recurrent;
    graph::Mamba op;
    op.state = m.state(conv_floats(r));
    op.width = r.width, op.n_state = r.n_state;
    op.a = m.at("ssm_a."), op.d = m.at("ssm_d.");
    op.x = m.p.add_buffer("x of the scan", r.width), op.gate = m.p.add_buffer("gates", r.width);
    op.dt = m.p.add_buffer("dt", r.width), op.out = m.p.add_buffer("mamba", r.width);
    const graph::BufferId scan = m.p.add_buffer("short dt, B and C", r.dt_rank + 2 * r.n_state);
    op.b = graph::View(scan, r.dt_rank), op.c = graph::View(scan, r.dt_rank + r.n_state);
    m.linear("mamba in", m.p.x, m.norm("attn_norm"), {m.product("ssm_in/x", op.x), m.product("ssm_in/gate", op.gate)});
    add_conv(m, op.x);
    m.linear("mamba dt, B, C", op.x, {}, {m.product("ssm_x", scan)});
    add_norm(m, "ssm_dt_norm", scan, r.dt_rank);
    add_norm(m, "ssm_b_norm", op.b, r.n_state);
    add_norm(m, "ssm_c_norm", op.c, r.n_state);
    graph::Product dt = m.product("ssm_dt", op.dt);
    dt.bias = m.at("ssm_dt.bias");
    m.linear("mamba dt", scan, {}, {dt});
    m.p.add(op);
    return op.out;
}

// Makes x with B and C behind it, dt and the gate of x alone.
void build_scan_from_x(const MixerParts& m, const graph::Mamba2& op) {
    const RecurrentSpec& r = m.spec.recurrent;
    const int dim = r.width / r.n_heads, c = r.n_state, dt = 2 * r.n_state;
    const graph::BufferId both = m.p.add_buffer("gates and x", 2 * r.width),
                          scan = m.p.add_buffer("B, C and short dt", 2 * r.n_state + r.dt_rank);
    m.linear("mamba in", m.p.x, m.norm("attn_norm"), {m.product("ssm_in", both)});
    m.p.add(graph::Copy{
        {{both, 2 * dim, op.gate, dim, dim, r.n_heads}, {graph::View(both, dim), 2 * dim, op.x, dim, dim, r.n_heads}}});
    add_conv(m, op.x);
    m.linear("mamba B, C, dt", op.x, {}, {m.product("ssm_x", scan)});
    add_norm(m, "ssm_b_norm", scan, r.n_state);
    add_norm(m, "ssm_c_norm", graph::View(scan, c), r.n_state);
    add_norm(m, "ssm_dt_norm", graph::View(scan, dt), r.dt_rank);
    m.linear("mamba dt", graph::View(scan, dt), {}, {m.product("ssm_dt", op.dt)});
    m.p.add(graph::Copy{{{scan, 0, graph::View(op.x, r.width), 0, dt}}});
}

graph::BufferId build_mamba2(const MixerParts& m) {
    const RecurrentSpec& r = m.spec.recurrent;
    graph::Mamba2 op;
    op.state = m.state(conv_floats(r));
    op.n_heads = r.n_heads, op.head_dim = r.width / r.n_heads, op.n_state = r.n_state, op.n_groups = r.n_groups;
    op.a = m.at("ssm_a."), op.d = m.at("ssm_d."), op.dt_bias = m.at("ssm_dt.bias");
    op.x = m.p.add_buffer("x, B and C of the scan", r.width + 2 * r.n_groups * r.n_state);
    op.dt = m.p.add_buffer("dt", r.n_heads), op.gate = m.p.add_buffer("gates", r.width);
    op.out = m.p.add_buffer("mamba2", r.width);
    if (scans_from_x(r)) {
        build_scan_from_x(m, op);
    } else {
        m.linear("mamba in", m.p.x, m.norm("attn_norm"),
                 {m.product("ssm_in/x", op.x), m.product("ssm_in/gate", op.gate), m.product("ssm_in/dt", op.dt)});
        add_conv(m, op.x);
    }
    m.p.add(op);
    if (m.planned.has("ssm_norm"))
        m.p.add(graph::Normalise{op.out, op.out, m.norm("ssm_norm"), r.width / r.n_groups, r.n_groups});
    return op.out;
}

void build_mamba(const MixerParts& m) {
    const graph::BufferId out = is_mamba2(m.spec.recurrent) ? build_mamba2(m) : build_mamba1(m);
    m.result("mamba out", out, "ssm_out");
}

}  // namespace

constexpr Mixer mamba_mixer = {plan_mamba, mamba_state_floats, build_mamba};

}  // namespace elver
