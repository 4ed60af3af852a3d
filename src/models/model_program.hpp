// From a spec and a file's tensors to a program: which weights are wanted, then the operations over them.
#pragma once

#include <string>
#include <vector>

#include "cache/kv_cache.hpp"
#include "graph/program.hpp"
#include "models/model_spec.hpp"
#include "models/recurrent_model.hpp"
#include "weights/weights.hpp"

namespace elver {

class ModelBuilder {
  public:
    // Checks that every tensor the spec needs is there with the right shape, and notes it in weights.
    static Result<ModelBuilder> plan(const ModelSpec& spec, const Gguf& file, Weights& weights);

    // The weights need not be loaded: the program names them.
    graph::Program build(const Weights& weights) const;

    std::vector<CacheLayerSpec> cache_layers() const;
    // Floats of each layer's recurrent state.
    std::vector<size_t> state_layers() const;
    // Rows of the table of learned positions, beyond which a text cannot go; 0: there is none.
    int max_positions() const noexcept { return positions_.there() ? spec_.n_ctx_train : 0; }

  private:
    // What the file has of a role; the model may lack any.
    struct Linear {
        WeightRef matrix, bias;
    };
    struct NormTensors {
        WeightRef weight, bias;
        bool present = false;
        bool each_head = false;  // of q or k: weights for each head
    };
    struct Ffn {
        Linear gate, up, down;
    };
    struct Layer {
        NormTensors attn_norm, attn_norm_2, q_norm, k_norm, post_attn_norm, attn_output_norm;
        NormTensors ffn_norm, experts_norm, post_ffn_norm, layer_output_norm;
        Linear q, k, v, attn_gate, out;
        bool gates_each_head = false, gate_in_q = false;
        Linear q_a, kv_a, kv_b;  // of latent attention, whose q is made of q_a
        NormTensors q_a_norm, kv_a_norm;
        std::vector<WeightRef> k_b, v_b;  // matrices of the heads
        WeightRef sinks;
        Ffn dense, shared;
        Linear router, shared_gate;
        WeightRef choice_bias;
        std::vector<Ffn> experts;
        MixerWeights mixer;  // of a recurrent layer
    };
    friend class Planner;
    friend class LayerBuilder;

    graph::Norm norm(const NormTensors& n) const;
    graph::Norm post_norm(const NormTensors& n) const;
    graph::Norm::Kind norm_kind() const {
        return spec_.norm == NormKind::rms ? graph::Norm::Kind::rms : graph::Norm::Kind::layer;
    }

    ModelSpec spec_;
    WeightRef embedding_, token_type_, positions_;
    NormTensors embedding_norm_, output_norm_;
    Linear head_;
    std::vector<Layer> layers_;
    std::vector<graph::RopeTable> rope_;
};

}  // namespace elver
