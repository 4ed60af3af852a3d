#include "models/model_program.hpp"

#include "models/layer_program.hpp"

namespace elver {

graph::Matrix ProgramParts::matrix(WeightRef ref) const {
    if (!ref.there()) return {};
    const PackedMatrix& m = weights.matrix(ref);
    return {ref, m.type, m.n_rows, m.k, m.n_bytes};
}

graph::Product ProgramParts::product(WeightRef number, WeightRef bias, graph::View out, Finish finish,
                                     float scale) const {
    return {matrix(number), bias, out, finish, scale};
}

graph::Norm ModelBuilder::norm(const NormTensors& n) const {
    if (!n.present) return {};
    return {norm_kind(), static_cast<float>(spec_.norm_eps), n.weight, n.bias};
}

graph::Norm ModelBuilder::post_norm(const NormTensors& n) const {
    graph::Norm out = norm(n);
    if (spec_.post_norm_eps > 0) out.eps = static_cast<float>(spec_.post_norm_eps);
    return out;
}

graph::Program ModelBuilder::build(const Weights& weights) const {
    using Rows = graph::Buffer::Rows;
    ProgramParts p{weights, {}, graph::no_buffer, {}, graph::no_buffer};
    p.x = p.add_buffer("residual stream", spec_.width);
    graph::Embed embed;
    embed.table = embedding_;
    embed.type = weights.rows(embedding_).type;
    embed.n_vocab = spec_.n_vocab, embed.width = spec_.width;
    embed.scale = static_cast<float>(spec_.embedding_scale);
    embed.added = token_type_, embed.positions = positions_;
    embed.norm = norm(embedding_norm_);
    embed.out = p.x;
    p.add(embed);
    graph::RopeTables ropes{rope_};
    for (graph::RopeTable& table : ropes.tables) {
        table.out = p.add_buffer("cos and sin of rope angles", 2 * static_cast<int>(table.frequencies.size()));
        p.rope.push_back(table.out);
    }
    if (!ropes.tables.empty()) p.add(std::move(ropes));
    for (int i = 0; i < spec_.n_layers; ++i) LayerBuilder(*this, i, p).build();

    graph::Program& program = p.program;
    program.begin_head();
    const graph::BufferId outputs = program.add_buffer("hidden states of outputs", spec_.width, Rows::outputs);
    const graph::Select select{p.x, outputs, spec_.width};
    if (spec_.has_head) {
        program.logits = program.add_buffer("logits", spec_.n_vocab, Rows::outputs);
        p.add(select);
        p.add(graph::Linear{
            "head", outputs, norm(output_norm_), {p.product(head_.matrix, head_.bias, program.logits)}, 2});
        if (spec_.logit_scale != 1.0 || spec_.logit_soft_cap > 0) {
            p.add(graph::Scale{program.logits, spec_.n_vocab, static_cast<float>(spec_.logit_scale),
                               static_cast<float>(spec_.logit_soft_cap)});
        }
    }
    program.begin_hidden();
    program.hidden = outputs;
    p.add(select);
    if (output_norm_.present) p.add(graph::Normalise{outputs, outputs, norm(output_norm_), spec_.width, 1});
    return std::move(p.program);
}

std::vector<CacheLayerSpec> ModelBuilder::cache_layers() const {
    std::vector<CacheLayerSpec> out;
    for (const LayerSpec& l : spec_.layers) out.push_back({l.n_kv_heads, l.head_dim, l.v_head_dim, l.window});
    return out;
}

std::vector<size_t> ModelBuilder::state_layers() const {
    std::vector<size_t> out;
    for (const LayerSpec& l : spec_.layers)
        out.push_back(l.recurrent ? mixer_parts(spec_.recurrent.kind).state_floats(spec_) : 0);
    return out;
}

}  // namespace elver
