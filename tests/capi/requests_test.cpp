// Requests through the ABI: a refused call leaves the answer under way alone, and a cancel stops the request that it
// was meant for and no later one.
#include <functional>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

const std::string request = R"({"ids": [3, 14, 15, 9], "max_tokens": 12, "temperature": 0, "ignore_eos": true})";

struct Pulled {
    std::vector<int32_t> ids;
    int32_t finish = ELVER_FINISH_NONE;
    elver_status status = ELVER_OK;
};

// At most n events, or all there are.
Pulled pull(elver_session* s, size_t n = ~size_t{0}) {
    Pulled out;
    elver_event event = ELVER_EVENT_INIT;
    for (size_t i = 0; i < n && out.finish == ELVER_FINISH_NONE && out.status == ELVER_OK; ++i) {
        out.status = elver_session_next(s, &event, nullptr);
        if (out.status != ELVER_OK) break;
        if (event.id >= 0) out.ids.push_back(event.id);
        out.finish = event.finish;
    }
    return out;
}

std::vector<int32_t> expected(const elver_model* model) {
    const auto s = session(model);
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    return pull(s.get()).ids;
}

}  // namespace

TEST_CASE("requests: calls that are refused leave the answer under way as it is") {
    const auto model = load(path_source(tiny_path()));
    const auto whole = expected(model.get());
    REQUIRE(whole.size() == 12);
    const auto s = session(model.get(), 64);
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    std::vector<int32_t> ids = pull(s.get(), 3).ids;
    std::string too_long = R"({"ids": [1)";
    for (int i = 0; i < 64; ++i) too_long += ",1";
    const int32_t bad[] = {1, 9999};
    const std::vector<int32_t> many(64, 1);
    const std::vector<float> out(static_cast<size_t>(elver_model_width(model.get())));
    std::vector<float> embedding(out);
    elver_source nothing = ELVER_SOURCE_INIT;
    nothing.memory = "not a snapshot";
    nothing.memory_size = 14;
    const auto refused = [&](elver_status status) {
        CHECK(status != ELVER_OK);
        const Pulled next = pull(s.get(), 1);
        REQUIRE(next.status == ELVER_OK);
        ids.insert(ids.end(), next.ids.begin(), next.ids.end());
    };
    refused(begin_completion(s.get(), "{"));
    refused(begin_completion(s.get(), R"({"ids": [1], "unknown": 1})"));
    refused(begin_completion(s.get(), too_long + "]}"));
    refused(begin_completion(s.get(), R"({"ids": [1, 9999]})"));
    refused(begin_completion(s.get(), R"({"ids": []})"));
    refused(prefill_ids(s.get(), bad, 2, nullptr, nullptr));
    refused(prefill_ids(s.get(), many.data(), many.size(), nullptr, nullptr));
    refused(elver_session_rewind(s.get(), 1000, nullptr));
    refused(elver_session_restore(s.get(), &nothing, nullptr));
    const Pulled rest = pull(s.get());
    CHECK(rest.finish == ELVER_FINISH_LENGTH);
    ids.insert(ids.end(), rest.ids.begin(), rest.ids.end());
    CHECK(ids == whole);
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    ids = pull(s.get(), 3).ids;
    const elver_input input = ids_input(bad, 2);
    refused(elver_session_embed(s.get(), &input, nullptr, embedding.data(), embedding.size(), nullptr));
    CHECK(ids[3] == whole[3]);
    CHECK(embedding == out);
}

TEST_CASE("requests: a call that changes the text ends the answer, which says so") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get(), 64);
    const int32_t id = 5;
    for (const auto& change :
         std::vector<std::function<elver_status()>>{[&] { return prefill_ids(s.get(), &id, 1, nullptr, nullptr); },
                                                    [&] { return elver_session_rewind(s.get(), 2, nullptr); }}) {
        REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
        REQUIRE(pull(s.get(), 2).ids.size() == 2);
        REQUIRE(change() == ELVER_OK);
        elver_event event = ELVER_EVENT_INIT;
        const Failure f = failure([&](elver_error** e) { return elver_session_next(s.get(), &event, e); });
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        CHECK(contains(f.message, "another call"));
    }
}

