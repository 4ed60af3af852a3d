#include "models/model_spec.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace elver {

namespace {

struct Range {
    const char* field;
    int64_t value, low, high;
};

Error wrong(const std::string& field, const std::string& what) {
    return {Status::bad_file, cat(field, ": ", what), field};
}

template <size_t n>
Result<void> check(const std::string& within, const Range (&ranges)[n]) {
    for (const Range& r : ranges) {
        if (r.value < r.low || r.value > r.high)
            return wrong(within + r.field, cat("expected ", r.low, " to ", r.high, ", found ", r.value));
    }
    return {};
}

struct Number {
    const char* field;
    double value;
    bool positive;  // else 0 is good too
};

template <size_t n>
Result<void> check(const std::string& within, const Number (&numbers)[n]) {
    for (const Number& r : numbers) {
        if (!std::isfinite(r.value) || r.value < 0 || (r.positive && r.value == 0))
            return wrong(within + r.field,
                         cat("expected a number ", r.positive ? "above 0" : "of 0 or more", ", found ", r.value));
    }
    return {};
}

constexpr int64_t most = 1 << 24;

Result<void> check(const RopeSpec& rope, const std::string& within) {
    if (auto good = check(
            within, {Range{"dims", rope.dims, 2, 4096}, {"original_context", rope.original_context, 0, INT32_MAX}});
        !good)
        return good;
    if (rope.dims % 2 != 0) return wrong(within + "dims", cat("expected an even number, found ", rope.dims));
    return check(within,
                 {Number{"base", rope.base, true}, {"factor", rope.factor, true}, {"magnitude", rope.magnitude, true}});
}

Result<void> check(const LayerSpec& layer, const std::vector<RopeSpec>& ropes, const std::string& within) {
    const bool attends = layer.n_heads > 0;
    const int64_t n_ropes = static_cast<int64_t>(ropes.size());
    if (auto good = check(within, {Range{"n_heads", layer.n_heads, 0, 4096},
                                   {"n_kv_heads", layer.n_kv_heads, attends ? 1 : 0, layer.n_heads},
                                   {"head_dim", layer.head_dim, attends ? 1 : 0, 4096},
                                   {"v_head_dim", layer.v_head_dim, attends ? 1 : 0, 4096},
                                   {"window", layer.window, 0, INT32_MAX},
                                   {"rope", layer.rope, -1, n_ropes - 1},
                                   {"ffn_width", layer.ffn_width, 0, most}});
        !good)
        return good;
    if (attends && layer.n_heads % layer.n_kv_heads != 0)
        return wrong(within + "n_heads",
                     cat("expected a multiple of n_kv_heads ", layer.n_kv_heads, ", found ", layer.n_heads));
    if (attends && layer.rope >= 0 && ropes[static_cast<size_t>(layer.rope)].dims > layer.head_dim)
        return wrong(within + "rope", cat("expected at most head_dim, ", layer.head_dim, ", dims, found ",
                                          ropes[static_cast<size_t>(layer.rope)].dims));
    return {};
}

Result<void> check(const LatentSpec& m, const LayerSpec& layer) {
    const int kv_heads = m.absorbed ? 1 : layer.n_heads, k = (m.absorbed ? m.kv_rank : m.nope_dim) + m.rope_dim,
              v = m.absorbed ? m.kv_rank : m.v_dim;
    return check("latent.", {Range{"kv_rank", m.kv_rank, 1, most},
                             {"q_rank", m.q_rank, 0, most},
                             {"nope_dim", m.nope_dim, m.absorbed, 4096},
                             {"rope_dim", m.rope_dim, 2, 4096},
                             {"v_dim", m.v_dim, 1, 4096},
                             {"(n_kv_heads of a layer)", layer.n_kv_heads, kv_heads, kv_heads},
                             {"(head_dim of a layer)", layer.head_dim, k, k},
                             {"(v_head_dim of a layer)", layer.v_head_dim, v, v}});
}

Result<void> check(const RecurrentSpec& r, int width) {
    const bool mamba = r.kind == RecurrentKind::mamba,
               mamba2 = r.kind == RecurrentKind::mamba2 || r.kind == RecurrentKind::delta_net;
    const bool short_conv = r.kind == RecurrentKind::short_conv, channels = mamba || mamba2 || short_conv;
    if (auto good = check("recurrent.", {Range{"n_channels", r.width, channels, channels ? 1 << 20 : 0},
                                         {"n_state", r.n_state, mamba || mamba2, mamba || mamba2 ? 4096 : 0},
                                         {"n_taps", r.n_taps, channels, channels ? 64 : 0},
                                         {"dt_rank", r.dt_rank, mamba, mamba || mamba2 ? 1 << 20 : 0},
                                         {"n_heads", r.n_heads, !mamba && !short_conv,
                                          mamba || short_conv ? 0
                                          : channels          ? r.width
                                                              : width},
                                         {"n_groups", r.n_groups, mamba2, mamba2 ? r.n_heads : 0},
                                         {"ffn_width", r.ffn_width, !channels, channels ? 0 : most},
                                         {"halve_every", r.halve_every, 0, 4096}});
        !good)
        return good;
    const auto divides = [](int n, int of) { return n == 0 || of % n == 0; };
    if (!divides(r.n_heads, channels ? r.width : width) || !divides(r.n_groups, r.n_heads))
        return wrong("recurrent.n_heads",
                     cat("expected a divisor of the width, and a multiple of n_groups, found ", r.n_heads));
    return {};
}

Result<void> check(const ExpertsSpec& experts) {
    if (auto good = check("experts.", {Range{"ffn_width", experts.ffn_width, 1, most},
                                       {"shared_width", experts.shared_width, 0, most},
                                       {"n_experts", experts.n_experts, 1, 4096}});
        !good)
        return good;
    if (auto good = check(experts.router()); !good)
        return Error(Status::bad_file, "experts: " + good.error().message(), "experts");
    return {};
}

}  // namespace

