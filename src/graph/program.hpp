// A forward pass as plain data: a flat list of operations over numbered buffers and weights, in the order in which they
// run. There is no code in it: describe() prints it, plan.hpp places its buffers in memory, and an executor (cpu/) runs
// it. An operation is complete before the next one begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "graph/router.hpp"
#include "kernels/args.hpp"
#include "tensor/dtype.hpp"
#include "weights/weight_ref.hpp"

namespace elver::graph {

// f32 rows, one for each token of a pass or for each output.
struct Buffer {
    enum class Rows : uint8_t { tokens, outputs };
    const char* holds;  // what is in it, for describe() and errors of tests
    int width;          // floats of a row
    Rows rows;
};
using BufferId = int;
inline constexpr BufferId no_buffer = -1;

// Floats from one row of a buffer to the next: a whole number of cache lines, so that no vector store leaves the row.
constexpr size_t padded_row(int width) noexcept {
    return (static_cast<size_t>(width) + 31) & ~size_t{31};
}

// Columns of a buffer, from `first` on.
struct View {
    BufferId buffer = no_buffer;
    int first = 0;

    View() = default;
    View(BufferId id, int column = 0) : buffer(id), first(column) {}
};

// A matrix that products read, with what is known of it before its bytes are there.
struct Matrix {
    WeightRef ref;
    DType type = DType::f32;
    int n_rows = 0;
    int k = 0;
    size_t n_bytes = 0;  // read by one pass over it

