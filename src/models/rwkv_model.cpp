// RWKV-6 and RWKV-7: a time mix, which is the recurrent mixer, and a channel mix, an FFN over rows mixed with the rows
// before them.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

bool is_rwkv7(const ModelSpec& s) {
    return s.recurrent.kind == RecurrentKind::rwkv7;
}

// The order of a file's fused mixes, and of the streams in Buffer::hidden.
enum Mix6 : int { w6, k6, v6, r6, g6, n_mixes6 };
enum Mix7 : int { r7, w7, k7, v7, a7, g7, n_mixes7 };

constexpr const char* low_rank7[] = {"w", "a", "g", "v"};

std::string time(std::string_view part) {
    return "time_mix_" + std::string(part);
}

void plan_rwkv(const ModelSpec& spec, int layer, WeightRequests& w) {
    const RecurrentSpec& r = spec.recurrent;
    const int64_t width = spec.width, ffn = r.ffn_width;
    for (const char* norm : {"attn_norm", "attn_norm_2", "time_mix_ln"}) {
        w.vector(norm, width);
        w.vector(std::string(norm) + ".bias", width);
    }
    for (const char* part : {"receptance", "key", "value", "output"}) w.matrix(time(part), width, width);
    const int64_t n_mixes = is_rwkv7(spec) ? int64_t{n_mixes7} : int64_t{n_mixes6};
    for (int64_t i = 0; i < n_mixes; ++i)
        w.vector("time_mix_lerp_fused/" + std::to_string(i), {i * width, width, n_mixes * width});
    if (is_rwkv7(spec)) {
        for (const char* part : low_rank7) {
            const std::string name = time(part);
            if (layer == 0 && *part == 'v') {  // there is no value before the first to mix in
                for (const char* end : {"0", "1", "2"}) w.ignore(name + end);
                continue;
            }
            const int64_t rank = w.rows(name + "1");
            w.matrix(name + "1", rank, width);
            w.matrix(name + "2", width, rank);
            if (*part != 'g') w.vector(name + "0", width);
        }
        for (const char* part : {"k_k", "k_a", "r_k"}) w.vector(time(part), width);
    } else {
        w.matrix("time_mix_gate", width, width);
        const int64_t rank = w.rows("time_mix_w1") / n_mixes, decay_rank = w.rows("time_mix_decay_w1");
        w.matrix("time_mix_w1", n_mixes * rank, width);
        for (int64_t i = 0; i < n_mixes; ++i)
            w.matrix("time_mix_w2/" + std::to_string(i), {i * width, width, n_mixes * width}, rank);
        w.vector("time_mix_lerp_x", width);
        w.vector("time_mix_first", width);
        w.vector("time_mix_decay", width);
        w.matrix("time_mix_decay_w1", decay_rank, width);
        w.matrix("time_mix_decay_w2", width, decay_rank);
        w.vector("channel_mix_lerp_r", width);
        w.matrix("channel_mix_receptance", width, width);
    }
    w.vector("channel_mix_lerp_k", width);
    w.matrix("channel_mix_key", ffn, width);
    w.matrix("channel_mix_value", width, ffn);
}

// The last row of each mix, and the state of each head.
size_t rwkv_state_floats(const ModelSpec& spec) {
    const auto width = static_cast<size_t>(spec.width);
    return 2 * width + width * static_cast<size_t>(spec.width / spec.recurrent.n_heads);
}

// hidden[stream] -> out[column] through one matrix.
void add_product(const MixerParts& m, Program& p, const std::string& what, int stream, Buffer out, int column,
                 Finish finish = Finish::store) {
    const int stride = static_cast<int>(padded_row(m.spec.width));
    p.add<LinearPhase>(what, Columns{Buffer::hidden, stream * stride}, Norm{},
                       std::vector{m.product(what, out, column * stride, finish)});
}

// hidden[stream] -> router -> out[column] through two matrices with few columns between.
void add_low_rank(const MixerParts& m, Program& p, const std::string& first, const std::string& second, int stream,
                  Finish between, const float* bias, int column, Finish finish) {
    const int stride = static_cast<int>(padded_row(m.spec.width));
    add_product(m, p, first, stream, Buffer::router, 0, between);
    LinearPhase::Product product = m.product(second, Buffer::q, column * stride, finish);
    product.bias = bias;
    p.add<LinearPhase>(second, Buffer::router, Norm{}, std::vector{product});
}

