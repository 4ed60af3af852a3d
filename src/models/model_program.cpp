#include "models/model_program.hpp"

#include <cmath>

#include "layers/moe.hpp"

namespace elver {

Norm ModelBuilder::norm(const Weights& weights, const NormWeights& n) const {
    Norm out;
    if (!n.present) return out;
    out.kind = norm_kind();
    out.eps = static_cast<float>(spec_.norm_eps);
    if (n.weight >= 0) out.weight = weights.vector(n.weight);
    if (n.bias >= 0) out.bias = weights.vector(n.bias);
    return out;
}

Norm ModelBuilder::post_norm(const Weights& weights, const NormWeights& n) const {
    Norm out = norm(weights, n);
    if (spec_.post_norm_eps > 0) out.eps = static_cast<float>(spec_.post_norm_eps);
    return out;
}

namespace {

LinearPhase::Product product(const Weights& weights, int matrix, int bias, Buffer out, Finish finish = Finish::store,
                             float scale = 1.0f) {
    LinearPhase::Product p;
    p.matrix = weights.matrix(matrix);
    if (bias >= 0) p.bias = weights.vector(bias);
    p.out = out;
    p.finish = finish;
    p.scale = scale;
    return p;
}

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

Finish ModelBuilder::finish() const {
    static constexpr Finish gated[] = {Finish::mul_silu, Finish::mul_gelu, Finish::mul_gelu_tanh,
                                       Finish::mul_relu, Finish::mul_relu, Finish::mul_silu_clamped};
    static constexpr Finish plain[] = {Finish::silu, Finish::gelu,  Finish::gelu_tanh,
                                       Finish::relu, Finish::relu2, Finish::silu};
    const auto i = static_cast<size_t>(spec_.activation);
    return spec_.gated ? gated[i] : plain[i];
}

EmbedPhase::Config ModelBuilder::embed_config(const Weights& weights) const {
    EmbedPhase::Config c;
    c.table = embedding_->view;
    c.scale = static_cast<float>(spec_.embedding_scale);
    if (token_type_ >= 0) c.added = weights.vector(token_type_);
    if (positions_ >= 0) c.positions = weights.vector(positions_);
    c.norm = norm(weights, embedding_norm_);
    c.rope = rope_;
    return c;
}

// q, k, v -> attn, through the cache.
void ModelBuilder::build_mixing(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const LayerSpec& s = spec_.layers[static_cast<size_t>(index)];
    CacheWritePhase::Config write;
    write.layer = index, write.n_heads = s.n_heads, write.n_kv_heads = s.n_kv_heads;
    write.head_dim = s.head_dim, write.v_head_dim = s.v_head_dim;
    write.q_scale = static_cast<float>(spec_.attention_scale > 0 ? spec_.attention_scale
                                                                 : 1.0 / std::sqrt(static_cast<double>(s.head_dim)));
    write.v_scale = static_cast<float>(spec_.value_scale);
    write.clamp = static_cast<float>(spec_.qkv_clamp);
    write.norm_after_rope = spec_.qk_norm_after_rope;
    if (spec_.qk_norm_whole) {
        p.add<NormPhase>(Buffer::q, Buffer::q, norm(weights, l.q_norm), s.n_heads * s.head_dim);
        p.add<NormPhase>(Buffer::k, Buffer::k, norm(weights, l.k_norm), s.n_kv_heads * s.head_dim);
    } else {
        write.q_norm = norm(weights, l.q_norm);
        write.k_norm = norm(weights, l.k_norm);
        write.norm_stride = l.q_norm.each_head ? static_cast<size_t>(s.head_dim) : 0;
    }
    if (spec_.qk_norm_plain && s.rope >= 0) {
        for (Norm* n : {&write.q_norm, &write.k_norm}) {
            n->kind = norm_kind();
            n->eps = static_cast<float>(spec_.norm_eps);
        }
    }
    if (s.rope < 0) {
        write.temperature = static_cast<float>(spec_.temperature);
        write.temperature_length = spec_.temperature_length;
    }
    using Pairing = CacheWritePhase::Config::Pairing;
    if (s.rope >= 0) {
        write.pairing = spec_.rope_pairing == RopePairing::adjacent ? Pairing::adjacent : Pairing::halves;
        write.rope_dims = spec_.ropes[static_cast<size_t>(s.rope)].dims;
        write.rope_table = s.rope;
        if (spec_.latent.kv_rank > 0) write.rope_first = s.head_dim - write.rope_dims;
    }
    p.add<CacheWritePhase>(write);
    AttentionPhase::Config attend;
    attend.layer = index, attend.n_heads = s.n_heads, attend.n_kv_heads = s.n_kv_heads;
    attend.head_dim = s.head_dim, attend.v_head_dim = s.v_head_dim;
    attend.causal = spec_.causal;
    attend.exact = !weights.quantizes();
    attend.window = s.window;
    attend.chunked = spec_.chunked_windows && s.window > 0;
    attend.soft_cap = static_cast<float>(spec_.attn_soft_cap);
    attend.slopes = alibi_slopes(s.n_heads, spec_.alibi_max_bias);
    if (l.sinks >= 0) attend.sinks = weights.vector(l.sinks);
    p.add<AttentionPhase>(attend);
}

// x -> q, k, v and the gate.
void ModelBuilder::build_qkv(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const LayerSpec& s = spec_.layers[static_cast<size_t>(index)];
    std::vector<LinearPhase::Product> products{
        product(weights, l.q.matrix, l.q.bias, l.gate_in_q ? Buffer::hidden : Buffer::q),
        product(weights, l.k.matrix, l.k.bias, Buffer::k), product(weights, l.v.matrix, l.v.bias, Buffer::v)};
    if (l.attn_gate.matrix >= 0)
        products.push_back(product(weights, l.attn_gate.matrix, l.attn_gate.bias, Buffer::gate));
    p.add<LinearPhase>("qkv", Buffer::x, norm(weights, l.attn_norm_2.present ? l.attn_norm_2 : l.attn_norm),
                       std::move(products));
    if (!l.gate_in_q) return;
    const int d = s.head_dim;
    p.add<CopyPhase>(std::vector<CopyPhase::Block>{{Buffer::hidden, 2 * d, Buffer::q, d, d, s.n_heads},
                                                   {Columns(Buffer::hidden, d), 2 * d, Buffer::gate, d, d, s.n_heads}});
}

HeadLinearPhase::Config ModelBuilder::each_head(const Weights& weights, const std::vector<int>& matrices, Columns from,
                                                int from_stride, Columns to, int to_stride) const {
    HeadLinearPhase::Config c{{}, from, from_stride, to, to_stride};
    for (const int number : matrices) c.heads.push_back(weights.matrix(number));
    return c;
}

// x -> q, k, v by way of short rows, which wait in branch (of queries) and gate (of keys and values).
void ModelBuilder::build_latent_qkv(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const LatentSpec& m = spec_.latent;
    const int n_heads = spec_.layers[static_cast<size_t>(index)].n_heads, q_dim = m.nope_dim + m.rope_dim;
    const Buffer q = m.absorbed ? Buffer::hidden : Buffer::q;
    const LinearPhase::Product queries = product(weights, l.q.matrix, l.q.bias, q);
    p.add<LinearPhase>("latent", Buffer::x, norm(weights, l.attn_norm),
                       std::vector{m.q_rank > 0 ? product(weights, l.q_a.matrix, l.q_a.bias, Buffer::branch) : queries,
                                   product(weights, l.kv_a.matrix, l.kv_a.bias, Buffer::gate)});
    p.add<GroupNormPhase>(Buffer::gate, norm(weights, l.kv_a_norm), m.kv_rank);
    if (m.q_rank > 0) p.add<LinearPhase>("queries", Buffer::branch, norm(weights, l.q_a_norm), std::vector{queries});
    const Columns turned(Buffer::gate, m.kv_rank);  // of a key, for all heads
    if (m.absorbed) {
        const int k_dim = m.kv_rank + m.rope_dim;
        p.add<HeadLinearPhase>(each_head(weights, l.k_b, Buffer::hidden, q_dim, Buffer::q, k_dim));
        p.add<CopyPhase>(std::vector<CopyPhase::Block>{
            {Columns(Buffer::hidden, m.nope_dim), q_dim, Columns(Buffer::q, m.kv_rank), k_dim, m.rope_dim, n_heads},
            {Buffer::gate, 0, Buffer::k, 0, k_dim},
            {Buffer::gate, 0, Buffer::v, 0, m.kv_rank}});
        return;
    }
    const int kv_dim = m.nope_dim + m.v_dim;
    p.add<LinearPhase>("keys and values", Buffer::gate, Norm{},
                       std::vector{product(weights, l.kv_b.matrix, l.kv_b.bias, Buffer::hidden)});
    p.add<CopyPhase>(std::vector<CopyPhase::Block>{
        {Buffer::hidden, kv_dim, Buffer::k, q_dim, m.nope_dim, n_heads},
        {turned, 0, Columns(Buffer::k, m.nope_dim), q_dim, m.rope_dim, n_heads},
        {Columns(Buffer::hidden, m.nope_dim), kv_dim, Buffer::v, m.v_dim, m.v_dim, n_heads}});
}

// x -> x + attention, or, where a norm stands behind it, -> branch.
void ModelBuilder::build_attention(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const bool gated = l.attn_gate.matrix >= 0 || l.gate_in_q, absorbed = spec_.latent.absorbed;
    (this->*(spec_.latent.kv_rank > 0 ? &ModelBuilder::build_latent_qkv : &ModelBuilder::build_qkv))(weights, index, p);
    build_mixing(weights, index, p);
    const LayerSpec& s = spec_.layers[static_cast<size_t>(index)];
    if (gated) p.add<GatePhase>(s.n_heads, s.v_head_dim, l.gates_each_head, spec_.gate == GateKind::softplus);
    if (absorbed) {
        const int v = spec_.latent.v_dim;
        p.add<HeadLinearPhase>(each_head(weights, l.v_b, Buffer::attn, s.v_head_dim, Buffer::hidden, v));
    }
    const Buffer mixed = absorbed ? Buffer::hidden : Buffer::attn;
    const auto residual = static_cast<float>(spec_.residual_scale);
    if (!l.post_attn_norm.present && !spec_.parallel_residual) {
        p.add<LinearPhase>("attention out", mixed, Norm{},
                           std::vector{product(weights, l.out.matrix, l.out.bias, Buffer::x, Finish::add, residual)});
        if (l.attn_output_norm.present)
            p.add<NormPhase>(Buffer::x, Buffer::x, norm(weights, l.attn_output_norm), spec_.width);
        return;
    }
    p.add<LinearPhase>("attention out", mixed, Norm{},
                       std::vector{product(weights, l.out.matrix, l.out.bias, Buffer::branch)});
    if (!spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, residual);
}

// x -> x + the recurrent mixer; beside attention, or where a norm stands behind it, -> branch.
void ModelBuilder::build_recurrent(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const bool beside = spec_.layers[static_cast<size_t>(index)].n_heads > 0;
    const Buffer out = beside || l.post_attn_norm.present ? Buffer::branch : Buffer::x;
    mixer_parts(spec_.recurrent.kind).build(MixerParts{spec_, index, l.mixer, weights, out}, p);
    if (beside) build_attention(weights, index, p);
    if (out == Buffer::x) return;
    p.add<AddPhase>(Buffer::branch, beside ? Norm{} : post_norm(weights, l.post_attn_norm), spec_.width,
                    static_cast<float>(spec_.residual_scale));
}

// norm(x) -> hidden -> out.
void ModelBuilder::build_dense(const Weights& weights, const Ffn& f, const Norm& in, LinearPhase::Product down,
                               const std::string& name, Program& p) const {
    std::vector<LinearPhase::Product> up;
    if (spec_.gated) up.push_back(product(weights, f.gate.matrix, f.gate.bias, Buffer::hidden));
    up.push_back(product(weights, f.up.matrix, f.up.bias, Buffer::hidden, finish()));
    p.add<LinearPhase>(name + " up", Buffer::x, in, std::move(up));
    p.add<LinearPhase>(name + " down", Buffer::hidden, Norm{}, std::vector{std::move(down)});
}

// x -> x + ffn. In a parallel layer x is still the layer's input; attention waits in branch and is added last.
void ModelBuilder::build_ffn(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const auto residual = static_cast<float>(spec_.residual_scale);
    const bool post = l.post_ffn_norm.present;
    build_dense(weights, l.dense, norm(weights, l.ffn_norm),
                product(weights, l.dense.down.matrix, l.dense.down.bias, post ? Buffer::gate : Buffer::x,
                        post ? Finish::store : Finish::add, residual),
                "ffn", p);
    if (post) p.add<AddPhase>(Buffer::gate, post_norm(weights, l.post_ffn_norm), spec_.width, residual);
    if (spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, residual);
    if (l.layer_output_norm.present)
        p.add<NormPhase>(Buffer::x, Buffer::x, norm(weights, l.layer_output_norm), spec_.width);
}

int ModelBuilder::shared_gate_column(const Weights& weights, const Layer& l) const {
    return l.shared_gate.matrix >= 0 ? weights.matrix(l.router.matrix).n_groups() * 16 : -1;
}

// x -> the experts' logits, and behind them the shared expert's gate.
void ModelBuilder::build_router(const Weights& weights, int index, const Norm& in, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    std::vector<LinearPhase::Product> scores = {product(weights, l.router.matrix, l.router.bias, Buffer::router)};
    if (l.shared_gate.matrix >= 0) {
        scores.push_back(product(weights, l.shared_gate.matrix, l.shared_gate.bias, Buffer::router));
        scores.back().out_column = shared_gate_column(weights, l);
    }
    p.add<LinearPhase>("router", Buffer::x, in, std::move(scores));
}

// x -> x + experts, as build_ffn; experts that read the layer's input wait in Buffer::shared. Else the shared expert
// does: a dense FFN.
void ModelBuilder::build_experts(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const Norm in = norm(weights, l.experts_norm);
    ExpertsPhase::Config c;
    c.layer = index;
    c.norm = in;
    c.router = spec_.experts.router();
    if (l.choice_bias >= 0) c.router.choice_bias = weights.vector(l.choice_bias);
    c.finish = finish();
    if (spec_.experts.input != ExpertsInput::router_before_attention) build_router(weights, index, in, p);
    c.shared = l.shared.up.matrix >= 0;
    c.shared_gate = shared_gate_column(weights, l);
    if (c.shared) {
        build_dense(weights, l.shared, in, product(weights, l.shared.down.matrix, l.shared.down.bias, Buffer::shared),
                    "shared", p);
    }
    const auto vector = [&](int number) { return number < 0 ? nullptr : weights.vector(number); };
    for (const Ffn& e : l.experts) {
        ExpertsPhase::Expert expert;
        if (e.gate.matrix >= 0) expert.gate = weights.matrix(e.gate.matrix);
        expert.up = weights.matrix(e.up.matrix);
        expert.down = weights.matrix(e.down.matrix);
        expert.gate_bias = vector(e.gate.bias), expert.up_bias = vector(e.up.bias);
        expert.down_bias = vector(e.down.bias);
        c.experts.push_back(expert);
    }
    c.weighs_input = spec_.experts.weighs_input;
    c.sum_scale = static_cast<float>(spec_.experts.sum_scale);
    c.scale = static_cast<float>(spec_.residual_scale);
    const bool waits = spec_.experts.input == ExpertsInput::before_attention;
    if (waits) c.out = Buffer::shared;
    if (l.post_ffn_norm.present) c.out = Buffer::gate;
    const float scale = c.scale;
    p.add<ExpertsPhase>(std::move(c));
    if (waits) return;
    if (l.post_ffn_norm.present) p.add<AddPhase>(Buffer::gate, post_norm(weights, l.post_ffn_norm), spec_.width, scale);
    if (spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, scale);
}

void ModelBuilder::build_layer(const Weights& weights, int index, Program& p) const {
    const LayerSpec& layer = spec_.layers[static_cast<size_t>(index)];
    const bool early = layer.sparse && spec_.experts.input == ExpertsInput::before_attention;
    if (early) build_experts(weights, index, p);
    if (layer.sparse && spec_.experts.input == ExpertsInput::router_before_attention)
        build_router(weights, index, Norm{}, p);
    if (layer.recurrent)
        build_recurrent(weights, index, p);
    else if (layer.n_heads > 0)
        build_attention(weights, index, p);
    if (layer.ffn_width > 0) build_ffn(weights, index, p);
    if (layer.sparse && !early) build_experts(weights, index, p);
    if (early) p.add<AddPhase>(Buffer::shared, Norm{}, spec_.width, static_cast<float>(spec_.residual_scale));
}

std::unique_ptr<Program> ModelBuilder::build(const Weights& weights) const {
    auto program = std::make_unique<Program>();
    Program& p = *program;
    p.add<EmbedPhase>(embed_config(weights));
    for (int i = 0; i < spec_.n_layers; ++i) build_layer(weights, i, p);
    p.begin_head();
    if (spec_.has_head) {
        p.add<SelectPhase>(spec_.width);
        p.add<LinearPhase>("head", Buffer::outputs, norm(weights, output_norm_),
                           std::vector{product(weights, head_.matrix, head_.bias, Buffer::logits)},
                           LinearPhase::Of::outputs);
        if (spec_.logit_scale != 1.0 || spec_.logit_soft_cap > 0)
            p.add<LogitPhase>(static_cast<float>(spec_.logit_scale), static_cast<float>(spec_.logit_soft_cap));
    }
    p.begin_hidden();
    p.add<SelectPhase>(spec_.width);
    if (output_norm_.present)
        p.add<NormPhase>(Buffer::outputs, Buffer::outputs, norm(weights, output_norm_), spec_.width, true);
    return program;
}

std::vector<CacheLayerSpec> ModelBuilder::cache_layers() const {
    std::vector<CacheLayerSpec> out;
    for (const LayerSpec& l : spec_.layers) out.push_back({l.n_kv_heads, l.head_dim, l.v_head_dim, l.window});
    return out;
}

std::vector<size_t> ModelBuilder::state_layers() const {
    std::vector<size_t> out;
    for (const LayerSpec& l : spec_.layers)
        out.push_back(l.recurrent ? mixer_parts(spec_.recurrent.kind).state_floats(spec_) : 0);
    return out;
}

LinearPhase::Product MixerParts::product(std::string_view what, Buffer out, int out_column, Finish finish) const {
    elver::LinearPhase::Product p = elver::product(weights, planned.at(what), -1, out, finish);
    p.out_column = out_column;
    return p;
}

LinearPhase::Product MixerParts::result(std::string_view what) const {
    LinearPhase::Product p = product(what, into, 0, into == Buffer::x ? Finish::add : Finish::store);
    p.scale = static_cast<float>(spec.residual_scale);
    return p;
}

const float* MixerParts::vector(std::string_view what) const noexcept {
    const int number = planned.at(what);
    return number < 0 ? nullptr : weights.vector(number);
}

Norm MixerParts::norm(std::string_view role) const {
    Norm out;
    if (!planned.has(role)) return out;
    out.kind = spec.norm == NormKind::rms ? Norm::Kind::rms : Norm::Kind::layer;
    out.eps = static_cast<float>(spec.norm_eps);
    out.weight = vector(role);
    out.bias = vector(std::string(role) + ".bias");
    return out;
}

}  // namespace elver
