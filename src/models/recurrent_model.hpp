// Recurrent mixers in a model: which weights a layer of each kind wants, and the operations over them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/model_spec.hpp"
#include "models/program_parts.hpp"

namespace elver {

// The weights that a layer asked for, by role ("ssm_in"), with a further word where a role's tensor serves twice
// ("ssm_in/gate") and the part's name where it is not the weight ("ssm_dt.bias").
class MixerWeights {
  public:
    void put(std::string what, WeightRef ref) { refs_.emplace_back(std::move(what), ref); }
    bool has(std::string_view what) const noexcept { return at(what).there(); }
    WeightRef at(std::string_view what) const noexcept {
        for (const auto& [name, ref] : refs_) {
            if (name == what) return ref;
        }
        return {};
    }

  private:
    std::vector<std::pair<std::string, WeightRef>> refs_;
};

// How a layer asks the planner for its tensors. A tensor of another size is the planner's error.
class WeightRequests {
  public:
    // Rows, or elements of a vector: [first, first + n) of total.
    struct Range {
        int64_t first, n, total;
    };
    virtual ~WeightRequests() = default;
    // `what` as MixerWeights knows it.
    virtual void matrix(const std::string& what, Range rows, int64_t k) = 0;
    virtual void vector(const std::string& what, Range elements) = 0;
    // Whether the file has it.
    virtual bool holds(const std::string& what) const = 0;
    // Rows of a role's weight, 0 if the file has none.
    virtual int64_t rows(std::string_view role) const = 0;
    // The file may hold it, and nothing reads it.
    virtual void ignore(std::string_view role) = 0;

    void matrix(const std::string& what, int64_t n, int64_t k) { matrix(what, {0, n, n}, k); }
    void vector(const std::string& what, int64_t n) { vector(what, {0, n, n}); }
};

// What a recurrent layer's operations are made of.
struct MixerParts {
    const ModelSpec& spec;
    int layer;
    const MixerWeights& planned;
    ProgramParts& p;
    graph::BufferId into;  // the residual stream, to which the mixer is added, or a branch that it writes

    WeightRef at(std::string_view what) const noexcept { return planned.at(what); }
    graph::Product product(std::string_view what, graph::View out, Finish finish = Finish::store) const;
    graph::Norm norm(std::string_view role) const;
    graph::StatePart state(size_t first) const noexcept { return {layer, first}; }
    // input -> norm -> products.
    void linear(std::string name, graph::View input, const graph::Norm& norm,
                std::vector<graph::Product> products) const;
    // input -> the matrix that ends the mixer -> into.
    void result(std::string name, graph::View input, std::string_view what) const;
};

// What is known of a kind of mixer.
struct Mixer {
    void (*plan)(const ModelSpec& spec, int layer, WeightRequests& w);
    size_t (*state_floats)(const ModelSpec& spec);  // of a layer
    void (*build)(const MixerParts& parts);
};
extern const Mixer mamba_mixer, rwkv_mixer, short_conv_mixer, delta_net_mixer;

const Mixer& mixer_parts(RecurrentKind kind) noexcept;

}  // namespace elver
