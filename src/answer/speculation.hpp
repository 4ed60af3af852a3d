// Speculation without loss: guesses how a text goes on, so that a pass can compute several tokens. The sampler then
// chooses each token as if it had been computed alone; where it chooses what was guessed, the next pass is saved. So
// the text is the same with and without; only the time differs.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "answer/suffix_automaton.hpp"
#include "engine/engine.hpp"

namespace elver {

class Speculation {
  public:
    // What the text is expected to repeat: a prompt, or what the caller predicts.
    void read(std::span<const int32_t> ids);
    // The text goes on with this token, which tells how good guesses are.
    void follow(int32_t id);
    // The next tokens, at most `most`, as far as their chances are at least `least`. Valid until the next call.
    std::span<const DraftToken> guess(int most, float least);

  private:
    // How often a guess is right that follows a repetition of a length: of 1, 2, 3, 4 to 7, 8 to 15 tokens and so on.
    static size_t kind(int matched) noexcept;
    static constexpr std::array<float, 7> usual = {0.15f, 0.3f, 0.45f, 0.6f, 0.8f, 0.9f, 0.95f};
    struct Rate {
        float right;
        float weight = 4;  // guesses that it stands for
    };

    SuffixAutomaton repetitions_;
    std::array<Rate, 7> rates_ = [] {
        std::array<Rate, 7> rates;
        for (size_t i = 0; i < rates.size(); ++i) rates[i].right = usual[i];
        return rates;
    }();
    std::vector<DraftToken> guesses_;
};

}  // namespace elver
