// From a spec and a file's tensors to a program: which weights are wanted, then, once they are loaded, the phases over
// them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/layers.hpp"
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
    struct Expert {
        Linear gate, up, down;
    };
    struct Layer {
        NormWeights attn_norm, attn_norm_2, q_norm, k_norm, post_attn_norm, attn_output_norm;
        NormWeights ffn_norm, post_ffn_norm, layer_output_norm;
        Linear q, k, v, attn_gate, out;
        bool gates_each_head = false;
        int sinks = -1;
        Linear gate, up, down;  // in a sparse layer, of the shared expert
        Linear router, shared_gate;
        int choice_bias = -1;
        std::vector<Expert> experts;
        MixerWeights mixer;  // of a recurrent layer
    };
    friend class Planner;

    Norm norm(const Weights& weights, const NormWeights& n) const;
    Norm post_norm(const Weights& weights, const NormWeights& n) const;
    Norm::Kind norm_kind() const { return spec_.norm == NormKind::rms ? Norm::Kind::rms : Norm::Kind::layer; }
    EmbedPhase::Config embed_config(const Weights& weights) const;
    void build_mixing(const Weights& weights, int layer, Program& p) const;
    void build_attention(const Weights& weights, int layer, Program& p) const;
    void build_ffn(const Weights& weights, int layer, Program& p) const;
    void build_experts(const Weights& weights, int layer, Program& p) const;
    bool has_mamba() const {
        return spec_.recurrent.kind == RecurrentKind::mamba || spec_.recurrent.kind == RecurrentKind::mamba2;
    }
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
