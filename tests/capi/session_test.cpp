// A session through the ABI: prefill with chosen logits, callbacks that stop or throw, chat, next, rewind, cancel.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "handles.hpp"

using namespace capi_test;

namespace {

const int32_t some_ids[] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3};
constexpr size_t n_some = std::size(some_ids);

struct Rows {
    std::vector<size_t> indices;
    std::vector<std::vector<float>> logits;
    size_t stop_after = ~size_t{0};
    bool throws = false;
};

int take(size_t index, const float* logits, size_t n_vocab, void* context) {
    auto& rows = *static_cast<Rows*>(context);
    rows.indices.push_back(index);
    rows.logits.emplace_back(logits, logits + n_vocab);
    if (rows.throws) throw 42;
    return rows.indices.size() < rows.stop_after ? 1 : 0;
}

Failure prefill(elver_session* s, Rows& rows, const std::vector<size_t>* wanted = nullptr) {
    elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
    options.on_logits = take;
    options.context = &rows;
    if (wanted != nullptr) {
        options.wanted = wanted->data();
        options.n_wanted = wanted->size();
    }
    return failure([&](elver_error** e) { return prefill_ids(s, some_ids, n_some, &options, e); });
}

struct Answer {
    std::string text;
    std::vector<int32_t> ids;
    int32_t finish = ELVER_FINISH_NONE;
};

Answer pull(elver_session* s) {
    Answer a;
    elver_event event = ELVER_EVENT_INIT;
    while (a.finish == ELVER_FINISH_NONE) {
        const Failure f = failure([&](elver_error** e) { return elver_session_next(s, &event, e); });
        REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
        a.text.append(event.text, event.text_size);
        if (event.id >= 0) a.ids.push_back(event.id);
        a.finish = event.finish;
    }
    return a;
}

// What a token adds to a text.
std::string text_of(const elver_model* model, int32_t id) {
    elver_tokenizer* raw = nullptr;
    REQUIRE(elver_model_tokenizer(model, &raw, nullptr) == ELVER_OK);
    const Own<elver_tokenizer> tokenizer(raw);
    const int32_t ids[] = {5, id};
    std::string texts[2];
    for (size_t n = 1; n <= 2; ++n) {
        elver_text* text = nullptr;
        REQUIRE(elver_tokenizer_decode(raw, ids, n, ELVER_TEXT_SHOW_SPECIAL, &text, nullptr) == ELVER_OK);
        texts[n - 1] = elver_text_data(text);
        elver_text_release(text);
    }
    return texts[1].substr(texts[0].size());
}

Failure complete(elver_session* s, const std::string& request, elver_progress progress = nullptr,
                 void* context = nullptr) {
    return failure([&](elver_error** e) { return begin_completion(s, request, progress, context, e); });
}

}  // namespace

TEST_CASE("capi: the logits of chosen tokens are those of all, whatever the passes") {
    const auto model = load(path_source(tiny_path()));
    Rows all;
    const auto whole = session(model.get());
    REQUIRE(prefill(whole.get(), all).status == ELVER_OK);
    REQUIRE(all.indices.size() == n_some);
    const auto last = all.logits.back();
    CHECK(std::equal(last.begin(), last.end(), elver_session_logits(whole.get(), nullptr)));
    for (const int32_t batch : {1, 5, 64}) {
        for (const std::vector<size_t>& wanted :
             std::vector<std::vector<size_t>>{{0}, {1, 4, 5}, {n_some - 1}, {0, 3, n_some - 1}, {9, 10}}) {
            const auto s = session(model.get(), 0, batch);
            Rows rows;
            REQUIRE(prefill(s.get(), rows, &wanted).status == ELVER_OK);
            CHECK(rows.indices == wanted);
            for (size_t i = 0; i < wanted.size(); ++i) CHECK(rows.logits[i] == all.logits[wanted[i]]);
            CHECK(std::equal(last.begin(), last.end(), elver_session_logits(s.get(), nullptr)));
            CHECK(elver_session_position(s.get()) == n_some);
        }
    }
}

