// The phases that models are made of. Each constructor notes the widths it needs in the program; run() does one
// worker's share.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "layers/program.hpp"
#include "quant/decode.hpp"
#include "weights/weights.hpp"

namespace elver {

struct Norm {
    enum class Kind : uint8_t { none, rms, layer };
    Kind kind = Kind::none;
    float eps = 0;
    const float* weight = nullptr;  // [width] or null
    const float* bias = nullptr;    // [width] or null

    void apply(const KernelTable& kernels, const float* x, size_t x_stride, float* y, size_t y_stride, int width,
               int begin, int end) const noexcept;
};

// Rotary embedding: angles of pair i are pos * frequency[i], cos and sin both multiplied by magnitude.
struct RopeTable {
    std::vector<double> frequencies;  // [dims / 2]
    // Used instead in a session whose context is longer than long_beyond positions; empty: none. The choice is the
    // session's, not the text's: keys in the cache cannot be turned again when a text grows.
    std::vector<double> long_frequencies;
    int long_beyond = 0;
    double magnitude = 1.0;
    double position_scale = 1.0;
};

// ids -> x, decoded straight from the file's rows; also fills the pass's rotary tables.
class EmbedPhase final : public Phase {
  public:
    struct Config {
        TensorView table;  // [n_vocab, width], the file's bytes
        float scale = 1.0f;
        const float* added = nullptr;      // [width], to every token, or null
        const float* positions = nullptr;  // learned positions [n_positions, width] or null
        Norm norm;                         // after embedding (BLOOM)
        std::vector<RopeTable> rope;
    };
    EmbedPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
    DecodeRow decode_;
};

// Columns of a buffer, from `first` on.
struct Columns {
    Buffer buffer;
    int first = 0;
    Columns(Buffer b, int column = 0) : buffer(b), first(column) {}
};

// The rows of matrices of one height, by 32, as pieces of work: large enough that taking one costs nothing, small
// enough that the workers end together, that a gate is still in the second cache when the product that it is for lands,
// and to cancel between.
class Panels {
  public:
    // n_bytes: of all matrices whose rows a piece makes.
    Panels(int n_groups, size_t n_bytes) noexcept : n_groups_(n_groups), n_bytes_(n_bytes) {}

    // For n tokens.
    int n_pieces(int n) const noexcept { return (count() + step(n) - 1) / step(n); }
    // The groups of rows of a piece, for args.n tokens.
    void choose(int piece, MatmulArgs& args) const noexcept {
        args.group_begin = 2 * piece * step(args.n);
        args.group_end = std::min(2 * (piece + 1) * step(args.n), n_groups_);
    }

  private:
    int count() const noexcept { return (n_groups_ + 1) / 2; }
    int step(int n) const noexcept {
        constexpr size_t enough = size_t{16} << 10;  // of weights, for one token
        const size_t work = (n_bytes_ / static_cast<size_t>(count()) + 1) * (1 + static_cast<size_t>(n) / 8);
        return static_cast<int>(std::max<size_t>(1, enough / work));
    }

    int n_groups_;
    size_t n_bytes_;
};

// input -> norm -> quantise -> products. The matrices share the input; each writes its own buffer.
class LinearPhase final : public Phase {
  public:
    struct Product {
        PackedMatrix matrix;
        const float* bias = nullptr;
        Buffer out = Buffer::branch;
        int out_column = 0;  // first float of a row that it writes; a multiple of 16
        Finish finish = Finish::store;
        float scale = 1.0f;
    };
    // Of every token, or the head: of the tokens whose logits are wanted, with activations to about 16 bits, since
    // nothing behind it evens its errors out.
    enum class Of : uint8_t { tokens, outputs };
    LinearPhase(Program& program, std::string name, Columns input, Norm norm, std::vector<Product> products,
                Of of = Of::tokens);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;
    size_t weight_bytes() const noexcept override;

  private:
    // What the products read.
    struct Inputs {
        QuantizedActs acts;
        const float* x;  // rows for float formats and the reference level
        size_t x_stride;
    };
    Inputs prepare(const Pass& pass, int worker) const noexcept;
    // Products whose panels are made side by side: one, or a gate and what it gates.
    struct Set {
        size_t first, last;  // of products_
        Panels panels;
    };
    int n_inputs(const Pass& pass) const noexcept { return of_ == Of::outputs ? pass.n_outputs : pass.n_tokens; }
    int n_parts() const noexcept { return of_ == Of::outputs ? 2 : 1; }

