#include "cpu/attention.hpp"

#include <algorithm>

#include "cpu/step.hpp"

namespace elver::cpu {

namespace {

// How one segment's attention is cut: query rows in tiles, and for a single token its keys in ranges.
struct Cut {
    int n_rows;       // of queries that share a KV head; with chunks, of one token
    int row_tiles;    // of n_rows
    int n_tiles;      // of all its tokens
    int first_range;  // -1: all keys at once
    int n_ranges;
    int first_part;  // where its ranges' parts lie among those of all segments

    bool split() const noexcept { return first_range >= 0; }
};

// Goes through the segments in order and cuts each; the same for every worker.
class Cuts {
  public:
    explicit Cuts(const AttendArgs& a) noexcept : a_(a), group_(a.n_heads / a.n_kv_heads) {
        // Ranges are worth their join only where KV heads and tiles alone would leave workers idle.
        int64_t whole = 0;
        for (const Segment& s : a.segments) whole += int64_t{a.n_kv_heads} * tiles(s).n_tiles;
        const int n_workers = a.pool->n_threads();
        splits_ = a.parts != nullptr && a.causal && !a.chunked && whole % n_workers != 0 && whole < 16 * n_workers;
        for (; at_ < a.segments.size(); next()) {
            const Cut cut = here();
            n_pieces_ += a.n_kv_heads * cut.n_tiles * cut.n_ranges;
            any_split_ = any_split_ || cut.split();
        }
        restart();
    }
    int n_pieces() const noexcept { return n_pieces_; }
    bool any_split() const noexcept { return any_split_; }

    void restart() noexcept { at_ = 0, before_ = 0, parts_before_ = 0; }
    bool done() const noexcept { return at_ == a_.segments.size(); }
    const Segment& segment() const noexcept { return a_.segments[at_]; }
    int before() const noexcept { return before_; }  // pieces of the segments before this one
    Cut here() const noexcept {
        const Segment& s = segment();
        Cut cut = tiles(s);
        if (!splits_ || s.n_tokens != 1) return cut;
        const int pos = a_.pos[s.first_row], begin = first_key(pos, a_.window) / range_keys, end = pos / range_keys;
        const int n_ranges = end - begin + 1;
        if (n_ranges == 1 || parts_before_ + n_ranges > a_.max_parts) return cut;
        cut.first_range = begin, cut.n_ranges = n_ranges, cut.first_part = parts_before_;
        return cut;
    }
    void next() noexcept {
        const Cut cut = here();
        before_ += a_.n_kv_heads * cut.n_tiles * cut.n_ranges;
        if (cut.split()) parts_before_ += cut.n_ranges;
        ++at_;
    }
    // To the segment of a piece. Quick where pieces are asked for in order.
    void find(int piece) noexcept {
        if (piece < before_) restart();
        for (;; next()) {
            const Cut cut = here();
            if (piece < before_ + a_.n_kv_heads * cut.n_tiles * cut.n_ranges) return;
        }
    }

  private:
    // With chunked windows each token sees a different number of keys, so a tile holds the rows of one token only.
    Cut tiles(const Segment& s) const noexcept {
        const int n_rows = a_.chunked ? group_ : s.n_tokens * group_;
        const int row_tiles = (n_rows + attention_rows - 1) / attention_rows;
        return {n_rows, row_tiles, row_tiles * (a_.chunked ? s.n_tokens : 1), -1, 1, 0};
    }

    const AttendArgs& a_;
    int group_;
    bool splits_ = false, any_split_ = false;
    int n_pieces_ = 0;
    size_t at_ = 0;
    int before_ = 0, parts_before_ = 0;
};

// The rows of one tile, as the kernel takes them.
class Tile {
  public:
    Tile(const AttendArgs& a, float* scratch) noexcept : a_(a), group_(a.n_heads / a.n_kv_heads) {
        args_.q = q_;
        args_.out = out_;
        args_.pos = pos_;
        args_.last = a.causal ? nullptr : last_;
        args_.window = a.causal || a.window == 0 ? a.window : a.window / 2 + 1;
        args_.soft_cap = a.soft_cap;
        args_.slopes = a.slopes == nullptr ? nullptr : slopes_;
        args_.sinks = a.sinks == nullptr ? nullptr : sinks_;
        args_.page = [](const void* context, int page) -> const std::byte* {
            const auto& h = *static_cast<const Head*>(context);
            return h.cache->page(h.layer, h.kv_head, page);
        };
        args_.cache = &head_;
        args_.scratch = scratch;
        args_.exact = a.exact;
    }