TEST_CASE("capi: wanted indices that do not rise, or lie outside, change nothing") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    for (const std::vector<size_t>& wanted :
         std::vector<std::vector<size_t>>{{n_some}, {3, 3}, {4, 2}, {~size_t{0}}, {~size_t{0}, 0}}) {
        Rows rows;
        const Failure f = prefill(s.get(), rows, &wanted);
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        CHECK(f.object == "wanted");
        CHECK(rows.indices.empty());
        CHECK(elver_session_position(s.get()) == 0);
    }
    elver_prefill_options options = ELVER_PREFILL_OPTIONS_INIT;
    options.n_wanted = 1;
    CHECK(prefill_ids(s.get(), some_ids, n_some, &options, nullptr) == ELVER_INVALID_ARGUMENT);
}

TEST_CASE("capi: a callback that says stop, or throws, leaves the session after its last whole pass") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get(), 0, 5);
    Rows rows;
    rows.stop_after = 7;
    CHECK(prefill(s.get(), rows).status == ELVER_CANCELLED);
    CHECK(rows.indices.size() == 7);
    CHECK(elver_session_position(s.get()) == 5);
    CHECK(elver_session_logits(s.get(), nullptr) == nullptr);

    REQUIRE(elver_session_rewind(s.get(), 0, nullptr) == ELVER_OK);
    Rows thrown;
    thrown.throws = true;
    const Failure f = prefill(s.get(), thrown);
    CHECK(f.status == ELVER_INTERNAL);
    CHECK(contains(f.message, "callback"));
    CHECK(elver_session_position(s.get()) == 0);
    CHECK(elver_session_logits(s.get(), nullptr) == nullptr);
    const auto progress = [](double, void*) -> int { throw std::runtime_error("the host's own trouble"); };
    const Failure g = complete(s.get(), R"({"ids": [1, 2, 3]})", progress);
    CHECK(g.status == ELVER_INTERNAL);
    CHECK(contains(g.message, "the host's own trouble"));

    REQUIRE(elver_session_rewind(s.get(), 0, nullptr) == ELVER_OK);
    Rows good;
    REQUIRE(prefill(s.get(), good).status == ELVER_OK);
    Rows expected;
    REQUIRE(prefill(session(model.get()).get(), expected).status == ELVER_OK);
    CHECK(good.logits == expected.logits);
}

TEST_CASE("capi: an answer is pulled to its end, and once more is an error") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    elver_event event = ELVER_EVENT_INIT;
    const auto next = [&] { return failure([&](elver_error** e) { return elver_session_next(s.get(), &event, e); }); };
    CHECK(contains(next().message, "no answer was begun"));
    REQUIRE(complete(s.get(), R"({"ids": [3, 4, 5], "max_tokens": 6, "ignore_eos": true, "temperature": 0})").status ==
            ELVER_OK);
    const Answer first = pull(s.get());
    CHECK(first.ids.size() == 6);
    CHECK(first.finish == ELVER_FINISH_LENGTH);
    CHECK(contains(next().message, "ended"));
    // The same again, with what the session holds; and after a rewind into the middle.
    for (const int32_t back : {9, 5, 0}) {
        REQUIRE(elver_session_rewind(s.get(), std::min(back, elver_session_position(s.get())), nullptr) == ELVER_OK);
        CHECK(contains(next().message, "ended"));
        REQUIRE(
            complete(s.get(), R"({"ids": [3, 4, 5], "max_tokens": 6, "ignore_eos": true, "temperature": 0})").status ==
            ELVER_OK);
        CHECK(pull(s.get()).ids == first.ids);
    }
    REQUIRE(complete(s.get(), R"({"ids": [3], "max_tokens": 2, "logprobs": true, "top_logprobs": 3, "temperature": 0})")
                .status == ELVER_OK);
    REQUIRE(next().status == ELVER_OK);
    REQUIRE(event.n_top == 3);
    CHECK(event.top[0].id == event.id);
    CHECK(event.top[0].logprob == event.logprob);
    CHECK(event.top[0].logprob >= event.top[1].logprob);
    CHECK(event.logprob < 0);
    // A token's bytes are its text in the vocabulary.
    for (uint32_t i = 0; i < event.n_top; ++i)
        CHECK(std::string(event.top[i].bytes, event.top[i].n_bytes) == text_of(model.get(), event.top[i].id));
    CHECK(std::string(event.bytes, event.n_bytes) == text_of(model.get(), event.id));
    // The seed in use is told: the one asked for, or a random one.
    const auto seed_of = [&](const char* request) {
        REQUIRE(complete(s.get(), request).status == ELVER_OK);
        REQUIRE(next().status == ELVER_OK);
        return event.seed;
    };
    CHECK(seed_of(R"({"ids": [3], "seed": 18446744073709551615})") == UINT64_MAX);
    CHECK(seed_of(R"({"ids": [3]})") != seed_of(R"({"ids": [3]})"));
    CHECK(seed_of(R"({"ids": [3], "seed": -1})") != seed_of(R"({"ids": [3], "seed": null})"));
}

