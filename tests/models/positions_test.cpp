// Models with a table of learned positions: no session, and no plan of one, may go beyond the table.
#include <doctest/doctest.h>

#include "formats/gguf_writer.hpp"
#include "message_of.hpp"
#include "tiny_models.hpp"

using namespace elver;

namespace {

fs::path path_of(const std::string& name) {
    const fs::path encoder = fs::path(ELVER_TEST_DATA) / "golden" / "encoders" / (name + ".gguf");
    return fs::exists(encoder) ? encoder : tiny_model(name);
}

std::vector<int32_t> some_ids(int n, int n_vocab) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back(i * 7 % n_vocab);
    return ids;
}

// Computes a whole text; which of the two calls depends on the model.
Result<void> compute(Session& session, const std::vector<int32_t>& ids) {
    if (session.model().spec().has_head) return session.prefill(ids);
    const auto embedding = session.embed(ids);
    if (!embedding) return embedding.error();
    return {};
}

template <class T>
void check_refused(const Result<T>& result, int learned, int wanted) {
    REQUIRE(!result);
    CHECK(result.error().status() == Status::invalid_argument);
    CHECK(result.error().object() == "n_ctx");
    const std::string& message = result.error().message();
    CHECK(message.find("learned " + std::to_string(learned) + " positions") != std::string::npos);
    CHECK(message.find("found " + std::to_string(wanted)) != std::string::npos);
}

}  // namespace

TEST_CASE("positions: a context beyond the learned ones is refused by open, plan and session; the whole table works") {
    for (const char* name : {"gpt2", "starcoder", "bert"}) {
        CAPTURE(name);
        const auto model = open_tiny(path_of(name), "");
        REQUIRE_MESSAGE(model, elver::test::message_of(model));
        const int learned = (*model)->spec().n_ctx_train;
        CHECK((*model)->max_positions() == learned);
        for (const int n_ctx : {learned + 1, 4000, INT32_MAX}) {
            CAPTURE(n_ctx);
            const SessionOptions beyond{.n_ctx = n_ctx, .max_batch = 0, .cache_type = {}};
            check_refused((*model)->plan(beyond), learned, n_ctx);
            check_refused(Session::make(*model, beyond), learned, n_ctx);
            auto source = ByteSource::map_path(path_of(name).string());
            REQUIRE(source);
            ModelOptions options;
            options.n_threads = 1;
            options.session = beyond;
            check_refused(Model::open(*std::move(source), options), learned, n_ctx);
        }
        const SessionOptions all{.n_ctx = learned, .max_batch = 0, .cache_type = {}};
        auto session = Session::make(*model, all);
        REQUIRE_MESSAGE(session, elver::test::message_of(session));
        const int n_vocab = (*model)->spec().n_vocab;
        const auto done = compute(**session, some_ids(learned, n_vocab));
        CHECK_MESSAGE(done, elver::test::message_of(done));
        if (!(*model)->spec().has_head) continue;
        const auto one_more = compute(**session, {1});
        REQUIRE(!one_more);
        CHECK(one_more.error().status() == Status::context_full);
    }
}

TEST_CASE("positions: a text of windows has an end where its positions are learned") {
    auto source = ByteSource::map_path(tiny_model("gpt2").string());
    REQUIRE(source);
    const auto file = Gguf::parse(*std::move(source));
    REQUIRE(file);
    const auto model = open_tiny(tiny_model("gpt2"), "");
    REQUIRE(model);
    auto spec = nlohmann::json::parse((*model)->spec().to_json());
    for (auto& layer : spec["layers"]) layer["window"] = 8;
    GgufWriter out;
    for (const auto& [key, value] : file->metadata()) out.copy(key, value);
    out.set_string("elver.spec", spec.dump());
    for (const GgufTensor& t : file->tensors()) out.add_tensor(t.name, t.view.type, t.view.shape, t.view.bytes);
    const auto bytes = out.write_memory();
    REQUIRE(bytes);
    const auto windowed = open_tiny(ByteSource::borrow(*bytes, "windowed"), "");
    REQUIRE_MESSAGE(windowed, elver::test::message_of(windowed));
    const int learned = (*windowed)->spec().n_ctx_train;
    auto session = Session::make(*windowed, {.n_ctx = learned, .max_batch = 4, .cache_type = {}});
    REQUIRE_MESSAGE(session, elver::test::message_of(session));
    CHECK((*session)->n_ctx() == learned);
    REQUIRE((*session)->prefill(some_ids(learned, (*windowed)->spec().n_vocab)));
    const auto more = (*session)->prefill(std::vector<int32_t>{1});
    REQUIRE(!more);
    CHECK(more.error().status() == Status::context_full);
}

TEST_CASE("positions: where none are learned a context may be longer than the trained one") {
    const auto model = open_tiny(tiny_model("llama"), "");
    REQUIRE(model);
    CHECK((*model)->max_positions() == 0);
    const int n_ctx = (*model)->spec().n_ctx_train + 7;
    CHECK(Session::make(*model, {.n_ctx = n_ctx, .max_batch = 4, .cache_type = {}}));
    // The greatest context is planned without an overflow.
    const auto plan = (*model)->plan({.n_ctx = INT32_MAX, .max_batch = 4, .cache_type = CacheType::f16});
    REQUIRE(plan);
    const auto half = (*model)->plan({.n_ctx = 1 << 30, .max_batch = 4, .cache_type = CacheType::f16});
    REQUIRE(half);
    CHECK(plan->kv_cache == 2 * half->kv_cache);
}
