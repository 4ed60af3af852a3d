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
        const auto session = open_session(model, {.n_ctx = 32, .max_batch = 16, .cache_type = {}});
        CHECK(session->recurrent_state().bytes().size() * 4 == bytes(32));  // two in turn, two kept
    }
}

TEST_CASE("recurrent: a session goes back to a kept state, and to no other") {
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
        CHECK(session->nearest_rewind(20) == 20);
        CHECK(session->nearest_rewind(19) == 19);
        CHECK(session->nearest_rewind(18) == 16);
        CHECK(session->nearest_rewind(15) == 0);
        const auto refused = session->rewind(18);
        REQUIRE(!refused);
        CHECK(refused.error().status() == Status::unsupported);
        CHECK(refused.error().message().find("rewind to 16") != std::string::npos);
        CHECK(session->n_past() == 20);
        for (const int back : {19, 16, 0}) {
            CAPTURE(back);
            REQUIRE(session->rewind(back));
            CHECK(session->n_past() == back);
            REQUIRE(session->prefill(text.subspan(static_cast<size_t>(back))));
            CHECK(last(*session) == last(*fresh));
        }
        // The second text's states are not the first one's.
        REQUIRE(session->rewind(0));
        CHECK(session->nearest_rewind(0) == 0);
        REQUIRE(session->prefill(text.subspan(3, 5)));
        CHECK(session->nearest_rewind(4) == 4);
        CHECK(session->nearest_rewind(3) == 0);
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