    // Piece `index` of a segment.
    void run(const Segment& s, const Cut& cut, int index) noexcept {
        args_.shape = s.cache->shape(a_.layer);
        head_ = {s.cache, a_.layer, index % a_.n_kv_heads};
        const int range = index / a_.n_kv_heads / cut.n_tiles, tile = index / a_.n_kv_heads % cut.n_tiles;
        const int first = tile % cut.row_tiles * attention_rows, first_row = s.first_row + tile / cut.row_tiles;
        const int end = a_.pos[s.first_row + s.n_tokens - 1], ahead = a_.window / 2;
        args_.n_rows = std::min(cut.n_rows - first, attention_rows);
        for (int r = 0; r < args_.n_rows; ++r) {
            const int row = first_row + (first + r) / group_, h = head_.kv_head * group_ + (first + r) % group_;
            q_[r] = a_.q + static_cast<size_t>(row) * a_.q_stride + h * args_.shape.head_dim;
            out_[r] = cut.split() ? part(cut.first_part + range, h)
                                  : a_.out + static_cast<size_t>(row) * a_.out_stride + h * args_.shape.v_head_dim;
            pos_[r] = a_.pos[row];
            last_[r] = a_.window == 0 || pos_[r] > end - ahead ? end : pos_[r] + ahead;
            if (a_.slopes != nullptr) slopes_[r] = a_.slopes[h];
            if (a_.sinks != nullptr) sinks_[r] = a_.sinks[h];
        }
        if (a_.chunked) args_.window = pos_[0] % a_.window + 1;
        args_.range = cut.split() ? cut.first_range + range : -1;
        a_.kernels->attention(args_);
    }

    // Joins the parts of this worker's heads.
    void join(const Segment& s, const Cut& cut, int worker) noexcept {
        args_.shape = s.cache->shape(a_.layer);
        const size_t stride = static_cast<size_t>(a_.n_heads) * attention_part(args_.shape);
        const Share heads = share(a_.n_heads, worker, a_.pool->n_threads());
        for (int h = heads.begin; h < heads.end; ++h) {
            a_.kernels->attention_join(
                {part(cut.first_part, h), stride, cut.n_ranges, args_.shape,
                 a_.sinks == nullptr ? nullptr : a_.sinks + h,
                 a_.out + static_cast<size_t>(s.first_row) * a_.out_stride + h * args_.shape.v_head_dim});
        }
    }

  private:
    struct Head {
        KvCache* cache;
        int layer, kv_head;
    };
    float* part(int range, int h) const noexcept {
        return a_.parts + (static_cast<size_t>(range) * static_cast<size_t>(a_.n_heads) + static_cast<size_t>(h)) *
                              attention_part(args_.shape);
    }

    const AttendArgs& a_;
    int group_;
    Head head_{};
    AttentionArgs args_{};
    const float* q_[attention_rows];
    float* out_[attention_rows];
    int32_t pos_[attention_rows], last_[attention_rows];
    float slopes_[attention_rows], sinks_[attention_rows];
};

}  // namespace

void attend_share(const AttendArgs& a, float* scratch, int worker) noexcept {
    Cuts cuts(a);
    Tile tile(a, scratch);
    // Later tiles see more keys, so their worker ends last; the others then take of its largest.
    for (int piece; (piece = a.pool->take(worker, cuts.n_pieces())) >= 0;) {
        if (a.cancel != nullptr && a.cancel->cancelled(worker)) break;
        cuts.find(piece);
        tile.run(cuts.segment(), cuts.here(), piece - cuts.before());
    }
    if (!cuts.any_split()) return;
    a.pool->barrier();
    for (cuts.restart(); !cuts.done(); cuts.next()) {
        if (const Cut cut = cuts.here(); cut.split()) tile.join(cuts.segment(), cut, worker);
    }
}

void run_op(const Step& step, const graph::Attention& op) noexcept {
    AttendArgs args;
    args.kernels = &step.kernels();
    args.pool = &step.pool();
    args.segments = step.pass.segments;
    args.pos = step.pass.pos;
    args.layer = op.layer;
    args.n_heads = op.n_heads;
    args.n_kv_heads = op.n_kv_heads;
    args.causal = op.causal;
    args.chunked = op.chunked;
    args.window = op.window;
    args.soft_cap = op.soft_cap;
    args.slopes = op.slopes.empty() ? nullptr : op.slopes.data();
    args.sinks = step.vector(op.sinks);
    args.q = step.row(op.q, 0);
    args.q_stride = step.stride(op.q);
    args.out = step.row(op.out, 0);
    args.out_stride = step.stride(op.out);
    args.exact = op.exact;
    args.cancel = step.pass.cancel;
    // The room was planned for parts of the widest cache type.
    const size_t widest = attention_part({CacheType::q8_0, op.head_dim, op.v_head_dim}) * sizeof(float);
    const size_t room = step.pass.scratch->shared_bytes[static_cast<size_t>(step.op)];
    args.max_parts = static_cast<int>(room / (static_cast<size_t>(op.n_heads) * widest));
    args.parts = room == 0 ? nullptr : reinterpret_cast<float*>(step.shared());
    attend_share(args, step.own().kernel, step.worker);
}

}  // namespace elver::cpu