    const Program* program_;
    std::string name_;
    Columns input_;
    Norm norm_;
    std::vector<Product> products_;
    std::vector<Set> sets_;
    Of of_;
    int k_;
    bool reads_rows_ = false;  // a product has float weights
};

// Blocks of columns to other places.
class CopyPhase final : public Phase {
  public:
    struct Block {
        Columns from;
        int from_stride;
        Columns to;
        int to_stride;
        int width, n = 1;
    };
    CopyPhase(Program& program, std::vector<Block> blocks);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    std::vector<Block> blocks_;
};

// A matrix for each head: columns from + h * from_stride of every token -> to + h * to_stride.
class HeadLinearPhase final : public Phase {
  public:
    struct Config {
        std::vector<PackedMatrix> heads;  // of one shape
        Columns from;
        int from_stride;
        Columns to;
        int to_stride;
    };
    HeadLinearPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;
    size_t weight_bytes() const noexcept override;

  private:
    int result_at() const noexcept { return static_cast<int>(padded_row(k_)); }

    const Program* program_;
    Config config_;
    int k_ = 0, n_rows_ = 0;
};

// Rotates q and k, normalises them where the model does, scales q, and stores k and v in the cache.
class CacheWritePhase final : public Phase {
  public:
    struct Config {
        int layer = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;
        float q_scale = 1.0f;
        // q is also multiplied by 1 + temperature * log(floor((pos + 1) / temperature_length) + 1).
        float temperature = 0.0f;
        int temperature_length = 1;
        float v_scale = 1.0f;
        float clamp = 0.0f;      // q, k, v are clamped to [-clamp, clamp] first; 0: not
        Norm q_norm, k_norm;     // over each head
        size_t norm_stride = 0;  // floats from one head's norm weights to the next; 0: shared
        bool norm_after_rope = false;
        enum class Pairing : uint8_t { none, adjacent, halves } pairing = Pairing::none;
        int rope_dims = 0, rope_table = 0;
        int rope_first = 0;  // the first dim of a head that turns
    };
    CacheWritePhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    void normalise(const Pass& pass, float* head, int index, Norm norm) const noexcept;
    void prepare(const Pass& pass, float* head, int index, int token, const Norm& norm) const noexcept;
    void turn_query(const Pass& pass, int head, int token) const noexcept;
    void keep(const Pass& pass, int head, int token) const noexcept;

    const Program* program_;
    Config config_;
};

// q, cache -> attn.
class AttentionPhase final : public Phase {
  public:
    struct Config {
        int layer = 0, n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;
        bool causal = true;
        int window = 0;
        bool chunked = false;  // of the window
        float soft_cap = 0;
        std::vector<float> slopes;     // [n_heads] or empty
        const float* sinks = nullptr;  // [n_heads] or null
        bool exact = false;            // AttentionArgs::exact
    };
    AttentionPhase(Program& program, Config config);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Config config_;
};

// x += scale * norm(branch)
class AddPhase final : public Phase {
  public:
    AddPhase(Program& program, Buffer from, Norm norm, int width, float scale);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Buffer from_;
    Norm norm_;
    int width_;
    float scale_;
};

// to = norm(from), for models that normalise the residual stream itself (post-norm).
class NormPhase final : public Phase {
  public:
    NormPhase(Program& program, Buffer from, Buffer to, Norm norm, int width, bool on_outputs = false);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    Buffer from_, to_;
    Norm norm_;
    int width_;
    bool on_outputs_;
};

// attn *= sigmoid or softplus of gate, a factor for each element or for each head.
class GatePhase final : public Phase {
  public:
    GatePhase(Program& program, int n_heads, int v_head_dim, bool each_head, bool softplus)
        : program_(&program), n_heads_(n_heads), v_head_dim_(v_head_dim), each_head_(each_head), softplus_(softplus) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    int n_heads_, v_head_dim_;
    bool each_head_, softplus_;
};

// The rows of x whose logits are wanted -> outputs.
class SelectPhase final : public Phase {
  public:
    SelectPhase(Program& program, int width);
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    int width_;
};

// logits = soft cap of scale * logits; a cap of 0 is none.
class LogitPhase final : public Phase {
  public:
    LogitPhase(Program& program, float scale, float cap) : program_(&program), scale_(scale), cap_(cap) {}
    void run(const Pass& pass, int worker) const noexcept override;
    std::string describe() const override;

  private:
    const Program* program_;
    float scale_, cap_;
};

}  // namespace elver
