#include "models/gguf_spec.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/text.hpp"
#include "models/architectures.hpp"

namespace elver {

namespace {

// Reads keys below the architecture's prefix; the first failure is kept, and later reads return their fallback.
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
    // A number for each of n layers: the file gives one for all, or a list. fallback: one for each, or none.
    std::vector<int> integers(std::string_view key, size_t n, std::vector<int> fallback = {}) {
        const std::string name = prefix_ + std::string(key);
        const GgufValue* list = file_.find(name);
        if (list == nullptr && !fallback.empty()) return fallback;
        if (list == nullptr || list->type() != GgufType::array) return std::vector<int>(n, integer(key));
        std::vector<int> out;
        for (size_t i = 0; i < n; ++i) {
            const std::optional<int64_t> value = i < list->size() ? list->int_element(i) : std::nullopt;
            if (!value || *value < 0 || *value > INT32_MAX) {
                keep(file_.key_error(name, cat(n, " numbers from 0 to 2147483647"),
                                     value ? cat(*value, " at ", i) : cat(list->size(), " values")));
                return std::vector<int>(n, 0);
            }
            out.push_back(static_cast<int>(*value));
        }
        return out;
    }
    // Which of n layers have the model's window. The file gives
    //   a list: true for each layer that has it;
    //   a number p: one of every p layers lacks it, the last one, or the first one where global is 0;
    //   nothing: all have it except those with i % period == global.
    std::vector<bool> local_layers(size_t n, int period, int global) {
        std::vector<bool> out(n);
        const GgufValue* list = file_.find(cat(prefix_, "attention.sliding_window_pattern"));
        if (list != nullptr && list->type() != GgufType::array) {
            period = std::max(integer("attention.sliding_window_pattern"), 1);
            if (global != 0) global = period - 1;
            list = nullptr;
        }
        for (size_t i = 0; i < n; ++i) {
            out[i] = list == nullptr ? static_cast<int>(i) % period != global
                                     : i < list->size() && list->int_element(i).value_or(0) != 0;
        }
        return out;
    }
    // GGUF's pooling_type. 2^32 - 1 means that it is not set. A reranker's (4) is read as none: elver has no heads for
    // other tasks.
    Pooling pooling() {
        constexpr Pooling known[] = {Pooling::none, Pooling::mean, Pooling::first, Pooling::last, Pooling::none};
        const std::string name = prefix_ + "pooling_type";
        const auto number = file_.get_int_or(name, 0);
        if (!number) return keep(number.error()), Pooling::none;
        if (*number == UINT32_MAX || *number == -1) return Pooling::none;
        if (*number >= 0 && *number < static_cast<int64_t>(std::size(known))) return known[*number];
        return keep(file_.key_error(name, "0 to 4", cat(*number))), Pooling::none;
    }
    double number(std::string_view key, double fallback) {
        const std::string name = prefix_ + std::string(key);
        const auto value = file_.get_float_or(name, fallback);
        if (!value) return keep(value.error()), fallback;
        if (!std::isfinite(*value)) return keep(file_.key_error(name, "a finite number", cat(*value))), fallback;
        return *value;
    }
    // A number that is not set where it is 0.
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
    // For keys that would change the model in a way that elver cannot follow: any other value is an error.
    void refuse_others(const Architecture& arch) {
        struct Row {
            const char* key;
            double usual;
        };
        const Row rows[] = {
            {"attention.temperature_scale", arch.temperature}, {"num_loops", 1.0}, {"rope.scaling.alpha", 0.0}};
        for (const Row& row : rows) {
            const double value = number(row.key, row.usual);
            if (static_cast<float>(value) == static_cast<float>(row.usual)) continue;
            keep(Error(
                Status::unsupported,
                cat(file_.name(), ": key ", in_quotes(prefix_ + row.key), ": the value ", value, " is not supported"),
                row.key));
        }
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

void read_latent(const Gguf& file, Keys& keys, ModelSpec& s) {
    LatentSpec& m = s.latent;
    m.kv_rank = keys.integer("attention.kv_lora_rank");
    const bool direct = file.find_tensor(cat(s.tensors.of("attn_q"), ".weight")) != nullptr;
    m.q_rank = direct ? 0 : keys.integer("attention.q_lora_rank");
    m.absorbed = file.find_tensor(cat(s.tensors.of("attn_k_b"), ".weight")) != nullptr;
    // Files with absorbed matrices give the lengths of the cache's rows too.
    const auto length = [&](const char* own, const char* of_cache) {
        const int value = keys.integer(own, 0);
        return value > 0 ? value : keys.integer(of_cache);
    };
    const int k = length("attention.key_length_mla", "attention.key_length");
    m.v_dim = length("attention.value_length_mla", "attention.value_length");
    m.rope_dim = keys.integer("rope.dimension_count");
    m.nope_dim = k - m.rope_dim;
    for (LayerSpec& l : s.layers) {
        l.n_kv_heads = m.absorbed ? 1 : l.n_heads;
        l.head_dim = (m.absorbed ? m.kv_rank : m.nope_dim) + m.rope_dim;
        l.v_head_dim = m.absorbed ? m.kv_rank : m.v_dim;
    }
    // YaRN's magnitude multiplies the scores instead, with a factor of its own.
    const double factor = keys.scale("rope.scaling.factor", 1.0);
    const bool yarn = keys.text("rope.scaling.type", "") == "yarn";
    const double magnitude =
        1.0 + (yarn ? keys.number("rope.scaling.yarn_log_multiplier", 0.0) * std::log(factor) : 0.0);
    s.attention_scale = magnitude * magnitude / std::sqrt(static_cast<double>(std::max(k, 1)));
}

void read_layers(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    const size_t n = s.layers.size();
    const std::vector<int> heads = keys.integers("attention.head_count", n),
                           kv_heads = keys.integers("attention.head_count_kv", n, heads),
                           ffn_widths = keys.integers("feed_forward_length", n);
    if (keys.error()) return;
    const int most_heads = *std::max_element(heads.begin(), heads.end());
    const int even = most_heads > 0 ? s.width / most_heads : 0;
    const int head_dim = keys.integer("attention.key_length", even),
              v_head_dim = keys.integer("attention.value_length", even);
    for (size_t i = 0; i < n; ++i) {
        LayerSpec& l = s.layers[i];
        l.n_heads = heads[i], l.n_kv_heads = kv_heads[i];
        l.head_dim = head_dim, l.v_head_dim = v_head_dim;
        l.ffn_width = static_cast<int>(ffn_widths[i] * arch.ffn_width_factor);
        const bool is_ffn = arch.one_branch && l.ffn_width > 0;
        const bool attends =
            arch.recurs != Recurs::every && l.n_kv_heads > 0 && !is_ffn &&
            (arch.recurs != Recurs::with_tensors ||
             file.find_tensor(cat(s.tensors.of("ssm_out", static_cast<int>(i)), ".weight")) == nullptr);
        if (arch.recurs != Recurs::none && !attends) l.n_heads = l.n_kv_heads = 0;
        l.recurrent = arch.recurs != Recurs::none && !is_ffn && (!attends || arch.recurs == Recurs::beside);
    }
}

void read_attention(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    s.alibi_max_bias = arch.alibi_max_bias;
    s.causal = arch.causal;
    if (arch.attention_power != 0.5)
        s.attention_scale = std::pow(std::max(s.layers.front().head_dim, 1), -arch.attention_power);
    else
        s.attention_scale = arch.attention_scale;
    if ((arch.reads & reads_scales) != 0) {
        s.attention_scale = keys.number("attention.scale", s.attention_scale);
        s.attention_scale = keys.scale("attention.output_scale", s.attention_scale);
    }
    s.value_scale = keys.scale("attention.value_scale", 1.0);
    s.gate = arch.gate;
    if ((arch.reads & reads_qkv_clamp) != 0) s.qkv_clamp = keys.number("attention.clamp_kqv", 0.0);
    if ((arch.reads & reads_alibi) != 0) s.alibi_max_bias = keys.scale("attention.max_alibi_bias", arch.alibi_max_bias);
    if (arch.alibi_layers > 0 && s.n_layers == arch.alibi_layers) s.alibi_max_bias = 8.0;
    s.qk_norm_after_rope = arch.qk_norm_after_rope;
    s.qk_norm_plain = arch.plain_qk_norm_but > 0 && keys.integer("expert_count", 0) != arch.plain_qk_norm_but;
    // Norms of q and k as wide as all heads: one norm over the whole row.
    const GgufTensor* q_norm = file.find_tensor(cat(s.tensors.of("attn_q_norm"), ".weight"));
    const LayerSpec& l = s.layers.front();
    s.qk_norm_whole = q_norm != nullptr && q_norm->view.shape.rank() == 1 && l.n_heads > 1 &&
                      q_norm->view.shape.columns() == static_cast<int64_t>(l.n_heads) * l.head_dim;
}

// Columns of a tensor, or its rows; 0 if the file has none of that name.
int columns_of(const Gguf& file, const std::string& name) {
    const GgufTensor* t = file.find_tensor(name);
    return t == nullptr ? 0 : static_cast<int>(std::min<int64_t>(t->view.shape.columns(), INT32_MAX));
}
int rows_of(const Gguf& file, const std::string& name) {
    const GgufTensor* t = file.find_tensor(name);
    return t == nullptr ? 0 : static_cast<int>(std::min<int64_t>(t->view.shape.rows(), INT32_MAX));
}

// Layers with a router have experts; the file's tensors say which, and how wide they are where no key does.
void read_experts(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    ExpertsSpec& e = s.experts;
    e.n_experts = keys.integer("expert_count", 0);
    if (e.n_experts == 0) return;
    e.top_k = keys.integer("expert_used_count");
    e.ffn_width = keys.integer("expert_feed_forward_length", 0);
    e.input = arch.experts_input;
    e.sum_scale = arch.experts_sum_scale;
    e.weighs_input = arch.weighs_input;
    const int function = keys.integer("expert_gating_func", 0);
    e.score = function == 1   ? RouterScore::softmax
              : function == 2 ? RouterScore::sigmoid
              : function == 3 ? RouterScore::softmax_chosen
                              : arch.router;
    e.renormalise = arch.renormalises || keys.flag("expert_weights_norm", false);
    e.scale = keys.scale("expert_weights_scale", 1.0);
    e.n_groups = std::max(keys.integer("expert_group_count", 1), 1);
    e.n_groups_used = std::max(keys.integer("expert_group_used_count", e.n_groups), 1);
    for (int i = 0; i < s.n_layers; ++i) {
        if (file.find_tensor(cat(s.tensors.of("ffn_gate_inp", i), ".weight")) == nullptr) continue;
        LayerSpec& l = s.layers[static_cast<size_t>(i)];
        l.sparse = true;
        const bool dense_too = e.input == ExpertsInput::before_attention;
        l.ffn_width = dense_too ? rows_of(file, cat(s.tensors.of("ffn_up", i), ".weight")) : 0;
        if (e.ffn_width == 0) e.ffn_width = columns_of(file, cat(s.tensors.of("ffn_down_exps", i), ".weight"));
        if (e.ffn_width == 0) e.ffn_width = columns_of(file, cat(s.tensors.of("ffn_down", i), ".0.weight"));
        e.shared_width = std::max(e.shared_width, rows_of(file, cat(s.tensors.of("ffn_up_shexp", i), ".weight")));
    }
}

void read_recurrent(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    if (arch.recurs == Recurs::none) return;
    RecurrentSpec& r = s.recurrent;
    r.kind = arch.mixer;
    r.interleaved_keys = arch.interleaved_keys;
    if (r.kind == RecurrentKind::mamba || r.kind == RecurrentKind::mamba2 || r.kind == RecurrentKind::delta_net) {
        r.width = keys.integer("ssm.inner_size");
        r.n_state = keys.integer("ssm.state_size");
        r.n_taps = keys.integer("ssm.conv_kernel");
        const int rank = keys.integer("ssm.time_step_rank");
        (r.kind == RecurrentKind::mamba ? r.dt_rank : r.n_heads) = rank;
        for (int i = 0; i < s.n_layers && r.kind == RecurrentKind::mamba2; ++i)
            r.dt_rank = std::max(r.dt_rank, columns_of(file, cat(s.tensors.of("ssm_dt", i), ".weight")));
        r.n_groups = r.kind == RecurrentKind::mamba ? 0 : std::max(keys.integer("ssm.group_count", 1), 1);
    } else if (r.kind == RecurrentKind::short_conv) {
        r.width = s.width;
        r.n_taps = keys.integer("shortconv.l_cache");
    } else {
        const int head_dim = keys.integer("wkv.head_size");
        r.n_heads = head_dim > 0 && s.width % head_dim == 0 ? s.width / head_dim : 0;
        r.ffn_width = s.layers.front().ffn_width;
        r.halve_every = r.kind == RecurrentKind::rwkv6 ? keys.integer("rescale_every_n_layers", 0) : 0;
    }
    for (LayerSpec& l : s.layers) {
        if (arch.recurs == Recurs::every) l.ffn_width = 0;  // RWKV's is the channel mix
    }
}

RopeSpec read_rope(const Gguf& file, Keys& keys, const ModelSpec& s) {
    RopeSpec rope;
    rope.dims = keys.integer("rope.dimension_count", s.layers.front().head_dim);
    rope.base = keys.number("rope.freq_base", 10000.0);
    const std::string_view scaling = keys.text("rope.scaling.type", keys.has("rope.scale_linear") ? "linear" : "none");
    rope.factor = keys.scale("rope.scaling.factor", keys.scale("rope.scale_linear", 1.0));
    rope.original_context = keys.integer("rope.scaling.original_context_length", s.n_ctx_train);
    rope.magnitude = keys.number("rope.scaling.attn_factor", 1.0);
    if (s.latent.kv_rank > 0 && scaling == "yarn") rope.magnitude /= 1.0 + 0.1 * std::log(rope.factor);
    if (scaling == "linear")
        rope.scaling = RopeScaling::linear;
    else if (scaling == "yarn")
        rope.scaling = RopeScaling::yarn;
    else if (scaling != "none" && scaling != "longrope" && scaling != "llama3") {
        keys.keep(
            Error(Status::unsupported,
                  cat(file.name(), ": key ", in_quotes(keys.prefix() + "rope.scaling.type"),
                      ": expected none, linear, yarn, llama3 or longrope; ", in_quotes(scaling), " is not supported"),
                  "rope.scaling.type"));
    }
    // Frequency factors are a tensor. Where there are two, the long one serves sessions whose context is longer than
    // the original.
    if (file.find_tensor("rope_freqs.weight") != nullptr && !s.ignores("rope_freqs.weight"))
        rope.factors_tensor = "rope_freqs.weight";
    else if (file.find_tensor("rope_factors_short.weight") != nullptr)
        rope.factors_tensor = "rope_factors_short.weight";
    if (file.find_tensor("rope_factors_long.weight") != nullptr) rope.long_factors_tensor = "rope_factors_long.weight";
    return rope;
}

// Which layers have a window, and which rotary table each one takes.
void read_patterns(const Gguf& file, Keys& keys, const Architecture& arch, ModelSpec& s) {
    const int window = keys.integer("attention.sliding_window", arch.window);
    s.chunked_windows = arch.chunked_windows && window > 0;
    if (s.chunked_windows) s.temperature = arch.temperature, s.temperature_length = window;
    const std::vector<bool> local = keys.local_layers(s.layers.size(), arch.window_period, arch.window_global);
    int global_rope = -1, local_rope = -1;
    if (arch.rope && s.alibi_max_bias == 0.0) {
        const bool halves = (arch.reads & reads_sections) != 0 && keys.has("rope.dimension_sections");
        s.rope_pairing = halves ? RopePairing::halves : arch.pairing;
        s.ropes.push_back(read_rope(file, keys, s));
        global_rope = local_rope = 0;
        if ((arch.reads & reads_finetuned) != 0 && !keys.flag("rope.scaling.finetuned", true)) global_rope = -1;
    }
    if (window > 0 && !s.ropes.empty()) {
        RopeSpec table = s.ropes.front();
        if (arch.local_rope_base > 0 || arch.plain_local_rope) {
            table = RopeSpec();
            table.base = arch.local_rope_base > 0 ? arch.local_rope_base : s.ropes.front().base;
        }
        table.dims = keys.integer("rope.dimension_count_swa", s.ropes.front().dims);
        table.base = keys.number("rope.freq_base_swa", table.base);
        if (table != s.ropes.front()) {
            s.ropes.push_back(table);
            local_rope = 1;
        }
    }
    if (window > 0 && arch.rope_local_only) global_rope = -1;
    const int period = arch.chunked_windows && window == 0 ? 0 : arch.no_rope_period;
    for (size_t i = 0; i < s.layers.size(); ++i) {
        LayerSpec& l = s.layers[i];
        if (window > 0 && local[i]) l.window = window;
        l.rope = l.window > 0 ? local_rope : global_rope;
        if (arch.rope_dense && !l.sparse) l.rope = local_rope;
        if (period > 0 && (i + 1) % static_cast<size_t>(period) == 0) l.rope = -1;
    }
}

void read_scales(Keys& keys, const Architecture& arch, ModelSpec& s) {
    const double width = std::max(s.width, 1), depth = std::max(s.n_layers, 1);
    s.embedding_scale = arch.embedding_times_sqrt_width ? std::sqrt(width)
                        : arch.embedding_scale > 0      ? arch.embedding_scale
                                                        : 1.0;
    s.residual_scale = arch.depth_scale > 0 ? arch.depth_scale / std::sqrt(depth) : 1.0;
    if ((arch.reads & reads_scales) != 0) {
        s.embedding_scale = keys.scale("embedding_scale", s.embedding_scale);
        s.residual_scale = keys.scale("residual_scale", s.residual_scale);
    }
    const double logits = keys.number("logit_scale", 0.0);
    if (logits == 0.0)
        s.logit_scale = arch.logit_width > 0 ? arch.logit_width / width : arch.logit_scale > 0 ? arch.logit_scale : 1.0;
    else
        s.logit_scale = arch.divides_by_logit_scale ? 1.0 / logits : logits;
    if ((arch.reads & reads_soft_caps) == 0) return;
    s.attn_soft_cap = keys.number("attn_logit_softcapping", arch.attn_soft_cap);
    s.logit_soft_cap = keys.number("final_logit_softcapping", 0.0);
}

Result<ModelSpec> from_own_spec(const Gguf& file) {
    const auto text = file.get_string("elver.spec");
    if (!text) return text.error();
    auto spec = ModelSpec::from_json(*text);
    if (!spec) return std::move(spec).error().within(cat(file.name(), ": key \"elver.spec\""));
    return spec;
}

}  // namespace

Result<ModelSpec> spec_from_gguf(const Gguf& file) {
    if (file.find("elver.spec") != nullptr) return from_own_spec(file);
    const auto name = file.get_string("general.architecture");
    if (!name) return name.error();
    const Architecture* arch = find_architecture(*name);
    if (arch == nullptr) {
        const char* lacks = missing_for(*name);
        return Error(Status::unsupported,
                     cat(file.name(), ": the architecture ", in_quotes(*name), " is not supported",
                         lacks == nullptr ? " and the file has no key \"elver.spec\" that describes it"
                                          : cat(": elver lacks ", lacks)),
                     "general.architecture");
    }
    Keys keys(file, *name);
    ModelSpec s;
    s.architecture = std::string(*name);
    for (const Rename& r : arch->renames) {
        if (r.role != nullptr) s.tensors.lend(r.role, r.as == nullptr ? "" : r.as);
    }
    s.width = keys.integer("embedding_length");
    const int n_blocks = keys.integer("block_count");
    s.n_layers = n_blocks - keys.integer("nextn_predict_layers", 0);  // behind them, layers that draft tokens
    s.n_ctx_train = keys.integer("context_length");
    if (keys.error()) return std::move(*keys.error());
    if (s.n_layers < 1 || n_blocks > 4096)
        return file.key_error(keys.prefix() + "block_count", "1 to 4096, beside layers that draft", cat(n_blocks));
    s.layers.resize(static_cast<size_t>(s.n_layers));
    const auto embedding = file.tensor(cat(s.tensors.of("token_embd"), ".weight"));
    if (!embedding) return embedding.error();
    s.n_vocab = static_cast<int>(std::min<int64_t>((*embedding)->view.shape.rows(), INT32_MAX));
    s.norm = arch->norm;
    const char *rms_eps = "attention.layer_norm_rms_epsilon", *layer_eps = "attention.layer_norm_epsilon";
    if (arch->norm_by_key && keys.number(rms_eps, 0.0) > 0) s.norm = NormKind::rms;
    if (s.norm == NormKind::layer) std::swap(rms_eps, layer_eps);
    s.norm_eps = keys.number(keys.has(rms_eps) ? rms_eps : layer_eps, 1e-5);
    s.post_norm_eps = arch->post_norm_eps;
    s.norms_without_weights = arch->norms_without_weights;
    s.embedding_normalised = arch->embedding_normalised;
    s.has_head = arch->has_head;
    s.pooling = keys.pooling();
    s.ignored = arch->ignored;
    for (int i = s.n_layers; i < n_blocks; ++i) s.ignored += cat(s.ignored.empty() ? "" : " ", "blk.", i, ".");
    s.parallel_residual = arch->parallel_residual;
    if ((arch->reads & reads_parallel_residual) != 0)
        s.parallel_residual = keys.flag("use_parallel_residual", arch->parallel_residual);
    s.activation = arch->activation;
    s.gated = arch->gated;
    read_scales(keys, *arch, s);
    read_layers(file, keys, *arch, s);
    if (keys.error()) return std::move(*keys.error());
    read_attention(file, keys, *arch, s);
    if (arch->latent) read_latent(file, keys, s);
    read_experts(file, keys, *arch, s);
    read_recurrent(file, keys, *arch, s);
    read_patterns(file, keys, *arch, s);
    keys.refuse_others(*arch);
    if (keys.error()) return std::move(*keys.error());
    if (auto valid = s.validate(); !valid) return std::move(valid).error().within(file.name());
    return s;
}

}  // namespace elver
