// Rope, cache and attention against their definitions in double, and bit for bit against themselves: over threads,
// chunks, and beside other texts.
#include <cmath>

#include "world.hpp"

using namespace elver;
using namespace elver::test;

namespace {

constexpr int n_heads = 6, n_kv_heads = 2, dim = 16, rope_dims = 12;
constexpr double rope_base = 100, eps = 1e-2;

struct Rules {
    graph::CacheWrite::Pairing pairing = graph::CacheWrite::Pairing::halves;
    bool norms = false, norm_after_rope = false;
    float clamp = 0, temperature = 0;
    int rope_first = 0;
    bool causal = true, chunked = false;
    int window = 0;
    float soft_cap = 0;
    bool slopes = false, sinks = false;
};

// One text's queries, keys and values: [n, heads * dim].
struct Text {
    Floats q, k, v;
    int n;

    Text(int n_tokens, unsigned seed)
        : q(normal(static_cast<size_t>(n_tokens * n_heads * dim), seed)),
          k(normal(static_cast<size_t>(n_tokens * n_kv_heads * dim), seed + 1)),
          v(normal(k.size(), seed + 2)),
          n(n_tokens) {}
};

using Row = std::vector<double>;

const Floats& norm_weight() {
    static const Floats weight = normal(dim, 99);
    return weight;
}
std::vector<float> slopes_of() {
    return {0.5f, 0.25f, 0.125f, 0.0625f, 0.03f, 0.01f};
}
const Floats& sinks_of() {
    static const Floats sinks = normal(n_heads, 98);
    return sinks;
}

// A head made ready, by the definition.
Row ready(const Rules& r, const float* x, int pos) {
    Row out(x, x + dim);
    if (r.clamp > 0)
        for (double& v : out) v = std::clamp(v, -double(r.clamp), double(r.clamp));
    const auto normalise = [&] {
        double squares = 0;
        for (const double v : out) squares += v * v / dim;
        for (size_t i = 0; i < dim; ++i) out[i] *= double(norm_weight()[i]) / std::sqrt(squares + eps);
    };
    if (r.norms && !r.norm_after_rope) normalise();
    using Pairing = graph::CacheWrite::Pairing;
    for (int i = 0; i < rope_dims / 2 && r.pairing != Pairing::none; ++i) {
        const bool adjacent = r.pairing == Pairing::adjacent;
        double& a = out[static_cast<size_t>(r.rope_first + (adjacent ? 2 * i : i))];
        double& b = out[static_cast<size_t>(r.rope_first + (adjacent ? 2 * i + 1 : i + rope_dims / 2))];
        const double angle = pos * std::pow(rope_base, -2.0 * i / rope_dims);
        const double x0 = a * std::cos(angle) - b * std::sin(angle), x1 = a * std::sin(angle) + b * std::cos(angle);
        a = x0, b = x1;
    }
    if (r.norms && r.norm_after_rope) normalise();
    return out;
}

bool sees(const Rules& r, int pos, int key, int n) {
    if (!r.causal) return r.window == 0 || std::abs(pos - key) <= r.window / 2;
    if (key > pos || key >= n) return false;
    if (r.chunked) return key >= pos / r.window * r.window;
    return r.window == 0 || key > pos - r.window;
}

std::vector<double> definition(const Rules& r, const Text& t) {
    std::vector<double> out;
    for (int pos = 0; pos < t.n; ++pos) {
        for (int h = 0; h < n_heads; ++h) {
            const int kv = h / (n_heads / n_kv_heads);
            Row q = ready(r, &t.q[static_cast<size_t>((pos * n_heads + h) * dim)], pos);
            double scale = 0.25;
            if (r.temperature > 0) scale *= 1 + double(r.temperature) * std::log(std::floor((pos + 1) / 8.0) + 1);
            Row sum(dim, 0.0);
            double total = r.sinks ? std::exp(double(sinks_of()[static_cast<size_t>(h)])) : 0.0;
            for (int key = 0; key < t.n; ++key) {
                if (!sees(r, pos, key, t.n)) continue;
                const Row k = ready(r, &t.k[static_cast<size_t>((key * n_kv_heads + kv) * dim)], key);
                double score = 0;
                for (size_t i = 0; i < dim; ++i) score += scale * q[i] * k[i];
                if (r.soft_cap > 0) score = double(r.soft_cap) * std::tanh(score / double(r.soft_cap));
                if (r.slopes) score -= double(slopes_of()[static_cast<size_t>(h)]) * (pos - key);
                const double weight = std::exp(score);
                total += weight;
                for (size_t i = 0; i < dim; ++i) {
                    double v = double(t.v[static_cast<size_t>((key * n_kv_heads + kv) * dim) + i]);
                    if (r.clamp > 0) v = std::clamp(v, -double(r.clamp), double(r.clamp));
                    sum[i] += weight * v;
                }
            }
            for (const double v : sum) out.push_back(v / total);
        }
    }
    return out;
}

class Attending {
  public:
    Attending(const Rules& r, const std::string& isa, int n_threads, int max_rows, int n_ctx) : w(isa, n_threads) {
        auto& p = w.program;
        q = p.add_buffer("q", n_heads * dim), k = p.add_buffer("k", n_kv_heads * dim);
        v = p.add_buffer("v", n_kv_heads * dim), out = p.add_buffer("out", n_heads * dim);
        graph::RopeTable table;
        for (int i = 0; i < rope_dims / 2; ++i) table.frequencies.push_back(std::pow(rope_base, -2.0 * i / rope_dims));
        table.out = p.add_buffer("rope", rope_dims);
        graph::CacheWrite write;
        write.q = q, write.k = k, write.v = v;
        write.n_heads = n_heads, write.n_kv_heads = n_kv_heads, write.head_dim = write.v_head_dim = dim;
        write.q_scale = 0.25f;
        write.clamp = r.clamp;
        write.temperature = r.temperature, write.temperature_length = 8;
        write.pairing = r.pairing, write.rope_dims = rope_dims, write.rope_first = r.rope_first;
        write.rope_table = table.out;
        write.norm_after_rope = r.norm_after_rope;
        if (r.norms) write.q_norm = write.k_norm = {graph::Norm::Kind::rms, float(eps), w.vector(norm_weight()), {}};
        graph::Attention a;
        a.q = q, a.out = out;
        a.n_heads = n_heads, a.n_kv_heads = n_kv_heads, a.head_dim = a.v_head_dim = dim;
        a.causal = r.causal, a.chunked = r.chunked, a.window = r.window, a.soft_cap = r.soft_cap;
        if (r.slopes) a.slopes = slopes_of();
        if (r.sinks) a.sinks = w.vector(sinks_of());
        a.exact = true;
        p.ops = {graph::RopeTables{{table}}, write, a};
        w.load(max_rows, 1, n_ctx);
        max_rows_ = max_rows, n_ctx_ = n_ctx, window_ = r.window;
    }
    void open(int n_texts) {
        for (int i = 0; i < n_texts; ++i) {
            auto cache = KvCache::make({{n_kv_heads, dim, dim, window_}}, CacheType::f32, n_ctx_, max_rows_);
            REQUIRE(cache);
            caches.push_back(*std::move(cache));
        }
    }
    // Tokens [first, first + n) of texts; appends what attention makes of each to outs.
    struct Chunk {
        size_t text;
        int first, n;
    };
    void step(const std::vector<Text>& texts, const std::vector<Chunk>& chunks, std::vector<Floats>& outs) {
        std::vector<cpu::Segment> segments;
        int row = 0;
        for (const Chunk& c : chunks) {
            caches[c.text].begin_write(c.first, c.n);
            segments.push_back({&caches[c.text], nullptr, 0, c.n, c.first});
            for (int i = 0; i < c.n; ++i, ++row) {
                const auto at = static_cast<size_t>(c.first + i);
                std::copy_n(&texts[c.text].q[at * n_heads * dim], n_heads * dim, w.row(q, row));
                std::copy_n(&texts[c.text].k[at * n_kv_heads * dim], n_kv_heads * dim, w.row(k, row));
                std::copy_n(&texts[c.text].v[at * n_kv_heads * dim], n_kv_heads * dim, w.row(v, row));
            }
        }
        REQUIRE(w.run(segments));
        row = 0;
        for (const Chunk& c : chunks)
            for (int i = 0; i < c.n; ++i, ++row)
                outs[c.text].insert(outs[c.text].end(), w.row(out, row), w.row(out, row) + n_heads * dim);
    }

