// The JSON form of a ModelSpec. fields() names every field once, for reading and for writing.
#include <cmath>
#include <optional>
#include <set>
#include <span>

#include "base/json.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "models/model_spec.hpp"

namespace elver {

namespace {

template <class T>
struct EnumName {
    T value;
    const char* name;
};

constexpr EnumName<NormKind> norm_kinds[] = {{NormKind::rms, "rms"}, {NormKind::layer, "layer"}};
constexpr EnumName<RopePairing> pairings[] = {{RopePairing::adjacent, "adjacent"}, {RopePairing::halves, "halves"}};
constexpr EnumName<RopeScaling> scalings[] = {
    {RopeScaling::none, "none"}, {RopeScaling::linear, "linear"}, {RopeScaling::yarn, "yarn"}};
constexpr EnumName<Activation> activations[] = {
    {Activation::silu, "silu"}, {Activation::gelu, "gelu"},   {Activation::gelu_tanh, "gelu_tanh"},
    {Activation::relu, "relu"}, {Activation::relu2, "relu2"}, {Activation::silu_clamped, "silu_clamped"}};
constexpr EnumName<RouterScore> scores[] = {{RouterScore::softmax, "softmax"},
                                            {RouterScore::sigmoid, "sigmoid"},
                                            {RouterScore::softmax_chosen, "softmax_chosen"},
                                            {RouterScore::softmax_near_best, "softmax_near_best"}};
constexpr EnumName<ExpertsInput> experts_inputs[] = {{ExpertsInput::same, "same"},
                                                     {ExpertsInput::router_before_attention, "router_before_attention"},
                                                     {ExpertsInput::before_attention, "before_attention"}};
constexpr EnumName<GateKind> gates[] = {{GateKind::sigmoid, "sigmoid"}, {GateKind::softplus, "softplus"}};

constexpr EnumName<Pooling> poolings[] = {
    {Pooling::none, "none"}, {Pooling::mean, "mean"}, {Pooling::first, "first"}, {Pooling::last, "last"}};

constexpr std::span<const EnumName<Pooling>> names(Pooling) {
    return poolings;
}
constexpr std::span<const EnumName<NormKind>> names(NormKind) {
    return norm_kinds;
}
constexpr std::span<const EnumName<RopePairing>> names(RopePairing) {
    return pairings;
}
constexpr std::span<const EnumName<RopeScaling>> names(RopeScaling) {
    return scalings;
}
constexpr std::span<const EnumName<Activation>> names(Activation) {
    return activations;
}

constexpr std::span<const EnumName<RouterScore>> names(RouterScore) {
    return scores;
}
constexpr std::span<const EnumName<ExpertsInput>> names(ExpertsInput) {
    return experts_inputs;
}
constexpr std::span<const EnumName<GateKind>> names(GateKind) {
    return gates;
}

constexpr EnumName<RecurrentKind> recurrent_kinds[] = {
    {RecurrentKind::mamba, "mamba"},           {RecurrentKind::mamba2, "mamba2"},
    {RecurrentKind::rwkv6, "rwkv6"},           {RecurrentKind::rwkv7, "rwkv7"},
    {RecurrentKind::short_conv, "short_conv"}, {RecurrentKind::delta_net, "delta_net"}};
constexpr std::span<const EnumName<RecurrentKind>> names(RecurrentKind) {
    return recurrent_kinds;
}

class Writer {
  public:
    explicit Writer(Json& at) : at_(at) {}

    template <class T>
    void value(const char* name, const T& value) {
        if constexpr (std::is_enum_v<T>) {
            for (const auto& row : names(T{})) {
                if (row.value == value) at_[name] = row.name;
            }
        } else if constexpr (std::is_same_v<T, std::string>) {
            at_[name] = replace_invalid_utf8(value);
        } else {
            at_[name] = value;
        }
    }
    template <class Body>
    void group(const char* name, const Body& body) {
        Json inside = Json::object();
        Writer writer(inside);
        body(writer);
        at_[name] = std::move(inside);
    }
    template <class T, class Body>
    void list(const char* name, std::vector<T>& items, const Body& body) {
        Json array = Json::array();
        for (T& item : items) {
            Json inside = Json::object();
            Writer writer(inside);
            body(writer, item);
            array.push_back(std::move(inside));
        }
        at_[name] = std::move(array);
    }
    void names_of(TensorNames& tensors) {
        for (const auto& [role, pattern] : tensors.patterns()) at_[role] = replace_invalid_utf8(pattern);
    }

  private:
    Json& at_;
};

// Keeps the first error; what follows it is skipped.
class Reader {
  public:
    Reader(const Json& at, std::string path, std::optional<Error>& error)
        : at_(at), path_(std::move(path)), error_(error) {
        if (!at_.is_object()) fail("", "an object", at_);
    }

