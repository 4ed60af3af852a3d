// elver.hpp: handles move, views borrow, errors are exceptions with status, message and object, events are a range.
#include <elver/elver.hpp>
#include <ranges>
#include <stdexcept>
#include <type_traits>

#include "handles.hpp"

bool cpp_without_exceptions(const char* path, std::string& log);

using capi_test::contains;

static_assert(!std::is_copy_constructible_v<elver::Model> && std::is_nothrow_move_constructible_v<elver::Model>);
static_assert(!std::is_copy_constructible_v<elver::Session> && std::is_nothrow_move_constructible_v<elver::Session>);
static_assert(!std::is_copy_constructible_v<elver::Tokenizer> && !std::is_copy_constructible_v<elver::Text>);
static_assert(std::is_nothrow_copy_constructible_v<elver::Error>);  // as every exception should be
static_assert(std::ranges::input_range<elver::Events>);
static_assert(!std::is_convertible_v<elver::Text, std::string_view>);  // a temporary's view would dangle
static_assert(std::is_convertible_v<const elver::Text&, std::string_view>);

TEST_CASE("elver.hpp: from a file to an answer") {
    const capi_test::Bytes bytes = capi_test::tiny_with_template();
    elver_model_options options = ELVER_MODEL_OPTIONS_INIT;
    options.n_threads = 2;
    auto model = elver::Model::open(capi_test::memory_source(bytes), options);
    CHECK(model.plan().total > 0);
    double last = 0;
    model.load([&](double fraction) { last = fraction; });
    CHECK(last == 1.0);
    elver::Session session(model);
    session.chat(R"({"messages": [{"role": "user", "content": "be"}], "max_tokens": 9, "ignore_eos": true})");
    int n = 0;
    for (const elver::Event& event : session.events()) {
        n += event.id >= 0;
        CHECK(event.last() == (event.finish == ELVER_FINISH_LENGTH));
    }
    CHECK(n == 9);
    CHECK_THROWS_AS(session.next(), elver::Error);

    session.rewind(0);
    std::vector<size_t> seen;
    const std::vector<int32_t> ids{1, 2, 3, 4};
    session.prefill(ids, [&](size_t i, std::span<const float> logits) {
        seen.push_back(i);
        CHECK(logits.size() == 61);
    });
    CHECK(seen == std::vector<size_t>{0, 1, 2, 3});
    CHECK(session.logits().size() == 61);
    session.rewind(0);
    seen.clear();
    const std::vector<size_t> wanted{1, 3};
    session.prefill(ids, wanted, [&](size_t i, std::span<const float>) { return seen.push_back(i), true; });
    CHECK(seen == wanted);
    session.rewind(0);
    session.prefill(ids, std::span<const size_t>(), [&](size_t, std::span<const float>) { FAIL("none was wanted"); });
    CHECK(session.position() == 4);

    elver::Session second(model);
    session.complete(R"({"ids": [1, 2], "max_tokens": 3, "ignore_eos": true})");
    second.complete_deferred(R"({"ids": [1, 2], "max_tokens": 3, "ignore_eos": true})");
    elver::Session* const both[] = {&session, &second};
    for (int i = 0; i < 4; ++i) {
        for (const auto& event : elver::step(model, both)) {
            REQUIRE(event);
            CHECK(event->last() == (i == 3));
        }
    }
    CHECK(!elver::step(model, both)[1]);

    const elver::Tokenizer tokenizer = model.tokenizer();
    const elver::Ids encoded = tokenizer.encode("the bed");
    CHECK(tokenizer.decode(encoded).view() == "the bed");
    CHECK(tokenizer.is_end(0));
    CHECK(contains(elver::describe_machine().str(), "usable_cores"));
    CHECK(elver::render_template("{{ a }}", R"({"a": 1})").view() == "1");
}

TEST_CASE("elver.hpp: a session sizes its logits and embeddings by its own model, which it keeps") {
    const std::vector<int32_t> ids{1, 2, 3};
    auto opened = std::make_unique<elver::Model>(elver::Model::open(capi_test::tiny_path()));
    opened->load();
    const auto n_vocab = static_cast<size_t>(opened->n_vocab()), width = static_cast<size_t>(opened->width());
    elver::Session session(*opened);
    CHECK(session.logits().empty());
    opened.reset();
    session.prefill(ids);
    CHECK(session.logits().size() == n_vocab);
    elver::Session fork = session.fork();
    CHECK(fork.logits().size() == n_vocab);
    CHECK(elver_model_n_vocab(elver_session_model(fork.c())) == static_cast<int32_t>(n_vocab));
    CHECK(session.embed(ids).size() == width);
    CHECK(session.logits().empty());
}

TEST_CASE("elver.hpp: an error keeps status, message and object") {
    try {
        (void)elver::Model::open("/no/such/file.gguf");
        FAIL("expected an exception");
    } catch (const elver::Error& e) {
        CHECK(e.status() == ELVER_NOT_FOUND);
        CHECK(contains(e.what(), "/no/such/file.gguf"));
        CHECK(std::string(e.object()) == "/no/such/file.gguf");
    }
}

TEST_CASE("elver.hpp: what a callback throws comes out of the call") {
    auto model = elver::Model::open(capi_test::tiny_path());
    CHECK_THROWS_WITH_AS(model.load([](double) { throw std::runtime_error("stop here"); }), "stop here",
                         std::runtime_error);
    CHECK_THROWS_AS(model.load([](double) { return false; }), elver::Error);
    model.load();
    elver::Session session(model);
    const int32_t id = 3;
    CHECK_THROWS_AS(session.prefill({&id, 1}, [](size_t, std::span<const float>) { throw 7; }), int);
    CHECK(session.position() == 0);
    session.prefill({&id, 1});
    CHECK(session.position() == 1);
}

TEST_CASE("elver.hpp: without exceptions the same calls answer Expected, in the same program") {
    std::string log;
    CHECK_MESSAGE(cpp_without_exceptions(capi_test::tiny_path().c_str(), log), log);
}
