// Law 3 over batches: a text's logits have the same bits whatever else is in the pass, however it is cut into chunks,
// and whatever the scratch memory held before.
#include <cstring>
#include <random>

#include "cpu/executor.hpp"
#include "kernels/select.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

// Texts of one model that go forward in passes, by the executor alone.
class Texts {
  public:
    static constexpr int max_rows = 48, max_outputs = 8;

    Texts(const Model& model, std::vector<std::vector<int32_t>> ids, std::vector<int> n_ctx, CacheType type)
        : model_(model), ids_(std::move(ids)), n_ctx_(std::move(n_ctx)), past_(ids_.size(), 0), rows_(ids_.size()) {
        for (const int n : n_ctx_) {
            auto cache = KvCache::make(model.cache_layers(), type, n, max_rows);
            auto state = RecurrentState::make(model.state_layers());
            REQUIRE(cache);
            REQUIRE(state);
            caches_.push_back(*std::move(cache));
            states_.push_back(*std::move(state));
        }
        scratch_ =
            model.executor().plan_scratch(max_rows, max_outputs, *std::max_element(n_ctx_.begin(), n_ctx_.end()));
        auto memory = AlignedBuffer::make(scratch_.n_bytes, "scratch");
        REQUIRE(memory);
        memory_ = *std::move(memory);
        scratch_.memory = memory_.data();
    }

    int left(size_t text) const { return static_cast<int>(ids_[text].size()) - past_[text]; }
    bool done() const {
        for (size_t i = 0; i < ids_.size(); ++i)
            if (left(i) > 0) return false;
        return true;
    }
    // Logits (or hidden states) after every token of a text so far.
    const std::vector<float>& rows(size_t text) const { return rows_[text]; }

    // The next n tokens of each of some texts, in one pass.
    void step(const std::vector<std::pair<size_t, int>>& chunks, const cpu::Probe* probe = nullptr) {
        std::memset(memory_.data(), 0xff, memory_.size());  // not a number, wherever floats are read
        std::vector<cpu::Segment> segments;
        std::vector<int32_t> ids, pos, outputs;
        std::vector<size_t> text_of;
        for (const auto& [text, n] : chunks) {
            caches_[text].begin_write(past_[text], n);
            segments.push_back({&caches_[text], &states_[text], static_cast<int>(ids.size()), n, past_[text]});
            for (int i = 0; i < n; ++i) {
                ids.push_back(ids_[text][static_cast<size_t>(past_[text] + i)]);
                pos.push_back(past_[text] + i);
                text_of.push_back(text);
            }
        }
        std::atomic<size_t> stop{SIZE_MAX};
        cpu::Fault fault;
        cpu::Pass pass;
        pass.scratch = &scratch_;
        pass.segments = segments;
        pass.ids = ids.data(), pass.pos = pos.data(), pass.n_rows = static_cast<int>(ids.size());
        pass.stop = &stop, pass.fault = &fault;
        pass.probe = probe;
        const cpu::Executor& executor = model_.executor();
        REQUIRE(executor.run_body(pass));
        const bool head = model_.spec().has_head;
        for (int at = 0; at < pass.n_rows; at += max_outputs) {
            outputs.clear();
            for (int i = at; i < std::min(at + max_outputs, pass.n_rows); ++i) outputs.push_back(i);
            pass.outputs = outputs.data(), pass.n_outputs = static_cast<int>(outputs.size());
            REQUIRE((head ? executor.run_head(pass) : executor.run_hidden(pass)));
            for (int i = 0; i < pass.n_outputs; ++i) {
                const float* row = head ? executor.logits(scratch_, i) : executor.hidden(scratch_, i);
                const int n = head ? model_.spec().n_vocab : model_.spec().width;
                auto& to = rows_[text_of[static_cast<size_t>(at + i)]];
                to.insert(to.end(), row, row + n);
            }
        }
        for (const auto& [text, n] : chunks) {
            past_[text] += n;
            states_[text].commit(past_[text], false);
        }
    }

  private:
    const Model& model_;
    std::vector<std::vector<int32_t>> ids_;
    std::vector<int> n_ctx_;
    std::vector<KvCache> caches_;
    std::vector<RecurrentState> states_;
    std::vector<int> past_;
    std::vector<std::vector<float>> rows_;
    cpu::Scratch scratch_;
    AlignedBuffer memory_;
};