TEST_CASE("requests: a cancel where nothing runs, or after the end, stops nothing") {
    const auto model = load(path_source(tiny_path()));
    const auto whole = expected(model.get());
    const auto s = session(model.get());
    elver_session_cancel(s.get());
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    CHECK(pull(s.get()).ids == whole);
    elver_session_cancel(s.get());
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    CHECK(pull(s.get()).ids == whole);
    elver_session_cancel(s.get());
    const int32_t id = 1;
    CHECK(prefill_ids(s.get(), &id, 1, nullptr, nullptr) == ELVER_OK);
}

TEST_CASE("requests: a cancel stops the answer that waits, and not the one that takes its place") {
    const auto model = load(path_source(tiny_path()));
    const auto whole = expected(model.get());
    const auto s = session(model.get());
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    elver_session_cancel(s.get());
    CHECK(pull(s.get()).finish == ELVER_FINISH_CANCELLED);
    // Cancelled, not pulled, and followed by another.
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    REQUIRE(pull(s.get(), 4).ids.size() == 4);
    elver_session_cancel(s.get());
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    CHECK(pull(s.get()).ids == whole);
    // Cancelled, and a refused call between: still cancelled.
    REQUIRE(begin_completion(s.get(), request) == ELVER_OK);
    elver_session_cancel(s.get());
    CHECK(begin_completion(s.get(), "{") == ELVER_INVALID_ARGUMENT);
    CHECK(pull(s.get()).finish == ELVER_FINISH_CANCELLED);
    // While its prompt is read, in passes of 2: nobody has computed it in this model.
    const auto second = load(path_source(tiny_path()));
    const auto small = session(second.get(), 0, 2);
    const auto cancel = [](double, void* context) {
        elver_session_cancel(static_cast<elver_session*>(context));
        return 1;
    };
    CHECK(begin_completion(small.get(), request, cancel, small.get()) == ELVER_CANCELLED);
    REQUIRE(begin_completion(small.get(), request) == ELVER_OK);
    CHECK(pull(small.get()).ids == whole);
}

TEST_CASE("requests: what a pass polls gets BUSY of the sessions of its model, and may use those of another") {
    const auto model = load(path_source(tiny_path())), second = load(path_source(tiny_path()));
    struct Polled {
        Own<elver_session> own, other, elsewhere;
        elver_session* at_work = nullptr;
        int n = 0;
        std::vector<elver_status> seen;
    } polled{session(model.get()), session(model.get()), session(second.get()), nullptr, 0, {}};
    elver_session_options options = ELVER_SESSION_OPTIONS_INIT;
    options.context = &polled;
    options.go_on = [](void* context) {
        auto& p = *static_cast<Polled*>(context);
        if (++p.n != 3) return 1;
        const int32_t id = 5;
        p.seen.push_back(prefill_ids(p.other.get(), &id, 1, nullptr, nullptr));
        p.seen.push_back(prefill_ids(p.elsewhere.get(), &id, 1, nullptr, nullptr));
        p.seen.push_back(elver_session_rewind(p.at_work, 0, nullptr));
        return 1;
    };
    elver_session* out = nullptr;
    REQUIRE(elver_session_open(model.get(), &options, &out, nullptr) == ELVER_OK);
    const Own<elver_session> s(out);
    polled.at_work = out;
    const int32_t ids[] = {1, 2, 3};
    CHECK(prefill_ids(out, ids, 3, nullptr, nullptr) == ELVER_OK);
    CHECK(polled.seen == std::vector<elver_status>{ELVER_BUSY, ELVER_OK, ELVER_BUSY});
}