bool ModelSpec::ignores(std::string_view tensor) const {
    std::string_view part = tensor;
    if (part.starts_with("blk.")) part.remove_prefix(std::min(part.find('.', 4), part.size() - 1) + 1);
    for (std::string_view rest = ignored; !rest.empty();) {
        const std::string_view begin = rest.substr(0, rest.find(' '));
        if (!begin.empty() && (part.starts_with(begin) || tensor.starts_with(begin))) return true;
        rest.remove_prefix(std::min(begin.size() + 1, rest.size()));
    }
    return false;
}

RouterOptions ExpertsSpec::router() const {
    RouterOptions o;
    o.score = score;
    o.n_experts = n_experts, o.top_k = top_k;
    o.renormalise = renormalise;
    o.scale = static_cast<float>(scale);
    o.n_groups = n_groups, o.n_groups_used = n_groups_used;
    return o;
}

Result<void> ModelSpec::validate() const {
    if (auto good = check("",
                          {
                              Range{"n_vocab", n_vocab, 1, most},
                              {"width", width, 1, 1 << 20},
                              {"n_layers", n_layers, 1, 4096},
                              {"n_ctx_train", n_ctx_train, 1, INT32_MAX},
                          });
        !good)
        return good;
    if (auto good = check("", {Number{"norm.eps", norm_eps, false},
                               {"norm.post_eps", post_norm_eps, false},
                               {"attention.scale", attention_scale, false},
                               {"attention.soft_cap", attn_soft_cap, false},
                               {"attention.qkv_clamp", qkv_clamp, false},
                               {"attention.alibi_max_bias", alibi_max_bias, false},
                               {"attention.value_scale", value_scale, true},
                               {"attention.temperature", temperature, false},
                               {"attention.temperature_length", double(temperature_length), true},
                               {"experts.sum_scale", experts.sum_scale, true},
                               {"logit_soft_cap", logit_soft_cap, false}});
        !good)
        return good;
    if (static_cast<int>(layers.size()) != n_layers)
        return wrong("layers", cat("expected ", n_layers, ", found ", layers.size()));
    if (!gated && activation == Activation::silu_clamped)
        return Error(Status::unsupported, "ffn.activation: silu_clamped without a gate is not supported",
                     "ffn.activation");
    if (gated && activation == Activation::relu2)
        return Error(Status::unsupported, "ffn.activation: relu2 with a gate is not supported", "ffn.activation");
    if (std::any_of(layers.begin(), layers.end(), [](const LayerSpec& l) { return l.sparse; })) {
        if (auto good = check(experts); !good) return good;
    }
    if (std::any_of(layers.begin(), layers.end(), [](const LayerSpec& l) { return l.recurrent; })) {
        if (auto good = check(recurrent, width); !good) return good;
    }
    for (size_t i = 0; i < ropes.size(); ++i) {
        if (auto good = check(ropes[i], cat("rope.tables[", i, "].")); !good) return good;
    }
    for (size_t i = 0; i < layers.size(); ++i) {
        if (auto good = check(layers[i], ropes, cat("layers[", i, "].")); !good) return good;
        if (latent.kv_rank == 0 || layers[i].n_heads == 0) continue;
        if (auto good = check(latent, layers[i]); !good) return good;
    }
    return {};
}

}  // namespace elver
