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
    using Pairing = CacheWritePhase::Config::Pairing;
    if (s.rope >= 0) {
        write.pairing = spec_.rope_pairing == RopePairing::adjacent ? Pairing::adjacent : Pairing::halves;
        write.rope_dims = spec_.ropes[static_cast<size_t>(s.rope)].dims;
        write.rope_table = s.rope;
    }
    p.add<CacheWritePhase>(write);
    AttentionPhase::Config attend;
    attend.layer = index, attend.n_heads = s.n_heads, attend.n_kv_heads = s.n_kv_heads;
    attend.head_dim = s.head_dim, attend.v_head_dim = s.v_head_dim;
    attend.causal = spec_.causal;
    attend.window = s.window;
    attend.soft_cap = static_cast<float>(spec_.attn_soft_cap);
    attend.slopes = alibi_slopes(s.n_heads, spec_.alibi_max_bias);
    if (l.sinks >= 0) attend.sinks = weights.vector(l.sinks);
    p.add<AttentionPhase>(attend);
}

// x -> x + attention, or, where a norm stands behind it, -> branch.
void ModelBuilder::build_attention(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    std::vector<LinearPhase::Product> products{product(weights, l.q.matrix, l.q.bias, Buffer::q),
                                               product(weights, l.k.matrix, l.k.bias, Buffer::k),
                                               product(weights, l.v.matrix, l.v.bias, Buffer::v)};
    const bool gated = l.attn_gate.matrix >= 0;
    if (gated) products.push_back(product(weights, l.attn_gate.matrix, l.attn_gate.bias, Buffer::gate));
    p.add<LinearPhase>("qkv", Buffer::x, norm(weights, l.attn_norm_2.present ? l.attn_norm_2 : l.attn_norm),
                       std::move(products));
    build_mixing(weights, index, p);
    const LayerSpec& s = spec_.layers[static_cast<size_t>(index)];
    if (gated) p.add<GatePhase>(s.n_heads, s.v_head_dim, l.gates_each_head);
    const auto residual = static_cast<float>(spec_.residual_scale);
    if (!l.post_attn_norm.present && !spec_.parallel_residual) {
        p.add<LinearPhase>("attention out", Buffer::attn, Norm{},
                           std::vector{product(weights, l.out.matrix, l.out.bias, Buffer::x, Finish::add, residual)});
        if (l.attn_output_norm.present)
            p.add<NormPhase>(Buffer::x, Buffer::x, norm(weights, l.attn_output_norm), spec_.width);
        return;
    }
    p.add<LinearPhase>("attention out", Buffer::attn, Norm{},
                       std::vector{product(weights, l.out.matrix, l.out.bias, Buffer::branch)});
    if (!spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, residual);
}

// x -> x + ffn. In a parallel layer x is still the layer's input; attention waits in branch and is added last.
void ModelBuilder::build_ffn(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    std::vector<LinearPhase::Product> up;
    if (spec_.gated) up.push_back(product(weights, l.gate.matrix, l.gate.bias, Buffer::hidden));
    up.push_back(product(weights, l.up.matrix, l.up.bias, Buffer::hidden, finish()));
    p.add<LinearPhase>("ffn up", Buffer::x, norm(weights, l.ffn_norm), std::move(up));
    const auto residual = static_cast<float>(spec_.residual_scale);
    const bool post = l.post_ffn_norm.present;
    p.add<LinearPhase>("ffn down", Buffer::hidden, Norm{},
                       std::vector{product(weights, l.down.matrix, l.down.bias, post ? Buffer::gate : Buffer::x,
                                           post ? Finish::store : Finish::add, residual)});
    if (post) p.add<AddPhase>(Buffer::gate, post_norm(weights, l.post_ffn_norm), spec_.width, residual);
    if (spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, residual);
    if (l.layer_output_norm.present)
        p.add<NormPhase>(Buffer::x, Buffer::x, norm(weights, l.layer_output_norm), spec_.width);
}

