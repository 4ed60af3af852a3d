// Which tensors a model needs, by name, and what shape each must have.
#include <cmath>
#include <optional>
#include <set>

#include "base/text.hpp"
#include "models/model_program.hpp"
#include "quant/decode.hpp"

namespace elver {

class Planner : private WeightRequests {
  public:
    Planner(const ModelSpec& spec, const Gguf& file, Weights& weights) : s_(spec), file_(file), weights_(weights) {}

    Result<ModelBuilder> plan() {
        ModelBuilder b;
        b.spec_ = s_;
        plan_ends(b);
        for (int i = 0; i < s_.n_layers && !error_; ++i) {
            layer_ = i;
            l_ = &s_.layers[static_cast<size_t>(i)];
            ModelBuilder::Layer layer;
            if (l_->n_heads > 0 && s_.latent.kv_rank > 0) plan_latent(layer);
            if (l_->n_heads > 0 && s_.latent.kv_rank == 0) plan_attention(layer);
            if (l_->recurrent) plan_recurrent(layer);
            if (l_->ffn_width > 0) plan_ffn(layer);
            if (l_->sparse) plan_experts(layer);
            b.layers_.push_back(layer);
        }
        plan_rope(b);
        refuse_others();
        if (error_) return std::move(*error_);
        return b;
    }

  private:
    using Linear = ModelBuilder::Linear;
    using NormTensors = ModelBuilder::NormTensors;

    void fail(Error error) {
        if (!error_) error_.emplace(std::move(error));
    }

    // Name of a role's tensor in this layer, without .weight or .bias.
    std::string name(std::string_view role) const { return s_.tensors.of(role, layer_); }
    // Some files leave .weight out.
    std::string weight_name(std::string_view role) const {
        const std::string bare = name(role);
        return file_.find_tensor(bare) != nullptr ? bare : bare + ".weight";
    }
    bool has_tensor(const std::string& name) const { return file_.find_tensor(name) != nullptr && !s_.ignores(name); }
    bool has(std::string_view role) const { return has_tensor(weight_name(role)); }
    bool has_bias(std::string_view role) const { return has_tensor(name(role) + ".bias"); }

    const GgufTensor* need(const std::string& name, const Shape& shape, std::string_view meaning) {
        const auto tensor = file_.tensor(name);
        if (!tensor) return fail(tensor.error()), nullptr;
        const Shape& found = (*tensor)->view.shape;
        if (found.rows() == shape.rows() && found.columns() == shape.columns()) return *tensor;
        fail(Error(Status::bad_file,
                   cat(file_.name(), ": tensor ", in_quotes(name), ": expected shape ", shape.text(), " (", meaning,
                       "), found ", found.text()),
                   name));
        return nullptr;
    }

    WeightRef vector(const std::string& name, int64_t n, std::string_view meaning) {
        const GgufTensor* t = need(name, {n}, meaning);
        return t == nullptr ? WeightRef{} : add_vector(*t, 0, n);
    }
    WeightRef add_vector(const GgufTensor& tensor, int64_t first, int64_t n) {
        return ref(weights_.add_vector(tensor, first, n));
    }
    WeightRef ref(const Result<WeightRef>& added) {
        if (!added) return fail(added.error()), WeightRef{};
        return *added;
    }

    // Rows [first, first + n) of the role's weight, which has total rows in all, and the same part of its bias if there
    // is one.
    Linear linear(std::string_view role, int64_t first, int64_t n, int64_t total, int64_t k, std::string_view meaning) {
        Linear out;
        const GgufTensor* t = need(weight_name(role), {total, k}, meaning);
        if (t == nullptr) return out;
        out.matrix = ref(weights_.add_matrix(*t, first, n));
        if (!has_bias(role)) return out;
        const GgufTensor* bias = need(name(role) + ".bias", {total}, meaning);
        if (bias != nullptr) out.bias = add_vector(*bias, first, n);
        return out;
    }
    Linear linear(std::string_view role, int64_t n, int64_t k, std::string_view meaning) {
        return linear(role, 0, n, n, k, meaning);
    }

