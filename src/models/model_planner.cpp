// Which tensors a model needs, by name, and what shape each must have.
#include <cmath>

#include <optional>
#include "base/text.hpp"

#include "models/model_program.hpp"
#include "quant/decode.hpp"

namespace elver {

class Planner {
  public:
    Planner(const ModelSpec& spec, const Gguf& file, Weights& weights) : s_(spec), file_(file), weights_(weights) {}

    Result<ModelBuilder> plan() {
        ModelBuilder b;
        b.spec_ = s_;
        b.file_ = &file_;
        plan_ends(b);
        for (int i = 0; i < s_.n_layers && !error_; ++i) {
            prefix_ = cat("blk.", i, ".");
            ModelBuilder::Layer layer;
            plan_attention(layer);
            plan_ffn(layer);
            b.layers_.push_back(layer);
        }
        plan_rope(b);
        if (error_) return std::move(*error_);
        return b;
    }

  private:
    using Linear = ModelBuilder::Linear;
    using NormWeights = ModelBuilder::NormWeights;

    void fail(Error error) {
        if (!error_) error_.emplace(std::move(error));
    }

    const GgufTensor* find(const std::string& name) const { return file_.find_tensor(name); }

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

    int vector(const std::string& name, int64_t n, std::string_view meaning) {
        const GgufTensor* t = need(name, {n}, meaning);
        return t == nullptr ? -1 : add_vector(*t, 0, n);
    }
    int add_vector(const GgufTensor& tensor, int64_t first, int64_t n) {
        const auto number = weights_.add_vector(tensor, first, n);
        if (!number) return fail(number.error()), -1;
        return *number;
    }

    // Rows [first, first + n) of NAME.weight, which has total rows in all, and the same part of NAME.bias if there is
    // one.
    Linear linear(const std::string& name, int64_t first, int64_t n, int64_t total, int64_t k,
                  std::string_view meaning) {
        Linear out;
        const GgufTensor* t = need(name + ".weight", {total, k}, meaning);
        if (t == nullptr) return out;
        const auto matrix = weights_.add_matrix(*t, first, n);
        if (!matrix) return fail(matrix.error()), out;
        out.matrix = *matrix;
        if (find(name + ".bias") == nullptr) return out;
        const GgufTensor* bias = need(name + ".bias", {total}, meaning);
        if (bias != nullptr) out.bias = add_vector(*bias, first, n);
        return out;
    }
    Linear linear(const std::string& name, int64_t n, int64_t k, std::string_view meaning) {
        return linear(name, 0, n, n, k, meaning);
    }

    // NAME.weight and .bias, both optional unless must.
    NormWeights norm(const std::string& name, int width, bool must, bool per_head = false, int n_heads = 1) {
        NormWeights out;
        const GgufTensor* t = find(name + ".weight");
        if (t == nullptr && !must) return out;
        out.present = true;
        out.width = width;
        const bool own_per_head = per_head && t != nullptr &&
                                  t->view.shape.n_elements() == static_cast<int64_t>(width) * n_heads && n_heads > 1;
        const int64_t n = own_per_head ? static_cast<int64_t>(width) * n_heads : width;
        out.weight = own_per_head ? add_vector(*t, 0, n) : vector(name + ".weight", n, "width");
        if (find(name + ".bias") != nullptr) out.bias = vector(name + ".bias", n, "width");
        return out;
    }

    void plan_ends(ModelBuilder& b) {
        b.embedding_ = need("token_embd.weight", {s_.n_vocab, s_.width}, "n_vocab, width");
        if (b.embedding_ != nullptr && decoder(b.embedding_->view.type) == nullptr) {
            fail(Error(Status::unsupported,
                       cat(file_.name(), ": tensor \"token_embd.weight\": cannot decode ",
                           dtype_name(b.embedding_->view.type)),
                       "token_embd.weight"));
        }
        if (error_) return;
        if (find("position_embd.weight") != nullptr) {
            const GgufTensor* t = need("position_embd.weight", {s_.n_ctx_train, s_.width}, "n_ctx, width");
            if (t != nullptr) b.positions_ = add_vector(*t, 0, static_cast<int64_t>(s_.n_ctx_train) * s_.width);
        }
        b.embedding_norm_ = norm("token_embd_norm", s_.width, false);
        // OLMo's norms have no weights at all.
        b.output_norm_ = norm("output_norm", s_.width, false);
        b.output_norm_.present = true;
        b.output_norm_.width = s_.width;
        const bool own_head = find("output.weight") != nullptr;
        b.head_ = linear(own_head ? "output" : "token_embd", s_.n_vocab, s_.width, "n_vocab, width");
    }

