// Models whose mixers are recurrent: memory that does not grow, states that are kept, and cancelled passes.
#include "answer/generate.hpp"
#include "kernels/select.hpp"
#include "models.hpp"

using namespace elver;
using namespace elver::test;

namespace {

constexpr const char* names[] = {"mamba", "mamba2", "rwkv6", "rwkv7"};

std::vector<float> last(const Session& session) {
    return {session.logits().begin(), session.logits().end()};
}

}  // namespace

TEST_CASE("recurrent: memory does not grow with the context") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 1);
        const auto bytes = [&](int n_ctx) {
            return model->plan({.n_ctx = n_ctx, .max_batch = 16, .cache_type = {}})->kv_cache;
        };
        CHECK(bytes(32) > 0);
        CHECK(bytes(32) == bytes(1 << 20));
    }
}

TEST_CASE("recurrent: a session goes back to any position; only what no state was kept of is computed anew") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        const auto ids = random_ids(20, model->spec().n_vocab);
        const std::span<const int32_t> text(ids);
        const SessionOptions options{.n_ctx = 64, .max_batch = 8, .cache_type = {}};
        const auto fresh = open_session(model, options);
        REQUIRE(fresh->prefill(text));
        const auto session = open_session(model, options);
        REQUIRE(session->prefill(text));
        // States stand behind the last two passes of more than a token, 16 and 19, and behind the text, 20. The next
        // ones are those of the pass that goes on.
        struct Row {
            int back, computed;
        };
        for (const Row& row : {Row{20, 0}, {19, 1}, {18, 4}, {15, 20}, {0, 20}}) {
            CAPTURE(row.back);
            REQUIRE(session->rewind(row.back));
            CHECK(session->n_past() == row.back);
            CHECK(session->logits().empty());
            const uint64_t before = model->engine().n_computed();
            REQUIRE(session->prefill(text.subspan(static_cast<size_t>(row.back))));
            CHECK(model->engine().n_computed() - before == static_cast<uint64_t>(row.computed));
            if (row.back < 20) CHECK(last(*session) == last(*fresh));
        }
    }
}

TEST_CASE("recurrent: a prompt that shares a prefix, or all, with the one before gives the bits of a new session") {
    for (const char* name : names) {
        const auto model = load(tiny_path(name), 2);
        const auto a = random_ids(30, model->spec().n_vocab);
        const SessionOptions options{.n_ctx = 64, .max_batch = 8, .cache_type = {}};
        for (const size_t same : {0, 5, 24, 27, 30}) {
            CAPTURE(name);
            CAPTURE(same);
            auto b = a;
            for (size_t i = same; i < b.size(); ++i) b[i] = (b[i] + 17) % model->spec().n_vocab;
            const auto fresh = open_session(model, options), used = open_session(model, options);
            REQUIRE(fresh->prefill(b));
            REQUIRE(used->prefill(a));
            for (const int32_t id : {4, 7, 9}) REQUIRE(used->prefill(std::span(&id, 1)));  // an answer
            REQUIRE(prefill_reusing(*used, b));
            CHECK(used->n_past() == 30);
            CHECK(last(*used) == last(*fresh));
        }
    }
}

TEST_CASE("recurrent: a cancelled pass leaves no trace") {
    for (const char* name : names) {
        CAPTURE(name);
        const auto model = load(tiny_path(name), 2);
        const auto ids = random_ids(24, model->spec().n_vocab);
        const std::span<const int32_t> text(ids);
        const SessionOptions options{.n_ctx = 64, .max_batch = 8, .cache_type = {}};
        const auto fresh = open_session(model, options), session = open_session(model, options);
        REQUIRE(fresh->prefill(text));
        const auto stopped = session->prefill(text, [&](size_t index, std::span<const float>) {
            if (index == 12) session->cancel();
        });
        REQUIRE(!stopped);
        CHECK(stopped.error().status() == Status::cancelled);
        CHECK(session->n_past() == 8);
        REQUIRE(session->prefill(text.subspan(8)));
        CHECK(last(*session) == last(*fresh));
    }
}
