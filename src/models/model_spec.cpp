#include "models/model_spec.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace elver {

namespace {

const char* name_of(NormKind v) {
    return v == NormKind::rms ? "rms" : "layer";
}
const char* name_of(RopePairing v) {
    return v == RopePairing::none ? "none" : v == RopePairing::adjacent ? "adjacent" : "halves";
}
const char* name_of(RopeScaling v) {
    return v == RopeScaling::none ? "none" : v == RopeScaling::linear ? "linear" : "yarn";
}
const char* name_of(Activation v) {
    static const char* names[] = {"silu", "gelu", "gelu_tanh", "relu", "relu2"};
    return names[static_cast<int>(v)];
}

struct Range {
    const char* field;
    int64_t value, low, high;
};

}  // namespace

Result<void> ModelSpec::validate() const {
    constexpr int64_t most = 1 << 24;
    const Range ranges[] = {
        {"n_vocab", n_vocab, 1, most},          {"width", width, 1, 1 << 20},
        {"n_layers", n_layers, 1, 4096},        {"n_heads", n_heads, 1, 4096},
        {"n_kv_heads", n_kv_heads, 1, n_heads}, {"head_dim", head_dim, 1, 4096},
        {"v_head_dim", v_head_dim, 1, 4096},    {"ffn_width", ffn_width, 1, most},
        {"rope_dims", rope_dims, 0, head_dim},  {"n_ctx_train", n_ctx_train, 1, INT32_MAX},
        {"n_experts", n_experts, 0, 4096},      {"top_k", top_k, 0, n_experts},
    };
    for (const Range& r : ranges) {
        if (r.value < r.low || r.value > r.high) {
            return Error(Status::bad_file, cat(r.field, ": expected ", r.low, " to ", r.high, ", found ", r.value),
                         r.field);
        }
    }
    const auto wrong = [](const char* field, std::string what) {
        return Error(Status::bad_file, cat(field, ": ", what), field);
    };
    if (n_heads % n_kv_heads != 0)
        return wrong("n_heads", cat("expected a multiple of n_kv_heads ", n_kv_heads, ", found ", n_heads));
    if (rope_dims % 2 != 0) return wrong("rope_dims", cat("expected an even number, found ", rope_dims));
    if (!(norm_eps >= 0) || !std::isfinite(norm_eps))
        return wrong("norm_eps", cat("expected a number not below 0, found ", norm_eps));
    if (static_cast<int>(layers.size()) != n_layers)
        return wrong("layers", cat("expected ", n_layers, ", found ", layers.size()));
    if (gated && activation == Activation::relu2)
        return Error(Status::unsupported, "activation: relu2 with a gate is not supported", "activation");
    for (const RopeSpec& rope : ropes) {
        if (!(rope.base > 0) || !std::isfinite(rope.base))
            return wrong("rope_base", cat("expected a number above 0, found ", rope.base));
        if (!(rope.factor > 0) || !std::isfinite(rope.factor))
            return wrong("rope_factor", cat("expected a number above 0, found ", rope.factor));
    }
    for (const LayerPattern& layer : layers) {
        if (layer.window < 0) return wrong("window", cat("expected 0 or more, found ", layer.window));
        if (layer.rope < -1 || layer.rope >= static_cast<int>(ropes.size()))
            return wrong("rope", cat("no rotary table ", layer.rope));
    }
    return {};
}

std::string ModelSpec::to_json() const {
    nlohmann::ordered_json j;
    j["architecture"] = architecture;
    j["n_vocab"] = n_vocab, j["width"] = width, j["n_layers"] = n_layers, j["n_ctx_train"] = n_ctx_train;
    j["norm"] = {{"kind", name_of(norm)}, {"eps", norm_eps}};
    j["residual"] = parallel_residual ? "parallel" : "sequential";
    j["embedding_scale"] = embedding_scale, j["residual_scale"] = residual_scale;
    j["logit_scale"] = logit_scale, j["logit_soft_cap"] = logit_soft_cap;
    j["attention"] = {{"n_heads", n_heads},       {"n_kv_heads", n_kv_heads},        {"head_dim", head_dim},
                      {"v_head_dim", v_head_dim}, {"scale", attention_scale},        {"soft_cap", attn_soft_cap},
                      {"qkv_clamp", qkv_clamp},   {"alibi_max_bias", alibi_max_bias}};
    auto tables = nlohmann::ordered_json::array();
    for (const RopeSpec& r : ropes) {
        tables.push_back({{"base", r.base},
                          {"scaling", name_of(r.scaling)},
                          {"factor", r.factor},
                          {"magnitude", r.magnitude},
                          {"factors_tensor", r.factors_tensor},
                          {"long_factors_tensor", r.long_factors_tensor}});
    }
    j["rope"] = {{"pairing", name_of(rope_pairing)}, {"dims", rope_dims}, {"tables", tables}};
    auto patterns = nlohmann::ordered_json::array();
    for (const LayerPattern& l : layers) patterns.push_back({{"window", l.window}, {"rope", l.rope}});
    j["layers"] = patterns;
    j["ffn"] = {{"width", ffn_width},
                {"gated", gated},
                {"activation", name_of(activation)},
                {"n_experts", n_experts},
                {"top_k", top_k}};
    return j.dump(2);
}

}  // namespace elver
