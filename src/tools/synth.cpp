#include "tools/synth.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "base/cpu.hpp"
#include "base/text.hpp"
#include "formats/gguf_writer.hpp"
#include "quant/random.hpp"

namespace elver {

namespace {

struct Dims {
    const char* name;
    const char* architecture;
    int width, n_layers, n_heads, n_kv_heads, ffn_width, n_vocab, n_ctx;
    float rope_base;
    int rope_dims;
    bool tied;          // the head is the embedding
    bool biased_norms;  // layer norms and biases at every product; else RMS norms and none
    bool gated;
    int n_experts, top_k;
};
constexpr Dims table[] = {
    // clang-format off
    {"llama-1b",     "llama", 2048, 16, 32,  8,  8192, 128256, 131072, 5e5f, 64,  true,  false, true,  0, 0},
    {"phi-2",        "phi2",  2560, 32, 32, 32, 10240,  51200,   2048, 1e4f, 32,  false, true,  false, 0, 0},
    {"mistral-7b",   "llama", 4096, 32, 32,  8, 14336,  32000,  32768, 1e4f, 128, false, false, true,  0, 0},
    {"mixtral-8x7b", "llama", 4096, 32, 32,  8, 14336,  32000,  32768, 1e6f, 128, false, false, true,  8, 2},
    // clang-format on
};

const Dims* find(std::string_view name) noexcept {
    const auto* row = std::find_if(std::begin(table), std::end(table), [&](const Dims& d) { return name == d.name; });
    return row == std::end(table) ? nullptr : row;
}

struct Tensor {
    std::string name;
    DType type;
    Shape shape;
    bool ones;  // a norm's weight; else random
};

uint64_t bytes_of(const Tensor& t) {
    return static_cast<uint64_t>(t.shape.rows()) * row_bytes(t.type, static_cast<size_t>(t.shape.columns()));
}

// Every tensor of a model with n_layers layers.
std::vector<Tensor> tensors(const Dims& d, DType type, int n_layers) {
    std::vector<Tensor> out;
    const auto norm = [&](const std::string& name) {
        out.push_back({name + ".weight", DType::f32, {d.width}, true});
        if (d.biased_norms) out.push_back({name + ".bias", DType::f32, {d.width}, false});
    };
    const auto linear = [&](const std::string& name, int64_t rows, int64_t k) {
        out.push_back({name + ".weight", type, {rows, k}, false});
        if (d.biased_norms) out.push_back({name + ".bias", DType::f32, {rows}, false});
    };
    const int64_t kv_width = int64_t{d.width} / d.n_heads * d.n_kv_heads;
    out.push_back({"token_embd.weight", type, {d.n_vocab, d.width}, false});
    for (int i = 0; i < n_layers; ++i) {
        const std::string layer = cat("blk.", i, ".");
        norm(layer + "attn_norm");
        linear(layer + "attn_q", d.width, d.width);
        linear(layer + "attn_k", kv_width, d.width);
        linear(layer + "attn_v", kv_width, d.width);
        linear(layer + "attn_output", d.width, d.width);
        if (!d.biased_norms) norm(layer + "ffn_norm");  // Phi-2's two branches share one
        if (d.n_experts > 0) {
            const int64_t n = d.n_experts;
            out.push_back({layer + "ffn_gate_inp.weight", DType::f32, {n, d.width}, false});
            out.push_back({layer + "ffn_gate_exps.weight", type, {n, d.ffn_width, d.width}, false});
            out.push_back({layer + "ffn_up_exps.weight", type, {n, d.ffn_width, d.width}, false});
            out.push_back({layer + "ffn_down_exps.weight", type, {n, d.width, d.ffn_width}, false});
            continue;
        }
        if (d.gated) linear(layer + "ffn_gate", d.ffn_width, d.width);
        linear(layer + "ffn_up", d.ffn_width, d.width);
        linear(layer + "ffn_down", d.width, d.ffn_width);
    }
    norm("output_norm");
    if (!d.tied) linear("output", d.n_vocab, d.width);
    return out;
}

void set_dimensions(GgufWriter& w, const Dims& d, const SynthSpec& spec) {
    const auto key = [&](const char* name) { return cat(d.architecture, ".", name); };
    w.set_string("general.architecture", d.architecture);
    w.set_string("general.name", cat(d.name, " with random weights"));
    w.set_u32(key("context_length"), static_cast<uint32_t>(d.n_ctx));
    w.set_u32(key("embedding_length"), static_cast<uint32_t>(d.width));
    w.set_u32(key("block_count"), static_cast<uint32_t>(spec.n_layers));
    w.set_u32(key("feed_forward_length"), static_cast<uint32_t>(d.ffn_width));
    w.set_u32(key("attention.head_count"), static_cast<uint32_t>(d.n_heads));
    w.set_u32(key("attention.head_count_kv"), static_cast<uint32_t>(d.n_kv_heads));
    w.set_f32(key(d.biased_norms ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon"), 1e-5f);
    w.set_u32(key("rope.dimension_count"), static_cast<uint32_t>(d.rope_dims));
    w.set_f32(key("rope.freq_base"), d.rope_base);
    w.set_u32(key("vocab_size"), static_cast<uint32_t>(d.n_vocab));
    if (d.n_experts == 0) return;
    w.set_u32(key("expert_count"), static_cast<uint32_t>(d.n_experts));
    w.set_u32(key("expert_used_count"), static_cast<uint32_t>(d.top_k));
}

// A SentencePiece vocabulary of the right size: the three control tokens, a token a byte, the printable characters
// behind a space, and words of digits.
void set_vocabulary(GgufWriter& w, int n_vocab) {
    enum : int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };
    std::vector<std::string> texts = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {unknown, control, control};
    constexpr char digits[] = "0123456789ABCDEF";
    for (size_t b = 0; b < 256; ++b) {
        texts.push_back(cat("<0x", std::string(1, digits[b / 16]), std::string(1, digits[b % 16]), ">"));
        types.push_back(byte);
    }
    const std::string space = "\xe2\x96\x81";
    texts.push_back(space);
    for (char c = '!'; c <= '~'; ++c) texts.push_back(std::string(1, c));
    for (int i = 0; texts.size() < static_cast<size_t>(n_vocab); ++i) texts.push_back(cat(space, i));
    types.resize(texts.size(), normal);
    std::vector<float> scores;
    for (size_t i = 0; i < texts.size(); ++i) scores.push_back(i < 259 ? 0.0f : -static_cast<float>(i - 259));
    w.set_string("tokenizer.ggml.model", "llama");
    w.set_string("tokenizer.ggml.pre", "default");
    w.set_strings("tokenizer.ggml.tokens", std::vector<std::string_view>(texts.begin(), texts.end()));
    w.set_f32s("tokenizer.ggml.scores", scores);
    w.set_i32s("tokenizer.ggml.token_type", types);
    w.set_u32("tokenizer.ggml.bos_token_id", 1);
    w.set_u32("tokenizer.ggml.eos_token_id", 2);
    w.set_u32("tokenizer.ggml.unknown_token_id", 0);
    w.set_bool("tokenizer.ggml.add_bos_token", true);
}

// A tensor's bytes, a few MiB at a time. Residual streams stay moderate: a matrix' deviation is 1 / sqrt(k) / 2.
Result<void> fill(const Tensor& t, uint64_t seed, const ByteSink& sink) {
    const DTypeInfo& info = dtype_info(t.type);
    const uint64_t n_blocks = bytes_of(t) / info.block_bytes;
    const size_t step = (size_t{4} << 20) / info.block_bytes;
    std::vector<std::byte> part(step * info.block_bytes);
    const double k = t.shape.rank() > 1 ? static_cast<double>(t.shape.columns()) : 1e4;
    for (uint64_t at = 0; at < n_blocks; at += step) {
        const auto n = static_cast<size_t>(std::min<uint64_t>(step, n_blocks - at));
        if (t.ones)
            std::fill_n(reinterpret_cast<float*>(part.data()), n, 1.0f);
        else
            fill_random(t.type, seed + at, static_cast<float>(0.5 / std::sqrt(k)), part.data(), n);
        if (auto done = sink(std::span(part).first(n * info.block_bytes)); !done) return done;
    }
    return {};
}

}  // namespace

Result<SynthSpec> parse_synth(std::string_view text, int n_layers) {
    const size_t colon = text.rfind(':');
    const Dims* dims = find(text.substr(0, colon));
    if (colon == std::string_view::npos || dims == nullptr) {
        std::string known;
        for (const Dims& d : table) known += (known.empty() ? "" : ", ") + std::string(d.name);
        return Error(Status::invalid_argument,
                     cat("synthetic model ", in_quotes(text), ": expected NAME:FORMAT with a NAME of ", known), "name");
    }
    const auto type = dtype_from_name(text.substr(colon + 1));
    if (!type || !has_random(*type)) {
        return Error(Status::invalid_argument,
                     cat("synthetic model ", in_quotes(text), ": the format ", in_quotes(text.substr(colon + 1)),
                         " has no random weights; try Q4_0, Q8_0, Q4_K, F16"),
                     "name");
    }
    if (n_layers < 0 || n_layers > dims->n_layers) {
        return Error(Status::invalid_argument,
                     cat("n_layers: ", dims->name, " has ", dims->n_layers, ", found ", n_layers), "n_layers");
    }
    SynthSpec spec{dims->name, *type, n_layers};
    const auto total = [&](int layers) {
        uint64_t sum = 0;
        for (const Tensor& t : tensors(*dims, *type, layers)) sum += bytes_of(t);
        return sum;
    };
    if (n_layers == 0) {
        spec.n_layers = dims->n_layers;
        const uint64_t memory = physical_memory();
        while (memory > 0 && spec.n_layers > 1 && total(spec.n_layers) > memory / 5 * 2) --spec.n_layers;
    }
    return spec;
}

Result<void> write_synth(const SynthSpec& spec, const ByteSink& sink, const Progress& progress) {
    const Dims& d = *find(spec.name);
    GgufWriter writer;
    set_dimensions(writer, d, spec);
    set_vocabulary(writer, d.n_vocab);
    const std::vector<Tensor> all = tensors(d, spec.type, spec.n_layers);
    uint64_t total = 0, written = 0;
    for (const Tensor& t : all) total += bytes_of(t);
    for (size_t i = 0; i < all.size(); ++i) {
        writer.add_tensor(all[i].name, all[i].type, all[i].shape, [&, i](const ByteSink& out) {
            return fill(all[i], (i + 1) << 40, [&](std::span<const std::byte> bytes) -> Result<void> {
                written += bytes.size();
                if (progress && !progress(static_cast<double>(written) / static_cast<double>(total)))
                    return Error(Status::cancelled, cat(spec.name, ": writing was cancelled"), spec.name);
                return out(bytes);
            });
        });
    }
    return writer.write(sink);
}

}  // namespace elver