    World w;
    std::vector<KvCache> caches;
    graph::BufferId q, k, v, out;

  private:
    int max_rows_ = 0, n_ctx_ = 0, window_ = 0;
};

}  // namespace

TEST_CASE("attention: rope, norms, windows, caps, slopes and sinks are their definitions at every level") {
    using Pairing = graph::CacheWrite::Pairing;
    const Rules rules[] = {
        {},
        {.pairing = Pairing::adjacent, .rope_first = 4},
        {.pairing = Pairing::none, .clamp = 0.5f, .temperature = 0.1f},
        {.norms = true},
        {.norms = true, .norm_after_rope = true, .window = 9},
        {.pairing = Pairing::none, .soft_cap = 2.0f, .slopes = true},
        {.window = 70, .sinks = true},
        {.chunked = true, .window = 16},
        {.causal = false},
        {.causal = false, .window = 20},
    };
    std::vector<Text> texts;
    for (unsigned i = 0; i < 3; ++i) texts.emplace_back(i == 0 ? 100 : i == 1 ? 21 : 1, 10 * i);
    int number = 0;
    for (const Rules& r : rules) {
        CAPTURE(number++);
        std::vector<std::vector<double>> want;
        for (const Text& t : texts) want.push_back(definition(r, t));
        for (const char* isa : available_kernels()) {
            CAPTURE(isa);
            std::vector<Floats> bits;
            for (const int n_threads : {1, 3}) {
                CAPTURE(n_threads);
                // Whole texts side by side.
                Attending whole(r, isa, n_threads, 122, 128);
                whole.open(3);
                std::vector<Floats> outs(3);
                whole.step(texts, {{0, 0, 100}, {1, 0, 21}, {2, 0, 1}}, outs);
                for (size_t i = 0; i < 3; ++i) {
                    CAPTURE(i);
                    CHECK(worst(outs[i], want[i]) < 1e-5);
                }
                if (bits.empty()) bits = outs;
                CHECK(outs == bits);
                if (!r.causal) continue;
                // Alone, in chunks; then single tokens beside chunks.
                Attending chunks(r, isa, n_threads, 40, 128);
                chunks.open(3);
                std::vector<Floats> cut(3);
                chunks.step(texts, {{0, 0, 40}}, cut);
                chunks.step(texts, {{2, 0, 1}, {0, 40, 30}, {1, 0, 3}}, cut);
                for (int i = 0; i < 18; ++i) chunks.step(texts, {{0, 70 + i, 1}, {1, 3 + i, 1}}, cut);
                chunks.step(texts, {{0, 88, 12}}, cut);
                for (size_t i = 0; i < 3; ++i) {
                    CAPTURE(i);
                    CHECK(cut[i] == bits[i]);
                }
            }
        }
    }
}

