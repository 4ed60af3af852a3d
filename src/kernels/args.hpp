// What kernels are called with: raw pointers with their shapes, one struct per operation. Kernels cannot fail: layers
// have checked every shape. Rows of all activation buffers are padded to a multiple of 16 floats, so a vector store
// never misses.
#pragma once

#include <cstddef>
#include <cstdint>

// Before a loop whose trip count is known: its arrays live in registers only when the compiler unrolls it whole.
#if defined(__clang__)
#define ELVER_UNROLL _Pragma("clang loop unroll(full)")
#define ELVER_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ELVER_UNROLL _Pragma("GCC unroll 32")
#define ELVER_ROLLED _Pragma("GCC unroll 1")
#endif

namespace elver {

// What products read of their activations: block formats 8-bit codes, float formats floats, or pairs of bfloat16 where
// the level multiplies them (KernelTable::pairs), the reference level the rows themselves.
enum class ActForm : uint8_t { rows = 1, codes = 2, floats = 4, pairs = 8 };
// A set of forms.
struct ActForms {
    uint8_t bits = 0;

    constexpr void add(ActForm form) noexcept { bits = static_cast<uint8_t>(bits | static_cast<uint8_t>(form)); }
    constexpr bool has(ActForm form) const noexcept { return (bits & static_cast<uint8_t>(form)) != 0; }
    static constexpr ActForms all() noexcept { return {15}; }
};

// Rows of activations in the forms that products read; a form that none reads is null. Rows come in tiles (ActTiles)
// of w rows. Codes have 8 bits in blocks of 32 along k: a row a token, or two (`parts`): its values, then what rounding
// took from them, together about 16 bits. Pairs of bfloat16 come in parts too, floats do not.
struct Acts {
    int8_t* q = nullptr;             // tile: [k / 4][w][4]
    float* d = nullptr;              // tile: [k / 32][w], x ~ d * q
    float* dsum = nullptr;           // tile: [k / 32][w], d * sum of q
    int32_t* minus_sum = nullptr;    // tile: [k / 32][w], sum of -q
    float* dsum16 = nullptr;         // tile: [k / 16][w]
    int32_t* minus_sum16 = nullptr;  // tile: [k / 16][w]
    float* floats = nullptr;         // tile: [even_k(k)][w], padded with zeros
    float* pairs = nullptr;          // tile: [even_k(k) / 2][w], two bfloat16 where a float would be
};

constexpr size_t even_k(size_t k) noexcept {
    return (k + 1) & ~size_t{1};
}

// How n rows are cut into tiles of at most `most`: as few as that takes, and as even as they can be, since a tile of
// one or two rows costs nearly what a full one does. The first n_wide tiles have width rows, the others one less.
struct ActTiles {
    int count, width, n_wide;

    constexpr ActTiles(int n, int most) noexcept
        : count((n + most - 1) / most), width(n == 0 ? 1 : (n + count - 1) / count), n_wide(n - count * (width - 1)) {}
    constexpr int width_of(int tile) const noexcept { return tile < n_wide ? width : width - 1; }
    // The first row of a tile.
    constexpr int begin(int tile) const noexcept { return tile * width - (tile > n_wide ? tile - n_wide : 0); }
    // The tile that a row is in.
    constexpr int of(int row) const noexcept {
        const int wide_rows = n_wide * width;
        return row < wide_rows ? row / width : n_wide + (row - wide_rows) / (width - 1);
    }
};

// Lays the forms of n tokens of k values out in one run of memory, and counts its bytes.
struct PlacedActs {
    Acts acts;
    size_t n_bytes = 0;