    // The norm of a role: there if its weight is, or if the model has norms without weights.
    NormTensors norm(std::string_view role, int64_t width, bool weightless_too = false) {
        NormTensors out;
        out.present = has(role) || (weightless_too && s_.norms_without_weights);
        if (has(role)) out.weight = vector(weight_name(role), width, "width");
        if (has(role) && has_bias(role)) out.bias = vector(name(role) + ".bias", width, "width");
        return out;
    }

    // The norm of q or k: [head_dim] for all heads, [n_heads, head_dim] with weights for each, or over the whole row.
    NormTensors head_norm(std::string_view role, int n_heads) {
        const int64_t whole = int64_t{n_heads} * l_->head_dim;
        const GgufTensor* t = file_.find_tensor(name(role) + ".weight");
        const bool each = t != nullptr && n_heads > 1 && t->view.shape.n_elements() == whole;
        if (!each || s_.qk_norm_whole) return norm(role, s_.qk_norm_whole ? whole : l_->head_dim);
        NormTensors out;
        out.present = out.each_head = true;
        out.weight = add_vector(*t, 0, whole);
        const GgufTensor* bias = file_.find_tensor(name(role) + ".bias");
        if (bias != nullptr && bias->view.shape.n_elements() == whole) out.bias = add_vector(*bias, 0, whole);
        return out;
    }

    void plan_ends(ModelBuilder& b) {
        const std::string embedding = name("token_embd") + ".weight";
        const GgufTensor* table = need(embedding, {s_.n_vocab, s_.width}, "n_vocab, width");
        if (table != nullptr) b.embedding_ = ref(weights_.add_rows(*table));
        if (error_) return;
        if (has("token_types")) {  // texts of one kind: every token has row 0
            const GgufTensor* t = file_.find_tensor(weight_name("token_types"));
            if (t->view.shape.columns() != s_.width) {
                return fail(Error(Status::bad_file,
                                  cat(file_.name(), ": tensor ", in_quotes(t->name), ": expected rows of width ",
                                      s_.width, ", found ", t->view.shape.text()),
                                  std::string(t->name)));
            }
            b.token_type_ = add_vector(*t, 0, s_.width);
        }
        if (has("position_embd")) {
            const GgufTensor* t = need(name("position_embd") + ".weight", {s_.n_ctx_train, s_.width}, "n_ctx, width");
            if (t != nullptr) b.positions_ = add_vector(*t, 0, static_cast<int64_t>(s_.n_ctx_train) * s_.width);
        }
        b.embedding_norm_ = norm("token_embd_norm", s_.width);
        b.embedding_norm_.present = b.embedding_norm_.present || s_.embedding_normalised;
        b.output_norm_ = norm("output_norm", s_.width, true);
        if (s_.has_head)
            b.head_ = linear(has("output") ? "output" : "token_embd", s_.n_vocab, s_.width, "n_vocab, width");
    }

    // A tensor that nothing reads means that the file is of another model: refuse it rather than compute something
    // else.
    void refuse_others() {
        for (const GgufTensor& t : file_.tensors()) {
            if (weights_.wants(t) || tables_.count(t.name) != 0 || s_.ignores(t.name)) continue;
            return fail(Error(Status::unsupported,
                              cat(file_.name(), ": tensor ", in_quotes(t.name), " has no place in ", s_.architecture,
                                  " as elver knows it: this variant is not supported"),
                              std::string(t.name)));
        }
    }