// x -> x + experts, as build_ffn. The shared expert is a dense FFN whose result waits in Buffer::shared.
void ModelBuilder::build_experts(const Weights& weights, int index, Program& p) const {
    const Layer& l = layers_[static_cast<size_t>(index)];
    const Norm in = norm(weights, l.ffn_norm);
    ExpertsPhase::Config c;
    c.layer = index;
    c.norm = in;
    c.router = spec_.experts.router();
    if (l.choice_bias >= 0) c.router.choice_bias = weights.vector(l.choice_bias);
    c.finish = finish();
    std::vector<LinearPhase::Product> scores = {product(weights, l.router.matrix, l.router.bias, Buffer::router)};
    if (l.shared_gate.matrix >= 0) {
        scores.push_back(product(weights, l.shared_gate.matrix, l.shared_gate.bias, Buffer::router));
        scores.back().out_column = c.shared_gate = scores.front().matrix.n_groups() * 16;
    }
    p.add<LinearPhase>("router", Buffer::x, in, std::move(scores));
    c.shared = l.up.matrix >= 0;
    if (c.shared) {
        std::vector<LinearPhase::Product> up;
        if (spec_.gated) up.push_back(product(weights, l.gate.matrix, l.gate.bias, Buffer::hidden));
        up.push_back(product(weights, l.up.matrix, l.up.bias, Buffer::hidden, finish()));
        p.add<LinearPhase>("shared up", Buffer::x, in, std::move(up));
        p.add<LinearPhase>("shared down", Buffer::hidden, Norm{},
                           std::vector{product(weights, l.down.matrix, l.down.bias, Buffer::shared)});
    }
    const auto vector = [&](int number) { return number < 0 ? nullptr : weights.vector(number); };
    for (const Expert& e : l.experts) {
        ExpertsPhase::Expert expert;
        if (e.gate.matrix >= 0) expert.gate = weights.matrix(e.gate.matrix);
        expert.up = weights.matrix(e.up.matrix);
        expert.down = weights.matrix(e.down.matrix);
        expert.gate_bias = vector(e.gate.bias), expert.up_bias = vector(e.up.bias);
        expert.down_bias = vector(e.down.bias);
        c.experts.push_back(expert);
    }
    c.scale = static_cast<float>(spec_.residual_scale);
    if (l.post_ffn_norm.present) c.out = Buffer::gate;
    const float scale = c.scale;
    p.add<ExpertsPhase>(std::move(c));
    if (l.post_ffn_norm.present) p.add<AddPhase>(Buffer::gate, post_norm(weights, l.post_ffn_norm), spec_.width, scale);
    if (spec_.parallel_residual)
        p.add<AddPhase>(Buffer::branch, post_norm(weights, l.post_attn_norm), spec_.width, scale);
}

std::unique_ptr<Program> ModelBuilder::build(const Weights& weights) const {
    auto program = std::make_unique<Program>();
    Program& p = *program;
    p.add<EmbedPhase>(embed_config(weights));
    for (int i = 0; i < spec_.n_layers; ++i) {
        const LayerSpec& layer = spec_.layers[static_cast<size_t>(i)];
        if (layer.n_heads > 0) build_attention(weights, i, p);
        if (layer.recurrent) {
            const MixerParts parts{spec_, i, layers_[static_cast<size_t>(i)].mixer, weights};
            (has_mamba() ? build_mamba : build_rwkv)(parts, p);
        }
        if (layer.ffn_width > 0) build_ffn(weights, i, p);
        if (layer.sparse) build_experts(weights, i, p);
    }
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
    const size_t n = has_mamba() ? mamba_state_floats(spec_.recurrent) : rwkv_state_floats(spec_);
    for (const LayerSpec& l : spec_.layers) out.push_back(l.recurrent ? n : 0);
    return out;
}

LinearPhase::Product MixerParts::product(std::string_view what, Buffer out, int out_column, Finish finish) const {
    elver::LinearPhase::Product p = elver::product(weights, planned.at(what), -1, out, finish);
    p.out_column = out_column;
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