TEST_CASE("capi: the context's end ends an answer; one more token does not fit") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get(), 16);
    REQUIRE(complete(s.get(), R"({"ids": [3, 4, 5], "ignore_eos": true})").status == ELVER_OK);
    const Answer a = pull(s.get());
    CHECK(a.finish == ELVER_FINISH_LENGTH);
    CHECK(elver_session_position(s.get()) == elver_session_n_ctx(s.get()));
    const Failure f = failure([&](elver_error** e) { return prefill_ids(s.get(), some_ids, 1, nullptr, e); });
    CHECK(f.status == ELVER_CONTEXT_FULL);
    CHECK(contains(f.message, "16"));
    REQUIRE(elver_session_rewind(s.get(), 4, nullptr) == ELVER_OK);
    CHECK(elver_session_logits(s.get(), nullptr) == nullptr);
    CHECK(failure([&](elver_error** e) { return elver_session_rewind(s.get(), 5, e); }).status ==
          ELVER_INVALID_ARGUMENT);
    CHECK(failure([&](elver_error** e) { return elver_session_rewind(s.get(), -1, e); }).status ==
          ELVER_INVALID_ARGUMENT);
}

TEST_CASE("capi: cancel ends an answer with an event, and the session goes on") {
    const Bytes bytes = tiny_with_template();
    const auto model = load(memory_source(bytes));
    const auto s = session(model.get());
    const std::string request =
        R"({"messages": [{"role": "user", "content": "be a cab"}], "max_tokens": 30, "ignore_eos": true})";
    const auto chat = [&] {
        return failure(
            [&](elver_error** e) { return elver_session_chat(s.get(), request.data(), request.size(), nullptr, e); });
    };
    REQUIRE(chat().status == ELVER_OK);
    elver_event event = ELVER_EVENT_INIT;
    REQUIRE(elver_session_next(s.get(), &event, nullptr) == ELVER_OK);
    CHECK(event.finish == ELVER_FINISH_NONE);
    elver_session_cancel(s.get());
    REQUIRE(elver_session_next(s.get(), &event, nullptr) == ELVER_OK);
    CHECK(event.finish == ELVER_FINISH_CANCELLED);
    CHECK(event.id == -1);
    REQUIRE(chat().status == ELVER_OK);
    CHECK(pull(s.get()).ids.size() == 30);
    elver_session_cancel(nullptr);
}

TEST_CASE("capi: a session outlives the handle of its model") {
    auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    model.reset();
    Rows rows;
    CHECK(prefill(s.get(), rows).status == ELVER_OK);
}

