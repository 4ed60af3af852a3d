// Rows in place of tokens' embeddings: those of the tokens themselves give the tokens' bits, whatever else is done to
// the text, and no other text takes what was computed of them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "models.hpp"
#include "quant/decode.hpp"

using namespace elver;
using namespace elver::test;

namespace {

// What the first operation makes of the ids.
std::vector<float> rows_of(const Model& model, std::span<const int32_t> ids) {
    const auto& op = std::get<graph::Embed>(model.program().ops.front());
    const TensorView& table = model.executor().weights().rows(op.table);
    const auto width = static_cast<size_t>(op.width);
    std::vector<float> rows(ids.size() * width);
    for (size_t i = 0; i < ids.size(); ++i) {
        float* row = rows.data() + i * width;
        decoder(op.type)(table.row(ids[i]), row, width);
        for (size_t k = 0; op.scale != 1.0f && k < width; ++k) row[k] *= op.scale;
    }
    return rows;
}

std::vector<float> last_logits(const Session& session) {
    return {session.logits().begin(), session.logits().end()};
}

std::vector<float> logits_after(const std::string& name, std::span<const int32_t> ids, int n_ctx = 300) {
    const auto session = open_session(load(tiny_path(name), 1), {.n_ctx = n_ctx, .max_batch = 64, .cache_type = {}});
    REQUIRE(session->prefill(ids));
    return last_logits(*session);
}

// The ids, those from `first` to before `last` as rows.
void prefill_mixed(Session& session, std::span<const int32_t> ids, size_t first, size_t last) {
    REQUIRE(session.prefill(ids.first(first)));
    REQUIRE(session.prefill(Input::of_rows(rows_of(session.model(), ids.subspan(first, last - first)))));
    REQUIRE(session.prefill(ids.subspan(last)));
}

std::shared_ptr<Model> load_with(const std::string& name, uint64_t page_bytes) {
    ModelOptions options;
    options.n_threads = 1;
    options.page_bytes = page_bytes;
    auto model = Model::open(*ByteSource::map_path(tiny_path(name)), options);
    REQUIRE_MESSAGE(model, message_of(model));
    REQUIRE((*model)->load({}, nullptr));
    return *model;
}

}  // namespace

TEST_CASE("rows: those of the tokens give the tokens' bits, through every kind of layer and embedding") {
    // In their order: dense; a scale on the embedding, and windows; learned positions; a norm behind the embedding;
    // windows alone; experts; recurrent layers; both.
    for (const char* name : {"llama", "gemma3", "gpt2", "bloom", "mistral", "mixtral", "mamba", "jamba"}) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        const int n_ctx = model->max_positions() > 0 ? model->max_positions() : 300;
        const auto ids = random_ids(std::min(n_ctx, 100), model->spec().n_vocab);
        const SessionOptions options{.n_ctx = n_ctx, .max_batch = 7, .cache_type = {}};
        const auto expected = logits_after(name, ids, n_ctx);
        const auto session = open_session(model, options);
        prefill_mixed(*session, ids, 20, ids.size() - 10);
        CHECK(last_logits(*session) == expected);
        CHECK(session->ids()[19] == ids[19]);
        CHECK(session->ids()[20] == no_token);

        // Back into the rows, and on with tokens; then back before them.
        REQUIRE(session->rewind(50));
        REQUIRE(session->prefill(std::span(ids).subspan(50)));
        CHECK(last_logits(*session) == expected);
        REQUIRE(session->rewind(50));
        REQUIRE(session->prefill(Input::of_rows(rows_of(*model, std::span(ids).subspan(50, ids.size() - 51)))));
        const auto fork = session->fork();
        REQUIRE(fork);
        REQUIRE((*fork)->prefill(std::span(ids).last(1)));
        CHECK(last_logits(**fork) == expected);
        REQUIRE(session->rewind(10));
        REQUIRE(session->prefill(std::span(ids).subspan(10)));
        CHECK(last_logits(*session) == expected);

        // Saved, and restored in another engine, where it goes back as well.
        std::vector<std::byte> saved;
        REQUIRE((*fork)->save([&](std::span<const std::byte> bytes) -> Result<void> {
            saved.insert(saved.end(), bytes.begin(), bytes.end());
            return {};
        }));
        const auto other = open_session(load(tiny_path(name), 1), options);
        REQUIRE(other->restore(saved, "saved"));
        CHECK(last_logits(*other) == expected);
        REQUIRE(other->rewind(30));
        REQUIRE(other->prefill(std::span(ids).subspan(30)));
        CHECK(last_logits(*other) == expected);
    }
}

