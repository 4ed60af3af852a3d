// Mixers whose memory does not grow with the text: Mamba, Mamba-2, RWKV-6 and RWKV-7. Each layer has a state of fixed
// size (recurrent_state.hpp); a pass reads the state before it and writes the one after it. Channels or heads are split
// among workers, tokens follow each other, so the bits are the same over threads and batches.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "layers/layers.hpp"
#include "layers/recurrent_state.hpp"

namespace elver {

// log(1 + exp(x))
inline float softplus(float x) noexcept {
    return x > 20.0f ? x : std::log1p(std::exp(x));
}

// Where a part of a layer's state begins.
struct StatePart {
    int layer = 0;
    size_t first = 0;  // floats

    const float* before(const Pass& pass) const noexcept { return pass.state->before(layer) + first; }
    float* after(const Pass& pass) const noexcept { return pass.state->after(layer) + first; }
};

// y = norm(x); mixes of each token's y with the y before it: y + lerp * (previous - y), one after the other in `out`,
// padded_row(width) apart. State: the last y, [width].
class ShiftPhase final : public Phase {
  public:
    struct Config {
        StatePart state;
        Norm norm;
        int width = 0;
        std::vector<const float*> lerps;  // [width] each
        Buffer out = Buffer::hidden;
        bool keep = false;  // y and previous - y, side by side in Buffer::gate
    };
    ShiftPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// Each of n_parts rows in hidden: part = y + part * (previous - y), of what ShiftPhase kept.
class MixPhase final : public Phase {
  public:
    MixPhase(Program& program, int width, int n_parts) : program_(&program), width_(width), n_parts_(n_parts) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    int width_, n_parts_;
};

// x += gate * branch
class GatedAddPhase final : public Phase {
  public:
    GatedAddPhase(Program& program, int width) : program_(&program), width_(width) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    int width_;
};

// x *= scale
class ScalePhase final : public Phase {
  public:
    ScalePhase(Program& program, int width, float scale) : program_(&program), width_(width), scale_(scale) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    int width_;
    float scale_;
};

// Normalises groups of `width` columns from `first` on, each by itself; the norm's weights go on from group to group.
class GroupNormPhase final : public Phase {
  public:
    GroupNormPhase(Program& program, Columns at, Norm norm, int width, int n_groups = 1)
        : program_(&program), at_(at), norm_(norm), width_(width), n_groups_(n_groups) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Columns at_;
    Norm norm_;
    int width_, n_groups_;
};

// Each column of Buffer::q over time: silu(bias + sum of taps * the last n_taps values). State: [n_taps - 1, width],
// the oldest first.
class ConvPhase final : public Phase {
  public:
    struct Config {
        StatePart state;
        int width = 0, n_taps = 0;
        const float* taps = nullptr;  // [width, n_taps], the oldest first
        const float* bias = nullptr;  // [width] or null
    };
    ConvPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// q, k, gate -> attn = gate * (sum of taps * the last n_taps values of q * k). State: [n_taps - 1, width] of those
// values, the oldest first.
class ShortConvPhase final : public Phase {
  public:
    struct Config {
        StatePart state;
        int width = 0, n_taps = 0;
        const float* taps = nullptr;  // [width, n_taps], the oldest first
    };
    ShortConvPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// q, dt in v, B and C in k, gate -> attn. Per channel, with dt = softplus: h = exp(dt a) h + dt B x, y = C h + d x,
// times silu(gate). Gu and Dao 2023, algorithm 2. State: [width, n_state].
class MambaPhase final : public Phase {
  public:
    struct Config {
        StatePart state;
        int width = 0, n_state = 0;
        int b_column = 0, c_column = 0;  // of Buffer::k
        const float* a = nullptr;        // [width, n_state]
        const float* d = nullptr;        // [width]
    };
    MambaPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// x, B and C in q, dt in k, gate -> attn. As Mamba, but a head's channels share dt and a, a group's heads B and C. Dao
// and Gu 2024. State: [n_heads, head_dim, n_state].
class Mamba2Phase final : public Phase {
  public:
    struct Config {
        StatePart state;
        int n_heads = 0, head_dim = 0, n_state = 0, n_groups = 1;
        const float* a = nullptr;        // [n_heads]
        const float* d = nullptr;        // [n_heads]
        const float* dt_bias = nullptr;  // [n_heads]
    };
    Mamba2Phase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// q and k of n_k_heads and v of n_heads in q, the logits of beta and, from alpha_column on, alpha in k, gate -> attn.
// With q and k of unit length, per head: S = exp(a softplus(alpha + dt_bias)) S, S += beta (v - S k) k, y = S q /
// sqrt(k_dim); y is normalised and multiplied by silu(gate). Yang et al. 2024 (Gated Delta Networks), section 3. State:
// [n_heads, v_dim, k_dim].
class DeltaNetPhase final : public Phase {
  public:
    struct Config {
        StatePart state;
        int n_heads = 0, n_k_heads = 0, k_dim = 0, v_dim = 0;
        bool keys_in_turn = false;  // head h has keys h % n_k_heads; else neighbours share
        int alpha_column = 0;
        int rates_stride = 0;  // from the columns of one key's heads to the next's
        float eps = 0.0f;      // of the unit lengths
        Norm norm;
        const float *a = nullptr, *dt_bias = nullptr;  // [n_heads]
    };
    DeltaNetPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    void step(float* state, const float* q, const float* k, const float* v, float decay, float beta,
              float* out) const noexcept;

    const Program* program_;
    Config config_;
};

// What the two RWKV mixers have in common. Their inputs stand side by side in Buffer::q, padded_row(n_heads * head_dim)
// apart; each head is normalised by itself before the gate. State: [n_heads, head_dim, head_dim].
struct RwkvConfig {
    StatePart state;
    int n_heads = 0, head_dim = 0;
    const float *norm_weight = nullptr, *norm_bias = nullptr;  // [n_heads * head_dim]
    const float* first = nullptr;                              // 6: u. 7: r_k. [n_heads, head_dim]
    const float *k_k = nullptr, *k_a = nullptr;                // 7: [n_heads * head_dim]
    bool first_layer = false;                                  // 7: its values are kept in Buffer::v

    int width() const noexcept { return n_heads * head_dim; }
    size_t state_floats() const noexcept {
        return static_cast<size_t>(n_heads) * static_cast<size_t>(head_dim) * static_cast<size_t>(head_dim);
    }
};

// r, k, v, silu of the gate, w -> attn. decay = exp(-exp(w)); the state is [key, value]. Peng et al. 2024, section 4.
class Rwkv6Phase final : public Phase {
  public:
    Rwkv6Phase(Program& program, RwkvConfig config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    RwkvConfig config_;
};

// r, k, v, sigmoid of w, sigmoid of a, the gate, and but for the first layer sigmoid of the values' mix -> attn. The
// state is [value, key]. Peng et al. 2025, section 4.
class Rwkv7Phase final : public Phase {
  public:
    Rwkv7Phase(Program& program, RwkvConfig config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    RwkvConfig config_;
};

// y = (x - mean) / sqrt(variance + eps) * weight + bias over one head, as both RWKV mixers do.
void rwkv_head_norm(const RwkvConfig& config, const KernelTable& kernels, int head, float* x) noexcept;

}  // namespace elver
