// One layer of a model: its operations, in the paper's order.
#pragma once

#include "models/model_program.hpp"

namespace elver {

class LayerBuilder {
  public:
    LayerBuilder(const ModelBuilder& model, int layer, ProgramParts& p)
        : m_(model),
          index_(layer),
          l_(model.layers_[static_cast<size_t>(layer)]),
          s_(model.spec_.layers[static_cast<size_t>(layer)]),
          p_(p) {}

    // x -> x, the residual stream behind the layer.
    void build();

  private:
    const ModelSpec& spec() const noexcept { return m_.spec_; }
    float residual() const noexcept { return static_cast<float>(spec().residual_scale); }
    Finish finish() const;

    // What attention reads; gate: none where it is not gated.
    struct Qkv {
        graph::BufferId q, k, v, gate = graph::no_buffer;
    };
    Qkv build_qkv();
    Qkv build_latent_qkv();
    graph::HeadLinear each_head(const std::vector<WeightRef>& matrices, graph::View from, int from_stride,
                                graph::View to, int to_stride) const;
    graph::CacheWrite cache_write(const Qkv& in) const;
    graph::BufferId build_mixing(const Qkv& in);
    void build_attention();
    void build_recurrent();
    void build_dense(const ModelBuilder::Ffn& f, const graph::Norm& in, graph::Product down, const std::string& name);
    void build_ffn();
    int shared_gate_column() const;
    void build_router(const graph::Norm& in);
    void build_experts();
    void add_branch(graph::BufferId branch, const graph::Norm& norm);
    void add_attention_branch();

    const ModelBuilder& m_;
    int index_;
    const ModelBuilder::Layer& l_;
    const LayerSpec& s_;
    ProgramParts& p_;
    // What waits to be added to x: attention in a parallel layer, and experts that read the layer's input.
    graph::BufferId attention_branch_ = graph::no_buffer, early_experts_ = graph::no_buffer;
    graph::BufferId router_logits_ = graph::no_buffer;
};

}  // namespace elver