    PlacedActs(std::byte* memory, ActForms forms, size_t n, size_t k, size_t parts = 1) noexcept {
        const auto take = [&]<class T>(T*& field, size_t count) {
            field = memory == nullptr ? nullptr : reinterpret_cast<T*>(memory + n_bytes);
            n_bytes += (count * sizeof(T) + 63) & ~size_t{63};
        };
        if (forms.has(ActForm::codes)) {
            const size_t n_blocks = n * parts * (k / 32);
            take(acts.q, n * parts * k);
            take(acts.d, n_blocks), take(acts.dsum, n_blocks), take(acts.minus_sum, n_blocks);
            take(acts.dsum16, 2 * n_blocks), take(acts.minus_sum16, 2 * n_blocks);
        }
        if (forms.has(ActForm::floats)) take(acts.floats, n * even_k(k));
        if (forms.has(ActForm::pairs)) take(acts.pairs, n * parts * even_k(k) / 2);
    }
};
inline size_t acts_bytes(ActForms forms, size_t n, size_t k, size_t parts = 1) noexcept {
    return PlacedActs(nullptr, forms, n, k, parts).n_bytes;
}

// Brings rows into the forms that acts has room for.
struct QuantizeArgs {
    const float* x;  // [n, k], rows x_stride apart
    size_t x_stride;
    int n, k;  // k is a multiple of 32 for codes
    int token_begin, token_end;
    Acts acts;
    int parts = 1;
};

// What a product does with y, the product's value v and a bias.
enum class Finish : uint8_t {
    store,      // y = v
    add,        // y += scale * v
    silu,       // y = silu(v)
    gelu,       // y = gelu(v), by erf
    gelu_tanh,  // y = gelu(v), by tanh
    relu,       // y = max(v, 0)
    relu2,      // y = max(v, 0)^2
    tanh,       // y = tanh(v)
    sigmoid,    // y = 1 / (1 + exp(-v))
    // Gated: y holds the gate's product already.
    mul_silu,  // y = silu(y) * v
    mul_gelu,
    mul_gelu_tanh,
    mul_relu,
    mul_silu_clamped,  // g = min(y, 7), y = g * sigmoid(1.702 g) * (clamp(v, -7, 7) + 1): gpt-oss
};
constexpr bool is_gated(Finish f) noexcept {
    return f >= Finish::mul_silu;
}

// What the codes of a format below three bits stand for (kernels/shared/formats.hpp).
struct Grid {
    const int8_t* codes;
    float unit;
};

struct MatmulArgs {
    const std::byte* pack;  // the matrix's groups (quant/pack.hpp), or the file's rows for the reference level
    int k;
    int n_rows;     // rows before padding
    int n;          // tokens
    int parts = 1;  // rows of acts a token; their products are added
    Acts acts;
    const float* x;  // [n, k] rows x_stride apart; read by the reference level
    size_t x_stride;
    float* y;  // [n, rows] rows y_stride apart
    size_t y_stride;
    const float* bias;  // [rows, padded to 16] or null
    float scale;        // for Finish::add
    Finish finish;
    int group_begin, group_end;  // groups of 16 rows to compute
    float* scratch;              // matmul_scratch_bytes(n * parts) of this worker's own
    Grid grid = {};              // the kernel's own entry fills it in
};

// Panel of 32 rows by at most 640 k as bytes with scales (or less k as floats), and a 32-row strip of sums for n rows
// of activations.
inline constexpr int panel_k = 640;
inline size_t matmul_scratch_bytes(size_t n) noexcept {
    return 32 * panel_k + (panel_k / 16) * 2 * 32 * sizeof(float) + (n + 16) * 32 * sizeof(float) + 256;
}

struct NormArgs {
    const float* x;  // [n, width]
    float* y;        // [n, width]; may be x
    size_t x_stride, y_stride;
    const float* weight;  // [width] or null
    const float* bias;    // [width] or null
    int width;
    int row_begin, row_end;
    float eps;
};

struct RopeArgs {
    float* x;              // one head: [n_dims of head_dim, those with rope]
    const float* cos_sin;  // [n_dims / 2][2] of this position
    int n_dims;
};

// What keys and values are kept as. Blocks of the quantised types are 32 dims of one position under an f16 scale.
enum class CacheType : uint8_t { f32, f16, q8_0, q4_0 };

// Bytes of a cache page: 64 positions of one KV head, keys first.
//   keys, f32 and f16: [head_dim][64]
//   keys, q8_0: per block of 32 dims: codes i8 [32][64], scales f16 [64]
//   keys, q4_0: per block: codes of dims i and i + 16 in one byte [16][64] (low, high; 8 is zero), scales f16 [64]
//   values: [64] rows of f32 or f16 padded to 16, or of blocks (scale f16, then 32 codes) padded to 32
struct CacheShape {
    CacheType type;
    int head_dim, v_head_dim;

