// RWKV-6 and RWKV-7: a time mix, which is the recurrent mixer, and a channel mix, an FFN over rows mixed with the rows
// before them.
#include "models/recurrent_model.hpp"

namespace elver {

namespace {

bool is_rwkv7(const ModelSpec& s) {
    return s.recurrent.kind == RecurrentKind::rwkv7;
}

// The order of a file's fused mixes, and of the mixed rows.
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

// Rows of the model's width, side by side in one buffer.
struct Streams {
    graph::BufferId buffer;
    int stride;

    Streams(const MixerParts& m, const char* holds, int n)
        : buffer(m.p.add_buffer(holds, (n - 1) * static_cast<int>(graph::padded_row(m.spec.width)) + m.spec.width)),
          stride(static_cast<int>(graph::padded_row(m.spec.width))) {}
    graph::View at(int i) const { return {buffer, i * stride}; }
};

// in -> out through one matrix.
void add_product(const MixerParts& m, const std::string& what, graph::View in, graph::View out,
                 Finish finish = Finish::store) {
    m.linear(what, in, {}, {m.product(what, out, finish)});
}

// in -> out through two matrices with few columns between.
void add_low_rank(const MixerParts& m, const std::string& first, const std::string& second, graph::View in,
                  Finish between, WeightRef bias, graph::View out, Finish finish) {
    const graph::BufferId few = m.p.add_buffer("row of low rank", m.p.matrix(m.at(first)).n_rows);
    add_product(m, first, in, few, between);
    graph::Product product = m.product(second, out, finish);
    product.bias = bias;
    m.linear(second, few, {}, {product});
}

graph::Shift shift_of(const MixerParts& m, size_t state, std::string_view norm, std::vector<WeightRef> lerps,
                      graph::BufferId out) {
    graph::Shift op;
    op.state = m.state(state);
    op.x = m.p.x, op.out = out;
    op.normed = m.p.add_buffer("normalised row", m.spec.width);
    op.norm = m.norm(norm);
    op.width = m.spec.width;
    op.lerps = std::move(lerps);
    return op;
}

graph::BufferId build_time_mix_6(const MixerParts& m, const graph::Rwkv& common) {
    const int width = m.spec.width;
    const Streams mixes(m, "mixes with the row before", n_mixes6), streams(m, "r, k, v, gate and w", 5);
    graph::Shift shift = shift_of(m, 0, "attn_norm", {m.at("time_mix_lerp_x")}, mixes.buffer);
    shift.kept = Streams(m, "row and its change", 2).buffer;
    m.p.add(shift);
    const graph::BufferId few = m.p.add_buffer("rows of low rank", m.p.matrix(m.at("time_mix_w1")).n_rows);
    add_product(m, "time_mix_w1", mixes.at(0), few, Finish::tanh);
    for (int i = 0; i < n_mixes6; ++i) {
        const std::string number = std::to_string(i);
        graph::Product mix = m.product("time_mix_w2/" + number, mixes.at(i));
        mix.bias = m.at("time_mix_lerp_fused/" + number);
        m.linear("mix", graph::View(few, i * mix.matrix.k), {}, {mix});
    }
    m.p.add(graph::Mix{shift.kept, mixes.buffer, width, static_cast<int>(n_mixes6)});
    add_product(m, "time_mix_receptance", mixes.at(r6), streams.at(0));
    add_product(m, "time_mix_key", mixes.at(k6), streams.at(1));
    add_product(m, "time_mix_value", mixes.at(v6), streams.at(2));
    add_product(m, "time_mix_gate", mixes.at(g6), streams.at(3), Finish::silu);
    add_low_rank(m, "time_mix_decay_w1", "time_mix_decay_w2", mixes.at(w6), Finish::tanh, m.at("time_mix_decay"),
                 streams.at(4), Finish::store);
    graph::Rwkv6 op{common, m.at("time_mix_first")};
    op.streams = streams.buffer;
    op.out = m.p.add_buffer("rwkv6", width);
    m.p.add(op);
    return op.out;
}

graph::BufferId build_time_mix_7(const MixerParts& m, const graph::Rwkv& common) {
    const Streams mixes(m, "mixes with the row before", n_mixes7), streams(m, "r, k, v, w, a, gate and mix", 7);
    std::vector<WeightRef> lerps;
    for (int i = 0; i < n_mixes7; ++i) lerps.push_back(m.at("time_mix_lerp_fused/" + std::to_string(i)));
    m.p.add(shift_of(m, 0, "attn_norm", std::move(lerps), mixes.buffer));
    add_product(m, "time_mix_receptance", mixes.at(r7), streams.at(0));
    add_product(m, "time_mix_key", mixes.at(k7), streams.at(1));
    add_product(m, "time_mix_value", mixes.at(v7), streams.at(2));
    add_low_rank(m, "time_mix_w1", "time_mix_w2", mixes.at(w7), Finish::tanh, m.at("time_mix_w0"), streams.at(3),
                 Finish::sigmoid);
    add_low_rank(m, "time_mix_a1", "time_mix_a2", mixes.at(a7), Finish::store, m.at("time_mix_a0"), streams.at(4),
                 Finish::sigmoid);
    add_low_rank(m, "time_mix_g1", "time_mix_g2", mixes.at(g7), Finish::sigmoid, {}, streams.at(5), Finish::store);
    graph::Rwkv7 op{common, m.at("time_mix_r_k"), m.at("time_mix_k_k"), m.at("time_mix_k_a")};
    op.first_layer = !m.planned.has("time_mix_v1");
    if (op.first_layer) {
        m.p.first_values = m.p.add_buffer("values of the first layer", m.spec.width);
    } else {
        add_low_rank(m, "time_mix_v1", "time_mix_v2", mixes.at(v7), Finish::store, m.at("time_mix_v0"), streams.at(6),
                     Finish::sigmoid);
    }
    op.first_values = m.p.first_values;
    op.streams = streams.buffer;
    op.out = m.p.add_buffer("rwkv7", m.spec.width);
    m.p.add(op);
    return op.out;
}

void build_channel_mix(const MixerParts& m) {
    const int width = m.spec.width;
    const bool gated = m.planned.has("channel_mix_receptance");
    std::vector<WeightRef> lerps = {m.at("channel_mix_lerp_k")};
    if (gated) lerps.push_back(m.at("channel_mix_lerp_r"));
    const Streams mixes(m, "mixes with the row before", static_cast<int>(lerps.size()));
    m.p.add(shift_of(m, static_cast<size_t>(width), "attn_norm_2", std::move(lerps), mixes.buffer));
    const graph::BufferId keys = m.p.add_buffer("keys of the channel mix", m.spec.recurrent.ffn_width);
    add_product(m, "channel_mix_key", mixes.at(0), keys, Finish::relu2);
    if (!gated) return m.linear("channel_mix_value", keys, {}, {m.product("channel_mix_value", m.p.x, Finish::add)});
    const graph::BufferId gate = m.p.add_buffer("gates of the channel mix", width),
                          branch = m.p.add_buffer("channel mix", width);
    add_product(m, "channel_mix_receptance", mixes.at(1), gate, Finish::sigmoid);
    add_product(m, "channel_mix_value", keys, branch);
    m.p.add(graph::GatedAdd{gate, branch, m.p.x, width});
}

void build_rwkv(const MixerParts& m) {
    const RecurrentSpec& r = m.spec.recurrent;
    graph::Rwkv common;
    common.state = m.state(2 * static_cast<size_t>(m.spec.width));
    common.n_heads = r.n_heads;
    common.head_dim = m.spec.width / r.n_heads;
    common.norm_weight = m.at("time_mix_ln");
    common.norm_bias = m.at("time_mix_ln.bias");
    const graph::BufferId mixed = is_rwkv7(m.spec) ? build_time_mix_7(m, common) : build_time_mix_6(m, common);
    m.linear("time_mix_output", mixed, {}, {m.product("time_mix_output", m.p.x, Finish::add)});
    build_channel_mix(m);
    if (r.halve_every > 0 && (m.layer + 1) % r.halve_every == 0) m.p.add(graph::Scale{m.p.x, m.spec.width, 0.5f, 0.0f});
}

}  // namespace

constexpr Mixer rwkv_mixer = {plan_rwkv, rwkv_state_floats, build_rwkv};

}  // namespace elver
