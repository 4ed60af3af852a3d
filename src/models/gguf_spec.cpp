#include "models/gguf_spec.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/text.hpp"
#include "models/architectures.hpp"

namespace elver {

namespace {

// Reads keys below the architecture's prefix; the first failure is kept and later reads answer their fallback.
class Keys {
  public:
    Keys(const Gguf& file, std::string_view architecture) : file_(file), prefix_(cat(architecture, ".")) {}

    bool has(std::string_view key) const { return file_.find(cat(prefix_, key)) != nullptr; }

    int integer(std::string_view key, std::optional<int> fallback = std::nullopt) {
        const std::string name = prefix_ + std::string(key);
        const auto value = fallback ? file_.get_int_or(name, *fallback) : file_.get_int(name);
        if (!value) return keep(value.error()), 0;
        if (*value < 0 || *value > INT32_MAX) return keep(file_.key_error(name, "0 to 2147483647", cat(*value))), 0;
        return static_cast<int>(*value);
    }
    double number(std::string_view key, double fallback) {
        const std::string name = prefix_ + std::string(key);
        const auto value = file_.get_float_or(name, fallback);
        if (!value) return keep(value.error()), fallback;
        if (!std::isfinite(*value)) return keep(file_.key_error(name, "a finite number", cat(*value))), fallback;
        return *value;
    }
    // A number of which 0 says that it is not set.
    double scale(std::string_view key, double fallback) {
        const double value = number(key, fallback);
        return value == 0.0 ? fallback : value;
    }
    bool flag(std::string_view key, bool fallback) {
        const auto value = file_.get_bool_or(prefix_ + std::string(key), fallback);
        if (!value) return keep(value.error()), fallback;
        return *value;
    }
    std::string_view text(std::string_view key, std::string_view fallback) {
        const auto value = file_.get_string_or(prefix_ + std::string(key), fallback);
        if (!value) return keep(value.error()), fallback;
        return *value;
    }
    void keep(Error error) {
        if (!error_) error_.emplace(std::move(error));
    }
    std::optional<Error>& error() { return error_; }
    const std::string& prefix() const { return prefix_; }

  private:
    const Gguf& file_;
    std::string prefix_;
    std::optional<Error> error_;
};

void read_attention(const Gguf& file, Keys& keys, ModelSpec& s) {
    s.n_heads = keys.integer("attention.head_count");
    s.n_kv_heads = keys.integer("attention.head_count_kv", s.n_heads);
    const int even = s.n_heads > 0 ? s.width / s.n_heads : 0;
    s.head_dim = keys.integer("attention.key_length", even);
    s.v_head_dim = keys.integer("attention.value_length", even);
    s.attention_scale = keys.number("attention.scale", 0.0);
    s.qkv_clamp = keys.number("attention.clamp_kqv", 0.0);
    s.alibi_max_bias = keys.scale("attention.max_alibi_bias", s.alibi_max_bias);
    // Layer norms of q and k as wide as all heads: one norm over the whole row.
    const GgufTensor* q_norm = file.find_tensor("blk.0.attn_q_norm.weight");
    s.qk_norm_whole = q_norm != nullptr && q_norm->view.shape.rank() == 1 && s.n_heads > 1 &&
                      q_norm->view.shape.columns() == static_cast<int64_t>(s.n_heads) * s.head_dim;
}

void read_rope(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    s.rope_pairing = arch.pairing;
    if (arch.pairing == RopePairing::none) return;
    s.rope_dims = keys.integer("rope.dimension_count", s.head_dim);
    RopeSpec rope;
    rope.base = keys.number("rope.freq_base", 10000.0);
    const std::string_view scaling = keys.text("rope.scaling.type", keys.has("rope.scale_linear") ? "linear" : "none");
    rope.factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 1.0));
    rope.original_context = keys.integer("rope.scaling.original_context_length", s.n_ctx_train);
    rope.magnitude = keys.number("rope.scaling.attn_factor", 1.0);
    if (rope.factor == 0.0) rope.factor = 1.0;
    if (scaling == "linear")
        rope.scaling = RopeScaling::linear;
    else if (scaling == "yarn")
        rope.scaling = RopeScaling::yarn;
    else if (scaling != "none" && scaling != "longrope" && scaling != "llama3") {
        keys.keep(Error(Status::unsupported,
                        cat(file.name(), ": key ", in_quotes(keys.prefix() + "rope.scaling.type"),
                            ": expected none, linear, yarn, llama3 or longrope, found ", in_quotes(scaling)),
                        "rope.scaling.type"));
    }
    // Frequency factors stand in a tensor of their own; of two, the long ones serve a session whose context is beyond
    // the original.
    if (file.find_tensor("rope_freqs.weight") != nullptr)
        rope.factors_tensor = "rope_freqs.weight";
    else if (file.find_tensor("rope_factors_short.weight") != nullptr)
        rope.factors_tensor = "rope_factors_short.weight";
    if (file.find_tensor("rope_factors_long.weight") != nullptr) rope.long_factors_tensor = "rope_factors_long.weight";
    s.ropes.push_back(rope);
}