    void value(const char* name, int& out) {
        const Json* found = find(name);
        if (found == nullptr) return;
        if (!found->fits_int64() || !std::in_range<int32_t>(found->int64()))
            return fail(name, "an integer of 32 bits", *found);
        out = static_cast<int>(found->int64());
    }
    void value(const char* name, double& out) {
        const Json* found = find(name);
        if (found == nullptr) return;
        if (!found->is_number() || !std::isfinite(found->number())) return fail(name, "a number", *found);
        out = found->number();
    }
    void value(const char* name, bool& out) {
        const Json* found = find(name);
        if (found == nullptr) return;
        if (!found->is_boolean()) return fail(name, "true or false", *found);
        out = found->boolean();
    }
    void value(const char* name, std::string& out) {
        const Json* found = find(name);
        if (found == nullptr) return;
        if (!found->is_string()) return fail(name, "a text", *found);
        out = found->text();
    }
    template <class T>
        requires std::is_enum_v<T>
    void value(const char* name, T& out) {
        const Json* found = find(name);
        if (found == nullptr) return;
        std::string known;
        for (const auto& row : names(T{})) {
            if (found->is(row.name)) {
                out = row.value;
                return;
            }
            known = cat(known, known.empty() ? "" : ", ", row.name);
        }
        fail(name, cat("one of ", known), *found);
    }
    template <class Body>
    void group(const char* name, const Body& body) {
        const Json* found = find(name);
        if (found == nullptr) return;
        Reader reader(*found, cat(path_, name, "."), error_);
        body(reader);
        reader.refuse_others();
    }
    template <class T, class Body>
    void list(const char* name, std::vector<T>& items, const Body& body) {
        const Json* found = find(name);
        if (found == nullptr) return;
        if (!found->is_array()) return fail(name, "a list", *found);
        items.clear();
        for (size_t i = 0; i < found->size() && !error_; ++i) {
            items.emplace_back();
            Reader reader(found->items()[i], cat(path_, name, "[", i, "]."), error_);
            body(reader, items.back());
            reader.refuse_others();
        }
    }
    void names_of(TensorNames& tensors) {
        const auto patterns = tensors.patterns();
        for (const auto& [role, usual] : patterns) {
            std::string own = usual;
            value(role.c_str(), own);
            tensors.rename(role, std::move(own));
        }
    }
    void refuse_others() {
        for (const auto& [key, value] : at_.members()) {
            if (error_ || known_.count(key) != 0) continue;
            const std::string field = path_ + key;
            error_.emplace(Status::bad_file, cat(in_quotes(field), ": elver knows no such field"), field);
        }
    }

  private:
    const Json* find(const char* name) {
        known_.insert(name);
        return error_ ? nullptr : at_.find(name);
    }
    void fail(const std::string& name, const std::string& expected, const Json& found) {
        const std::string field = name.empty() && !path_.empty() ? path_.substr(0, path_.size() - 1) : path_ + name;
        if (error_) return;
        const bool many = found.is_array() || found.is_object();
        const std::string text = many ? found.type_name() : in_quotes(found.dump());
        error_.emplace(Status::bad_file,
                       cat(field.empty() ? "the spec" : field, ": expected ", expected, ", found ", text), field);
    }

