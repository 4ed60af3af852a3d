// A sparse FFN: a router chooses top_k experts a token; tokens are sorted by expert, and each expert multiplies its own
// tokens together. Decode reads the bytes of the chosen experts and no others. Shazeer et al. 2017; Jiang et al. 2024.
#pragma once

#include <string>
#include <vector>

#include "layers/layers.hpp"
#include "layers/router.hpp"

namespace elver {

// A pass's sorted tokens, placed over Scratch::moe_at. A pair is a token with one of its experts.
struct MoeScratch {
    int32_t* ids;     // [n_tokens, top_k] experts, best first
    float* weights;   // [n_tokens, top_k]
    int32_t* row;     // [n_tokens, top_k] the pair's row in the sorted order
    int32_t* pair;    // [n_pairs] of each row
    int32_t* first;   // [n_experts + 1] an expert's first row
    float* rows;      // [n_pairs, row_stride] the experts' inputs, later their outputs
    float* hidden;    // [n_pairs, hidden_stride]
    std::byte* acts;  // an expert's rows, quantised
    size_t n_bytes;
};
MoeScratch place_moe(const MoeWidths& widths, std::byte* memory, int max_tokens) noexcept;

// x or out = norm(input) through the experts. The router's logits are in Buffer::router already.
class ExpertsPhase final : public Phase {
  public:
    struct Expert {
        PackedMatrix gate, up, down;  // gate: without rows where the FFN is not gated
        const float *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;
    };
    struct Config {
        int layer = 0;
        Buffer input = Buffer::x;
        Norm norm;
        RouterOptions router;
        std::vector<Expert> experts;
        Finish finish = Finish::mul_silu;  // of up
        bool shared = false;               // Buffer::shared is added
        int shared_gate = -1;              // the column of Buffer::router whose sigmoid scales it, -1: none
        Buffer out = Buffer::x;            // added to when it is x, else written
        bool weighs_input = false;         // by the expert's weight, not its output
        float sum_scale = 1.0f;            // of the experts' sum, the shared one's included
        float scale = 1.0f;                // of what is added to x
    };
    ExpertsPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;
    // Of the experts that a token sees.
    size_t weight_bytes() const noexcept override;

  private:
    enum class Step : uint8_t { in, out };

    void choose(const Pass& pass, const MoeScratch& s, int worker, Share tokens) const noexcept;
    void sort(const Pass& pass, const MoeScratch& s) const noexcept;
    void gather(const Pass& pass, const MoeScratch& s, Share pairs) const noexcept;
    void quantize(const Pass& pass, const MoeScratch& s, Step step, Share pairs) const noexcept;
    void multiply(const Pass& pass, const MoeScratch& s, Step step, int worker) const noexcept;
    void combine(const Pass& pass, const MoeScratch& s, Share tokens) const noexcept;

    int k(Step step) const noexcept { return step == Step::in ? width_ : hidden_; }
    bool quantized(const Pass& pass, Step step) const noexcept {
        return pass.kernels->reads_packs && k(step) % 32 == 0;
    }
    size_t stride(Step step) const noexcept { return padded_row(k(step)); }
    QuantizedActs acts(const MoeScratch& s, Step step, int expert) const noexcept;

    const Program* program_;
    Config config_;
    int width_, hidden_;
};

}  // namespace elver