void build_time_mix_6(const MixerParts& m, RwkvConfig c, Program& p) {
    const int width = m.spec.width, stride = static_cast<int>(padded_row(width));
    p.add<ShiftPhase>(ShiftPhase::Config{
        {m.layer, 0}, m.norm("attn_norm"), width, {m.vector("time_mix_lerp_x")}, Buffer::hidden, true});
    add_product(m, p, "time_mix_w1", 0, Buffer::router, 0, Finish::tanh);
    for (int i = 0; i < n_mixes6; ++i) {
        const std::string number = std::to_string(i);
        LinearPhase::Product mix = m.product("time_mix_w2/" + number, Buffer::hidden, i * stride);
        mix.bias = m.vector("time_mix_lerp_fused/" + number);
        p.add<LinearPhase>("mix", Columns{Buffer::router, i * mix.matrix.k}, Norm{}, std::vector{mix});
    }
    p.add<MixPhase>(width, static_cast<int>(n_mixes6));
    add_product(m, p, "time_mix_receptance", r6, Buffer::q, 0);
    add_product(m, p, "time_mix_key", k6, Buffer::q, 1);
    add_product(m, p, "time_mix_value", v6, Buffer::q, 2);
    add_product(m, p, "time_mix_gate", g6, Buffer::q, 3, Finish::silu);
    add_low_rank(m, p, "time_mix_decay_w1", "time_mix_decay_w2", w6, Finish::tanh, m.vector("time_mix_decay"), 4,
                 Finish::store);
    c.first = m.vector("time_mix_first");
    p.add<Rwkv6Phase>(c);
}

void build_time_mix_7(const MixerParts& m, RwkvConfig c, Program& p) {
    std::vector<const float*> lerps;
    for (int i = 0; i < n_mixes7; ++i) lerps.push_back(m.vector("time_mix_lerp_fused/" + std::to_string(i)));
    p.add<ShiftPhase>(
        ShiftPhase::Config{{m.layer, 0}, m.norm("attn_norm"), m.spec.width, std::move(lerps), Buffer::hidden, false});
    add_product(m, p, "time_mix_receptance", r7, Buffer::q, 0);
    add_product(m, p, "time_mix_key", k7, Buffer::q, 1);
    add_product(m, p, "time_mix_value", v7, Buffer::q, 2);
    add_low_rank(m, p, "time_mix_w1", "time_mix_w2", w7, Finish::tanh, m.vector("time_mix_w0"), 3, Finish::sigmoid);
    add_low_rank(m, p, "time_mix_a1", "time_mix_a2", a7, Finish::store, m.vector("time_mix_a0"), 4, Finish::sigmoid);
    add_low_rank(m, p, "time_mix_g1", "time_mix_g2", g7, Finish::sigmoid, nullptr, 5, Finish::store);
    c.first_layer = !m.planned.has("time_mix_v1");
    if (!c.first_layer)
        add_low_rank(m, p, "time_mix_v1", "time_mix_v2", v7, Finish::store, m.vector("time_mix_v0"), 6,
                     Finish::sigmoid);
    c.first = m.vector("time_mix_r_k");
    c.k_k = m.vector("time_mix_k_k");
    c.k_a = m.vector("time_mix_k_a");
    p.add<Rwkv7Phase>(c);
}

void build_channel_mix(const MixerParts& m, Program& p) {
    const bool gated = m.planned.has("channel_mix_receptance");
    std::vector<const float*> lerps = {m.vector("channel_mix_lerp_k")};
    if (gated) lerps.push_back(m.vector("channel_mix_lerp_r"));
    p.add<ShiftPhase>(ShiftPhase::Config{{m.layer, static_cast<size_t>(m.spec.width)},
                                         m.norm("attn_norm_2"),
                                         m.spec.width,
                                         std::move(lerps),
                                         Buffer::hidden,
                                         false});
    add_product(m, p, "channel_mix_key", 0, Buffer::q, 0, Finish::relu2);
    if (gated) add_product(m, p, "channel_mix_receptance", 1, Buffer::gate, 0, Finish::sigmoid);
    p.add<LinearPhase>("channel_mix_value", Buffer::q, Norm{},
                       std::vector{m.product("channel_mix_value", gated ? Buffer::branch : Buffer::x, 0,
                                             gated ? Finish::store : Finish::add)});
    if (gated) p.add<GatedAddPhase>(m.spec.width);
}

void build_rwkv(const MixerParts& m, Program& p) {
    const RecurrentSpec& r = m.spec.recurrent;
    RwkvConfig c;
    c.state = {m.layer, 2 * static_cast<size_t>(m.spec.width)};
    c.n_heads = r.n_heads;
    c.head_dim = m.spec.width / r.n_heads;
    c.norm_weight = m.vector("time_mix_ln");
    c.norm_bias = m.vector("time_mix_ln.bias");
    if (is_rwkv7(m.spec))
        build_time_mix_7(m, c, p);
    else
        build_time_mix_6(m, c, p);
    p.add<LinearPhase>("time_mix_output", Buffer::attn, Norm{},
                       std::vector{m.product("time_mix_output", Buffer::x, 0, Finish::add)});
    build_channel_mix(m, p);
    if (r.halve_every > 0 && (m.layer + 1) % r.halve_every == 0) p.add<ScalePhase>(m.spec.width, 0.5f);
}

}  // namespace

constexpr Mixer rwkv_mixer = {plan_rwkv, rwkv_state_floats, build_rwkv};

}  // namespace elver