    const Json& at_;
    std::string path_;
    std::optional<Error>& error_;
    std::set<std::string, std::less<>> known_;
};

template <class Fields>
void layer_fields(Fields& f, LayerSpec& l) {
    f.value("n_heads", l.n_heads);
    f.value("n_kv_heads", l.n_kv_heads);
    f.value("head_dim", l.head_dim);
    f.value("v_head_dim", l.v_head_dim);
    f.value("window", l.window);
    f.value("rope", l.rope);
    f.value("ffn_width", l.ffn_width);
    f.value("sparse", l.sparse);
    f.value("recurrent", l.recurrent);
}

template <class Fields>
void rope_fields(Fields& f, RopeSpec& r) {
    f.value("dims", r.dims);
    f.value("base", r.base);
    f.value("scaling", r.scaling);
    f.value("factor", r.factor);
    f.value("original_context", r.original_context);
    f.value("magnitude", r.magnitude);
    f.value("factors_tensor", r.factors_tensor);
    f.value("long_factors_tensor", r.long_factors_tensor);
}

template <class Fields>
void fields(Fields& f, ModelSpec& s) {
    f.value("architecture", s.architecture);
    f.value("n_vocab", s.n_vocab);
    f.value("width", s.width);
    f.value("n_layers", s.n_layers);
    f.value("n_ctx_train", s.n_ctx_train);
    f.value("embedding_scale", s.embedding_scale);
    f.value("residual_scale", s.residual_scale);
    f.value("logit_scale", s.logit_scale);
    f.value("logit_soft_cap", s.logit_soft_cap);
    f.value("parallel_residual", s.parallel_residual);
    f.value("has_head", s.has_head);
    f.value("pooling", s.pooling);
    f.value("ignored", s.ignored);
    f.group("norm", [&s](Fields& g) {
        g.value("kind", s.norm);
        g.value("eps", s.norm_eps);
        g.value("post_eps", s.post_norm_eps);
        g.value("without_weights", s.norms_without_weights);
        g.value("of_embedding", s.embedding_normalised);
    });
    f.group("attention", [&s](Fields& g) {
        g.value("causal", s.causal);
        g.value("scale", s.attention_scale);
        g.value("soft_cap", s.attn_soft_cap);
        g.value("qkv_clamp", s.qkv_clamp);
        g.value("alibi_max_bias", s.alibi_max_bias);
        g.value("value_scale", s.value_scale);
        g.value("gate", s.gate);
        g.value("qk_norm_whole", s.qk_norm_whole);
        g.value("qk_norm_after_rope", s.qk_norm_after_rope);
        g.value("qk_norm_plain", s.qk_norm_plain);
        g.value("chunked_windows", s.chunked_windows);
        g.value("temperature", s.temperature);
        g.value("temperature_length", s.temperature_length);
    });
    f.group("latent", [&m = s.latent](Fields& g) {
        g.value("kv_rank", m.kv_rank);
        g.value("q_rank", m.q_rank);
        g.value("nope_dim", m.nope_dim);
        g.value("rope_dim", m.rope_dim);
        g.value("v_dim", m.v_dim);
        g.value("absorbed", m.absorbed);
    });
    f.group("rope", [&s](Fields& g) {
        g.value("pairing", s.rope_pairing);
        g.list("tables", s.ropes, rope_fields<Fields>);
    });
    f.group("ffn", [&s](Fields& g) {
        g.value("gated", s.gated);
        g.value("activation", s.activation);
    });
    f.group("experts", [&e = s.experts](Fields& g) {
        g.value("n_experts", e.n_experts);
        g.value("top_k", e.top_k);
        g.value("ffn_width", e.ffn_width);
        g.value("shared_width", e.shared_width);
        g.value("score", e.score);
        g.value("renormalise", e.renormalise);
        g.value("scale", e.scale);
        g.value("weighs_input", e.weighs_input);
        g.value("sum_scale", e.sum_scale);
        g.value("input", e.input);
        g.value("n_groups", e.n_groups);
        g.value("n_groups_used", e.n_groups_used);
    });
    f.group("recurrent", [&r = s.recurrent](Fields& g) {
        g.value("kind", r.kind);
        g.value("n_channels", r.width);
        g.value("n_state", r.n_state);
        g.value("n_taps", r.n_taps);
        g.value("dt_rank", r.dt_rank);
        g.value("n_heads", r.n_heads);
        g.value("n_groups", r.n_groups);
        g.value("ffn_width", r.ffn_width);
        g.value("halve_every", r.halve_every);
        g.value("interleaved_keys", r.interleaved_keys);
    });
    f.list("layers", s.layers, layer_fields<Fields>);
    f.group("tensors", [&s](Fields& g) { g.names_of(s.tensors); });
}

// The fewest layers which, repeated, give them all.
void fold(std::vector<LayerSpec>& layers) {
    for (size_t n = 1; n < layers.size(); ++n) {
        bool repeats = true;
        for (size_t i = n; i < layers.size() && repeats; ++i) repeats = layers[i] == layers[i - n];
        if (repeats) return layers.resize(n);
    }
}

}  // namespace

std::string ModelSpec::to_json() const {
    ModelSpec copy = *this;
    fold(copy.layers);
    Json out = Json::object();
    Writer writer(out);
    fields(writer, copy);
    return out.dump(2);
}

Result<ModelSpec> ModelSpec::from_json(std::string_view text) {
    const auto parsed = parse_json(text, "the spec");
    if (!parsed) return Error(Status::bad_file, parsed.error().message());
    const Json& json = *parsed;
    ModelSpec s;
    std::optional<Error> error;
    Reader reader(json, "", error);
    fields(reader, s);
    reader.refuse_others();
    if (error) return std::move(*error);
    const size_t period = s.layers.size();
    if (period == 0 || s.n_layers < static_cast<int>(period) || s.n_layers > 4096) {
        return Error(Status::bad_file,
                     cat("n_layers: expected ",
                         period == 0 ? "layers, found none" : cat(period, " to 4096, found ", s.n_layers)),
                     "n_layers");
    }
    for (size_t i = period; i < static_cast<size_t>(s.n_layers); ++i)
        s.layers.push_back(LayerSpec(s.layers[i - period]));
    if (auto valid = s.validate(); !valid) return std::move(valid).error();
    return s;
}

}  // namespace elver