TEST_CASE("capi: a text is read as its ids, rows as the embeddings that they are, and each alone") {
    const auto model = load(path_source(tiny_path()));
    const auto logits = [&](const elver_input& input) {
        const auto s = session(model.get());
        const Failure f = failure([&](elver_error** e) { return elver_session_prefill(s.get(), &input, nullptr, e); });
        REQUIRE_MESSAGE(f.status == ELVER_OK, f.message);
        size_t n = 0;
        const float* row = elver_session_logits(s.get(), &n);
        return std::vector<float>(row, row + n);
    };
    elver_tokenizer* raw = nullptr;
    REQUIRE(elver_model_tokenizer(model.get(), &raw, nullptr) == ELVER_OK);
    const Own<elver_tokenizer> tokenizer(raw);
    const std::string text = "the bed";
    for (const uint32_t flags : {0U, uint32_t{ELVER_TEXT_ADD_SPECIAL}}) {
        elver_ids* ids = nullptr;
        REQUIRE(elver_tokenizer_encode(raw, text.data(), text.size(), flags, &ids, nullptr) == ELVER_OK);
        const Own<elver_ids> owned(ids);
        CHECK(logits(text_input(text, flags)) == logits(ids_input(elver_ids_data(ids), elver_ids_size(ids))));
    }
    const auto width = static_cast<size_t>(elver_model_width(model.get()));
    const std::vector<float> rows(3 * width, 0.5f);
    CHECK(logits(rows_input(rows, width)).size() == 61);

    const auto s = session(model.get());
    const auto refused = [&](elver_input input, const char* object) {
        const Failure f = failure([&](elver_error** e) { return elver_session_prefill(s.get(), &input, nullptr, e); });
        CHECK(f.status == ELVER_INVALID_ARGUMENT);
        CHECK_MESSAGE(f.object == object, f.message);
        CHECK(elver_session_position(s.get()) == 0);
    };
    elver_input both = ids_input(some_ids, 2);
    both.text = "a";
    refused(both, "text");
    both.text = nullptr;
    both.n_rows = 1;
    refused(both, "embeddings");
    elver_input input = ids_input(nullptr, 2);
    refused(input, "ids");
    input = ids_input(some_ids, 2);
    input.flags = ELVER_TEXT_ADD_SPECIAL;
    refused(input, "flags");
    input.flags = 0;
    input.kind = 3;
    refused(input, "kind");
    input.kind = -1;
    refused(input, "kind");
    refused(text_input(text, ELVER_TEXT_SHOW_SPECIAL), "flags");
    input = text_input(text);
    input.text = nullptr;
    refused(input, "text");
    input = rows_input(rows, width);
    input.width = width - 1;
    refused(input, "width");
    input.width = width;
    input.n_rows = ~size_t{0};
    refused(input, "n_rows");
    input.n_rows = 3;
    input.embeddings = nullptr;
    refused(input, "embeddings");
    const std::vector<float> bad(width, HUGE_VALF);
    refused(rows_input(bad, width), "embeddings");
}

TEST_CASE("capi: logits can be edited; the session does not read them") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get()), untouched = session(model.get());
    for (elver_session* each : {s.get(), untouched.get()}) REQUIRE(prefill_ids(each, some_ids, n_some) == ELVER_OK);
    size_t n = 0;
    float* row = elver_session_logits(s.get(), &n);
    REQUIRE(n == 61);
    std::fill(row, row + n, -1.0f);
    elver_session* raw = nullptr;
    REQUIRE(elver_session_fork(s.get(), nullptr, nullptr, &raw, nullptr) == ELVER_OK);
    const Own<elver_session> fork(raw);
    CHECK(elver_session_logits(fork.get(), nullptr)[7] == -1.0f);
    for (elver_session* each : {s.get(), untouched.get(), fork.get()})
        REQUIRE(prefill_ids(each, some_ids, 1) == ELVER_OK);
    const float* expected = elver_session_logits(untouched.get(), nullptr);
    CHECK(std::equal(expected, expected + n, elver_session_logits(s.get(), nullptr)));
    CHECK(std::equal(expected, expected + n, elver_session_logits(fork.get(), nullptr)));
}

TEST_CASE("capi: events count tokens and tell times, and their alternatives have a stride") {
    const auto model = load(path_source(tiny_path()));
    const auto s = session(model.get());
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(complete(s.get(), R"({"ids": [3, 4, 5], "max_tokens": 4, "ignore_eos": true, "top_logprobs": 3})").status ==
            ELVER_OK);
    elver_event event = ELVER_EVENT_INIT;
    double before = 0;
    for (int i = 1; i <= 5; ++i) {
        REQUIRE(elver_session_next(s.get(), &event, nullptr) == ELVER_OK);
        CHECK(event.kind == (i <= 4 ? ELVER_EVENT_TEXT : ELVER_EVENT_END));
        CHECK((event.kind == ELVER_EVENT_END) == (event.finish != ELVER_FINISH_NONE));
        CHECK(event.n_prompt == 3);
        CHECK(event.n_cached == 0);
        CHECK(event.n_generated == std::min(i, 4));
        CHECK(event.n_accepted <= event.n_drafted);
        CHECK(event.prompt_seconds > 0);
        CHECK(event.generation_seconds >= before);
        before = event.generation_seconds;
        CHECK(event.n_top == (i <= 4 ? 3 : 0));
        CHECK(event.top_stride == sizeof(elver_logprob));
    }
    const std::chrono::duration<double> all = std::chrono::steady_clock::now() - start;
    CHECK(event.generation_seconds > 0);
    CHECK(event.prompt_seconds + event.generation_seconds <= all.count());
}