TEST_CASE("attention: ranges of keys give the bits of one run over all, for single tokens side by side") {
    constexpr int n_keys = 2300;
    std::vector<Text> texts;
    for (unsigned i = 0; i < 3; ++i) texts.emplace_back(n_keys - 900 * static_cast<int>(i), 10 * i);
    for (const int window : {0, 1500}) {
        CAPTURE(window);
        std::vector<Floats> bits(3);
        for (const int n_threads : {1, 4, 5}) {  // one thread never splits; on 4 and 5 the pieces do not come out even
            CAPTURE(n_threads);
            Attending a({.window = window}, available_kernels().front(), n_threads, 256, n_keys);
            a.open(3);
            std::vector<Floats> outs(3), last(3);
            for (size_t i = 0; i < 3; ++i) {
                for (int at = 0; at < texts[i].n - 1; at += 256)
                    a.step(texts, {{i, at, std::min(256, texts[i].n - 1 - at)}}, outs);
            }
            a.step(texts, {{0, texts[0].n - 1, 1}, {1, texts[1].n - 1, 1}, {2, texts[2].n - 1, 1}}, last);
            if (n_threads == 1) bits = last;
            CHECK(last == bits);
            std::vector<Floats> alone(3);  // written again: the cache holds the same
            for (size_t i = 0; i < 3; ++i) a.step(texts, {{i, texts[i].n - 1, 1}}, alone);
            CHECK(alone == bits);
        }
    }
}