    void plan_attention(ModelBuilder::Layer& l) {
        const int64_t q = int64_t{l_->n_heads} * l_->head_dim, k = int64_t{l_->n_kv_heads} * l_->head_dim,
                      v = int64_t{l_->n_kv_heads} * l_->v_head_dim;
        l.attn_norm = norm("attn_norm", s_.width, true);
        l.attn_norm_2 = norm("attn_norm_2", s_.width);
        if (has("attn_qkv")) {
            l.q = linear("attn_qkv", 0, q, q + k + v, s_.width, "q + k + v, width");
            l.k = linear("attn_qkv", q, k, q + k + v, s_.width, "q + k + v, width");
            l.v = linear("attn_qkv", q + k, v, q + k + v, s_.width, "q + k + v, width");
        } else {
            const GgufTensor* t = file_.find_tensor(weight_name("attn_q"));
            l.gate_in_q = t != nullptr && t->view.shape.rows() == 2 * q;  // of each head, a gate behind the query
            l.q = linear("attn_q", l.gate_in_q ? 2 * q : q, s_.width, "n_heads * head_dim, width");
            l.k = linear("attn_k", k, s_.width, "n_kv_heads * head_dim, width");
            l.v = linear("attn_v", v, s_.width, "n_kv_heads * v_head_dim, width");
        }
        l.q_norm = head_norm("attn_q_norm", l_->n_heads);
        l.k_norm = head_norm("attn_k_norm", l_->n_kv_heads);
        if (has("attn_gate")) {  // a row for each head, or for each element
            const GgufTensor* t = file_.find_tensor(weight_name("attn_gate"));
            const int64_t elements = int64_t{l_->n_heads} * l_->v_head_dim;
            l.gates_each_head = t->view.shape.rows() != elements;
            l.attn_gate = linear("attn_gate", l.gates_each_head ? l_->n_heads : elements, s_.width, "n_heads, width");
        }
        l.out = linear("attn_output", s_.width, int64_t{l_->n_heads} * l_->v_head_dim, "width, n_heads * v_head_dim");
        if (has("attn_sinks")) l.sinks = vector(name("attn_sinks") + ".weight", l_->n_heads, "n_heads");
        l.post_attn_norm = norm("post_attention_norm", s_.width);
        l.attn_output_norm = norm("attn_output_norm", s_.width);
    }

    void plan_latent(ModelBuilder::Layer& l) {
        const LatentSpec& m = s_.latent;
        const int64_t heads = l_->n_heads, q = heads * (m.nope_dim + m.rope_dim);
        l.attn_norm = norm("attn_norm", s_.width, true);
        if (m.q_rank > 0) {
            l.q_a = linear("attn_q_a", m.q_rank, s_.width, "q_rank, width");
            l.q_a_norm = norm("attn_q_a_norm", m.q_rank);
        }
        const char* made_of = m.q_rank > 0 ? "attn_q_b" : "attn_q";
        l.q =
            linear(made_of, q, m.q_rank > 0 ? m.q_rank : s_.width, "n_heads * (nope_dim + rope_dim), q_rank or width");
        l.kv_a = linear("attn_kv_a_mqa", m.kv_rank + m.rope_dim, s_.width, "kv_rank + rope_dim, width");
        l.kv_a_norm = norm("attn_kv_a_norm", m.kv_rank);
        if (m.absorbed) {
            l.k_b = head_matrices("attn_k_b", m.kv_rank, m.nope_dim);
            l.v_b = head_matrices("attn_v_b", m.v_dim, m.kv_rank);
        } else {
            l.kv_b =
                linear("attn_kv_b", heads * (m.nope_dim + m.v_dim), m.kv_rank, "n_heads * (nope_dim + v_dim), kv_rank");
        }
        l.out = linear("attn_output", s_.width, heads * m.v_dim, "width, n_heads * v_dim");
        l.post_attn_norm = norm("post_attention_norm", s_.width);
    }

    // For each head, n rows of k columns.
    std::vector<WeightRef> head_matrices(std::string_view role, int64_t n, int64_t k) {
        std::vector<WeightRef> out;
        for (int64_t h = 0; h < l_->n_heads && !error_; ++h)
            out.push_back(linear(role, h * n, n, l_->n_heads * n, k, "n_heads * rows, columns").matrix);
        return out;
    }