std::vector<std::vector<int32_t>> random_texts(std::mt19937& random, size_t n, int longest, int n_vocab) {
    std::vector<std::vector<int32_t>> out(n);
    for (auto& text : out) {
        const int length = std::uniform_int_distribution(1, longest)(random);
        for (int i = 0; i < length; ++i) text.push_back(std::uniform_int_distribution(0, n_vocab - 1)(random));
    }
    return out;
}

// A pass of random chunks of random texts, many of them single tokens.
std::vector<std::pair<size_t, int>> random_chunks(std::mt19937& random, const Texts& texts, size_t n_texts,
                                                  bool whole) {
    std::vector<std::pair<size_t, int>> out;
    int room = Texts::max_rows;
    for (size_t i = 0; i < n_texts; ++i) {
        if (texts.left(i) == 0 || random() % 4 == 0) continue;
        int n =
            whole ? texts.left(i) : std::min(texts.left(i), random() % 2 == 0 ? 1 : 1 + static_cast<int>(random() % 9));
        if (n > room) {
            if (whole) continue;
            n = room;
        }
        if (n == 0) break;
        out.emplace_back(i, n), room -= n;
    }
    return out;
}

void check_batches(const std::string& path, int n_threads, const std::string& isa, CacheType type, unsigned seed) {
    CAPTURE(path);
    CAPTURE(n_threads);
    CAPTURE(isa);
    CAPTURE(seed);
    const auto model = load(path, n_threads, isa);
    std::mt19937 random(seed);
    const bool whole = !model->spec().causal;
    constexpr size_t n_texts = 7;
    const int longest = std::min(whole ? 12 : 36, model->spec().n_ctx_train - 1);
    const auto ids = random_texts(random, n_texts, longest, model->spec().n_vocab);
    // Contexts differ: some models choose their rope table by it.
    std::vector<int> n_ctx;
    for (size_t i = 0; i < n_texts; ++i) {
        const int learned = model->max_positions();
        n_ctx.push_back(learned > 0 ? learned : i % 2 == 0 ? 40 : 640);
    }
    std::vector<std::vector<float>> alone;
    for (size_t i = 0; i < n_texts; ++i) {
        Texts one(*model, {ids[i]}, {n_ctx[i]}, type);
        while (!one.done()) one.step({{0, whole ? one.left(0) : std::min(one.left(0), 5)}});
        alone.push_back(one.rows(0));
    }
    Texts all(*model, ids, n_ctx, type);
    while (!all.done()) {
        const auto chunks = random_chunks(random, all, n_texts, whole);
        if (!chunks.empty()) all.step(chunks);
    }
    for (size_t i = 0; i < n_texts; ++i) {
        CAPTURE(i);
        CHECK(all.rows(i) == alone[i]);
    }
}

}  // namespace

TEST_CASE("batches: a text's logits have the same bits alone and beside others, in chunks and single tokens") {
    // Dense, windowed, chunked, latent, sparse, recurrent and hybrid; ALiBi, sinks, learned positions, long ropes.
    for (const char* name : {"llama",          "llama-q4_0",
                             "mistral",        "gemma3",
                             "gemma2",         "llama4",
                             "minicpm3",       "deepseek2-q8_0",
                             "mixtral-q8_0",   "gpt-oss",
                             "smallthinker",   "arctic",
                             "qwen2moe",       "mamba",
                             "mamba2",         "rwkv6",
                             "rwkv7",          "granitehybrid-q8_0",
                             "falcon-h1",      "jamba-q8_0",
                             "plamo2",         "lfm2-q4_0",
                             "qwen3next-q8_0", "bloom",
                             "gpt2",           "phi3-longrope-long",
                             "command-r",      "glm4",
                             "chatglm"}) {
        for (const int n_threads : {1, 3}) check_batches(tiny_path(name), n_threads, "", CacheType::f16, 7);
    }
}

TEST_CASE("batches: texts that every token sees as a whole have the same hidden states side by side") {
    const std::string encoders = std::string(ELVER_TEST_DATA) + "/golden/encoders/";
    for (const char* name : {"bert", "nomic-bert", "jina-bert-v2", "modern-bert"})
        check_batches(encoders + name + ".gguf", 2, "", CacheType::f32, 11);
}