TEST_CASE("rows: a text that was set aside is computed anew from its rows") {
    const auto plenty = load(tiny_path("llama"), 1);
    const auto ids = random_ids(100, plenty->spec().n_vocab);
    const auto expected = logits_after("llama", ids);
    const SessionOptions options{.n_ctx = 128, .max_batch = 64, .cache_type = {}};
    const auto plan = plenty->plan(options);
    REQUIRE(plan);
    const auto model = load_with("llama", plan->kv_cache);  // room for one of the two
    const auto first = open_session(model, options), second = open_session(model, options);
    prefill_mixed(*first, std::span(ids).first(99), 5, 80);
    const auto others = random_ids(90, 37);
    REQUIRE(second->prefill(others));
    const uint64_t before = model->engine().n_computed();
    REQUIRE(first->prefill(std::span(ids).last(1)));
    CHECK(model->engine().n_computed() - before == 100);
    CHECK(last_logits(*first) == expected);
}

TEST_CASE("rows: no other text takes what was computed of them, but what stands before is shared") {
    const auto model = load(tiny_path("llama"), 1);
    const auto ids = random_ids(200, model->spec().n_vocab);
    const SessionOptions options{.n_ctx = 300, .max_batch = 64, .cache_type = {}};
    const auto computed_by = [&](auto&& body) {
        const uint64_t before = model->engine().n_computed();
        body();
        return model->engine().n_computed() - before;
    };
    std::vector<float> rows = rows_of(*model, std::span(ids).subspan(70, 80));
    std::vector<std::vector<float>> logits;
    for (int round = 0; round < 2; ++round) {
        const auto session = open_session(model, options);
        const uint64_t n = computed_by([&] {
            REQUIRE(session->prefill(std::span(ids).first(70)));
            REQUIRE(session->prefill(Input::of_rows(rows)));
            REQUIRE(session->prefill(std::span(ids).subspan(150)));
        });
        // The whole page before the rows is there the second time.
        CHECK(n == (round == 0 ? 200 : 136));
        logits.push_back(last_logits(*session));
        for (float& x : rows) x *= 1.25f;  // other rows at the same places
    }
    CHECK(logits[0] == logits_after("llama", ids));
    CHECK(logits[0] != logits[1]);
    // The tokens themselves are not taken from the rows either.
    const auto session = open_session(model, options);
    CHECK(computed_by([&] { REQUIRE(session->prefill(ids)); }) == 136);
    CHECK(last_logits(*session) == logits[0]);
}

TEST_CASE("rows: those that are no numbers, or too many, change nothing") {
    const auto model = load(tiny_path("llama"), 1);
    const auto session = open_session(model, {.n_ctx = 64, .max_batch = 64, .cache_type = {}});
    const auto ids = random_ids(65, model->spec().n_vocab);
    std::vector<float> rows = rows_of(*model, ids);
    auto refused = session->prefill(Input::of_rows(rows));
    REQUIRE(!refused);
    CHECK(refused.error().status() == Status::context_full);
    const auto width = static_cast<size_t>(model->spec().width);
    rows.resize(3 * width);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        rows[2 * width + 5] = bad;
        refused = session->prefill(Input::of_rows(rows));
        REQUIRE(!refused);
        CHECK(refused.error().status() == Status::invalid_argument);
        CHECK(message_of(refused).find("row 2") != std::string::npos);
    }
    CHECK(session->n_past() == 0);
    CHECK(session->embed(Input::of_rows(std::span(rows).first(width)), Pooling::mean));
}