    // The tensor and part that a recurrent mixer names: "ssm_in/gate" is ssm_in.weight,
    // "ssm_dt.bias" itself, "ssm_a." a tensor without a part.
    std::string tensor_of(const std::string& what) const {
        const std::string role = what.substr(0, what.find_first_of("/."));
        const size_t dot = what.find('.');
        if (dot == std::string::npos) return weight_name(role);
        return name(role) + (what.substr(dot) == "." ? "" : what.substr(dot));
    }
    void matrix(const std::string& what, Range rows, int64_t k) override {
        const GgufTensor* t = need(tensor_of(what), {rows.total, k}, "rows, columns");
        if (t == nullptr) return;
        mixer_->put(what, ref(weights_.add_matrix(*t, rows.first, rows.n)));
    }
    void vector(const std::string& what, Range elements) override {
        const std::string tensor = tensor_of(what);
        const auto t = file_.tensor(tensor);
        if (!t) return fail(t.error());
        if ((*t)->view.shape.n_elements() != elements.total) {
            return fail(Error(Status::bad_file,
                              cat(file_.name(), ": tensor ", in_quotes(tensor), ": expected ", elements.total,
                                  " numbers, found ", (*t)->view.shape.text()),
                              tensor));
        }
        mixer_->put(what, add_vector(**t, elements.first, elements.n));
    }
    bool holds(const std::string& what) const override { return file_.find_tensor(tensor_of(what)) != nullptr; }
    int64_t rows(std::string_view role) const override {
        const GgufTensor* t = file_.find_tensor(weight_name(role));
        return t == nullptr ? 0 : t->view.shape.rows();
    }
    void ignore(std::string_view role) override {
        const GgufTensor* t = file_.find_tensor(cat(name(role), ".weight"));
        if (t != nullptr) tables_.insert(t->name);
    }
    void plan_recurrent(ModelBuilder::Layer& l) {
        mixer_ = &l.mixer;
        mixer_parts(s_.recurrent.kind).plan(s_, layer_, *this);
        if (l_->n_heads == 0) l.post_attn_norm = norm("post_attention_norm", s_.width);
    }

    void plan_ffn(ModelBuilder::Layer& l) {
        const int64_t width = l_->ffn_width;
        l.ffn_norm = norm("ffn_norm", s_.width, true);
        // A parallel layer without its own norm shares attention's.
        if (s_.parallel_residual && !has("ffn_norm")) l.ffn_norm = l.attn_norm;
        if (s_.gated && !has("ffn_gate")) {  // gate rows, then up rows
            l.dense.gate = linear("ffn_up", 0, width, 2 * width, s_.width, "2 * ffn_width, width");
            l.dense.up = linear("ffn_up", width, width, 2 * width, s_.width, "2 * ffn_width, width");
        } else {
            if (s_.gated) l.dense.gate = linear("ffn_gate", width, s_.width, "ffn_width, width");
            l.dense.up = linear("ffn_up", width, s_.width, "ffn_width, width");
        }
        l.dense.down = linear("ffn_down", s_.width, width, "width, ffn_width");
        l.post_ffn_norm = norm("post_ffw_norm", s_.width);
        l.layer_output_norm = norm("layer_output_norm", s_.width);
    }

    // Rows [first, first + n) of the total that expert e has in a role's tensor: in one tensor of all experts, or in
    // one of its own, which old files name by the dense FFN's role and the expert's number.
    Linear expert(std::string_view role, std::string_view alone, int e, int64_t first, int64_t n, int64_t total,
                  int64_t k, std::string_view meaning) {
        Linear out;
        const bool together = has(role);
        const int64_t all = together ? s_.experts.n_experts : 1, before = together ? e * total : 0;
        const std::string of = together ? name(role) : cat(name(alone), ".", e);
        const GgufTensor* t = need(of + ".weight", {all * total, k}, meaning);
        if (t == nullptr) return out;
        out.matrix = ref(weights_.add_matrix(*t, before + first, n));
        if (!together || !has_bias(role)) return out;
        const GgufTensor* bias = need(of + ".bias", {all, total}, meaning);
        if (bias != nullptr) out.bias = add_vector(*bias, before + first, n);
        return out;
    }

