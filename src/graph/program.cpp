#include "graph/program.hpp"

namespace elver::graph {

namespace {

// Gathers what an operation touches.
class Uses {
  public:
    explicit Uses(std::vector<Use>& out) : out_(out) {}

    void reads(View v, int width) { add(v, width, Use::How::reads); }
    void writes(View v, int width) { add(v, width, Use::How::writes); }
    void updates(View v, int width) { add(v, width, Use::How::updates); }

    void operator()(const Embed& op) { writes(op.out, op.width); }
    void operator()(const RopeTables& op) {
        for (const RopeTable& t : op.tables) writes(t.out, 2 * static_cast<int>(t.frequencies.size()));
    }
    void operator()(const Normalise& op) {
        const int width = op.width * op.n_groups;
        if (op.from.buffer == op.to.buffer && op.from.first == op.to.first) return updates(op.to, width);
        reads(op.from, width), writes(op.to, width);
    }
    void operator()(const Linear& op) {
        reads(op.input, op.products.front().matrix.k);
        for (const Product& p : op.products) {
            const bool stores = p.finish != Finish::add && !is_gated(p.finish);
            add(p.out, p.matrix.n_groups() * 16, stores ? Use::How::writes : Use::How::updates);
        }
    }
    void operator()(const HeadLinear& op) {
        const int n = static_cast<int>(op.heads.size()) - 1;
        reads(op.from, n * op.from_stride + op.heads.front().k);
        writes(op.to, n * op.to_stride + op.heads.front().n_rows);
    }
    void operator()(const Copy& op) {
        for (const Copy::Block& b : op.blocks) reads(b.from, (b.n - 1) * b.from_stride + b.width);
        for (const Copy::Block& b : op.blocks) writes(b.to, (b.n - 1) * b.to_stride + b.width);
    }
    void operator()(const CacheWrite& op) {
        if (op.rope_table != no_buffer) reads(op.rope_table, op.rope_dims);
        updates(op.q, op.n_heads * op.head_dim);
        updates(op.k, op.n_kv_heads * op.head_dim);
        updates(op.v, op.n_kv_heads * op.v_head_dim);
    }
    void operator()(const Attention& op) {
        reads(op.q, op.n_heads * op.head_dim);
        writes(op.out, op.n_heads * op.v_head_dim);
    }
    void operator()(const Gate& op) {
        reads(op.gate, op.each_head ? op.n_heads : op.n_heads * op.head_dim);
        updates(op.x, op.n_heads * op.head_dim);
    }
    void operator()(const Add& op) { updates(op.branch, op.width), updates(op.to, op.width); }
    void operator()(const GatedAdd& op) {
        reads(op.gate, op.width), reads(op.branch, op.width), updates(op.to, op.width);
    }
    void operator()(const Scale& op) { updates(op.x, op.width); }
    void operator()(const Select& op) { reads(op.from, op.width), writes(op.to, op.width); }
    void operator()(const Experts& op) {
        const int width = op.experts.front().up.k;
        reads(op.input, width);
        reads(op.logits, op.shared_gate >= 0 ? op.shared_gate + 1 : op.router.n_experts);
        if (op.shared != no_buffer) reads(op.shared, width);
        writes(op.normed, width);
        add(op.out, width, op.adds ? Use::How::updates : Use::How::writes);
    }
    void operator()(const Shift& op) {
        const int stride = static_cast<int>(padded_row(op.width)), n = static_cast<int>(op.lerps.size());
        reads(op.x, op.width);
        writes(op.normed, op.width);
        writes(op.out, (n - 1) * stride + op.width);
        if (op.kept != no_buffer) writes(op.kept, stride + op.width);
    }
    void operator()(const Mix& op) {
        const int stride = static_cast<int>(padded_row(op.width));
        reads(op.kept, stride + op.width);
        updates(op.mixes, (op.n_parts - 1) * stride + op.width);
    }
    void operator()(const Conv& op) { updates(op.x, op.width); }
    void operator()(const ShortConv& op) {
        reads(op.x, op.width), reads(op.c, op.width);
        updates(op.b, op.width);
        writes(op.out, op.width);
    }
    void operator()(const Mamba& op) {
        reads(op.x, op.width), reads(op.dt, op.width), reads(op.gate, op.width);
        reads(op.b, op.n_state), reads(op.c, op.n_state);
        writes(op.out, op.width);
    }
    void operator()(const Mamba2& op) {
        const int width = op.n_heads * op.head_dim;
        reads(op.x, width + 2 * op.n_groups * op.n_state), reads(op.dt, op.n_heads), reads(op.gate, width);
        writes(op.out, width);
    }
    void operator()(const DeltaNet& op) {
        const int width = op.n_heads * op.v_dim, per_key = op.n_heads / op.n_k_heads;
        reads(op.qkv, 2 * op.n_k_heads * op.k_dim + width);
        reads(op.rates, op.alpha_column + (op.n_k_heads - 1) * op.rates_stride + per_key);
        reads(op.gate, width);
        writes(op.out, width);
    }
    void operator()(const Rwkv6& op) { rwkv(op, 5); }
    void operator()(const Rwkv7& op) {
        rwkv(op, 7);
        add(op.first_values, op.width(), op.first_layer ? Use::How::writes : Use::How::reads);
    }

  private:
    void add(View v, int width, Use::How how) { out_.push_back({v.buffer, how, v.first + width}); }
    void rwkv(const Rwkv& op, int n_streams) {
        updates(op.streams, (n_streams - 1) * static_cast<int>(padded_row(op.width())) + op.width());
        writes(op.out, op.width());
    }

    std::vector<Use>& out_;
};

}  // namespace

std::vector<Use> uses(const Op& op) {
    std::vector<Use> out;
    std::visit(Uses(out), op);
    return out;
}

size_t weight_bytes(const Op& op) noexcept {
    size_t total = 0;
    if (const auto* linear = std::get_if<Linear>(&op)) {
        for (const Product& p : linear->products) total += p.matrix.n_bytes;
    }
    if (const auto* heads = std::get_if<HeadLinear>(&op)) {
        for (const Matrix& m : heads->heads) total += m.n_bytes;
    }
    if (const auto* sparse = std::get_if<Experts>(&op)) {
        for (const auto& e : sparse->experts) total += e.gate.n_bytes + e.up.n_bytes + e.down.n_bytes;
        total = total / sparse->experts.size() * static_cast<size_t>(sparse->router.top_k);
    }
    return total;
}

}  // namespace elver::graph