    bool there() const noexcept { return ref.there(); }
    int n_groups() const noexcept { return (n_rows + 15) / 16; }
};

struct Norm {
    enum class Kind : uint8_t { none, rms, layer };
    Kind kind = Kind::none;
    float eps = 0;
    WeightRef weight, bias;  // [width] or none
};

// out = norm(scale * table[id] + added + positions[pos]); rows of the table are decoded from the file.
struct Embed {
    WeightRef table;  // [n_vocab, width]
    DType type = DType::f32;
    int n_vocab = 0, width = 0;
    float scale = 1.0f;
    WeightRef added;      // [width], the same for every token, or none
    WeightRef positions;  // [n_positions, width] learned positions, or none
    Norm norm;
    BufferId out = no_buffer;
};

// cos and sin of each token's angles for rotary embedding: pair i of a head has the angle pos * frequencies[i]. Both
// are multiplied by magnitude. RoFormer, Su et al. 2021.
struct RopeTable {
    std::vector<double> frequencies;  // [dims / 2]
    // Used instead in a session whose context is longer than long_beyond positions; empty: none. The session's context
    // decides and not the text's length, since keys that are in the cache already keep the angles they were stored
    // with.
    std::vector<double> long_frequencies;
    int long_beyond = 0;
    double magnitude = 1.0;
    double position_scale = 1.0;
    BufferId out = no_buffer;  // [dims / 2][cos, sin]
};
struct RopeTables {
    std::vector<RopeTable> tables;
};

// to = norm(from), in n_groups groups of `width` columns, each normalised by itself; the norm's weights go on from
// group to group. May be in place.
struct Normalise {
    View from, to;
    Norm norm;
    int width = 0;
    int n_groups = 1;
};

struct Product {
    Matrix matrix;
    WeightRef bias;
    View out;  // a first column that is a multiple of 16
    Finish finish = Finish::store;
    float scale = 1.0f;  // of Finish::add
};

inline constexpr size_t most_products = 8;  // of one Linear

// norm(input) is quantised once and multiplied by each matrix. A product whose finish is gated stands behind the one
// that makes its gate, in the same columns. No product writes the input's buffer.
struct Linear {
    std::string name;
    View input;
    Norm norm;
    std::vector<Product> products;
    // 2: activations keep about 16 bits in two parts, for the head, where nothing behind it evens errors out.
    int parts = 1;
};

// A matrix for each head, all of one shape: columns from + h * from_stride of every row -> to + h * to_stride.
struct HeadLinear {
    std::vector<Matrix> heads;
    View from;
    int from_stride = 0;
    View to;
    int to_stride = 0;
};

// Blocks of columns to other places.
struct Copy {
    struct Block {
        View from;
        int from_stride;
        View to;
        int to_stride;
        int width, n = 1;
    };
    std::vector<Block> blocks;
};

// Makes queries and keys ready and stores keys and values in the cache: clamp, norm over each head, rotary embedding,
// scales. All in place.
struct CacheWrite {
    int layer = 0;
    BufferId q = no_buffer, k = no_buffer, v = no_buffer;  // may hold other columns behind these
    int n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;
    float q_scale = 1.0f, v_scale = 1.0f;
    // q is also multiplied by 1 + temperature * log(floor((pos + 1) / temperature_length) + 1).
    float temperature = 0.0f;
    int temperature_length = 1;
    float clamp = 0.0f;      // q, k and v are first clamped to [-clamp, clamp]; 0: no clamp
    Norm q_norm, k_norm;     // over each head
    size_t norm_stride = 0;  // floats from one head's norm weights to the next; 0: shared
    bool norm_after_rope = false;
    enum class Pairing : uint8_t { none, adjacent, halves } pairing = Pairing::none;
    int rope_dims = 0;
    int rope_first = 0;               // the first dim of a head that has rope
    BufferId rope_table = no_buffer;  // RopeTable::out
};

// q and the cache -> out.
struct Attention {
    int layer = 0;
    BufferId q = no_buffer, out = no_buffer;
    int n_heads = 0, n_kv_heads = 0, head_dim = 0, v_head_dim = 0;
    bool causal = true;         // else a token sees those behind it too
    int window = 0;             // positions seen, own included; 0: all; not causal: half to each side
    bool chunked = false;       // the window is a chunk of the text, seen from its beginning on
    float soft_cap = 0;         // 0: none
    std::vector<float> slopes;  // [n_heads] ALiBi, or empty
    WeightRef sinks;            // [n_heads] logits of a key that adds nothing, or none
    bool exact = false;         // AttentionArgs::exact
};

// x *= sigmoid or softplus of gate: a factor for each element, or for each head.
struct Gate {
    BufferId x = no_buffer, gate = no_buffer;
    int n_heads = 0, head_dim = 0;
    bool each_head = false, softplus = false;
};

// to += scale * norm(branch); the norm is made in place.
struct Add {
    BufferId branch = no_buffer, to = no_buffer;
    Norm norm;
    int width = 0;
    float scale = 1.0f;
};

// to += gate * branch
struct GatedAdd {
    BufferId gate = no_buffer, branch = no_buffer, to = no_buffer;
    int width = 0;
};

// x = soft cap of scale * x; a cap of 0 is none.
struct Scale {
    BufferId x = no_buffer;
    int width = 0;
    float scale = 1.0f, cap = 0.0f;
};

// The rows of the tokens whose outputs are wanted.
struct Select {
    BufferId from = no_buffer, to = no_buffer;
    int width = 0;
};

// A sparse FFN: each token's top_k experts see norm(input), and their weighted sum is added to out or stored there.
// Shazeer et al. 2017; Jiang et al. 2024.
struct Experts {
    struct Expert {
        Matrix gate, up, down;  // gate: none where the FFN is not gated
        WeightRef gate_bias, up_bias, down_bias;
    };
    int layer = 0;
    BufferId input = no_buffer, normed = no_buffer;
    BufferId logits = no_buffer;  // of the router, [n_experts], and behind them those of the shared expert's gate
    Norm norm;
    RouterOptions router;
    WeightRef choice_bias;  // [n_experts], added to the scores for the choice alone, or none
    std::vector<Expert> experts;
    Finish finish = Finish::mul_silu;  // of up
    BufferId shared = no_buffer;       // what an expert that sees every token gave, added to the sum; or none
    int shared_gate = -1;              // the column of logits whose sigmoid scales it; -1: none
    BufferId out = no_buffer;
    bool adds = true;           // out += scale * sum; else out = sum
    bool weighs_input = false;  // by the expert's weight, not its output
    float sum_scale = 1.0f;     // of the experts' sum, the shared one's included
    float scale = 1.0f;
};

// Where a recurrent operation's numbers begin in a layer's state.
struct StatePart {
    int layer = 0;
    size_t first = 0;  // floats
};

// y = norm(x); mixes of each token's y with the y before it: y + lerp * (previous - y), one after the other in out,
// padded_row(width) apart. State: the last y, [width].
struct Shift {
    StatePart state;
    BufferId x = no_buffer, normed = no_buffer, out = no_buffer;
    BufferId kept = no_buffer;  // y and previous - y, padded_row(width) apart, for Mix; or none
    Norm norm;
    int width = 0;
    std::vector<WeightRef> lerps;  // [width] each
};

// Each of n_parts rows in mixes: part = y + part * (previous - y), of what Shift kept.
struct Mix {
    BufferId kept = no_buffer, mixes = no_buffer;
    int width = 0, n_parts = 0;
};

// Each column of x over time, in place: silu(bias + sum of taps * the last n_taps values). State: [n_taps - 1, width],
// the oldest first.
struct Conv {
    StatePart state;
    BufferId x = no_buffer;
    int width = 0, n_taps = 0;
    WeightRef taps;  // [width, n_taps], the oldest first
    WeightRef bias;  // [width] or none
};

// out = c * (sum of taps * the last n_taps values of b * x); b becomes b * x. State: [n_taps - 1, width] of those
// values, the oldest first.
struct ShortConv {
    StatePart state;
    BufferId b = no_buffer, x = no_buffer, c = no_buffer, out = no_buffer;
    int width = 0, n_taps = 0;
    WeightRef taps;  // [width, n_taps], the oldest first
};

// Per channel, with dt = softplus: h = exp(dt a) h + dt B x, y = C h + d x, out = y silu(gate). Gu and Dao 2023,
// algorithm 2. State: [width, n_state].
struct Mamba {
    StatePart state;
    BufferId x = no_buffer, dt = no_buffer, gate = no_buffer, out = no_buffer;
    View b, c;
    int width = 0, n_state = 0;
    WeightRef a;  // [width, n_state]
    WeightRef d;  // [width]
};

// As Mamba, except that a head's channels share dt and a, and a group's heads B and C. Dao and Gu 2024. State:
// [n_heads, head_dim, n_state].
struct Mamba2 {
    StatePart state;
    BufferId x = no_buffer;  // and behind it B and C of each group
    BufferId dt = no_buffer, gate = no_buffer, out = no_buffer;
    int n_heads = 0, head_dim = 0, n_state = 0, n_groups = 1;
    WeightRef a, d, dt_bias;  // [n_heads]
};

// With q and k of unit length, per head: S = exp(a softplus(alpha + dt_bias)) S, S += beta (v - S k) k, y = S q /
// sqrt(k_dim); y is normalised and multiplied by silu(gate). Yang et al. 2024 (Gated Delta Networks), section 3. State:
// [n_heads, v_dim, k_dim].
struct DeltaNet {
    StatePart state;
    BufferId qkv = no_buffer;    // q and k of n_k_heads, v of n_heads
    BufferId rates = no_buffer;  // the logits of beta and, from alpha_column on, alpha
    BufferId gate = no_buffer, out = no_buffer;
    int n_heads = 0, n_k_heads = 0, k_dim = 0, v_dim = 0;
    bool interleaved_keys = false;  // head h has keys h % n_k_heads; else neighbours share
    int alpha_column = 0;
    int rates_stride = 0;  // from the columns of one key's heads to the next's
    float eps = 0.0f;      // of the unit lengths
    Norm norm;
    WeightRef a, dt_bias;  // [n_heads]
};

// What the two RWKV mixers share: the rows they read lie side by side in streams, padded_row(n_heads * head_dim) apart,
// and each head is normalised by itself before the gate. State: [n_heads, head_dim, head_dim].
struct Rwkv {
    StatePart state;
    BufferId streams = no_buffer, out = no_buffer;
    int n_heads = 0, head_dim = 0;
    WeightRef norm_weight, norm_bias;  // [n_heads * head_dim]