TEST_CASE("capi: one thread steps through many answers, deferred ones too, and each is as alone") {
    const auto model = load(path_source(tiny_path())), other = load(path_source(tiny_path()));
    const auto request = [](int i) {
        return R"({"ids": [)" + std::to_string(10 + i) +
               R"(, 3, 4, 5, 6, 7, 8, 9], "max_tokens": 6, "ignore_eos": true, "seed": )" + std::to_string(i) + "}";
    };
    constexpr size_t n = 4;
    std::vector<std::vector<int32_t>> expected;
    for (size_t i = 0; i < n; ++i) {
        const auto s = session(other.get());
        REQUIRE(complete(s.get(), request(static_cast<int>(i))).status == ELVER_OK);
        expected.push_back(pull(s.get()).ids);
    }
    std::vector<Own<elver_session>> sessions;
    std::vector<elver_event> events(n, ELVER_EVENT_INIT);
    // Items lie further apart than they are large.
    struct Wide {
        elver_step_item item = ELVER_STEP_ITEM_INIT;
        int64_t more = 7;
    };
    std::vector<Wide> wide(n + 3);
    for (size_t i = 0; i < n; ++i) {
        sessions.push_back(session(model.get(), 0, 3));
        elver_answer_options options = ELVER_ANSWER_OPTIONS_INIT;
        options.deferred = i % 2;
        const std::string text = request(static_cast<int>(i));
        REQUIRE(elver_session_complete(sessions[i].get(), text.data(), text.size(), &options, nullptr) == ELVER_OK);
        wide[i].item.session = sessions[i].get();
        wide[i].item.event = &events[i];
    }
    // Those that cannot go on: one twice, one of another model, one without an answer.
    const auto foreign = session(other.get()), idle = session(model.get());
    REQUIRE(complete(foreign.get(), request(1)).status == ELVER_OK);
    elver_event unused = ELVER_EVENT_INIT;
    elver_session* wrong[] = {sessions[0].get(), foreign.get(), idle.get()};
    const elver_status statuses[] = {ELVER_BUSY, ELVER_INVALID_ARGUMENT, ELVER_INVALID_ARGUMENT};
    for (size_t i = 0; i < 3; ++i) {
        wide[n + i].item.session = wrong[i];
        wide[n + i].item.event = &unused;
    }
    std::vector<std::vector<int32_t>> ids(n);
    std::vector<bool> ended(n), progressed(n);
    for (int round = 0; round < 40 && std::find(ended.begin(), ended.end(), false) != ended.end(); ++round) {
        REQUIRE(elver_model_step(model.get(), &wide[0].item, wide.size(), sizeof(Wide), nullptr) == ELVER_OK);
        for (size_t i = 0; i < n; ++i) {
            const Own<elver_error> error(wide[i].item.error);
            if (ended[i]) {
                CHECK(wide[i].item.status == ELVER_INVALID_ARGUMENT);
                continue;
            }
            REQUIRE_MESSAGE(wide[i].item.status == ELVER_OK, elver_error_message(error.get()));
            CHECK(error == nullptr);
            const elver_event& e = events[i];
            progressed[i] = progressed[i] || e.kind == ELVER_EVENT_PROGRESS;
            CHECK((e.kind == ELVER_EVENT_PROGRESS) == (e.n_unread > 0));
            if (e.id >= 0) ids[i].push_back(e.id);
            ended[i] = e.kind == ELVER_EVENT_END;
        }
        for (size_t i = 0; i < 3; ++i) {
            const Own<elver_error> error(wide[n + i].item.error);
            CHECK(wide[n + i].item.status == statuses[i]);
            CHECK(elver_error_status(error.get()) == statuses[i]);
        }
    }
    CHECK(ids == expected);
    // A prompt of eight tokens, three at a time.
    CHECK(progressed == std::vector<bool>{false, true, false, true});
}