TEST_CASE("batches: equal bits at every level and cache type") {
    for (const char* isa : available_kernels()) {
        for (const CacheType type : {CacheType::f32, CacheType::q8_0, CacheType::q4_0}) {
            for (const char* name : {"llama-q8_0", "gemma3", "mixtral", "qwen3next"})
                check_batches(tiny_path(name), 2, isa, type, 23);
        }
    }
}

TEST_CASE("batches: long texts split their keys into ranges alone and beside others with the same bits") {
    const auto model = load(tiny_path("llama"), 3);
    std::vector<std::vector<int32_t>> texts;
    for (const int length : {2100, 1030, 40}) texts.push_back(random_ids(length, model->spec().n_vocab));
    std::vector<std::vector<float>> alone;
    const auto forward = [&](Texts& t, size_t i, int n) {
        while (t.left(i) > n) t.step({{i, std::min(t.left(i) - n, Texts::max_rows)}});
    };
    for (const auto& text : texts) {
        Texts one(*model, {text}, {2200}, CacheType::f16);
        forward(one, 0, 6);
        while (!one.done()) one.step({{0, 1}});
        alone.push_back(one.rows(0));
    }
    Texts all(*model, texts, {2200, 2200, 2200}, CacheType::f16);
    for (size_t i = 0; i < texts.size(); ++i) forward(all, i, 6);
    while (!all.done()) all.step({{0, 1}, {1, 1}, {2, 1}});
    for (size_t i = 0; i < texts.size(); ++i) {
        CAPTURE(i);
        CHECK(all.rows(i) == alone[i]);
    }
}

TEST_CASE("batches: a probe sees each input row of each product once, and changes no bit") {
    struct Seen {
        std::vector<std::vector<std::atomic<int>>> rows;  // of each operation
        std::atomic<int> n_experts{0}, n_down{0};
    };
    for (const char* name : {"llama-q8_0", "llama", "mixtral-q8_0", "deepseek2-q8_0"}) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        const graph::Program& program = model->program();
        const std::vector<std::vector<int32_t>> ids = {random_ids(9, model->spec().n_vocab),
                                                       random_ids(4, model->spec().n_vocab)};
        Texts plain(*model, ids, {40, 40}, CacheType::f16), probed(*model, ids, {40, 40}, CacheType::f16);
        Seen seen;
        for (size_t i = 0; i < program.ops.size(); ++i) seen.rows.emplace_back(16);
        const cpu::Probe probe{[](void* context, const cpu::ProbedRow& row) {
                                   auto& s = *static_cast<Seen*>(context);
                                   if (row.expert < 0)
                                       ++s.rows[static_cast<size_t>(row.op)][static_cast<size_t>(row.row)];
                                   if (row.expert >= 0) ++(row.down ? s.n_down : s.n_experts);
                               },
                               &seen};
        plain.step({{0, 9}, {1, 4}});
        probed.step({{0, 9}, {1, 4}}, &probe);
        for (size_t i = 0; i < ids.size(); ++i) CHECK(probed.rows(i) == plain.rows(i));
        int n_pairs = 0, n_heads = 0;
        for (size_t i = 0; i < program.ops.size(); ++i) {
            CAPTURE(i);
            if (const auto* sparse = std::get_if<graph::Experts>(&program.ops[i])) n_pairs += 13 * sparse->router.top_k;
            if (const auto* heads = std::get_if<graph::HeadLinear>(&program.ops[i]))
                n_heads += 13 * static_cast<int>(heads->heads.size());
            if (!std::holds_alternative<graph::Linear>(program.ops[i])) continue;
            const bool head = static_cast<int>(i) >= program.head_begin;  // in two runs, of 8 and of 5 outputs
            for (int row = 0; row < 13; ++row)
                CHECK(seen.rows[i][static_cast<size_t>(row)] == (head ? (row < 5 ? 2 : row < 8 ? 1 : 0) : 1));
        }
        CHECK(seen.n_experts == n_pairs + n_heads);
        CHECK(seen.n_down == n_pairs);
    }
}