    void plan_attention(ModelBuilder::Layer& l) {
        const int64_t q = int64_t{s_.n_heads} * s_.head_dim, k = int64_t{s_.n_kv_heads} * s_.head_dim,
                      v = int64_t{s_.n_kv_heads} * s_.v_head_dim;
        l.attn_norm = norm(prefix_ + "attn_norm", s_.width, false);
        l.attn_norm.present = true, l.attn_norm.width = s_.width;
        l.attn_norm_2 = norm(prefix_ + "attn_norm_2", s_.width, false);
        if (find(prefix_ + "attn_qkv.weight") != nullptr) {
            const std::string fused = prefix_ + "attn_qkv";
            l.q = linear(fused, 0, q, q + k + v, s_.width, "q + k + v, width");
            l.k = linear(fused, q, k, q + k + v, s_.width, "q + k + v, width");
            l.v = linear(fused, q + k, v, q + k + v, s_.width, "q + k + v, width");
        } else {
            l.q = linear(prefix_ + "attn_q", q, s_.width, "n_heads * head_dim, width");
            l.k = linear(prefix_ + "attn_k", k, s_.width, "n_kv_heads * head_dim, width");
            l.v = linear(prefix_ + "attn_v", v, s_.width, "n_kv_heads * v_head_dim, width");
        }
        l.q_norm = norm(prefix_ + "attn_q_norm", s_.head_dim, false, true, s_.n_heads);
        l.k_norm = norm(prefix_ + "attn_k_norm", s_.head_dim, false, true, s_.n_kv_heads);
        l.out = linear(prefix_ + "attn_output", s_.width, int64_t{s_.n_heads} * s_.v_head_dim,
                       "width, n_heads * v_head_dim");
        l.post_attn_norm = norm(prefix_ + "post_attention_norm", s_.width, false);
    }

    void plan_ffn(ModelBuilder::Layer& l) {
        if (s_.n_experts > 0) {
            return fail(
                Error(Status::unsupported,
                      cat(file_.name(), ": ", s_.architecture, " with ", s_.n_experts, " experts is not supported"),
                      "expert_count"));
        }
        l.ffn_norm = norm(prefix_ + "ffn_norm", s_.width, false);
        l.ffn_norm.width = s_.width;
        // A sequential layer without weights still normalises (OLMo); a parallel one without its own norm shares
        // attn_norm.
        if (!s_.parallel_residual) l.ffn_norm.present = true;
        const std::string up = prefix_ + "ffn_up";
        if (s_.gated && find(prefix_ + "ffn_gate.weight") == nullptr) {  // gate rows, then up rows
            l.gate = linear(up, 0, s_.ffn_width, 2 * int64_t{s_.ffn_width}, s_.width, "2 * ffn_width, width");
            l.up = linear(up, s_.ffn_width, s_.ffn_width, 2 * int64_t{s_.ffn_width}, s_.width, "2 * ffn_width, width");
        } else {
            if (s_.gated) l.gate = linear(prefix_ + "ffn_gate", s_.ffn_width, s_.width, "ffn_width, width");
            l.up = linear(up, s_.ffn_width, s_.width, "ffn_width, width");
        }
        l.down = linear(prefix_ + "ffn_down", s_.width, s_.ffn_width, "width, ffn_width");
        l.post_ffn_norm = norm(prefix_ + "post_ffw_norm", s_.width, false);
    }

    // Frequencies base^(-2i / dims), scaled. YaRN: Peng et al. 2023, section 3.
    void plan_rope(ModelBuilder& b) {
        for (const RopeSpec& r : s_.ropes) {
            RopeTable table;
            table.magnitude = r.magnitude;
            if (r.scaling == RopeScaling::linear) table.position_scale = 1.0 / r.factor;
            table.frequencies = frequencies(r.base, r.factors_tensor);
            if (!r.long_factors_tensor.empty()) {
                table.long_frequencies = frequencies(r.base, r.long_factors_tensor);
                table.long_beyond = r.original_context;
            }
            if (r.scaling == RopeScaling::yarn) interpolate(r, table);
            b.rope_.push_back(std::move(table));
        }
    }

    std::vector<double> frequencies(double base, const std::string& factors_tensor) {
        std::vector<float> factors(static_cast<size_t>(s_.rope_dims / 2), 1.0f);
        if (!factors_tensor.empty()) {
            const GgufTensor* t = need(factors_tensor, {s_.rope_dims / 2}, "rope_dims / 2");
            if (t == nullptr) return {};
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
            out.push_back(std::pow(base, -2.0 * static_cast<double>(i) / s_.rope_dims) /
                          static_cast<double>(factors[i]));
        }
        return out;
    }

    void interpolate(const RopeSpec& r, RopeTable& table) const {
        const auto turns_at = [&](double turns) {  // the pair that makes so many turns over the original context
            return s_.rope_dims * std::log(r.original_context / (turns * 2 * M_PI)) / (2 * std::log(r.base));
        };
        const double low = std::max(0.0, std::floor(turns_at(32.0))),
                     high = std::min(s_.rope_dims - 1.0, std::ceil(turns_at(1.0)));
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
    std::string prefix_;
    std::optional<Error> error_;
};

Result<ModelBuilder> ModelBuilder::plan(const ModelSpec& spec, const Gguf& file, Weights& weights) {
    return Planner(spec, file, weights).plan();
}

}  // namespace elver
