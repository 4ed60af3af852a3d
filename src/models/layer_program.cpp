#include "models/layer_program.hpp"

#include <cmath>
#include <utility>

namespace elver {

using graph::BufferId;
using graph::no_buffer;
using graph::View;

namespace {

// ALiBi slopes: powers of 2^(-bias / n) for the largest power of two n of heads, in between for the rest. Press et al.
// 2022.
std::vector<float> alibi_slopes(int n_heads, double max_bias) {
    std::vector<float> slopes;
    if (max_bias <= 0) return slopes;
    int power = 1;
    while (2 * power <= n_heads) power *= 2;
    for (int h = 0; h < n_heads; ++h) {
        const double exponent = h < power ? (h + 1.0) / power : (2.0 * (h - power) + 1.0) / (2.0 * power);
        slopes.push_back(static_cast<float>(std::exp2(-max_bias * exponent)));
    }
    return slopes;
}

}  // namespace

Finish LayerBuilder::finish() const {
    static constexpr Finish gated[] = {Finish::mul_silu, Finish::mul_gelu, Finish::mul_gelu_tanh,
                                       Finish::mul_relu, Finish::mul_relu, Finish::mul_silu_clamped};
    static constexpr Finish plain[] = {Finish::silu, Finish::gelu,  Finish::gelu_tanh,
                                       Finish::relu, Finish::relu2, Finish::silu};
    const auto i = static_cast<size_t>(spec().activation);
    return spec().gated ? gated[i] : plain[i];
}

void LayerBuilder::add_branch(BufferId branch, const graph::Norm& norm) {
    p_.add(graph::Add{branch, p_.x, norm, spec().width, residual()});
}

void LayerBuilder::add_attention_branch() {
    if (attention_branch_ == no_buffer) return;
    add_branch(std::exchange(attention_branch_, no_buffer), m_.post_norm(l_.post_attn_norm));
}

graph::CacheWrite LayerBuilder::cache_write(const Qkv& in) const {
    graph::CacheWrite w;
    w.layer = index_;
    w.q = in.q, w.k = in.k, w.v = in.v;
    w.n_heads = s_.n_heads, w.n_kv_heads = s_.n_kv_heads;
    w.head_dim = s_.head_dim, w.v_head_dim = s_.v_head_dim;
    w.q_scale = static_cast<float>(spec().attention_scale > 0 ? spec().attention_scale
                                                              : 1.0 / std::sqrt(static_cast<double>(s_.head_dim)));
    w.v_scale = static_cast<float>(spec().value_scale);
    w.clamp = static_cast<float>(spec().qkv_clamp);
    w.norm_after_rope = spec().qk_norm_after_rope;
    if (!spec().qk_norm_whole) {
        w.q_norm = m_.norm(l_.q_norm);
        w.k_norm = m_.norm(l_.k_norm);
        w.norm_stride = l_.q_norm.each_head ? static_cast<size_t>(s_.head_dim) : 0;
    }
    if (spec().qk_norm_plain && s_.rope >= 0) {
        for (graph::Norm* n : {&w.q_norm, &w.k_norm}) {
            n->kind = m_.norm_kind();
            n->eps = static_cast<float>(spec().norm_eps);
        }
    }
    if (s_.rope < 0) {
        w.temperature = static_cast<float>(spec().temperature);
        w.temperature_length = spec().temperature_length;
        return w;
    }
    using Pairing = graph::CacheWrite::Pairing;
    w.pairing = spec().rope_pairing == RopePairing::adjacent ? Pairing::adjacent : Pairing::halves;
    w.rope_dims = spec().ropes[static_cast<size_t>(s_.rope)].dims;
    w.rope_table = p_.rope[static_cast<size_t>(s_.rope)];
    if (spec().latent.kv_rank > 0) w.rope_first = s_.head_dim - w.rope_dims;
    return w;
}

// q, k and v through the cache -> what attention makes of them.
BufferId LayerBuilder::build_mixing(const Qkv& in) {
    if (spec().qk_norm_whole) {
        p_.add(graph::Normalise{in.q, in.q, m_.norm(l_.q_norm), s_.n_heads * s_.head_dim, 1});
        p_.add(graph::Normalise{in.k, in.k, m_.norm(l_.k_norm), s_.n_kv_heads * s_.head_dim, 1});
    }
    p_.add(cache_write(in));
    graph::Attention a;
    a.layer = index_;
    a.q = in.q;
    a.out = p_.add_buffer("attention", s_.n_heads * s_.v_head_dim);
    a.n_heads = s_.n_heads, a.n_kv_heads = s_.n_kv_heads;
    a.head_dim = s_.head_dim, a.v_head_dim = s_.v_head_dim;
    a.causal = spec().causal;
    a.exact = !p_.weights.quantizes();
    a.window = s_.window;
    a.chunked = spec().chunked_windows && s_.window > 0;
    a.soft_cap = static_cast<float>(spec().attn_soft_cap);
    a.slopes = alibi_slopes(s_.n_heads, spec().alibi_max_bias);
    a.sinks = l_.sinks;
    p_.add(a);
    if (in.gate != no_buffer) {
        p_.add(graph::Gate{a.out, in.gate, s_.n_heads, s_.v_head_dim, l_.gates_each_head,
                           spec().gate == GateKind::softplus});
    }
    return a.out;
}

LayerBuilder::Qkv LayerBuilder::build_qkv() {
    const int d = s_.head_dim;
    Qkv out{p_.add_buffer("queries", s_.n_heads * d), p_.add_buffer("keys", s_.n_kv_heads * d),
            p_.add_buffer("values", s_.n_kv_heads * s_.v_head_dim)};
    const BufferId q = l_.gate_in_q ? p_.add_buffer("queries and gates", 2 * s_.n_heads * d) : out.q;
    graph::Linear in{"qkv", p_.x, m_.norm(l_.attn_norm_2.present ? l_.attn_norm_2 : l_.attn_norm), {}, 1};
    in.products = {p_.product(l_.q.matrix, l_.q.bias, q), p_.product(l_.k.matrix, l_.k.bias, out.k),
                   p_.product(l_.v.matrix, l_.v.bias, out.v)};
    if (l_.attn_gate.matrix.there()) {
        out.gate = p_.add_buffer("gates of attention", p_.matrix(l_.attn_gate.matrix).n_rows);
        in.products.push_back(p_.product(l_.attn_gate.matrix, l_.attn_gate.bias, out.gate));
    }
    p_.add(std::move(in));
    if (l_.gate_in_q) {  // of each head, a gate behind the query
        out.gate = p_.add_buffer("gates of attention", s_.n_heads * d);
        p_.add(graph::Copy{{{q, 2 * d, out.q, d, d, s_.n_heads}, {View(q, d), 2 * d, out.gate, d, d, s_.n_heads}}});
    }
    return out;
}

graph::HeadLinear LayerBuilder::each_head(const std::vector<WeightRef>& matrices, View from, int from_stride, View to,
                                          int to_stride) const {
    graph::HeadLinear op{{}, from, from_stride, to, to_stride};
    for (const WeightRef ref : matrices) op.heads.push_back(p_.matrix(ref));
    return op;
}

// q, k and v by way of short rows, one for queries and one for keys and values. The dims of a key that have rope are
// the same for all heads and stand behind the short row.
LayerBuilder::Qkv LayerBuilder::build_latent_qkv() {
    const LatentSpec& m = spec().latent;
    const int n_heads = s_.n_heads, q_dim = m.nope_dim + m.rope_dim;
    const Qkv out{p_.add_buffer("queries", n_heads * s_.head_dim), p_.add_buffer("keys", s_.n_kv_heads * s_.head_dim),
                  p_.add_buffer("values", s_.n_kv_heads * s_.v_head_dim)};
    const BufferId latent = p_.add_buffer("latent row and rope dims", m.kv_rank + m.rope_dim);
    const BufferId q = m.absorbed ? p_.add_buffer("queries before absorption", n_heads * q_dim) : out.q;
    const graph::Product queries = p_.product(l_.q.matrix, l_.q.bias, q);
    const BufferId q_row = m.q_rank > 0 ? p_.add_buffer("latent row of queries", m.q_rank) : no_buffer;
    p_.add(graph::Linear{"latent",
                         p_.x,
                         m_.norm(l_.attn_norm),
                         {m.q_rank > 0 ? p_.product(l_.q_a.matrix, l_.q_a.bias, q_row) : queries,
                          p_.product(l_.kv_a.matrix, l_.kv_a.bias, latent)},
                         1});
    p_.add(graph::Normalise{latent, latent, m_.norm(l_.kv_a_norm), m.kv_rank, 1});
    if (m.q_rank > 0) p_.add(graph::Linear{"queries", q_row, m_.norm(l_.q_a_norm), {queries}, 1});
    if (m.absorbed) {
        const int k_dim = m.kv_rank + m.rope_dim;
        p_.add(each_head(l_.k_b, q, q_dim, out.q, k_dim));
        p_.add(graph::Copy{{{View(q, m.nope_dim), q_dim, View(out.q, m.kv_rank), k_dim, m.rope_dim, n_heads},
                            {latent, 0, out.k, 0, k_dim},
                            {latent, 0, out.v, 0, m.kv_rank}}});
        return out;
    }
    const int kv_dim = m.nope_dim + m.v_dim;
    const BufferId kv = p_.add_buffer("keys and values", n_heads * kv_dim);
    p_.add(graph::Linear{"keys and values", latent, {}, {p_.product(l_.kv_b.matrix, l_.kv_b.bias, kv)}, 1});
    p_.add(graph::Copy{{{kv, kv_dim, out.k, q_dim, m.nope_dim, n_heads},
                        {View(latent, m.kv_rank), 0, View(out.k, m.nope_dim), q_dim, m.rope_dim, n_heads},
                        {View(kv, m.nope_dim), kv_dim, out.v, m.v_dim, m.v_dim, n_heads}}});
    return out;
}

// x -> x + attention; or it waits in attention_branch_, or in a branch for the norm behind it.
void LayerBuilder::build_attention() {
    BufferId mixed = build_mixing(spec().latent.kv_rank > 0 ? build_latent_qkv() : build_qkv());
    if (spec().latent.absorbed) {
        const int v = spec().latent.v_dim;
        const BufferId values = p_.add_buffer("values of heads", s_.n_heads * v);
        p_.add(each_head(l_.v_b, mixed, s_.v_head_dim, values, v));
        mixed = values;
    }
    if (!l_.post_attn_norm.present && !spec().parallel_residual) {
        p_.add(graph::Linear{
            "attention out", mixed, {}, {p_.product(l_.out.matrix, l_.out.bias, p_.x, Finish::add, residual())}, 1});
        if (l_.attn_output_norm.present)
            p_.add(graph::Normalise{p_.x, p_.x, m_.norm(l_.attn_output_norm), spec().width, 1});
        return;
    }
    const BufferId branch = p_.add_buffer("attention branch", spec().width);
    p_.add(graph::Linear{"attention out", mixed, {}, {p_.product(l_.out.matrix, l_.out.bias, branch)}, 1});
    if (spec().parallel_residual)
        attention_branch_ = branch;
    else
        add_branch(branch, m_.post_norm(l_.post_attn_norm));
}

// x -> x + the recurrent mixer; beside attention, both read the same x.
void LayerBuilder::build_recurrent() {
    const bool beside = s_.n_heads > 0, waits = beside || l_.post_attn_norm.present;
    const BufferId out = waits ? p_.add_buffer("recurrent branch", spec().width) : p_.x;
    mixer_parts(spec().recurrent.kind).build(MixerParts{spec(), index_, l_.mixer, p_, out});
    if (beside) build_attention();
    if (waits) add_branch(out, beside ? graph::Norm{} : m_.post_norm(l_.post_attn_norm));
}

// norm(x) -> the FFN's hidden row -> where down puts it.
void LayerBuilder::build_dense(const ModelBuilder::Ffn& f, const graph::Norm& in, graph::Product down,
                               const std::string& name) {
    const BufferId hidden = p_.add_buffer("hidden row of the FFN", p_.matrix(f.up.matrix).n_rows);
    graph::Linear up{name + " up", p_.x, in, {}, 1};
    if (spec().gated) up.products.push_back(p_.product(f.gate.matrix, f.gate.bias, hidden));
    up.products.push_back(p_.product(f.up.matrix, f.up.bias, hidden, finish()));
    p_.add(std::move(up));
    p_.add(graph::Linear{name + " down", hidden, {}, {std::move(down)}, 1});
}

// x -> x + ffn. In a parallel layer x is still the layer's input; attention is added last.
void LayerBuilder::build_ffn() {
    const bool post = l_.post_ffn_norm.present;
    const BufferId out = post ? p_.add_buffer("FFN branch", spec().width) : p_.x;
    build_dense(
        l_.dense, m_.norm(l_.ffn_norm),
        p_.product(l_.dense.down.matrix, l_.dense.down.bias, out, post ? Finish::store : Finish::add, residual()),
        "ffn");
    if (post) add_branch(out, m_.post_norm(l_.post_ffn_norm));
    add_attention_branch();
    if (l_.layer_output_norm.present)
        p_.add(graph::Normalise{p_.x, p_.x, m_.norm(l_.layer_output_norm), spec().width, 1});
}

int LayerBuilder::shared_gate_column() const {
    return l_.shared_gate.matrix.there() ? p_.matrix(l_.router.matrix).n_groups() * 16 : -1;
}

// x -> the experts' logits, and behind them the shared expert's gate.
void LayerBuilder::build_router(const graph::Norm& in) {
    const int gate = shared_gate_column();
    router_logits_ = p_.add_buffer("router logits", gate >= 0 ? gate + 1 : spec().experts.n_experts);
    graph::Linear router{"router", p_.x, in, {p_.product(l_.router.matrix, l_.router.bias, router_logits_)}, 1};
    if (gate >= 0)
        router.products.push_back(p_.product(l_.shared_gate.matrix, l_.shared_gate.bias, View(router_logits_, gate)));
    p_.add(std::move(router));
}

// x -> x + experts, as build_ffn; experts that read the layer's input wait in early_experts_.
void LayerBuilder::build_experts() {
    const ExpertsSpec& x = spec().experts;
    graph::Experts op;
    op.layer = index_;
    op.input = p_.x;
    op.norm = m_.norm(l_.experts_norm);
    op.router = x.router();
    op.choice_bias = l_.choice_bias;
    op.finish = finish();
    if (x.input != ExpertsInput::router_before_attention) build_router(op.norm);
    op.logits = router_logits_;
    op.shared_gate = shared_gate_column();
    if (l_.shared.up.matrix.there()) {
        op.shared = p_.add_buffer("shared expert", spec().width);
        build_dense(l_.shared, op.norm, p_.product(l_.shared.down.matrix, l_.shared.down.bias, op.shared), "shared");
    }
    for (const ModelBuilder::Ffn& e : l_.experts) {
        op.experts.push_back({p_.matrix(e.gate.matrix), p_.matrix(e.up.matrix), p_.matrix(e.down.matrix), e.gate.bias,
                              e.up.bias, e.down.bias});
    }
    op.weighs_input = x.weighs_input;
    op.sum_scale = static_cast<float>(x.sum_scale);
    op.scale = residual();
    op.normed = p_.add_buffer("normalised row for experts", spec().width);
    const bool early = x.input == ExpertsInput::before_attention, post = l_.post_ffn_norm.present;
    op.adds = !early && !post;
    op.out = op.adds ? p_.x : p_.add_buffer("sum of experts", spec().width);
    const BufferId out = op.out;
    p_.add(std::move(op));
    if (early) {
        early_experts_ = out;
        return;
    }
    if (post) add_branch(out, m_.post_norm(l_.post_ffn_norm));
    add_attention_branch();
}

void LayerBuilder::build() {
    const bool early = s_.sparse && spec().experts.input == ExpertsInput::before_attention;
    if (early) build_experts();
    if (s_.sparse && spec().experts.input == ExpertsInput::router_before_attention) build_router({});
    if (s_.recurrent)
        build_recurrent();
    else if (s_.n_heads > 0)
        build_attention();
    if (s_.ffn_width > 0) build_ffn();
    if (s_.sparse && !early) build_experts();
    if (early) add_branch(early_experts_, {});
}

}  // namespace elver
