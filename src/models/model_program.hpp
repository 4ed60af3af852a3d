// From a spec and a file's tensors to a program: which weights are wanted, then, once they are loaded, the phases over
// them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/layers.hpp"
#include "layers/recurrent.hpp"
#include "models/model_spec.hpp"
#include "models/recurrent_model.hpp"

namespace elver {

class ModelBuilder {
  public:
    // Checks that every tensor the spec needs is there with the right shape, and notes it in weights.
    static Result<ModelBuilder> plan(const ModelSpec& spec, const Gguf& file, Weights& weights);

    // Before the weights are loaded the program is good for planning alone.
    std::unique_ptr<Program> build(const Weights& weights) const;

    std::vector<CacheLayerSpec> cache_layers() const;
    // Floats of each layer's recurrent state.
    std::vector<size_t> state_layers() const;
    // Rows of the table of learned positions, beyond which a text cannot go; 0: there is none.
    int max_positions() const noexcept { return positions_ >= 0 ? spec_.n_ctx_train : 0; }

  private:
    // Numbers of planned weights; -1: the model has none.
    struct Linear {
        int matrix = -1, bias = -1;
    };
    struct NormWeights {
        int weight = -1, bias = -1;
        bool present = false;
        bool each_head = false;  // of q or k: weights for each head
    };
    struct Ffn {
        Linear gate, up, down;
    };
    struct Layer {
        NormWeights attn_norm, attn_norm_2, q_norm, k_norm, post_attn_norm, attn_output_norm;
        NormWeights ffn_norm, experts_norm, post_ffn_norm, layer_output_norm;
        Linear q, k, v, attn_gate, out;
        bool gates_each_head = false, gate_in_q = false;
        Linear q_a, kv_a, kv_b;  // of latent attention, whose q is made of q_a
        NormWeights q_a_norm, kv_a_norm;
        std::vector<int> k_b, v_b;  // matrices of the heads
        int sinks = -1;
        Ffn dense, shared;
        Linear router, shared_gate;
        int choice_bias = -1;
        std::vector<Ffn> experts;
        MixerWeights mixer;  // of a recurrent layer
    };
    friend class Planner;

    Norm norm(const Weights& weights, const NormWeights& n) const;
    Norm post_norm(const Weights& weights, const NormWeights& n) const;
    Norm::Kind norm_kind() const { return spec_.norm == NormKind::rms ? Norm::Kind::rms : Norm::Kind::layer; }
    EmbedPhase::Config embed_config(const Weights& weights) const;
    void build_qkv(const Weights& weights, int layer, Program& p) const;
    void build_latent_qkv(const Weights& weights, int layer, Program& p) const;
    HeadLinearPhase::Config each_head(const Weights& weights, const std::vector<int>& matrices, Columns from,
                                      int from_stride, Columns to, int to_stride) const;
    void build_mixing(const Weights& weights, int layer, Program& p) const;
    void build_attention(const Weights& weights, int layer, Program& p) const;
    void build_recurrent(const Weights& weights, int layer, Program& p) const;
    void build_ffn(const Weights& weights, int layer, Program& p) const;
    void build_dense(const Weights& weights, const Ffn& f, const Norm& in, LinearPhase::Product down,
                     const std::string& name, Program& p) const;
    int shared_gate_column(const Weights& weights, const Layer& l) const;
    void build_layer(const Weights& weights, int layer, Program& p) const;
    void build_router(const Weights& weights, int layer, const Norm& in, Program& p) const;
    void build_experts(const Weights& weights, int layer, Program& p) const;
    Finish finish() const;

    ModelSpec spec_;
    const GgufTensor* embedding_ = nullptr;
    int token_type_ = -1, positions_ = -1;
    NormWeights embedding_norm_, output_norm_;
    Linear head_;
    std::vector<Layer> layers_;
    std::vector<RopeTable> rope_;
};

}  // namespace elver