    int width() const noexcept { return n_heads * head_dim; }
};

// Streams r, k, v, silu of the gate, w. decay = exp(-exp(w)); the state is [key, value]. Peng et al. 2024, section 4.
struct Rwkv6 : Rwkv {
    WeightRef first;  // u, [n_heads, head_dim]
};

// Streams r, k, v, sigmoid of w, sigmoid of a, the gate, and except in the first layer sigmoid of the values' mix. The
// state is [value, key]. Peng et al. 2025, section 4.
struct Rwkv7 : Rwkv {
    WeightRef bonus, k_k, k_a;          // r_k: [n_heads, head_dim]; [n_heads * head_dim]
    BufferId first_values = no_buffer;  // the first layer's, for the others
    bool first_layer = false;
};

using Op =
    std::variant<Embed, RopeTables, Normalise, Linear, HeadLinear, Copy, CacheWrite, Attention, Gate, Add, GatedAdd,
                 Scale, Select, Experts, Shift, Mix, Conv, ShortConv, Mamba, Mamba2, DeltaNet, Rwkv6, Rwkv7>;

struct Program {
    std::vector<Buffer> buffers;
    std::vector<Op> ops;
    // The body, ops [0, head_begin), runs once a pass. Then the head, [head_begin, hidden_begin), makes logits of some
    // outputs, or the rest makes their hidden states instead: as often as it takes for all that are wanted.
    int head_begin = 0, hidden_begin = 0;
    // What is read after the head and after the rest; or none.
    BufferId logits = no_buffer, hidden = no_buffer;

    BufferId add_buffer(const char* holds, int width, Buffer::Rows rows = Buffer::Rows::tokens) {
        buffers.push_back({holds, width, rows});
        return static_cast<BufferId>(buffers.size()) - 1;
    }
    void begin_head() { head_begin = static_cast<int>(ops.size()); }
    void begin_hidden() { hidden_begin = static_cast<int>(ops.size()); }
    size_t stride(BufferId id) const noexcept { return padded_row(buffers[static_cast<size_t>(id)].width); }
};

// How an operation uses a buffer. An update also reads.
struct Use {
    BufferId buffer;
    enum class How : uint8_t { reads, writes, updates } how;
    int width;  // columns that it may touch, from 0 on
};
std::vector<Use> uses(const Op& op);

// Bytes of weights that an operation reads for one token; of sparse FFNs, those of the chosen experts.
size_t weight_bytes(const Op& op) noexcept;

// A line an operation: name, shapes, bytes of weights.
std::string describe(const Op& op);
std::string describe(const Program& program);

}  // namespace elver::graph