void read_windows(Keys& keys, const Architecture& arch, ModelSpec& s) {
    const int window = keys.integer("attention.sliding_window", 0);
    s.layers.assign(static_cast<size_t>(std::max(s.n_layers, 0)), {0, s.ropes.empty() ? -1 : 0});
    if (window == 0) return;
    int local_rope = s.ropes.empty() ? -1 : 0;
    if (arch.local_rope_base > 0 && !s.ropes.empty()) {
        RopeSpec local;  // scaling is for layers that see everything
        local.base = keys.number("rope.freq_base_swa", arch.local_rope_base);
        s.ropes.push_back(local);
        local_rope = 1;
    }
    for (size_t i = 0; i < s.layers.size(); ++i) {
        if (static_cast<int>(i) % arch.window_period != arch.window_global) s.layers[i] = {window, local_rope};
    }
}

void read_scales(Keys& keys, const Architecture& arch, ModelSpec& s) {
    const double width = std::max(s.width, 1), depth = std::max(s.n_layers, 1);
    const double embedding = arch.embedding_times_sqrt_width ? std::sqrt(width)
                             : arch.embedding_scale > 0      ? arch.embedding_scale
                                                             : 1.0;
    s.embedding_scale = keys.scale("embedding_scale", embedding);
    s.residual_scale = keys.scale("residual_scale", arch.depth_scale > 0 ? arch.depth_scale / std::sqrt(depth) : 1.0);
    const double logits = keys.number("logit_scale", 0.0);
    if (logits == 0.0)
        s.logit_scale = arch.logit_width > 0 ? arch.logit_width / width : 1.0;
    else
        s.logit_scale = arch.divides_by_logit_scale ? 1.0 / logits : logits;
    if (!arch.soft_caps) return;
    s.attn_soft_cap = keys.number("attn_logit_softcapping", 0.0);
    s.logit_soft_cap = keys.number("final_logit_softcapping", 0.0);
}

}  // namespace

Result<ModelSpec> spec_from_gguf(const Gguf& file) {
    const auto name = file.get_string("general.architecture");
    if (!name) return name.error();
    const Architecture* arch = find_architecture(*name);
    if (arch == nullptr) {
        return Error(Status::unsupported,
                     cat(file.name(), ": key \"general.architecture\": ", in_quotes(*name),
                         " is not supported; known are ", known_architectures()),
                     "general.architecture");
    }
    Keys keys(file, *name);
    ModelSpec s;
    s.architecture = std::string(*name);
    s.width = keys.integer("embedding_length");
    s.n_layers = keys.integer("block_count");
    s.n_ctx_train = keys.integer("context_length");
    s.ffn_width = keys.integer("feed_forward_length");
    s.n_experts = keys.integer("expert_count", 0);
    s.top_k = keys.integer("expert_used_count", 0);
    if (keys.error()) return std::move(*keys.error());
    if (s.n_layers > 4096) return file.key_error(keys.prefix() + "block_count", "1 to 4096", cat(s.n_layers));
    const auto embedding = file.tensor("token_embd.weight");
    if (!embedding) return embedding.error();
    s.n_vocab = static_cast<int>(std::min<int64_t>((*embedding)->view.shape.rows(), INT32_MAX));
    s.norm = arch->norm;
    s.norm_eps = s.norm == NormKind::rms ? keys.number("attention.layer_norm_rms_epsilon", 1e-5)
                                         : keys.number("attention.layer_norm_epsilon", 1e-5);
    s.parallel_residual = arch->parallel_residual_key ? keys.flag("use_parallel_residual", arch->parallel_residual)
                                                      : arch->parallel_residual;
    read_scales(keys, *arch, s);
    s.activation = arch->activation;
    s.gated = arch->gated;
    s.alibi_max_bias = arch->alibi_max_bias;
    read_attention(file, keys, s);
    read_rope(file, keys, *arch, s);
    read_windows(keys, *arch, s);
    if (keys.error()) return std::move(*keys.error());
    if (auto valid = s.validate(); !valid) return std::move(valid).error().within(file.name());
    return s;
}

}  // namespace elver
