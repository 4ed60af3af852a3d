// What an answer does when its context is full, as the session's options say.
#include <elver/elver.hpp>

#include "handles.hpp"

TEST_CASE("context: an answer ends where it is full, or the text slides") {
    elver_model_options model_options = ELVER_MODEL_OPTIONS_INIT;
    model_options.n_threads = 1;
    auto model = elver::Model::open(capi_test::tiny_path(), model_options);
    model.load();
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.n_ctx = 24;
    const auto answer = [&](elver::Session& session) {
        session.complete(R"({"ids": [1, 2, 3, 4], "max_tokens": 60, "ignore_eos": true, "temperature": 0})");
        std::vector<int32_t> ids;
        for (const elver::Event& event : session.events()) {
            if (event.id >= 0) ids.push_back(event.id);
            CHECK(session.position() <= 24);
            CHECK((!event.last() || event.finish == ELVER_FINISH_LENGTH));
        }
        return ids;
    };
    elver::Session stops(model, options);
    const auto whole = answer(stops);
    CHECK(whole.size() >= 20);
    CHECK(whole.size() <= 21);
    options.context_policy = ELVER_CONTEXT_SLIDE;
    options.n_keep = 3;
    elver::Session slides(model, options);
    const auto more = answer(slides);
    REQUIRE(more.size() == 60);
    CHECK(std::equal(whole.begin(), whole.begin() + 20, more.begin()));
}
