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
        return wrong(within + "rope",
                     cat("turns ", ropes[static_cast<size_t>(layer.rope)].dims, " dims of a head of ", layer.head_dim));
    return {};
}

}  // namespace

bool ModelSpec::ignores(std::string_view tensor) const {
    if (tensor.starts_with("blk.")) tensor.remove_prefix(std::min(tensor.find('.', 4), tensor.size() - 1) + 1);
    for (std::string_view rest = ignored; !rest.empty();) {
        const std::string_view begin = rest.substr(0, rest.find(' '));
        if (!begin.empty() && tensor.starts_with(begin)) return true;
        rest.remove_prefix(std::min(begin.size() + 1, rest.size()));
    }
    return false;
}

Result<void> ModelSpec::validate() const {
    if (auto good = check("", {Range{"n_vocab", n_vocab, 1, most},
                               {"width", width, 1, 1 << 20},
                               {"n_layers", n_layers, 1, 4096},
                               {"n_ctx_train", n_ctx_train, 1, INT32_MAX},
                               {"ffn.n_experts", n_experts, 0, 4096},
                               {"ffn.top_k", top_k, 0, n_experts}});
        !good)
        return good;
    if (auto good = check("", {Number{"norm.eps", norm_eps, false},
                               {"norm.post_eps", post_norm_eps, false},
                               {"attention.scale", attention_scale, false},
                               {"attention.soft_cap", attn_soft_cap, false},
                               {"attention.qkv_clamp", qkv_clamp, false},
                               {"attention.alibi_max_bias", alibi_max_bias, false},
                               {"logit_soft_cap", logit_soft_cap, false}});
        !good)
        return good;
    if (static_cast<int>(layers.size()) != n_layers)
        return wrong("layers", cat("expected ", n_layers, ", found ", layers.size()));
    if (gated && activation == Activation::relu2)
        return Error(Status::unsupported, "ffn.activation: relu2 with a gate is not supported", "ffn.activation");
    for (size_t i = 0; i < ropes.size(); ++i) {
        if (auto good = check(ropes[i], cat("rope.tables[", i, "].")); !good) return good;
    }
    for (size_t i = 0; i < layers.size(); ++i) {
        if (auto good = check(layers[i], ropes, cat("layers[", i, "].")); !good) return good;
    }
    return {};
}

}  // namespace elver