    constexpr bool is_float() const noexcept { return type == CacheType::f32 || type == CacheType::f16; }
    // Bytes of an element, or of a block of 32.
    constexpr int unit_bytes() const noexcept {
        return type == CacheType::f32 ? 4 : type == CacheType::f16 ? 2 : type == CacheType::q8_0 ? 34 : 18;
    }
    constexpr int key_bytes() const noexcept {
        return (is_float() ? head_dim : (head_dim + 31) / 32) * 64 * unit_bytes();
    }
    // Columns of a row of values with its padding.
    constexpr int v_width() const noexcept { return is_float() ? (v_head_dim + 15) & ~15 : (v_head_dim + 31) & ~31; }
    constexpr int value_row_bytes() const noexcept { return (is_float() ? v_width() : v_width() / 32) * unit_bytes(); }
    constexpr int page_bytes() const noexcept { return (key_bytes() + 64 * value_row_bytes() + 63) & ~63; }
};

struct CacheWriteArgs {
    CacheShape shape;
    const float* k;   // [head_dim]
    const float* v;   // [v_head_dim]
    std::byte* page;  // of one KV head
    int at;           // position inside the page
};

inline constexpr int logit_block = 128;  // logits of a row that KernelTable::logit_peaks takes together

inline constexpr int attention_rows = 12;
inline constexpr int page_positions = 64;
inline constexpr int range_keys = 1024;  // states over more keys are joined (AttentionArgs::range)

// Attention of rows (a token's query head each) that share one KV head. Keys and values are read page by page, in
// order.
struct AttentionArgs {
    const float* const* q;  // [n_rows] -> [head_dim], already scaled
    float* const* out;      // [n_rows] -> [v_head_dim]
    const int32_t* pos;     // [n_rows], sees keys first(pos) .. pos, or to last
    int n_rows;             // 1 .. attention_rows
    CacheShape shape;
    int window;           // positions seen up to pos, own included; 0: all
    float soft_cap;       // 0: none
    const float* slopes;  // [n_rows] ALiBi slopes, or null
    const float* sinks;   // [n_rows] logits of a key that adds nothing, or null
    // Page p holds positions 64 p .. 64 p + 63.
    const std::byte* (*page)(const void* cache, int p);
    const void* cache;
    float* scratch;                 // attention_scratch_bytes(v_head_dim)
    const int32_t* last = nullptr;  // [n_rows], the last key seen; null: pos
    // Of the keys seen only range * range_keys and the range_keys behind it: out becomes an attention_part. -1: all.
    int range = -1;
    bool exact = false;  // in f32, also where a level would multiply pairs of bfloat16
};

// The first key that position pos sees.
constexpr int first_key(int pos, int window) noexcept {
    return window > 0 && pos >= window ? pos - window + 1 : 0;
}

// A row's state over a range of keys, in floats: sums of values [v_width], the greatest score, the sum of weights.
inline size_t attention_part(const CacheShape& shape) noexcept {
    return static_cast<size_t>(shape.v_width()) + 16;
}

// Joins a row's parts in the order of their ranges.
struct AttentionJoinArgs {
    float* parts;   // of the first range; overwritten
    size_t stride;  // floats from a range's part to the next one's
    int n_ranges;
    CacheShape shape;
    const float* sink;  // or null
    float* out;         // [v_head_dim]
};

inline size_t attention_scratch_bytes(int head_dim, int v_head_dim) noexcept {
    return sizeof(float) * attention_rows * (static_cast<size_t>(page_positions + 2 * v_head_dim + head_dim) + 64);
}

}  // namespace elver