    void plan_experts(ModelBuilder::Layer& l) {
        const ExpertsSpec& x = s_.experts;
        const bool early = x.input == ExpertsInput::before_attention;
        l.experts_norm = norm(early ? "ffn_norm_exps" : "ffn_norm", s_.width, true);
        if (s_.parallel_residual && !has("ffn_norm")) l.experts_norm = l.attn_norm;
        l.router = linear("ffn_gate_inp", x.n_experts, s_.width, "n_experts, width");
        for (const char* part : {"", ".bias"}) {  // some files leave it out
            const std::string bias = name("exp_probs_b") + part;
            if (has_tensor(bias)) l.choice_bias = vector(bias, x.n_experts, "n_experts");
        }
        const char* in = "n_experts * expert width, width";
        const char* both = "n_experts * 2 * expert width, width";
        const char* out = "n_experts * width, expert width";
        const int64_t n = x.ffn_width, width = s_.width;
        for (int e = 0; e < x.n_experts && !error_; ++e) {
            ModelBuilder::Ffn parts;
            if (has("ffn_gate_up_exps")) {
                parts.gate = expert("ffn_gate_up_exps", "", e, 0, n, 2 * n, width, both);
                parts.up = expert("ffn_gate_up_exps", "", e, n, n, 2 * n, width, both);
            } else {
                if (s_.gated) parts.gate = expert("ffn_gate_exps", "ffn_gate", e, 0, n, n, width, in);
                parts.up = expert("ffn_up_exps", "ffn_up", e, 0, n, n, width, in);
            }
            parts.down = expert("ffn_down_exps", "ffn_down", e, 0, width, width, n, out);
            l.experts.push_back(parts);
        }
        if (x.shared_width > 0) {
            if (s_.gated) l.shared.gate = linear("ffn_gate_shexp", x.shared_width, width, "shared width, width");
            l.shared.up = linear("ffn_up_shexp", x.shared_width, width, "shared width, width");
            l.shared.down = linear("ffn_down_shexp", width, x.shared_width, "width, shared width");
            if (has("ffn_gate_inp_shexp")) l.shared_gate = linear("ffn_gate_inp_shexp", 1, width, "1, width");
        }
        if (!early) l.post_ffn_norm = norm("post_ffw_norm", s_.width);
    }

    // Frequencies base^(-2i / dims), scaled. YaRN: Peng et al. 2023, section 3.
    void plan_rope(ModelBuilder& b) {
        for (const RopeSpec& r : s_.ropes) {
            graph::RopeTable table;
            table.magnitude = r.magnitude;
            if (r.scaling == RopeScaling::linear) table.position_scale = 1.0 / r.factor;
            table.frequencies = frequencies(r, r.factors_tensor);
            if (!r.long_factors_tensor.empty()) {
                table.long_frequencies = frequencies(r, r.long_factors_tensor);
                table.long_beyond = r.original_context;
            }
            if (r.scaling == RopeScaling::yarn) interpolate(r, table);
            b.rope_.push_back(std::move(table));
        }
    }

    std::vector<double> frequencies(const RopeSpec& r, const std::string& factors_tensor) {
        std::vector<float> factors(static_cast<size_t>(r.dims / 2), 1.0f);
        if (!factors_tensor.empty()) {
            const GgufTensor* t = need(factors_tensor, {r.dims / 2}, "rope dims / 2");
            if (t == nullptr) return {};
            tables_.insert(t->name);
            if (t->view.type != DType::f32) {
                fail(Error(Status::bad_file,
                           cat(file_.name(), ": tensor ", in_quotes(factors_tensor), ": expected F32, found ",
                               dtype_name(t->view.type)),
                           factors_tensor));
                return {};
            }
            decoder(DType::f32)(t->view.bytes.data(), factors.data(), factors.size());
        }
        std::vector<double> out;
        for (size_t i = 0; i < factors.size(); ++i) {
            out.push_back(std::pow(r.base, -2.0 * static_cast<double>(i) / r.dims) / static_cast<double>(factors[i]));
        }
        return out;
    }

    void interpolate(const RopeSpec& r, graph::RopeTable& table) const {
        // The pair whose angle goes around `cycles` times over the original context.
        const auto pair_of = [&](double cycles) {
            return r.dims * std::log(r.original_context / (cycles * 2 * M_PI)) / (2 * std::log(r.base));
        };
        const double low = std::max(0.0, std::floor(pair_of(32.0))),
                     high = std::min(r.dims - 1.0, std::ceil(pair_of(1.0)));
        for (size_t i = 0; i < table.frequencies.size(); ++i) {
            const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
            const double keep = 1.0 - std::min(1.0, std::max(0.0, ramp));
            table.frequencies[i] *= keep + (1.0 - keep) / r.factor;
        }
        table.magnitude *= 1.0 + 0.1 * std::log(r.factor);
    }

    const ModelSpec& s_;
    const Gguf& file_;
    Weights& weights_;
    int layer_ = 0;
    const LayerSpec* l_ = nullptr;
    MixerWeights* mixer_ = nullptr;      // of the layer
    std::set<std::string_view> tables_;  // tensors read while planning
    std::optional<Error> error_;
};

Result<ModelBuilder> ModelBuilder::plan(const ModelSpec& spec, const Gguf& file, Weights& weights) {
    return Planner(spec, file, weights).plan();
}

}  // namespace elver
