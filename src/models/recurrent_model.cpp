#include "models/recurrent_model.hpp"

namespace elver {

graph::Product MixerParts::product(std::string_view what, graph::View out, Finish finish) const {
    return p.product(at(what), {}, out, finish);
}

graph::Norm MixerParts::norm(std::string_view role) const {
    if (!planned.has(role)) return {};
    return {spec.norm == NormKind::rms ? graph::Norm::Kind::rms : graph::Norm::Kind::layer,
            static_cast<float>(spec.norm_eps), at(role), at(std::string(role) + ".bias")};
}

void MixerParts::linear(std::string name, graph::View input, const graph::Norm& norm,
                        std::vector<graph::Product> products) const {
    p.add(graph::Linear{std::move(name), input, norm, std::move(products), 1});
}

void MixerParts::result(std::string name, graph::View input, std::string_view what) const {
    graph::Product out = product(what, into, into == p.x ? Finish::add : Finish::store);
    out.scale = static_cast<float>(spec.residual_scale);
    linear(std::move(name), input, {}, {out});
}

const Mixer& mixer_parts(RecurrentKind kind) noexcept {
    switch (kind) {
        case RecurrentKind::mamba:
        case RecurrentKind::mamba2:
            return mamba_mixer;
        case RecurrentKind::rwkv6:
        case RecurrentKind::rwkv7:
            return rwkv_mixer;
        case RecurrentKind::delta_net:
            return delta_net_mixer;
        case RecurrentKind::short_conv:
            break;
    }
    return short_conv_mixer;
}

}  // namespace elver
