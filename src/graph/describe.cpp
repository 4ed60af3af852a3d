#include "base/text.hpp"
#include "graph/program.hpp"

namespace elver::graph {

namespace {

std::string shape_of(const Matrix& m) {
    return cat(dtype_name(m.type), " [", m.n_rows, ", ", m.k, "]");
}

struct Line {
    size_t n_bytes;  // of weights

    std::string operator()(const Embed& op) const {
        return cat("embed ", dtype_name(op.type), " [", op.n_vocab, ", ", op.width, "]");
    }
    std::string operator()(const RopeTables& op) const { return cat("rope tables: ", op.tables.size()); }
    std::string operator()(const Normalise& op) const {
        if (op.n_groups > 1) return cat("norm of ", op.n_groups, " groups of ", op.width);
        return cat("norm [n, ", op.width, "]");
    }
    std::string operator()(const Linear& op) const {
        std::string out = cat(op.name, ":", op.norm.kind == Norm::Kind::none ? "" : " norm,", " quantise [n, ",
                              op.products.front().matrix.k, "],");
        for (const Product& p : op.products) out += " " + shape_of(p.matrix);
        return out + cat(", ", n_bytes, " bytes");
    }
    std::string operator()(const HeadLinear& op) const {
        return cat(op.heads.size(), " heads: each ", shape_of(op.heads.front()), ", ", n_bytes, " bytes");
    }
    std::string operator()(const Copy& op) const {
        std::string out = "copy";
        for (const Copy::Block& b : op.blocks) out += cat(" [", b.n, ", ", b.width, "]");
        return out;
    }
    std::string operator()(const CacheWrite& op) const {
        using Pairing = CacheWrite::Pairing;
        const std::string rope =
            op.pairing == Pairing::none
                ? std::string("no rope")
                : cat("rope ", op.pairing == Pairing::adjacent ? "adjacent " : "halves ", op.rope_dims, " dims");
        return cat(rope, ", cache ", op.n_kv_heads, " heads of ", op.head_dim);
    }
    std::string operator()(const Attention& op) const {
        return cat("attention ", op.n_heads, " heads over ", op.n_kv_heads, " of ", op.head_dim,
                   op.window > 0 ? cat(", window ", op.window) : std::string());
    }
    std::string operator()(const Gate& op) const {
        return cat("gate [n, ", op.n_heads, op.each_head ? "" : cat(" * ", op.head_dim), "]");
    }
    std::string operator()(const Add& op) const {
        return cat("add ", op.norm.kind == Norm::Kind::none ? "" : "norm of ", "branch [n, ", op.width, "]");
    }
    std::string operator()(const GatedAdd& op) const { return cat("add gate times branch [n, ", op.width, "]"); }
    std::string operator()(const Scale& op) const {
        return cat("scale by ", op.scale, op.cap > 0 ? cat(", soft cap ", op.cap) : std::string(), " [n, ", op.width,
                   "]");
    }
    std::string operator()(const Select& op) const { return cat("select [outputs, ", op.width, "]"); }
    std::string operator()(const Experts& op) const {
        const Experts::Expert& e = op.experts.front();
        return cat("experts: norm, ", op.router.top_k, " of ", op.router.n_experts, ", each ", shape_of(e.up), ", ",
                   shape_of(e.down), ", ", n_bytes, " bytes a token");
    }
    std::string operator()(const Shift& op) const {
        return cat("norm, ", op.lerps.size(), " mixes with the row before [n, ", op.width, "]");
    }
    std::string operator()(const Mix& op) const { return cat(op.n_parts, " mixes [n, ", op.width, "]"); }
    std::string operator()(const Conv& op) const {
        return cat("convolution over ", op.n_taps, " tokens [n, ", op.width, "]");
    }
    std::string operator()(const ShortConv& op) const {
        return cat("gated convolution over ", op.n_taps, " tokens [n, ", op.width, "]");
    }
    std::string operator()(const Mamba& op) const { return cat("mamba: ", op.width, " channels of ", op.n_state); }
    std::string operator()(const Mamba2& op) const {
        return cat("mamba2: ", op.n_heads, " heads of ", op.head_dim, " x ", op.n_state, ", ", op.n_groups, " groups");
    }
    std::string operator()(const DeltaNet& op) const {
        return cat("delta net: ", op.n_heads, " heads of ", op.v_dim, " x ", op.k_dim, ", ", op.n_k_heads, " of keys");
    }
    std::string operator()(const Rwkv6& op) const { return rwkv("rwkv6", op); }
    std::string operator()(const Rwkv7& op) const { return rwkv("rwkv7", op); }

  private:
    static std::string rwkv(const char* name, const Rwkv& op) {
        return cat(name, ": ", op.n_heads, " heads of ", op.head_dim, " x ", op.head_dim);
    }
};

}  // namespace

std::string describe(const Op& op) {
    return std::visit(Line{weight_bytes(op)}, op);
}

std::string describe(const Program& program) {
    std::string out;
    int number = 0;
    for (const Op& op : program.ops) out += cat(number++, "  ", describe(op), "\n");
    return out;
}

}  // namespace elver::graph
