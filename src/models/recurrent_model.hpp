// Recurrent mixers in a model: which weights a layer of each kind wants, and the phases over them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layers/recurrent.hpp"
#include "models/model_spec.hpp"

namespace elver {

// The weights that a layer asked for, by role ("ssm_in"), with a further word where a role's tensor serves twice
// ("ssm_in/gate") and the part's name where it is not the weight ("ssm_dt.bias").
class MixerWeights {
  public:
    void put(std::string what, int number) { numbers_.emplace_back(std::move(what), number); }
    bool has(std::string_view what) const noexcept { return at(what) >= 0; }
    int at(std::string_view what) const noexcept {
        for (const auto& [name, number] : numbers_) {
            if (name == what) return number;
        }
        return -1;
    }

  private:
    std::vector<std::pair<std::string, int>> numbers_;
};

// How a layer asks for its tensors; the planner answers. A tensor of another size is the planner's error.
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

// What a recurrent layer's phases are made of.
struct MixerParts {
    const ModelSpec& spec;
    int layer;
    const MixerWeights& planned;
    const Weights& weights;
    Buffer into;  // x: the mixer is added to it

    // What ends the mixer.
    LinearPhase::Product result(std::string_view what) const;
    LinearPhase::Product product(std::string_view what, Buffer out, int out_column = 0,
                                 Finish finish = Finish::store) const;
    const float* vector(std::string_view what) const noexcept;
    Norm norm(std::string_view role) const;
};

// What is known of a kind of mixer.
struct Mixer {
    void (*plan)(const ModelSpec& spec, int layer, WeightRequests& w);
    size_t (*state_floats)(const ModelSpec& spec);  // of a layer
    void (*build)(const MixerParts& parts, Program& p);
};
extern const Mixer mamba_mixer, rwkv_mixer, short_conv_mixer, delta_net_mixer;

const Mixer& mixer_parts(RecurrentKind kind) noexcept;

}  // namespace elver
